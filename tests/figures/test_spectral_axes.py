"""The enlarged bulk covers nothing of the densities below it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from landscape.figures.canvas import overlay
from landscape.figures.spectral_axes import INSET
from tests.figures.test_figures import Answer, spectrum


@pytest.mark.parametrize("n", [40, 10**3, 10**6])
@pytest.mark.parametrize("count", [1, 3])
def test_what_stands_under_the_inset_ends_below_it(n: int, count: int) -> None:
    bulk = replace(spectrum(eigenvalues=(0.0,), bulk=0.2), outliers=0)
    ink = replace(spectrum(bulk=0.2, n=n), finer=bulk)
    axes = overlay([Answer(ink)] * count, [str(i) for i in range(count)]).axes[0]
    (inset,) = axes.child_axes
    assert inset.get_position().y0 > 0
    low, high = np.log(axes.get_ylim())
    tallest = np.minimum(ink.upper, ink.value.max())[ink.grid > 60].max()
    assert (np.log(tallest) - low) / (high - low) < INSET[1]
    assert axes.get_ylim()[1] > ink.value.max()


def test_no_curve_ends_within_the_enlarged_bulk() -> None:
    inks = []
    for bulk in (0.2, 0.6):
        finer = replace(spectrum(eigenvalues=(0.0,), bulk=bulk), outliers=0)
        inks.append(replace(spectrum(bulk=bulk), finer=finer))
    (inset,) = overlay([Answer(ink) for ink in inks], ["a", "b"]).axes[0].child_axes
    curves = [np.asarray(line.get_xdata()) for line in inset.lines]
    curves = [places for places in curves if len(places) > 100]
    assert len(curves) == 2
    for places in curves:
        assert (places[0], places[-1]) == pytest.approx(inset.get_xlim())


def test_a_bulk_without_shape_is_not_enlarged() -> None:
    """A network that has learned has its bulk at zero, narrower than what is resolved."""
    shaped = replace(spectrum(eigenvalues=(0.0,), bulk=0.2), outliers=0)
    narrow = abs(shaped.grid) < 1e-2 * abs(shaped.grid).max()
    parts = {name: getattr(shaped, name)[narrow] for name in ("grid", "value", "lower", "upper")}
    for finer, count in ((shaped, 1), (replace(shaped, **parts), 0)):
        ink = replace(spectrum(bulk=0.2), finer=finer)
        assert len(overlay([Answer(ink)], [None]).axes[0].child_axes) == count
