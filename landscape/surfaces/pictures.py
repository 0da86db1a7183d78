"""The figures of a surface: lines with bands, contours, the relief, the same for the error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

import numpy as np

from landscape.estimate import t_half_width
from landscape.figures.picture import Picture
from landscape.figures.surface import (
    Mark,
    SliceCurve,
    SliceInk,
    SurfaceInk,
    draw_contours,
    draw_relief,
    draw_slices,
)
from landscape.surfaces.tables import described

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.surfaces.result import Sheet, SurfaceResult

Quantity = Literal["loss", "error"]
NORMAL = 1.959964


def draw_main(axes: Axes, result: SurfaceResult, *, label: str | None, colour: str | None) -> None:
    """Draw the loss: lines, or contours side by side."""
    draw_quantity(axes, result, "loss", label=label, colour=colour)


def draw_quantity(
    axes: Axes,
    result: SurfaceResult,
    quantity: Quantity,
    *,
    label: str | None = None,
    colour: str | None = None,
) -> None:
    """Draw a quantity along the lines, or its contours, one panel for each checkpoint."""
    if not result.plane:
        draw_slices(axes, slice_ink(result, quantity), label=label, colour=colour)
        return
    for sheet in result.sheets:
        ink = surface_ink(result, sheet, quantity)
        draw_contours(axes, ink, label=label, colour=colour)


def pictures_of(result: SurfaceResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has beside the main one."""
    made = []
    if result.plane:
        made.append(
            Picture(
                name="relief",
                title="The surface in three dimensions",
                draw=partial(_draw_reliefs, result=result),
                text=f"The same loss as a surface; {described(result)}.",
            )
        )
    if result.error is not None:
        made.append(
            Picture(
                name="error",
                title="The error around the checkpoint",
                draw=partial(draw_quantity, result=result, quantity="error"),
                text=f"Share of {result.samples:,} samples that are classified wrongly; "
                f"{described(result)}.",
            )
        )
    return tuple(made)


def surface_ink(result: SurfaceResult, sheet: Sheet, quantity: Quantity) -> SurfaceInk:
    """Return one plane of a result that has planes."""
    if result.y is None:
        raise ValueError("this result has lines, no plane")
    values = sheet.loss if quantity == "loss" or sheet.error is None else sheet.error
    marks = [Mark(name=one.name, x=one.x, y=one.y) for one in result.places]
    if not result.places:
        marks = [Mark(name=sheet.checkpoint, x=0.0, y=0.0)]
    return SurfaceInk(
        x=result.x,
        y=result.y,
        values=values,
        unreliable=sheet.unreliable if quantity == "loss" else sheet.infinite,
        clipped_at=_ceiling(result, quantity),
        points=tuple(marks),
        trajectory=result.path,
        axis_names=_axis_names(result),
        unit=_unit(result),
        quantity=quantity,
        name=sheet.checkpoint if result.others else "",
    )


def _axis_names(result: SurfaceResult) -> tuple[str, str]:
    """Return the directions; those of a run with their share of its squared distances."""
    first, second = result.directions
    if result.explained is None:
        return first, second
    one, other = result.explained
    return f"{first}, {one:.1%}", f"{second}, {other:.1%}"


def slice_ink(result: SurfaceResult, quantity: Quantity) -> SliceInk:
    """Return the lines of a result, those of one distribution averaged."""
    sheets, several = result.sheets, len(result.others) > 0
    curves: list[SliceCurve] = []
    for sheet in sheets:
        values, deviations = _of(sheet, quantity)
        if result.averaged:
            name = sheet.checkpoint if several else f"mean of {len(values)} directions"
            curves.append(averaged(name, values, deviations))
            continue
        for line, value, deviation in zip(result.directions, values, deviations, strict=True):
            name = f"{sheet.checkpoint}, {line}" if several else line
            half = NORMAL * deviation
            finite = np.isfinite(value)
            curves.append(
                SliceCurve(
                    name=name, mean=value, lower=value - half, upper=value + half, reliable=finite
                )
            )
    marks = tuple(Mark(name=one.name, x=one.x) for one in result.places)
    return SliceInk(
        distances=result.x,
        quantity=quantity,
        curves=tuple(curves),
        parabola=_parabola(result) if quantity == "loss" and len(curves) == 1 else None,
        marks=marks or (Mark(name=", ".join(one.checkpoint for one in sheets), x=0.0),),
        clipped_at=_ceiling(result, quantity),
        axis_name=_unit(result),
    )


def averaged(name: str, values: np.ndarray, deviations: np.ndarray) -> SliceCurve:
    """Return the mean over directions (k, g) with a pointwise 95 % interval.

    It joins the spread between the directions (Student's t) and the standard error through the
    samples, which all directions share.
    """
    finite = np.all(np.isfinite(values), axis=0, keepdims=True)[0]
    whole = np.where(finite, values, 0.0)
    spread = np.array([t_half_width(column) for column in whole.T])
    mean = np.where(finite, whole.mean(0), np.nan)
    half = np.hypot(spread, NORMAL * np.nan_to_num(deviations).mean(0))
    return SliceCurve(
        name=name,
        mean=mean,
        lower=mean - half,
        upper=mean + half,
        reliable=finite,
        draws=values,
    )


def _draw_reliefs(axes: Axes, result: SurfaceResult) -> None:
    for sheet in result.sheets:
        draw_relief(axes, surface_ink(result, sheet, "loss"))


def _of(sheet: Sheet, quantity: Quantity) -> tuple[np.ndarray, np.ndarray]:
    if quantity == "error" and sheet.error is not None and sheet.error_deviation is not None:
        return sheet.error, sheet.error_deviation
    return sheet.loss, sheet.loss_deviation


def _unit(result: SurfaceResult) -> str:
    return "distance" if result.in_distance else "× the length of the weights"


def _ceiling(result: SurfaceResult, quantity: Quantity) -> float | None:
    return result.ceiling if quantity == "loss" and np.isfinite(result.ceiling) else None


def _parabola(result: SurfaceResult) -> tuple[np.ndarray, np.ndarray] | None:
    """Return what curvature and slope alone say of the loss, as far as it lies in the figure."""
    checks, here = result.own_checks, result.here
    if here is None or not checks or any(one.product is None for one in checks):
        return None
    if here.value != result.centre.value:  # other statistics than those of the curvature
        return None
    length, x = result.lengths, np.linspace(result.x[0], result.x[-1], 201)
    slope = float(np.mean([one.slope for one in checks] * length))
    bent = float(np.mean([one.product.value for one in checks if one.product] * length**2))
    values = here.value + slope * x + bent * x**2 / 2
    finite = result.loss[np.isfinite(result.loss)]
    shown = (values <= finite.max(initial=here.value)) & (values >= 0.0)
    return x[shown], values[shown]
