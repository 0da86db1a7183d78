"""The figures beside the density: eigenvalues over checkpoints, and curvature by layer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from landscape.estimate import Estimate
from landscape.figures.layers import LayersInk, draw_layers
from landscape.figures.picture import Picture
from landscape.figures.spectrum_series import Line, SeriesInk, draw_series
from landscape.spectra.heterogeneity import BlockSpectrum

if TYPE_CHECKING:
    from landscape.spectra.result import SpectrumResult


def pictures_of(result: SpectrumResult) -> tuple[Picture, ...]:
    """Return the figures that an answer has, those of a single layer or checkpoint left out."""
    made = []
    if len(result.series) > 1:
        made.append(
            Picture(
                name="series",
                title="Eigenvalues over the checkpoints",
                draw=partial(draw_series, ink=series_ink(result.series)),
                text=f"Largest eigenvalues of the {result.title} at {len(result.series)} "
                "checkpoints; bands: their intervals (solver and sampling). "
                f"{result.cost.products:,} products, {result.cost.seconds:.1f} s.",
            )
        )
    if len(result.layers) > 1:
        made.append(
            Picture(
                name="layers",
                title="Curvature by layer",
                draw=partial(draw_layers, ink=layers_ink(result)),
                text=f"{result.title} of {result.checkpoint} by layer: trace per parameter "
                f"(Hutchinson), share of the first eigenvector, known to ± {_doubt(result):.1g}"
                + (", largest eigenvalue of the diagonal block." if _blocks(result) else "."),
            )
        )
    return tuple(made)


def series_ink(series: tuple[SpectrumResult, ...]) -> SeriesInk:
    """Return λ₁ … λₖ and the threshold of the optimizer over the checkpoints."""
    steps = [one.step for one in series]
    known = [step for step in steps if step is not None]
    by_step = len(known) == len(series) and all(np.diff(known) > 0)
    count = min(len(one.eigenvalues.top) for one in series)
    margins = [one.stability if one.judges_its_own else None for one in series]
    rules = dict.fromkeys(margin.rule for margin in margins if margin is not None)
    return SeriesInk(
        places=np.array(known if by_step else range(len(series)), dtype=float),
        names=tuple(one.label for one in series),
        by_step=by_step,
        top=tuple(_line([one.eigenvalues.top[i] for one in series]) for i in range(count)),
        bottom=(
            _line([one.eigenvalues.bottom[0] for one in series])
            if all(one.eigenvalues.bottom for one in series)
            else None
        ),
        threshold=np.array([m.threshold if m is not None else np.nan for m in margins]),
        rule=" / ".join(rules),
        operator=series[-1].title,
    )


def layers_ink(result: SpectrumResult) -> LayersInk:
    """Return one row per layer, one column per quantity."""
    columns = {
        "trace per\nparameter": np.array(
            [one.trace.value / one.parameters for one in result.layers]
        ),
    }
    if blocks := _blocks(result):
        columns["λ₁ of\nthe block"] = np.array([one.largest.value for one in blocks])
    columns["mass of v₁"] = np.array([float(one.first_mass or 0) for one in result.layers])
    return LayersInk(
        names=tuple(one.name for one in result.layers),
        parameters=np.array([one.parameters for one in result.layers]),
        columns=columns,
        shares=("mass of v₁",),
    )


def _doubt(result: SpectrumResult) -> float:
    """Return half the width of the widest interval of the first eigenvector's masses."""
    return max(one.first_mass.half_width for one in result.layers if one.first_mass is not None)


def _blocks(result: SpectrumResult) -> tuple[BlockSpectrum, ...]:
    return result.heterogeneity.blocks if result.heterogeneity is not None else ()


def _line(estimates: list[Estimate]) -> Line:
    value = np.array([one.value for one in estimates])
    ends = np.array([one.interval for one in estimates])
    ends = np.where(np.isfinite(ends), ends, value[:, None])  # no band beyond an open end
    return Line(
        value=value,
        lower=ends[:, 0],
        upper=ends[:, 1],
        settled=np.array([one.status.settled for one in estimates]),
    )
