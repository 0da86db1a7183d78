"""What is left of a network whose weights are zero in part: densities, dead units, live paths."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from torch import Tensor

from landscape.answer import Finding, Table
from landscape.errors import ModelError, NumericalError
from landscape.estimate import Estimate
from landscape.pruning.layers import LayerLife, layers_table
from landscape.pruning.live import lived
from landscape.pruning.mask import Mask
from landscape.pruning.prunable import prunable
from landscape.subject.subject import Subject

SOME = 0.01  # share of zeros among the weights from which on a network is thinned
WASTED = 0.02  # share of the weights left that are on no path, from which on it is told
NAMED = 5  # layers in a finding


@dataclass(frozen=True, kw_only=True)
class Thinned:
    """What is left of a network whose weights are zero in part."""

    source: str  # zeros, or the mask that was given
    density: Estimate
    compression: float | None  # weights over those that are left; None: nothing is
    effective_density: Estimate | None  # of weights on a path
    severed: bool  # whether no path is left
    pathless: str  # why paths are not told; empty when they are
    layers: tuple[LayerLife, ...]

    @property
    def kept(self) -> int:
        """Return how many weights are left."""
        return sum(one.kept for one in self.layers)

    @property
    def summary(self) -> str:
        """Return what is left in a few words."""
        whole = sum(one.size for one in self.layers)
        text = f"{self.source}: {self.kept:,} of {whole:,} weights left ({self.density.value:.3%})"
        if self.compression is not None:
            text += f", compression {self.compression:.3g}×"
        if self.effective_density is not None:
            text += f", {self.effective_density.value:.3%} on a path"
        elif self.pathless:
            text += f"; paths not told: {self.pathless}"
        return text

    @property
    def table(self) -> Table:
        """Return one row per layer."""
        return layers_table("What pruning left of the layers", self.layers)

    @property
    def trust(self) -> tuple[str, str]:
        """Return what the paths rest on."""
        if self.pathless:
            return "paths", f"not told: {self.pathless}"
        return "paths", "followed in float64 through the network whose weights are the mask"

    def findings(self) -> tuple[Finding, ...]:
        """Return layers that are gone, and weights that are left and do nothing."""
        gone = [one.name for one in self.layers if not one.kept]
        named = f"{', '.join(gone[:NAMED])}{' …' if len(gone) > NAMED else ''}"
        if self.severed or gone:
            sentence = f"Pruning left nothing of {len(gone)} layer{'s' * (len(gone) != 1)}."
            if self.severed:
                sentence = "Pruning left no path from input to output."
            return (
                Finding(
                    severity="critical" if self.severed else "warning",
                    sentence=sentence,
                    evidence=f"All zero: {named}." if gone else "No layer is empty by itself.",
                    advice="What goes round such layers (a skip, a bias) is all that is left.",
                ),
            )
        lost = self.kept - sum(one.live or 0 for one in self.layers)
        if self.effective_density is None or lost <= WASTED * self.kept:
            return ()
        return (
            Finding(
                severity="notable",
                sentence=f"{lost:,} of the {self.kept:,} weights left are on no path from input to "
                "output.",
                evidence=f"Density {self.density.value:.3%}, effective "
                f"{self.effective_density.value:.3%}.",
                advice="What they add does not depend on the inputs: biases can take it over.",
            ),
        )


def thinned_of(subject: Subject, tensors: Mapping[str, Tensor]) -> Thinned | None:
    """Return what is left of a network; None without a mask and with hardly a layer zero in part.

    Args:
        subject: At its last checkpoint; without a model, paths cannot be followed.
        tensors: The checkpoint's parameters by name.

    Cost: two forward and backward passes of two samples, where a model was given.
    """
    given = subject.network.pruned if subject.model is not None else None
    mask = _nonzero(subject, tensors) if given is None else Mask(kept=given.kept)
    if given is None and not _shows_pruning(mask):
        return None
    left, pathless = lived(subject, mask)
    model = subject.network.model if subject.model is not None else None
    exact = Estimate.exact
    live = {one.name: one.live for one in left.layers} if left is not None else {}
    return Thinned(
        source="zeros" if given is None else f"under {given.label}",
        density=exact(mask.density, "weights that are not zero over all in layers"),
        compression=1 / mask.density if mask.density else None,
        effective_density=exact(left.effective_density, "weights that some flow passes")
        if left is not None
        else None,
        severed=left is not None and not left.connected,
        pathless=pathless if left is None else "",
        layers=tuple(
            LayerLife.of(model, name, kept, live.get(name)) for name, kept in mask.kept.items()
        ),
    )


def _shows_pruning(mask: Mask) -> bool:
    """Return whether weights are zero in part: a tensor of zeros alone may be initialised so."""
    partly = [one for one in mask.kept.values() if one.any()]
    zeros = sum(int((~one).sum()) for one in partly)
    return zeros >= SOME * sum(one.numel() for one in partly) > 0


def _nonzero(subject: Subject, tensors: Mapping[str, Tensor]) -> Mask:
    """Return the weights of layers that are not zero: without a model, of all but constants."""
    found = {n: one for n, one in tensors.items() if one.dim() > 1 and not _constant(one)}
    if subject.model is not None:
        with suppress(ModelError, NumericalError):  # no layer, or not finite: `lived` says why
            own = subject.network.tensors(subject.point)
            found = {one.name: own[one.name] for one in prunable(subject)}
    return Mask(kept={name: (one != 0).cpu() for name, one in found.items() if one.numel()})


def _constant(tensor: Tensor) -> bool:
    """Return whether all entries that are not zero are one number, as in a mask: no weights."""
    values = tensor[tensor != 0]
    return values.numel() > 1 and bool((values == values[0]).all())
