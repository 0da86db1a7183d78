"""The tangent kernel in tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from landscape.answer import Table
from landscape.estimate import Estimate

if TYPE_CHECKING:
    from landscape.kernels.prediction import Prediction
    from landscape.kernels.result import NtkResult

MODES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)


def tables_of(result: NtkResult) -> tuple[Table, ...]:
    """Return the tables, those with nothing in them left out."""
    if result.planned:
        return (_plan(result), _memory(result))
    made = (
        _numbers(result),
        _modes(result),
        _approximation(result),
        _layers(result),
        _outputs(result),
        _alignments(result),
        _ridges(result),
        _suspects(result),
        _prediction(result),
        _training(result),
        _velocity(result),
    )
    return tuple(table for table in made if table.rows)


def _numbers(result: NtkResult) -> Table:
    rows: list[tuple[str, object]] = [
        ("trace", result.trace),
        ("largest eigenvalue", float(result.eigenvalues[0])),
        (f"{len(result.eigenvalues)}-th eigenvalue", float(result.eigenvalues[-1]))
        if result.partial
        else ("smallest eigenvalue", _smallest(result)),
        ("floor of rounding", result.floor),
        ("condition", result.condition),
        ("eigenvalues above the floor", f"≥ {result.rank}" if result.partial else result.rank),
        ("participation ratio (Σλ)²/Σλ²", result.participation),
        ("entropy rank", result.entropy_rank),
        ("alignment, not centred", result.alignment),
        ("alignment, centred", result.alignment_centred),
    ]
    if (fit := result.regression) is not None:
        rows.append((f"effective dimension at ridge {fit.ridge:.3g}", fit.dimension))
        if fit.accuracy is not None:
            rows.append(("leave-one-out accuracy", fit.accuracy))
    if (moves := result.dynamics) is not None:
        rows += [
            ("largest eigenvalue of the Gauss-Newton matrix", moves.sharpness),
            (f"largest stable learning rate, {moves.rule}", moves.largest_rate),
        ]
    return Table("Kernel", ("quantity", "value"), tuple((a, _cell(b)) for a, b in rows))


def _cell(value: object) -> object:
    if isinstance(value, Estimate) and not math.isfinite(value.value):
        return value.reason or "not known"
    return value


def _smallest(result: NtkResult) -> float | str:
    smallest = float(result.eigenvalues[-1])
    return smallest if smallest > result.floor else f"< {result.floor:.3g}"


def _modes(result: NtkResult) -> Table:
    """Return eigenvalues with the targets' power in the first k, and how fast they are learned."""
    total = result.trace.value if result.partial else float(result.eigenvalues.sum())
    total = total or 1.0
    moves = result.dynamics
    proved, rows = result.approximation, []
    for k in (k for k in MODES if k <= len(result.eigenvalues)):
        value = float(result.eigenvalues[k - 1])
        timed = moves is not None and k <= len(moves.modes)
        steps = float(moves.steps[k - 1]) if timed and moves is not None else math.nan
        rows.append(
            (
                k,
                value if value > result.floor else f"< {result.floor:.3g}",
                float(result.residuals[k - 1]) if result.residuals is not None else None,
                _entry(proved.lower, k) if proved is not None else None,
                _entry(proved.upper, k) if proved is not None else None,
                float(result.eigenvalues[:k].sum()) / total,
                _entry(result.power, k),
                float(moves.modes[k - 1]) if timed and moves is not None else None,
                (steps if math.isfinite(steps) else "never") if timed else None,
            )
        )
    rate = f"{moves.rate:.3g}" if moves is not None else ""
    columns = (
        "k",
        "eigenvalue",
        "residual",
        "proved at least",
        "proved at most",
        "share of the trace",
        "share of the targets",
        "Gauss-Newton eigenvalue",
        f"steps to 5 % at learning rate {rate}",
    )
    kept = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    return Table(
        "First k modes",
        tuple(columns[i] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
    )


def _entry(values: np.ndarray | None, k: int) -> float | None:
    """Return the k-th, counted from one, if there are so many."""
    return float(values[k - 1]) if values is not None and k <= len(values) else None


def _approximation(result: NtkResult) -> Table:
    """Return what is proved of all eigenvalues, also of those that were not found."""
    if (found := result.approximation) is None:
        return Table("Nyström approximation", ("quantity",), ())
    rank = len(found.lower)
    rows: list[tuple[str, object]] = [
        ("rank", rank),
        ("share of the trace that it misses", found.missed),
        (f"any eigenvalue after the {rank}-th, at most", found.beyond),
    ]
    for ridge, one in zip(found.ridges, found.dimensions, strict=True):
        rows.append((f"effective dimension at ridge {ridge:.3g}", one))
    columns, kept = ("quantity", "value", "proved"), []
    for name, value in rows:
        ends = (
            f"{value.interval[0]:.4g} to {value.interval[1]:.4g}"
            if isinstance(value, Estimate)
            else None
        )
        kept.append((name, value, ends))
    return Table("Nyström approximation", columns, tuple(kept))


def _layers(result: NtkResult) -> Table:
    columns = ("parameter", "size", "share of the trace", "trace", "contraction", "why no factors")
    rows = tuple(
        (one.name, one.parameters, one.share, one.trace, one.order, one.unfactored or None)
        for one in result.layers
    )
    return Table("Parameters", columns, rows)


def _outputs(result: NtkResult) -> Table:
    rows = tuple((one.output, one.alignment) for one in result.by_output)
    return Table("Alignment by output, centred", ("output", "alignment"), rows)


def _alignments(result: NtkResult) -> Table:
    columns = ("layer", "size", "share of the trace", "alignment")
    rows = tuple((o.name, o.parameters, o.share, o.alignment) for o in result.by_layer)
    return Table("Alignment by layer, centred", columns, rows)


def _ridges(result: NtkResult) -> Table:
    if (fit := result.regression) is None:
        return Table("Ridge path", ("ridge",), ())
    path = fit.path
    columns = ("ridge", "effective dimension", "leave-one-out error", "GCV (KARE)", "chosen")
    rows = tuple(
        (
            float(path.ridge[i]),
            float(path.dimension[i]),
            float(path.left_out[i]),
            float(path.generalised[i]),
            "least leave-one-out error" if i == path.best else None,
        )
        for i in range(len(path.ridge))
        if i % 4 == 0 or i == path.best
    )
    return Table("Regression of the targets on the trace kernel", columns, rows)


def _suspects(result: NtkResult) -> Table:
    columns = ("sample", "label", "by all others", "margin", "leverage", "nearest", "their labels")
    found = result.regression.suspects if result.regression is not None else ()
    rows = tuple(
        (
            one.sample,
            one.label,
            one.predicted,
            one.margin,
            one.leverage,
            ", ".join(map(str, one.neighbours)),
            ", ".join(map(str, one.neighbour_labels)),
        )
        for one in found
    )
    return Table("Labels that all other samples contradict most", columns, rows)


def _prediction(result: NtkResult) -> Table:
    if (found := result.prediction) is None:
        return Table("Held-out data", ("of",), ())
    rows = [("network", found.network), ("regression on the kernel", found.kernel)]
    if found.linearised is not None:
        rows.append((_linearised(found), found.linearised))
    return Table(f"{found.samples:,} held-out samples", ("of", found.quantity), tuple(rows))


def _linearised(found: Prediction) -> str:
    """Return which linearised network is told of."""
    if (trained := found.training) is None:
        return "network linearised here"
    return f"network linearised here, {trained.kernel}, trained {trained.until}"


def _training(result: NtkResult) -> Table:
    """Return how the linearised network trains under a cross-entropy."""
    found, moves = result.prediction, result.dynamics
    if found is None or found.training is None:
        return Table("Training of the linearised network", ("time",), ())
    rate = moves.rate if moves is not None else math.nan
    columns = ["learning rate × steps", "training loss", "held-out accuracy", "held-out loss"]
    rows = [[o.time, o.training_loss, o.accuracy, o.loss] for o in found.training.path]
    if math.isfinite(rate):
        columns.insert(1, f"steps at learning rate {rate:.3g}")
        for row, one in zip(rows, found.training.path, strict=True):
            row.insert(1, one.time / rate)
    trained = found.training
    title = f"Gradient flow of the network linearised here, {trained.kernel}{trained.doubted}"
    return Table(title, tuple(columns), tuple(map(tuple, rows)))


def _velocity(result: NtkResult) -> Table:
    """Return how far the kernel moved from checkpoint to checkpoint, and how fast."""
    rows = []
    for before, after in zip(result.series, result.series[1:], strict=False):
        if after.change is None:
            continue
        known = before.step is not None and after.step is not None and after.step > before.step
        steps = after.step - before.step if known else None  # type: ignore[operator]
        rows.append(
            (
                after.checkpoint,
                after.change.first,
                after.change.before,
                after.change.before.value / steps if steps else None,
                after.trace.value / before.trace.value if before.trace.value else None,
            )
        )
    columns = ("checkpoint", "from the first", "from the one before", "per step", "trace / before")
    return Table("Kernel distance 1 − cos", columns, tuple(rows))


def _memory(result: NtkResult) -> Table:
    """Return the memory that a kernel would take, beside what the process takes already."""
    if (told := result.memory) is None:
        return Table("Memory", ("of",), ())
    rows = (
        ("factors of the blocks that are kept", told.factors),
        ("catching the factors of one block", told.caught),
        ("contracting one tile", told.tile),
        ("kernel, float64", told.kernel),
        ("decomposing the kernel", told.decomposed),
        ("total at the peak", told.total),
    )
    return Table("Memory, foretold", ("of", "MiB"), tuple((a, b / 2**20) for a, b in rows))


def _plan(result: NtkResult) -> Table:
    columns = (
        "parameter",
        "contraction",
        "rows a sample",
        "operations",
        "times fewer than flat",
        "peak MiB",
        "factors KiB a sample",
        "Jacobian KiB a sample",
    )
    rows = tuple(
        (
            one.name,
            f"{one.order}, no factors" if one.unfactored else one.order,
            one.rows,
            one.operations,
            one.against_flat,
            one.peak_bytes / 2**20,
            one.factor_bytes / 2**10,
            one.jacobian_bytes / 2**10,
        )
        for one in result.plan
    )
    return Table(f"Plan: {result.tiles:,} tiles, blocks of {result.block} samples", columns, rows)
