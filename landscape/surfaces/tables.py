"""A surface in words and tables: its range, its curvature, and what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.answer import Table

if TYPE_CHECKING:
    from landscape.surfaces.curvature import Check
    from landscape.surfaces.result import Sheet, SurfaceResult

Row = tuple[Any, ...]

KINDS = {
    "random": "random directions",
    "eigenvectors": "eigenvectors of the Hessian",
    "gradient": "the gradient",
    "trajectory": "principal components of the run, with shares of its squared distances",
    "checkpoints": "the plane through three checkpoints",
    "curve": "the plane of the fitted curve",
}
LENGTHS = {
    "filter": "filter-normalised",
    "layer": "normalised tensor by tensor",
    "none": "as long as the weights as a whole",
}


def described(result: SurfaceResult) -> str:
    """Return the directions in words."""
    told = KINDS[result.kind]
    return f"{told}, {LENGTHS[result.normalise]}" if result.kind == "random" else told


def summary_of(result: SurfaceResult) -> str:
    """Return where, what of, and the range of the loss; whether it agrees with the curvature."""
    name = ", ".join(one.checkpoint for one in result.sheets)
    finite = np.concatenate([one.loss[~one.infinite] for one in result.sheets])
    span = f"{finite.min():.3g} to {finite.max():.3g}" if finite.size else "nowhere finite"
    shape = f"{result.loss.shape[1]} × {result.loss.shape[0]} points on {_used(result)}"
    return (
        f"loss around {name} ({described(result)}, {shape}): {span}, {_at(result)} at "
        f"{result.checkpoint}; {agreement(result)}"
    )


def _at(result: SurfaceResult) -> str:
    """Return the loss at the checkpoint; on the surface too, where its statistics change it."""
    saved = f"{result.centre:.3g}"
    here = f"{result.here:.3g}" if result.here is not None else saved
    return saved if here == saved else f"{here} ({saved} with the saved statistics)"


def _used(result: SurfaceResult) -> str:
    """Return how many samples the surface is of."""
    whole = result.cost.samples
    part = f"{result.samples:,} of {whole:,}" if result.samples < whole else f"{result.samples:,}"
    return f"{part} samples"


def agreement(result: SurfaceResult) -> str:
    """Return whether second differences and Hessian products agree, in words."""
    if not result.checks:
        return "curvature not checked"
    told = [one.agrees for one in result.checks if not one.left_out]
    if False in told:
        return "its curvature DISAGREES with Hessian products"
    if all(told):
        some = f" along {len(told)} of {len(result.checks)} directions"
        where = some if len(told) < len(result.checks) else ""
        return f"its curvature agrees with Hessian products{where}"
    if any(one.reason for one in result.checks):
        return "its curvature could not be held against Hessian products"
    resolved = sum(one is True for one in told)
    share = f"{resolved} of {len(told)} directions"
    return f"its curvature agrees with Hessian products where it is resolved, along {share}"


def caption_of(result: SurfaceResult) -> str:
    """Return method, cost, and what a slice does not show."""
    count = len(result.directions)
    doubt = "Bands: pointwise 95 %. " if not result.plane else ""
    many = f"{count} of {result.parameters:,} directions"
    return (
        f"Mean loss of {result.samples:,} samples; {described(result)}. {result.statistics} "
        f"{doubt}A slice shows {many}: what lies off it may look otherwise. "
        f"{result.cost.seconds:.1f} s, seed {result.seed}."
    )


def tables_of(result: SurfaceResult) -> tuple[Table, ...]:
    """Return the tables, those with nothing in them left out."""
    made = (_ranges(result), _curvature(result), _places(result), _components(result))
    return tuple(table for table in made if table.rows)


def _ranges(result: SurfaceResult) -> Table:
    columns = ["checkpoint", "loss as saved", "loss on the surface", "lowest loss", "at"]
    columns += ["highest loss", "unreliable cells"]
    rows = [
        (
            sheet.checkpoint,
            sheet.centre,
            sheet.here,
            *_lowest(result, sheet),
            _highest(sheet),
            f"{sheet.unreliable.mean():.1%}",
        )
        for sheet in result.sheets
    ]
    return Table("Loss on the surface", tuple(columns), tuple(rows))


def _lowest(result: SurfaceResult, sheet: Sheet) -> tuple[float | None, str]:
    if sheet.infinite.all():
        return None, ""
    row, column = lowest_cell(sheet)
    x = float(result.x[column])
    if result.y is None:
        return float(sheet.loss[row, column]), f"{x:.3g} along {result.directions[row]}"
    return float(sheet.loss[row, column]), f"({x:.3g}, {result.y[row]:.3g})"


def lowest_cell(sheet: Sheet) -> tuple[int, int]:
    """Return row and column of the lowest loss; there must be a finite one."""
    row, column = np.unravel_index(int(np.nanargmin(sheet.loss)), sheet.loss.shape)
    return int(row), int(column)


def _highest(sheet: Sheet) -> float | None:
    return None if sheet.infinite.all() else float(np.nanmax(sheet.loss))


def _curvature(result: SurfaceResult) -> Table:
    columns = (
        "checkpoint",
        "direction u",
        "second difference",
        "uᵀHu",
        "agreement",
        "‖Hu − (uᵀHu) u‖",
        "slope gᵀu",
    )
    rows = tuple(
        (
            one.checkpoint,
            one.direction,
            None if one.left_out else one.difference,
            one.product,
            _agrees(one),
            one.residual,
            one.slope,
        )
        for one in result.checks
    )
    return Table(
        "Curvature along the directions: second difference against Hessian product", columns, rows
    )


def _agrees(one: Check) -> str:
    if one.reason:
        return f"no product: {one.reason}"
    if one.left_out:
        return "not checked: it would cost more than the surface"
    if one.by_slopes is not None and one.agrees:
        return f"yes, by differences of slopes: {one.by_slopes:.4g}"
    return {True: "yes", False: "no", None: "not resolved"}[one.agrees]


def _places(result: SurfaceResult) -> Table:
    columns: tuple[str, ...] = (
        "checkpoint",
        "loss as saved",
        "x",
        "y",
        "distance from the surface",
    )
    rows: tuple[Row, ...] = tuple(
        (one.name, one.loss, one.x, one.y if result.plane else None, one.apart)
        for one in result.places
    )
    return Table("Checkpoints on the surface", columns, rows)


def _components(result: SurfaceResult) -> Table:
    shares = () if result.explained is None else result.explained
    rows = tuple(
        (name, f"{share:.1%}") for name, share in zip(result.directions, shares, strict=False)
    )
    columns = ("direction", "share of the squared distances from the last checkpoint")
    return Table("Principal components of the run", columns, rows)


def trust_of(result: SurfaceResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on, as rows (name, value)."""
    shown = f"{len(result.directions)} of {result.parameters:,}"
    half = max((float(np.nanmax(_deviation(one))) for one in result.sheets), default=0.0)
    unreliable = float(np.mean([one.unreliable.mean() for one in result.sheets]))
    rows = [
        ("directions shown", shown),
        ("statistics of normalisation layers", result.statistics),
        ("samples", f"{_used(result)}, curvature included"),
        ("largest standard error of the loss", f"{half:.2g}, by the {result.unit}s"),
        ("unreliable cells", f"{unreliable:.1%}"),
        ("curvature", result.unchecked or _checked(result)),
    ]
    if result.cosine is not None:
        rows.append(("cosine between the axes", f"{result.cosine:.2g}"))
    if result.kind == "random":
        moved = "move" if result.biases else "do not move"
        rows.append(("biases and normalisation parameters", moved))
    return tuple(rows)


def _deviation(sheet: Sheet) -> np.ndarray:
    finite = np.isfinite(sheet.loss_deviation)
    return np.where(finite, sheet.loss_deviation, 0.0)


def _checked(result: SurfaceResult) -> str:
    checked = [one for one in result.checks if not one.left_out]
    yes = sum(one.agrees is True for one in checked)
    dtype = result.checks[0].dtype if result.checks else ""
    left = len(result.checks) - len(checked)
    more = f"; {left} others would cost more than the surface" if left else ""
    return (
        f"second differences agree with Hessian products along {yes} of {len(checked)} "
        f"directions ({dtype}, at fixed statistics){more}"
    )
