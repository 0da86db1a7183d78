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
