"""The tangent kernel in words and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from landscape.answer import Table
from landscape.estimate import Estimate

if TYPE_CHECKING:
    from landscape.kernels.result import NtkResult

MODES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)
NAMES = {
    "full": "full kernel",
    "trace": "trace kernel",
    "classes": "kernel of every output",
    "sketch": "sketched trace kernel",
    "products": "full kernel by its products",
}


def summary_of(result: NtkResult) -> str:
    """Return what was found in one line."""
    what = f"{NAMES[result.kind]} of {result.samples:,} samples, {result.outputs:,} outputs"
    if result.planned:
        cost = sum(layer.operations for layer in result.plan)
        return (
            f"plan of the {what}: {result.tiles:,} tiles, {cost:.2g} multiplications and additions"
        )
    text = f"{what}: trace {result.trace:.4g}, condition {result.condition:.3g}, "
    if result.partial:
        ends = f"{result.eigenvalues[0]:.4g} to {result.eigenvalues[-1]:.4g}"
        return f"{text}{len(result.eigenvalues):,} largest eigenvalues {ends}"
    text += f"{result.rank:,} of {len(result.eigenvalues):,} eigenvalues above the floor"
    if not math.isfinite(result.alignment_centred.value):
        return text
    return f"{text}; alignment with the targets {result.alignment_centred:.3g} (centred)"


def headline_of(result: NtkResult) -> tuple[tuple[str, Estimate], ...]:
    """Return the few numbers that a reader looks for first."""
    if result.planned:
        return ()
    found = [("trace", result.trace), ("condition", result.condition)]
    if math.isfinite(result.alignment_centred.value):
        found.append(("alignment, centred", result.alignment_centred))
    if result.dynamics is not None:
        found.append(("largest learning rate", result.dynamics.largest_rate))
    if result.change is not None:
        found += [("from the first", result.change.first), ("from before", result.change.before)]
    return tuple(found)


def caption_of(result: NtkResult) -> str:
    """Return method and cost of the figure."""
    whole = f"{result.stamp}{NAMES[result.kind].capitalize()} of {result.samples:,} samples"
    if result.planned:
        return f"{whole}: a plan, nothing was computed. Seed {result.seed}"
    if result.partial:
        return (
            f"{whole}, {result.precision}: block Lanczos with true residuals; density by "
            f"stochastic quadrature. {result.cost.seconds:.1f} s, seed {result.seed}."
        )
    return (
        f"{whole}, factors of every layer held against autograd (largest relative difference "
        f"{result.agreement:.1e}), {result.precision} tiles, float64 eigenvalues; below the floor "
        f"they are rounding. {result.cost.seconds:.1f} s, seed {result.seed}."
    )


def tables_of(result: NtkResult) -> tuple[Table, ...]:
    """Return the tables, those with nothing in them left out."""
    if result.planned:
        return (_plan(result),)
    made = (
        _numbers(result),
        _modes(result),
        _layers(result),
        _outputs(result),
        _alignments(result),
        _ridges(result),
        _suspects(result),
        _prediction(result),
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
        ("entropy rank", "not known" if result.partial else result.entropy_rank),
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
    rows = []
    for k in (k for k in MODES if k <= len(result.eigenvalues)):
        value = float(result.eigenvalues[k - 1])
        timed = moves is not None and k <= len(moves.modes)
        steps = float(moves.steps[k - 1]) if timed and moves is not None else math.nan
        rows.append(
            (
                k,
                value if value > result.floor else f"< {result.floor:.3g}",
                float(result.residuals[k - 1]) if result.residuals is not None else None,
                float(result.eigenvalues[:k].sum()) / total,
                _power_in(result, k),
                float(moves.modes[k - 1]) if timed and moves is not None else None,
                (steps if math.isfinite(steps) else "never") if timed else None,
            )
        )
    rate = f"{moves.rate:.3g}" if moves is not None else ""
    columns = (
        "k",
        "eigenvalue",
        "residual",
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


def _power_in(result: NtkResult, k: int) -> float | None:
    if result.power is None or k > len(result.power):
        return None
    return float(result.power[k - 1])


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
        rows.append(("network linearised here", found.linearised))
    return Table(f"{found.samples:,} held-out samples", ("of", found.quantity), tuple(rows))


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


def trust_of(result: NtkResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    if result.residuals is not None:
        return (*_trust_of_products(result, result.residuals), *_untold(result))
    agreed = "two samples" if result.planned else "every block"
    rows = [
        ("factors against autograd", f"{result.agreement:.1e} at worst, every tensor, {agreed}"),
        ("tiles", f"{result.tiles:,}, blocks of {result.block} samples, {result.precision}"),
    ]
    if result.planned:
        return tuple(rows)
    orders = sorted({layer.order for layer in result.layers})
    counts = [f"{o} {sum(layer.order == o for layer in result.layers)}" for o in orders]
    rows.append(("contraction, parameters", ", ".join(counts) or "none"))
    lacking = [layer.name for layer in result.layers if layer.unfactored]
    rows.append(("without factors", ", ".join(lacking) or "none"))
    below = int(np.sum(result.eigenvalues <= result.floor))
    rows.append(("eigenvalues below the floor", f"{below:,} (floor {result.floor:.2g})"))
    if result.sketch_error is not None:
        rows.append(("error of the sketch", f"{result.sketch_error:.1%} of the kernel's norm"))
    if result.dynamics is not None and result.dynamics.duality is not None:
        gap = f"{result.dynamics.duality:.1e} from the Gauss-Newton products"
        rows.append(("largest mode of the kernel", gap))
    return (*rows, *_untold(result))


def _trust_of_products(result: NtkResult, residuals: np.ndarray) -> tuple[tuple[str, str], ...]:
    largest = float(residuals.max()) / (float(result.eigenvalues[0]) or 1.0)
    rows = [
        ("products", f"vᵀKv and ‖Jᵀv‖² agree in every one, {result.precision}"),
        ("residuals of the eigenvalues", f"at most {largest:.1e} of the largest eigenvalue"),
        ("trace", result.trace.method),
    ]
    if math.isfinite(result.agreement):
        agreed = f"{result.agreement:.1e} at worst, every tensor, every block"
        rows.append(("factors of the trace against autograd", agreed))
    return tuple(rows)


def _untold(result: NtkResult) -> tuple[tuple[str, str], ...]:
    """Return why numbers are missing."""
    reasons = (
        ("learning rate", result.dynamics_reason),
        ("held-out prediction", result.prediction_reason),
    )
    return tuple((name, f"not told: {reason}") for name, reason in reasons if reason)
