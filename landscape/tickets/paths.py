"""What a mask leaves of a network, told before anything is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from landscape import progress
from landscape.errors import ModelError, NumericalError, SettingError
from landscape.pruning.layers import LayerLife
from landscape.pruning.live import Life, life
from landscape.pruning.mask import Mask
from landscape.subject.subject import Subject

IDLE = 0.05  # of the weights kept: more that are on no path is told


@dataclass(frozen=True, kw_only=True)
class Paths:
    """What is left of a network.

    Args:
        layers: In the order of the network.
        share: Of the paths of the dense network; None where they cannot be followed, or counted.
        effective: Density of the weights that are on a path; None where they cannot be followed.
        broken: Whether no path leads from input to output.
    """

    layers: tuple[LayerLife, ...]
    share: float | None
    effective: float | None
    broken: bool

    @property
    def empty(self) -> tuple[str, ...]:
        """Return the tensors that keep nothing."""
        return tuple(one.name for one in self.layers if one.kept == 0)

    @property
    def dead(self) -> int:
        """Return how many units have lost all their inputs or all their outputs."""
        return sum(one.dead_inputs + one.dead_outputs for one in self.layers)

    @property
    def warning(self) -> str:
        """Return what is wrong with the mask, in words; empty when nothing is."""
        if self.broken:
            return "no path is left from input to output"
        kept = sum(one.kept for one in self.layers)
        live = [one.live for one in self.layers if one.live is not None]
        idle = kept - sum(live) if live else 0
        told = []
        if self.empty:
            told.append(f"{len(self.empty)} empty layers ({', '.join(self.empty[:3])})")
        if idle > IDLE * kept:
            told.append(f"{idle:,} of {kept:,} weights kept are on no path")
        return ", ".join(told)


def paths(subject: Subject, mask: Mask) -> Paths:
    """Return what a mask leaves. Cost: two forward and backward passes of two samples.

    Where paths cannot be followed through the network, only what is counted in the mask is told.
    """
    try:
        found = life(subject, mask)
    except (ModelError, NumericalError) as error:
        subject.note(f"paths through the masked network cannot be followed: {error.what}")
        return _counted(subject.network.model, mask)
    if found.of_dense == 0:
        subject.note("paths cannot be followed: not even the dense network has any")
        return _counted(subject.network.model, mask)
    return _followed(found)


def told(subject: Subject, mask: Mask, name: str) -> Paths:
    """Return what a mask leaves, having told the listener and the provenance what is wrong."""
    found = paths(subject, mask)
    if found.warning:
        text = f"{name}, {mask.density:.3%} of the weights: {found.warning}"
        subject.note(text)
        with progress.task(f"before training: {text}", 1) as task:
            task.advance()
    return found


def refuse_broken(found: Paths, mask: Mask, where: str) -> None:
    """Refuse to train a mask through which nothing passes.

    Raises:
        SettingError: No path is left.
    """
    if found.broken:
        empty = f"; empty layers: {', '.join(found.empty[:5])}" if found.empty else ""
        raise SettingError(
            "the mask leaves no path from input to output",
            where=where,
            why=f"it keeps {mask.total:,} weights, {mask.density:.3%}{empty}, so the outputs do "
            "not depend on the inputs, and training cannot change that",
            hint="keep more weights, or keep some layers dense (--dense)",
        )


def _followed(found: Life) -> Paths:
    return Paths(
        layers=found.layers,
        share=found.paths / found.of_dense if math.isfinite(found.of_dense) else None,
        effective=found.effective_density,
        broken=not found.connected,
    )


def _counted(model: nn.Module, mask: Mask) -> Paths:
    layers = tuple(LayerLife.of(model, name, kept, None) for name, kept in mask.kept.items())
    return Paths(layers=layers, share=None, effective=None, broken=False)
