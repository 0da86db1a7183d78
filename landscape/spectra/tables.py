"""A spectrum as tables: scalars, eigenvalues, layers, and what the numbers rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landscape.answer import Table
from landscape.spectra.stability import EVAL_MODE, EVAL_MODE_BRIEFLY, scaled

if TYPE_CHECKING:
    from landscape.spectra.result import SpectrumResult

Row = tuple[Any, ...]


def tables_of(result: SpectrumResult) -> tuple[Table, ...]:
    """Return the tables, those that were not asked for left out."""
    made = [
        Table("Summary", ("quantity", "value"), tuple(_scalars(result))),
        _standing(result),
        Table("Eigenvalues", ("end", "rank", "λ", "‖Hv − λv‖", "status"), tuple(_pairs(result))),
        _top(result),
        _layers(result),
    ]
    if result.comparison is not None:
        made.append(Table("Hessian and Gauss-Newton", ("quantity", "value"), _compared(result)))
    return tuple(table for table in made if table is not None)


def trust_of(result: SpectrumResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on, as rows (name, value)."""
    ends = result.pairs
    largest = max((one.residual or 0.0 for one in ends), default=0.0)
    sampled = f"{result.groups} groups of samples" if result.groups else "not known"
    if result.provenance.get("mode") == "train":
        sampled = "none: in train mode the numbers are of this one batch"
    rows = [
        ("eigenpairs settled", f"{sum(one.status.settled for one in ends)} of {len(ends)}"),
        ("largest true residual", f"{largest:.2g} (asked for {result.tolerance:.2g})"),
        ("complete", f"{'yes' if result.complete else 'no'}, after {result.searches} searches"),
        ("symmetry defect (noise floor)", f"{result.symmetry_defect:.2g}"),
        ("orthogonality max |VVᵀ − I|", f"{result.orthogonality:.2g}"),
        ("density", f"{result.probes} probes × {result.lanczos_steps} steps"),
        ("trace", _traced(result)),
        ("sampling intervals", sampled),
        ("products computed by", result.differentiation),
    ]
    if result.of_eval_mode:
        rows.append(("margin, kind of point", f"{EVAL_MODE}; --mode train judges it"))
    if result.stability_reason:
        rows.append(("no stability margin", result.stability_reason))
    if result.crosscheck is not None:
        rows.append(("PyHessian", result.crosscheck.told))
    return tuple(rows)


def _traced(result: SpectrumResult) -> str:
    trace = result.trace
    if trace.solver is None or trace.solver[0] == trace.solver[1]:
        return f"exact: {trace.samples} unit vectors"
    return f"{trace.samples} probes, {trace.status.words}"


def _scalars(result: SpectrumResult) -> list[Row]:
    rows: list[Row] = list(zip(("λ_max", "λ_min"), result.extremes, strict=False))
    if (margin := result.stability) is not None and margin.preconditioned:
        rows.append((f"λ₁ of P^(−½) H P^(−½), P of {margin.rule}", margin.sharpness))
    rows += [
        ("loss", result.loss),
        ("gradient norm", result.gradient_norm),
        ("trace", result.trace),
        ("squared Frobenius norm", result.frobenius_squared),
        ("effective rank (Σ|λ|)²/Σλ²", result.effective_rank),
        ("stable rank Σλ²/λ₁²", result.stable_rank),
        (f"effective dimension at {result.ridge:.3g}", result.effective_dimension),
        ("condition λ_max / median |λ|", result.condition),
        ("negative share of Σ|λ|", result.negative_mass),
        ("share of negative eigenvalues", result.negative_fraction),
        ("share of the diagonal in Σλ²", result.diagonal_share),
        ("outliers above the largest gap", result.outliers.count),
        ("ratio at that gap", result.outliers.gap_ratio),
    ]
    if result.outliers.comparison:
        rows.append(("outliers and classes", result.outliers.comparison))
    if result.overlap is not None:
        rows.append(("overlap with the checkpoint before", result.overlap))
    if (unlike := result.heterogeneity) is not None:
        rows.append(("heterogeneity of the layers JS₀", unlike.distance))
        rows.append(("spread of the layers' λ₁, decades", unlike.spread))
    if result.crosscheck is not None:
        rows.append(("largest |λ| by PyHessian", result.crosscheck.told))
    return rows


def _standing(result: SpectrumResult) -> Table | None:
    """Return how training stands here: the margin of stability, the kind of point."""
    rows = list[Row]()
    if (margin := result.stability) is not None:
        rows.append((f"{margin.symbol} over the threshold of {margin.rule}", margin.margin))
        rows.append(("that threshold", margin.threshold))
        if margin.eval_mode:
            rows.append(("what that margin is", EVAL_MODE_BRIEFLY))
    elif result.stability_reason:
        rows.append(("no stability margin", result.stability_reason))
    if (point := result.critical_point) is not None:
        of_what = " of the eval-mode loss" if point.eval_mode else ""
        rows.append((f"kind of point{of_what}", point.verdict))
        rows += [("… by the criterion", criterion) for criterion in point.criteria]
        rows.append(("predicted decrease of a gradient step", point.predicted_decrease))
        if point.escape is not None:
            rows.append(("decrease along the lowest eigenvector", point.escape.decrease))
    if not rows:
        return None
    columns = ("quantity", "value")
    return Table("Stability and kind of point", columns, tuple(rows), question="convergence")


def _pairs(result: SpectrumResult) -> list[Row]:
    return [
        (end, rank, one, one.residual, one.status.words)
        for end, values in (("top", result.eigenvalues.top), ("bottom", result.eigenvalues.bottom))
        for rank, one in enumerate(values, start=1)
    ]


def _top(result: SpectrumResult) -> Table | None:
    """Return where the top eigenvectors point: gradient, spread, heaviest layer."""
    if not result.gradient_share:
        return None
    rows = []
    for rank, share in enumerate(result.gradient_share, start=1):
        heaviest = max(result.layers, key=lambda layer: float(layer.mass[rank - 1]))
        spread = result.participation[rank - 1]
        rows.append((rank, share, spread, heaviest.name, heaviest.mass[rank - 1]))
    columns = ("first", "share of ‖g‖²", "coordinates", "heaviest layer", "its mass")
    return Table("Top eigenvectors", columns, tuple(rows))


def _layers(result: SpectrumResult) -> Table:
    columns = ["layer", "parameters", "trace", "trace per parameter", "mass of v₁"]
    rows: list[Row] = []
    blocks = result.heterogeneity.blocks if result.heterogeneity is not None else ()
    for number, one in enumerate(result.layers):
        row: Row = (
            one.name,
            one.parameters,
            one.trace,
            scaled(one.trace, 1 / one.parameters),
            one.first_mass,
        )
        if blocks:
            row += (blocks[number].largest, blocks[number].effective_rank)
        rows.append(row)
    if blocks:
        columns += ["λ₁ of the block", "its effective rank"]
    return Table("Trace per layer", tuple(columns), tuple(rows))


def _compared(result: SpectrumResult) -> tuple[Row, ...]:
    found = result.comparison
    if found is None:
        return ()
    return (
        ("‖H − G‖_F / ‖H‖_F", found.residual_share),
        ("λ_max of the Hessian H", found.hessian),
        ("λ_max of the Gauss-Newton matrix G", found.gauss_newton),
        ("λ_max of the residual H − G", found.residual_top),
        ("λ_min of the residual H − G", found.residual_bottom),
    )
