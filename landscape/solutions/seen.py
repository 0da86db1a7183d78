"""What several networks make of the same samples, in one pass over the data."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.subject.batch import Batch
from landscape.subject.losses import IGNORED, BinaryCrossEntropy
from landscape.subject.outputs import class_axis, logits_of
from landscape.subject.per_sample import are_classes, per_sample
from landscape.subject.point import Point
from landscape.subject.subject import Subject

FEATURE_BYTES = 2**28  # of outputs that are kept, of all networks together
LEAST_ROWS = 24  # samples, below which the likeness of outputs is not computed


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Of t networks on N samples; pairs in the order of `itertools.combinations`.

    Args:
        losses: Mean loss over what counts in a sample (t, N).
        errors: Share of what counts that is wrong (t, N); None for regression.
        weights: How much counts in each sample (N,).
        apart: Share of what counts that a pair predicts differently (pairs, N); None where no
            classes are predicted.
        margins: Output of the right class less the largest other (t, N); None where a sample has
            not one label.
        outputs: Of evenly spaced samples, flattened (t, S, F); None: too large or not of one size.
    """

    losses: np.ndarray  # (t, N)
    errors: np.ndarray | None  # (t, N)
    weights: np.ndarray  # (N,)
    apart: np.ndarray | None  # (pairs, N)
    margins: np.ndarray | None  # (t, N)
    outputs: np.ndarray | None  # (t, S, F)


@dataclass(frozen=True)
class _Part:
    """What one batch gives, networks first."""

    losses: np.ndarray  # (t, b)
    errors: np.ndarray | None  # (t, b)
    counts: np.ndarray  # (b,)
    apart: np.ndarray | None  # (pairs, b)
    margins: np.ndarray | None  # (t, b)
    outputs: np.ndarray | None  # (t, s, F)


def look(
    subject: Subject, points: Sequence[Point], batches: Iterable[Batch], *, samples: int, rows: int
) -> Seen:
    """Return what networks make of all samples, with the statistics that they came with.

    Args:
        subject: Is left undisturbed.
        points: Of the networks.
        batches: On the subject's device; read once.
        samples: In all batches.
        rows: Samples whose outputs are kept.

    Raises:
        ModelError: The loss gives nothing for single samples.

    Cost: a forward pass for each network.
    """
    wanted = np.unique(np.linspace(0, samples - 1, min(rows, samples)).round().astype(int))
    parts: list[_Part] = []
    start = 0
    with subject.undisturbed(0), torch.no_grad(), progress.task("samples", samples) as task:
        for batch in batches:
            inside = wanted[(wanted >= start) & (wanted < start + batch.samples)] - start
            parts.append(_looked(subject, points, batch, inside, FEATURE_BYTES // max(rows, 1)))
            start += batch.samples
            task.advance(batch.samples)
    counts = np.concatenate([one.counts for one in parts])
    return Seen(
        losses=np.concatenate([one.losses for one in parts], axis=1),
        errors=_joined([one.errors for one in parts]),
        weights=counts,
        apart=_joined([one.apart for one in parts]),
        margins=_joined([one.margins for one in parts]),
        outputs=_rows([one.outputs for one in parts]),
    )


def _looked(
    subject: Subject, points: Sequence[Point], batch: Batch, rows: np.ndarray, most: int
) -> _Part:
    """Return what the networks make of one batch; no outputs above so many bytes a sample."""
    found, labels, margins, outputs = [], [], [], []
    for point in points:
        output = subject.outputs(point, batch)
        subject.criterion.check(output, batch.targets)
        found.append(per_sample(subject.criterion, output, batch.targets))
        labels.append(_labels(subject, output, batch.targets))
        margins.append(_margins(output, batch.targets))
        flat = logits_of(output).flatten(1)
        small = len(points) * flat.shape[1] * 8 <= most
        outputs.append(flat[torch.as_tensor(rows, device=flat.device)].double() if small else None)
    counts = found[0].counts
    each = counts.clamp(min=1)
    kept = _kept(batch.targets, labels[0]) if labels[0] is not None else None
    return _Part(
        losses=_array(torch.stack([one.losses / each for one in found])),
        errors=_stack([one.errors / each if one.errors is not None else None for one in found]),
        counts=_array(counts),
        apart=_apart(labels, kept),
        margins=_stack(margins),
        outputs=_stack(outputs),
    )


def _labels(subject: Subject, output: Any, targets: Any) -> Tensor | None:  # (b, items)
    """Return what is predicted for everything that has a label; None where no class is."""
    if isinstance(subject.criterion, BinaryCrossEntropy):
        return (logits_of(output) > 0).flatten(1)
    if are_classes(output, targets):
        logits = logits_of(output)
        found = logits.argmax(class_axis(logits, targets))
        return found.reshape(len(found), -1)
    return None


def _kept(targets: Any, labels: Tensor) -> Tensor:  # (b, items)
    """Return what counts among the labels."""
    if isinstance(targets, Tensor) and not targets.is_floating_point():
        return (targets != IGNORED).reshape(len(labels), -1).expand_as(labels)
    return torch.ones_like(labels, dtype=torch.bool)


def _apart(labels: Sequence[Tensor | None], kept: Tensor | None) -> np.ndarray | None:
    """Return which share of each sample two networks predict differently (pairs, b)."""
    if kept is None:
        return None
    count = kept.sum(1).clamp(min=1).double()
    shares = [
        ((one != other) & kept).sum(1) / count
        for one, other in combinations([found for found in labels if found is not None], 2)
    ]
    return _array(torch.stack(shares)) if shares else None


def _margins(output: Any, targets: Any) -> Tensor | None:  # (b,)
    """Return the output of the right class less the largest other; NaN where there is no label."""
    if not are_classes(output, targets) or targets.dim() != 1:
        return None
    logits = logits_of(output)
    if logits.dim() != 2 or logits.shape[1] < 2:
        return None
    place = targets.long().clamp(min=0)[:, None]
    others = logits.scatter(1, place, -torch.inf).amax(1)
    found = (logits.gather(1, place)[:, 0] - others).double()
    return found.masked_fill(targets == IGNORED, torch.nan)


def _array(values: Tensor) -> np.ndarray:
    return values.double().cpu().numpy()


def _stack(values: Sequence[Tensor | None]) -> np.ndarray | None:
    there = [one for one in values if one is not None]
    return _array(torch.stack(there)) if len(there) == len(values) else None


def _joined(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    there = [one for one in parts if one is not None]
    return np.concatenate(there, axis=1) if len(there) == len(parts) else None


def _rows(parts: Sequence[np.ndarray | None]) -> np.ndarray | None:
    """Return the outputs of all batches, where they are there and of one size."""
    there = [one for one in parts if one is not None]
    if len(there) < len(parts) or len({one.shape[2] for one in there}) != 1:
        return None
    found = np.concatenate(there, axis=1)
    return found if found.shape[1] >= LEAST_ROWS else None
