"""Which coordinates of the network are studied: by glob, layer or mask, one mechanism."""

from __future__ import annotations

import copy
import difflib
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate

import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.subject.files.wording import cut, listed

Tensors = dict[str, Tensor]

SHOWN = 20  # layers in an error
NEAR = 0.6  # likeness from which on a name is offered


@dataclass(frozen=True)
class Block:
    """The studied coordinates of one parameter tensor: a slice of the flat vector."""

    name: str
    shape: tuple[int, ...]
    start: int
    stop: int
    kept: Tensor | None  # (stop - start,) positions in the flattened tensor; None: all of them


class Parameters:
    """The studied coordinates as one flat vector (n,), tied tensors once.

    Args:
        model: The network that owns the tensors.
        select: `None` for every trainable parameter, `"all"` for frozen ones too, or
            comma-separated globs over names of parameters or layers (`"encoder.*,head"`).
        mask: Boolean tensors by parameter name; false coordinates are held fixed, and a
            parameter that is not named is studied whole.

    Raises:
        ModelError: Nothing is selected, or a mask does not fit.
    """

    def __init__(
        self,
        model: nn.Module,
        select: str | None = None,
        mask: Mapping[str, Tensor] | None = None,
    ) -> None:
        owned = dict(model.named_parameters())
        names = _selected(owned, select)
        self.select = select
        self.blocks = _blocks({name: owned[name] for name in names}, mask or {})
        self.size = self.blocks[-1].stop if self.blocks else 0
        if self.size == 0:
            raise ModelError(
                "no parameter is studied: the mask holds every coordinate fixed",
                where="mask",
                why="every value of it is false",
                hint="set what is to be studied to true",
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the studied tensors, in the order of the flat vector."""
        return tuple(block.name for block in self.blocks)

    @property
    def described(self) -> list[tuple[str, int, str]]:
        """Return name, size and mask digest of every block: what identifies the selection."""
        return [(b.name, b.stop - b.start, _mask_digest(b.kept)) for b in self.blocks]

    def subset(self, kept: Tensor) -> Parameters:
        """Return some of the coordinates, by their increasing positions (k,)."""
        other = copy.copy(self)
        kept = kept.cpu()
        parts = []
        for block in self.blocks:
            inside = kept[(kept >= block.start) & (kept < block.stop)] - block.start
            own = inside if block.kept is None else block.kept.cpu()[inside]
            whole = block.kept is None and len(inside) == block.stop - block.start
            if len(inside):
                parts.append((block, len(inside), None if whole else own))
        stops = list(accumulate(size for _, size, _ in parts))
        other.blocks = tuple(
            Block(block.name, block.shape, stop - size, stop, own)
            for (block, size, own), stop in zip(parts, stops, strict=True)
        )
        other.size = len(kept)
        return other

    def flatten(self, tensors: Mapping[str, Tensor]) -> Tensor:  # (n,)
        """Return the studied coordinates of named tensors as one vector."""
        return torch.cat([_take(tensors[block.name], block) for block in self.blocks])

    def unflatten(self, theta: Tensor, base: Mapping[str, Tensor]) -> Tensors:
        """Return the studied tensors with the coordinates of a vector (n,), differentiably.

        Args:
            theta: The studied coordinates (n,).
            base: Tensors that hold the values of coordinates which a mask keeps fixed.
        """
        pieces = theta.split([block.stop - block.start for block in self.blocks])
        return {
            block.name: _put(piece, block, base)
            for block, piece in zip(self.blocks, pieces, strict=True)
        }

    def taken(self, name: str, tensor: Tensor) -> Tensor:
        """Return the studied coordinates of one tensor, flat."""
        return _take(tensor, next(block for block in self.blocks if block.name == name))

    def split(self, vector: Tensor) -> dict[str, Tensor]:
        """Return the part of a vector (n,) that belongs to each parameter, flat."""
        return {block.name: vector[block.start : block.stop] for block in self.blocks}


def _mask_digest(kept: Tensor | None) -> str:
    if kept is None:
        return "whole"
    return hashlib.sha256(kept.cpu().numpy().tobytes()).hexdigest()[:16]


def _selected(owned: Mapping[str, nn.Parameter], select: str | None) -> list[str]:
    if not owned:
        raise ModelError(
            "the model has no parameters",
            where="model",
            why="the landscape is the loss as a function of parameters",
            hint="give a network with weights",
        )
    trainable = [name for name, tensor in owned.items() if tensor.requires_grad]
    if select == "all":
        return list(owned)
    if not trainable:
        raise ModelError(
            "every parameter of the model is frozen (requires_grad=False)",
            where="model",
            why="frozen parameters are held fixed, and none is left to study",
            hint="pass --params all (params='all') to study frozen parameters",
        )
    if select is None:
        return trainable
    globs = [part.strip() for part in select.split(",") if part.strip()]
    chosen = [name for name in trainable if any(_matches(name, glob) for glob in globs)]
    if not chosen:
        raise _no_match(select, trainable)
    return chosen


def _no_match(select: str, trainable: list[str]) -> ModelError:
    layers = list(dict.fromkeys(_layer(name) for name in trainable))
    names = dict.fromkeys([*layers, *trainable])  # a parameter of the network itself is a layer too
    near = difflib.get_close_matches(select, names, n=3, cutoff=NEAR)
    why = f"the layers are {listed(layers, SHOWN)}"
    return ModelError(
        f"no trainable parameter matches {select!r}",
        where="params",
        why=f"{why}; nearest names: {listed(near)}" if near else why,
        hint=f"give a glob over parameter names, or a layer: --params {cut(layers[0])}; or all",
    )


def _layer(name: str) -> str:
    """Return the layer that a parameter is shown under: up to a number, else its module."""
    parts = name.split(".")
    numbered = next((place for place, part in enumerate(parts) if part.isdecimal()), None)
    return ".".join(parts[: numbered + 1] if numbered is not None else parts[:-1] or parts)


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name, glob) or fnmatchcase(name, f"{glob}.*")


def _blocks(tensors: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> tuple[Block, ...]:
    _check_mask(tensors, mask)
    kept = {
        name: mask[name].flatten().nonzero().squeeze(1) if name in mask else None
        for name in tensors
    }
    sizes = [tensors[name].numel() if index is None else len(index) for name, index in kept.items()]
    stops = list(accumulate(sizes))
    return tuple(
        Block(name, tuple(tensor.shape), stop - size, stop, kept[name])
        for (name, tensor), size, stop in zip(tensors.items(), sizes, stops, strict=True)
        if size > 0
    )


def _check_mask(tensors: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> None:
    for name, values in mask.items():
        if name not in tensors:
            raise ModelError(
                f"the mask names {name!r}, which is not studied",
                where="mask",
                why=f"studied are {', '.join(list(tensors)[:5])} …",
                hint="name parameters of the model that train, or change params",
            )
        if values.shape != tensors[name].shape:
            expected, got = tuple(tensors[name].shape), tuple(values.shape)
            raise ModelError(
                f"the mask of {name!r} has shape {got}, expected {expected}",
                where="mask",
                why="a mask says of every number whether it is studied",
                hint="give one boolean for each number of the parameter",
            )


def _take(tensor: Tensor, block: Block) -> Tensor:
    flat = tensor.reshape(-1)
    return flat if block.kept is None else flat[block.kept.to(flat.device)]


def _put(piece: Tensor, block: Block, base: Mapping[str, Tensor]) -> Tensor:
    if block.kept is None:
        return piece.view(block.shape)
    flat = base[block.name].reshape(-1).to(piece)
    return flat.index_copy(0, block.kept.to(flat.device), piece).view(block.shape)
