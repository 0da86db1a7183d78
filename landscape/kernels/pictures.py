"""The figures of a tangent kernel: its eigenvalues, the targets in its modes, the ridge path."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from landscape.figures.kernel import (
    KernelInk,
    PathInk,
    PowerInk,
    draw_kernel,
    draw_path,
    draw_power,
)
from landscape.figures.picture import Picture
from landscape.kernels.tables import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.kernels.result import NtkResult


def draw_main(axes: Axes, result: NtkResult, *, label: str | None, colour: str | None) -> None:
    """Draw the eigenvalues; for a plan, the operations of every layer."""
    ink = KernelInk(
        eigenvalues=result.eigenvalues,
        floor=result.floor,
        names=tuple(layer.name for layer in result.plan),
        operations=tuple(layer.operations for layer in result.plan),
    )
    draw_kernel(axes, ink, label=label, colour=colour)


def pictures_of(result: NtkResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has."""
    made = list[Picture]()
    if result.power is not None and len(result.power):
        shares = PowerInk(power=result.power, eigenvalues=result.eigenvalues)
        made.append(
            Picture(
                name="power",
                title="The targets in the modes of the kernel",
                draw=partial(draw_power, ink=shares),
                text="Share of the centred targets, and of the trace, in the first k eigenvectors "
                f"of the {NAMES[result.kind]} of {result.samples:,} samples.",
            )
        )
    if result.regression is not None:
        path = result.regression.path
        errors = PathInk(
            ridge=path.ridge, left_out=path.left_out, generalised=path.generalised, best=path.best
        )
        made.append(
            Picture(
                name="ridge",
                title="The ridge path",
                draw=partial(draw_path, ink=errors),
                text="Ridge regression of the centred targets on the trace kernel: exact "
                "leave-one-out error and generalised cross-validation, one eigendecomposition.",
            )
        )
    return tuple(made)
