"""The figures of a tangent kernel: its eigenvalues, the targets in its modes, the ridge path."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.kernel import (
    KernelInk,
    LayerInk,
    PathInk,
    PowerInk,
    TrainingInk,
    draw_kernel,
    draw_layers,
    draw_path,
    draw_power,
    draw_training,
)
from landscape.figures.picture import Picture
from landscape.figures.spectrum import SpectrumInk, draw_spectrum
from landscape.kernels.words import NAMES

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.kernels.result import NtkResult
    from landscape.kernels.training import Training
    from landscape.linalg.density import Density


def draw_main(axes: Axes, result: NtkResult, *, label: str | None, colour: str | None) -> None:
    """Draw the eigenvalues; for a plan, the operations of every layer."""
    proved = result.approximation
    ink = KernelInk(
        eigenvalues=result.eigenvalues,
        floor=result.floor,
        lower=proved.lower if proved is not None else None,
        upper=proved.upper if proved is not None else None,
        names=tuple(layer.name for layer in result.plan),
        operations=tuple(layer.operations for layer in result.plan),
    )
    draw_kernel(axes, ink, label=label, colour=colour)


def pictures_of(result: NtkResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has."""
    made = list[Picture]()
    if result.power is not None and len(result.power):
        trace = result.trace.value if result.partial else float(result.eigenvalues.sum())
        shares = PowerInk(power=result.power, eigenvalues=result.eigenvalues, trace=trace)
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
    if result.prediction is not None and (trained := result.prediction.training) is not None:
        made.append(_training(result, trained))
    if result.by_layer:
        layers = LayerInk(
            names=tuple(one.name for one in result.by_layer),
            share=np.array([one.share.value for one in result.by_layer]),
            alignment=np.array([one.alignment.value for one in result.by_layer]),
            interval=np.array([one.alignment.interval for one in result.by_layer]),
        )
        made.append(
            Picture(
                name="layers",
                title="Layers: alignment with the targets, share of the trace",
                draw=partial(draw_layers, ink=layers),
                text="Centred alignment of every layer's own trace kernel with the targets, with "
                "intervals over samples, and its share of the trace.",
            )
        )
    if (density := result.density) is not None:
        made.append(_density(result, density))
    return tuple(made)


def _training(result: NtkResult, trained: Training) -> Picture:
    ink = TrainingInk(
        time=trained.time,
        training=trained.training_loss.value,
        held_out=trained.loss.value,
        interval=np.stack([trained.loss.lower, trained.loss.upper], 1),
    )
    return Picture(
        name="training",
        title="Training of the linearised network",
        draw=partial(draw_training, ink=ink),
        text="Gradient flow of the mean cross-entropy of the network linearised here, by "
        f"{trained.kernel}, on {result.samples:,} samples; held-out loss with its interval over "
        "samples.",
    )


def _density(result: NtkResult, density: Density) -> Picture:
    ink = SpectrumInk(
        grid=density.grid,
        value=density.value,
        lower=density.lower,
        upper=density.upper,
        eigenvalues=result.eigenvalues,
        residuals=result.residuals if result.residuals is not None else np.zeros(0),
        outliers=0,
        parameters=result.samples * result.outputs,
        operator="tangent kernel",
        settled=density.status.settled,
    )
    return Picture(
        name="density",
        title="The density of the eigenvalues",
        draw=partial(draw_spectrum, ink=ink),
        text=f"All {result.samples * result.outputs:,} eigenvalues of the full kernel by "
        "stochastic Lanczos quadrature, with a pointwise 95 % band; ticks are eigenvalues found.",
    )
