"""Weights that a mask takes out of a network: exactly zero, and not among what is studied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.fingerprint import file_sha256, memory
from landscape.subject.files.mask import read_mask
from landscape.subject.files.wording import cut, listed

NEAR = 5  # names in an error


@runtime_checkable
class Kept(Protocol):
    """A mask of pruning, as `landscape tickets` finds them."""

    @property
    def kept(self) -> Mapping[str, Tensor]:
        """Return boolean tensors by parameter name; true weights are kept."""
        ...


MaskLike = Kept | Mapping[str, Tensor] | str | Path


@dataclass(frozen=True, kw_only=True)
class Pruned:
    """A mask of pruning that fits a network.

    Args:
        kept: Boolean tensors by parameter name.
        label: What to call the mask.
        told: Where it comes from, for the provenance.
    """

    kept: Mapping[str, Tensor]
    label: str
    told: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def described(self) -> dict[str, Any]:
        """Return what the provenance tells of it."""
        return {
            "mask": self.label,
            "kept": sum(int(kept.sum()) for kept in self.kept.values()),
            "of": sum(kept.numel() for kept in self.kept.values()),
            **self.told,
        }

    def among(self, names: tuple[str, ...]) -> dict[str, Tensor]:
        """Return the masks of some parameters."""
        return {name: kept for name, kept in self.kept.items() if name in names}

    def applied(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return tensors by parameter name, the pruned weights zero."""
        return {name: self._zeroed(name, tensor) for name, tensor in tensors.items()}

    def pruned(self, checkpoint: Checkpoint, mapping: Mapping[str, str]) -> tuple[Checkpoint, str]:
        """Return a checkpoint whose pruned weights are zero, and a sentence about it.

        Args:
            checkpoint: As its file holds it.
            mapping: The checkpoint's name of each parameter.
        """
        new, moved = dict[object, Tensor](), 0
        for name in self.kept:
            if name in mapping:
                tensor = checkpoint.tensors[mapping[name]]
                zeroed = self._zeroed(name, tensor)
                moved += int((zeroed != tensor).sum())  # NaN that is pruned counts
                new[memory(tensor)] = zeroed
        tensors = {n: new.get(memory(t), t) for n, t in checkpoint.tensors.items()}
        told = self.described
        share = f"{told['kept']:,} of {told['of']:,} weights"
        note = f"{checkpoint.label} under {self.label}: {share} are kept and studied; "
        note += (
            f"{moved:,} that it prunes were not zero and are set to zero"
            if moved
            else "those that it prunes were zero already"
        )
        return replace(checkpoint, tensors=tensors), note

    def _zeroed(self, name: str, tensor: Tensor) -> Tensor:
        if name not in self.kept:
            return tensor
        return torch.where(self.kept[name].to(tensor.device), tensor, torch.zeros_like(tensor))


def attach_mask(
    mask: MaskLike | None, shapes: Mapping[str, tuple[int, ...]]
) -> Pruned | Mapping[str, Tensor] | None:
    """Return a mask of pruning, checked against a network; boolean tensors as they are.

    Args:
        mask: A file, a mask of pruning, or boolean tensors that say which coordinates are studied.
        shapes: Of the network's parameters.

    Raises:
        InputError: The file is no mask.
        ModelError: The mask is one of another network.
    """
    if isinstance(mask, str | Path):
        found = read_mask(mask)
        origin = {"sha256": file_sha256(Path(mask)), "origin": found.provenance}
        pruned = Pruned(kept=found.kept, label=Path(mask).name, told=origin)
        return _fitting(pruned, shapes, where=str(mask))
    if isinstance(mask, Kept):
        origin = {"origin": dict(getattr(mask, "provenance", {}))}
        return _fitting(Pruned(kept=mask.kept, label="mask", told=origin), shapes, where="mask")
    return mask


def _fitting(pruned: Pruned, shapes: Mapping[str, tuple[int, ...]], *, where: str) -> Pruned:
    strange = [name for name in pruned.kept if name not in shapes]
    hint = "give a mask that was made for this network"
    if strange:
        raise ModelError(
            f"the mask names {cut(strange[0])!r}, which the network does not have",
            where=where,
            why=f"the network has {listed(list(shapes), NEAR)}",
            hint=hint,
        )
    for name, kept in pruned.kept.items():
        if tuple(kept.shape) != shapes[name]:
            raise ModelError(
                f"the mask of {cut(name)!r} has shape {tuple(kept.shape)}, expected {shapes[name]}",
                where=where,
                why="a mask says of every number whether it is kept",
                hint=hint,
            )
    return pruned
