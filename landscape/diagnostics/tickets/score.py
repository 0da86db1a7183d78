"""Which weights a pruning score keeps, and what that leaves of every layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from torch import nn

from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.errors import ModelError, OutputError
from landscape.estimate import Estimate, Status
from landscape.pruning.export import check_export, export
from landscape.pruning.files import save
from landscape.pruning.live import Life, lived
from landscape.pruning.mask import Mask
from landscape.pruning.methods import Allocation, Found, Method, check_method, find_mask
from landscape.pruning.prunable import prunable
from landscape.subject.subject import Subject
from landscape.tickets.scored import ScoredLayer, TicketsScoreResult

PATHS = "paths through the network whose weights are the mask, in float64"
PAIRED = ("movement", "magnitude-increase", "large-final")


@dataclass(frozen=True)
class Weights(Needs):
    """What a mask needs: a network with weights that may be pruned."""

    def missing(self, subject: Subject) -> tuple[str, str] | None:
        """Return what is missing, and what unlocks it."""
        if (found := super().missing(subject)) is not None:
            return found
        if subject.network.pruned is not None:
            return "a score is of the whole network, and a mask is given", "no --mask"
        try:
            prunable(subject)
        except ModelError as error:
            return error.what, "layers with weights (--params)"
        return None


@dataclass(frozen=True, kw_only=True)
class TicketsScore(Diagnostic[TicketsScoreResult]):
    """Which weights a pruning score keeps, and what that leaves of every layer.

    The mask is that of the last checkpoint; movement, magnitude-increase and large-final compare it
    with the first. With -o the mask is written beside the answer, as mask.safetensors, for --mask
    of any command and for `landscape tickets eval`, which holds it against controls.
    """

    name: ClassVar[str] = "tickets-score"
    result: ClassVar[type[Result]] = TicketsScoreResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Weights(data=False, each=False)
    surveyed: ClassVar[bool] = False  # which density, is a question of its own
    files: ClassVar[tuple[str, ...]] = ("mask.safetensors",)

    method: Annotated[
        Method, Option("score: the highest are kept; the last three compare two checkpoints")
    ] = "magnitude"
    density: Annotated[float, Option("share of the weights that is kept", above=0, at_most=1)] = 0.1
    shared: Annotated[
        Allocation,
        Option("all weights compete, or layers keep equal shares, or those of the ER kernel"),
    ] = "global"
    rounds: Annotated[
        int, Option("in which snip, grasp, synflow score what is left anew", at_least=1)
    ] = 1
    dense: Annotated[str, Option("globs of layers that are kept whole; empty: none")] = ""
    export: Annotated[
        str, Option("file for the pruned checkpoint, .safetensors or .pt; empty: none")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.export:
            check_export(self.export)

    def depends(self) -> Mapping[str, Any]:
        """Return the settings that the numbers depend on."""
        return {key: value for key, value in vars(self).items() if key != "export"}

    def refuse(self, subject: Subject) -> None:
        """Refuse a score that cannot be had, and data that do not fit."""
        check_method(subject, self.method, self.rounds)
        prunable(subject, dense=self.dense)
        if subject.batches is not None:
            _ = subject.count

    def measure(self, subject: Subject) -> TicketsScoreResult:
        """Return what the mask keeps. Cost: that of the scores, and two passes of two samples."""
        found = self._found(subject)
        mask = self._remembered_mask(subject, found)
        losses = self._losses(subject, mask)
        left, pathless = lived(subject, mask)
        finite = losses is None or math.isfinite(losses[1].value)
        paired = self.method in PAIRED
        return TicketsScoreResult(
            status=Status.CONVERGED if finite else Status.NOT_FINITE,
            message="" if finite else "The loss under the mask is not finite.",
            checkpoint=subject.checkpoint.label,
            reference=subject.checkpoints[0].label if paired else None,
            method=self.method,
            shared=self.shared,
            rounds=self.rounds,
            weights=sum(mask.sizes.values()),
            others=subject.parameters.size - sum(mask.sizes.values()),
            kept=mask.total,
            density=Estimate.exact(mask.density, "weights kept over those that may be pruned"),
            effective_density=None
            if left is None
            else Estimate.exact(left.effective_density, "weights that some flow passes"),
            paths=None if left is None or pathless else Estimate.exact(left.paths, PATHS),
            paths_of_dense=None
            if left is None or pathless
            else Estimate.exact(left.of_dense, PATHS),
            pathless=pathless,
            loss=losses[1] if losses is not None else None,
            loss_of_dense=losses[0] if losses is not None else None,
            layers=_layers(subject.network.model, found, left),
        )

    def mask(self, subject: Subject) -> Mask:
        """Return the mask itself, with where it comes from."""
        found = self._remembered_mask(subject)
        batches = subject.batches
        origin = {
            "method": self.method,
            "density": self.density,
            "kept": found.total,
            "of": sum(found.sizes.values()),
            "shared": self.shared,
            "rounds": self.rounds,
            "dense": self.dense,
            "seed": self.seed,
            "checkpoint": subject.checkpoint.label,
            "weights_fingerprint": subject.weights_fingerprint(subject.checkpoint),
            "batches_hash": batches.hash if batches is not None else None,
            "landscape": version("landscape"),
        }
        return Mask(kept=found.kept, provenance=origin)

    def keep(self, subject: Subject, folder: Path | None) -> None:
        """Write mask.safetensors into a folder, and the pruned checkpoint where `export` says.

        Raises:
            OutputError: A file cannot be written.
        """
        if folder is None and not self.export:
            return
        mask = self.mask(subject)
        try:
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                save(mask, folder / self.files[0])
            if self.export and subject.ranks.rank == 0:
                export(subject, mask, self.export)
        except OSError as error:
            raise OutputError(
                "the mask cannot be written",
                where=str(error.filename or folder or self.export),
                why=error.strerror or str(error),
                hint="choose a place that can be written, with space left",
            ) from error

    def _found(self, subject: Subject) -> Found:
        return find_mask(
            subject,
            self.method,
            self.density,
            shared=self.shared,
            rounds=self.rounds,
            dense=self.dense,
            generator=torch.Generator().manual_seed(self.seed),
        )

    def _remembered_mask(self, subject: Subject, found: Found | None = None) -> Mask:
        """Return the mask that an earlier call left, or a new one."""
        sizes = {one.name: one.shape for one in prunable(subject, dense=self.dense)}

        def packed() -> np.ndarray:
            mask = (found or self._found(subject)).mask
            flat = torch.cat([mask.kept[name].flatten() for name in sizes])
            return np.packbits(flat.numpy())

        key = ("mask", dict(self.depends()), subject.identity())
        bits = np.unpackbits(subject.memory.once(key, packed, np.ndarray)).astype(bool)
        kept, start = dict[str, torch.Tensor](), 0
        for name, shape in sizes.items():
            size = math.prod(shape)
            kept[name] = torch.from_numpy(bits[start : start + size]).view(shape)
            start += size
        return Mask(kept=kept)

    def _losses(self, subject: Subject, mask: Mask) -> tuple[Estimate, Estimate] | None:
        """Return the loss without and with the mask; None without data."""
        if subject.batches is None:
            return None
        dense = subject.network.tensors(subject.point)
        pruned = subject.network.point(mask.applied(dense))
        return (
            Estimate.exact(subject.loss(subject.point), "the given data"),
            Estimate.exact(subject.loss(pruned), "the given data"),
        )


def _layers(model: nn.Module, found: Found, left: Life | None) -> tuple[ScoredLayer, ...]:
    lives = {one.name: one.live for one in left.layers} if left is not None else {}
    layers = []
    for name, kept in found.mask.kept.items():
        scores = found.scores[name][kept]
        lowest = float(scores.min()) if scores.numel() else math.nan
        layers.append(ScoredLayer.of(model, name, kept, lives.get(name), threshold=lowest))
    return tuple(layers)
