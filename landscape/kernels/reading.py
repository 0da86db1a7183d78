"""What is read off a kernel that was formed: alignment, by output and by layer, power, change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from landscape.estimate import Estimate, Status
from landscape.kernels import alignment as aligned
from landscape.kernels.decomposition import Decomposition
from landscape.kernels.result import Change, LayerAlignment, LayerShare, OutputAlignment
from landscape.kernels.targets import UNKNOWN, Targets
from landscape.signals.intervals import linearised
from landscape.subject.subject import Subject
from landscape.tangent.kernel import Diagonal, Kernel, layers_of

MANY = 20  # outputs, up to which each has an alignment of its own


def sketched(found: Kernel) -> np.ndarray:
    """Return the mean over the directions of a sketch (N, N)."""
    return found.values.mean(0)


def sketch_error(found: Kernel) -> float:
    """Return the standard error of the mean over directions, over the norm of the mean."""
    count = len(found.values)
    if count < 2:
        return math.inf
    mean = found.values.mean(0)
    spread = sum(float(np.square(one - mean).sum()) for one in found.values)
    return math.sqrt(spread / (count * (count - 1))) / max(float(np.linalg.norm(mean)), 1e-300)


def traced_of(whole: np.ndarray, kind: str, outputs: int) -> np.ndarray:  # (N, N)
    """Return Σ_c K_cc."""
    if kind == "full":
        samples = len(whole) // outputs
        return np.einsum("ncmc->nm", whole.reshape(samples, outputs, samples, outputs))
    return whole.sum(0) if kind == "classes" else whole


def alignment_of(traced: np.ndarray, targets: Targets, *, centred: bool) -> Estimate:
    """Return how far the trace kernel points at the targets."""
    if targets.values is None:
        return missing(UNKNOWN)
    values = targets.centred if centred else targets.values
    return aligned.alignment(traced, values, centred=centred)  # type: ignore[arg-type]


def participation_of(traced: np.ndarray) -> Estimate:
    """Return (tr K)² / ‖K‖², with the doubt of the choice of samples."""

    def of(kept: np.ndarray) -> float:
        part = traced[np.ix_(kept, kept)]
        square = float(np.square(part).sum())
        return float(np.trace(part)) ** 2 / square if square else 0.0

    return aligned.over_groups(of, len(traced), "(tr K)² / ‖K‖²")


def participation_of_modes(modes: Decomposition) -> Estimate:
    """Return that of all eigenvalues of these samples."""
    return Estimate.exact(modes.participation, "(Σλ)² / Σλ² of these samples")


def alignments_by_output(
    whole: np.ndarray, traced: np.ndarray, targets: Targets, kind: str
) -> tuple[OutputAlignment, ...]:
    """Return the alignment of every output's own kernel, where they are few."""
    if targets.values is None or targets.values.shape[1] > MANY or targets.ignored:
        return ()
    kernels = whole if kind == "classes" else traced
    if kind == "full":
        samples, outputs = targets.values.shape
        kernels = np.einsum("ncmc->cnm", whole.reshape(samples, outputs, samples, outputs))
    found = aligned.alignments_by_output(kernels, targets.values)
    return tuple(OutputAlignment(output=c, alignment=one) for c, one in enumerate(found))


def power_in_modes(
    modes: Decomposition, own: Decomposition, targets: Targets, kind: str
) -> np.ndarray | None:
    """Return the share of the centred targets in the first k modes."""
    centred = targets.centred
    if centred is None:
        return None
    if kind == "full" and modes.vectors is not None:
        return aligned.target_power(modes.vectors, centred.reshape(-1, 1))
    if kind == "classes" or own.vectors is None:
        return None
    return aligned.target_power(own.vectors, centred)


def alignments_by_layer(
    subject: Subject, found: Kernel, traced: np.ndarray, targets: Targets
) -> tuple[LayerAlignment, ...]:
    """Return the alignment of every layer's own trace kernel, and its share of the whole trace."""
    if (centred := targets.centred) is None:
        return ()
    sizes = {block.name: block.stop - block.start for block in subject.parameters.blocks}
    total, made = found.trace or 1.0, []
    for name, names in layers_of(subject).items():
        if name in found.layers and any(one in found.shares for one in names):
            one = LayerAlignment(
                name=name,
                parameters=sum(sizes[one] for one in names),
                share=_share(
                    sum(found.shares.get(one, 0.0) for one in names) / total,
                    np.diagonal(found.layers[name]),
                    np.diagonal(traced),
                ),
                alignment=aligned.alignment(found.layers[name], centred, centred=True),
            )
            made.append(one)
    return tuple(made)


def _share(value: float, part: np.ndarray, whole: np.ndarray) -> Estimate:
    """Return the share of a layer in the trace, from both diagonals (N,)."""
    own, other = (one / (one.sum(dtype=np.float64) or 1.0) for one in (part, whole))
    influence = len(own) * value * (own - other)
    found = linearised(value, influence, "Σ_c ‖∇f_c‖² of the layer over that of all; delta method")
    interval = (max(found.interval[0], 0.0), min(found.interval[1], 1.0))
    return replace(found, interval=interval, sampling=interval)


def shares_of_layers(
    subject: Subject, found: Kernel | Diagonal | None, draws: int = 1
) -> tuple[LayerShare, ...]:
    """Return what every parameter adds to the trace, a mean over so many draws."""
    if found is None:
        return ()
    sizes = {block.name: block.stop - block.start for block in subject.parameters.blocks}
    total = sum(found.shares.values()) or 1.0
    return tuple(
        LayerShare(
            name=name,
            parameters=sizes[name],
            trace=value / draws,
            share=value / total,
            order=found.orders[name],
            unfactored=found.unfactored.get(name, ""),
        )
        for name, value in found.shares.items()
    )


def change_of(
    whole: np.ndarray, before: tuple[np.ndarray, np.ndarray] | None, kind: str, outputs: int
) -> Change | None:
    """Return how far the kernel is from the first of the series and from the one before."""
    if before is None or kind == "classes" or before[0].shape != whole.shape:
        return None
    rows = outputs if kind == "full" else 1
    first, last = (aligned.distance(one, whole, rows) for one in before)
    return Change(first=first, before=last, scale=aligned.growth(before[0], whole, rows))


def missing(reason: str) -> Estimate:
    """Return a number that is not there, with the reason."""
    return Estimate(
        value=math.nan,
        kind="estimate",
        interval=(math.nan, math.nan),
        status=Status.SKIPPED,
        method="not computed",
        reason=reason,
    )


def precision_of(subject: Subject) -> str:
    """Return the name of the precision in which tiles are computed."""
    return str(subject.dtype).removeprefix("torch.")
