"""Streamed moments against NumPy's on all rows at once."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.subject.moments import Comoments, Moments
from tests.cases import normal

RAGGED = ([40], [1, 39], [16, 16, 8], [1] * 40, [38, 2])


def rows(seed: int, channels: int = 4) -> Tensor:
    return 1e3 + normal(40, channels, seed=seed).double() * torch.arange(1, channels + 1)


@pytest.mark.parametrize("sizes", RAGGED)
def test_moments_do_not_depend_on_how_the_rows_are_batched(sizes: list[int]):
    whole = rows(1)
    found = reduce(Moments.merged, map(Moments.of, whole.split(sizes)))
    assert found.count == 40
    np.testing.assert_allclose(found.mean, np.mean(whole.numpy(), 0), rtol=1e-14)
    np.testing.assert_allclose(found.variance, np.var(whole.numpy(), 0), rtol=1e-10)
    np.testing.assert_allclose(found.deviation, np.std(whole.numpy(), 0), rtol=1e-10)


@pytest.mark.parametrize("sizes", RAGGED)
def test_correlations_do_not_depend_on_how_the_rows_are_batched(sizes: list[int]):
    left, right = rows(1), rows(2, 3) + rows(1)[:, :3]
    pairs = zip(left.split(sizes), right.split(sizes), strict=True)
    found = reduce(Comoments.merged, (Comoments.of(*pair) for pair in pairs))
    expected = np.corrcoef(left.numpy().T, right.numpy().T)[:4, 4:]
    np.testing.assert_allclose(found.correlation, expected, atol=1e-10)


def test_a_constant_channel_correlates_with_nothing():
    """Also where rounding makes it vary in the last place."""
    left, right = rows(1).float(), rows(1).float()
    left[:, 2] = 0.1 + 1e-9 * normal(40, seed=3)
    right[:, 0] = 0
    correlation = Comoments.of(left, right).correlation
    assert bool((correlation[2] == 0).all())
    assert bool((correlation[:, 0] == 0).all())
    assert float(correlation[1, 1]) == pytest.approx(1)
