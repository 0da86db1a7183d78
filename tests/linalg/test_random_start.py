from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.linalg.random_start import excess
from tests.oracles import generator, symmetric


@pytest.mark.parametrize("starts", [1, 3])
def test_it_solves_the_bound(starts):
    epsilon = excess(500, 40, starts=starts, level=0.9)
    bound = 1.648 * math.sqrt(500) * math.exp(-math.sqrt(epsilon) * 79)
    assert bound**starts == pytest.approx(0.1)


def test_it_is_at_most_one_and_falls_with_steps_and_starts():
    assert excess(10**6, 0) == excess(10**6, 1) == 1
    assert excess(1000, 40) < excess(1000, 20)
    assert excess(1000, 40, starts=4) < excess(1000, 40)
    assert excess(1000, 40) < excess(100_000, 40)


@pytest.mark.full
@pytest.mark.parametrize("steps", [6, 12])
def test_it_holds_as_often_as_it_says(steps):
    import torch

    from landscape.linalg.lanczos import gauss_quadratures
    from landscape.linalg.operator import MatrixOperator
    from landscape.linalg.probes import spherical

    values = np.concatenate([[1.0], np.linspace(0, 0.9, 299)])
    operator = MatrixOperator(symmetric(values))
    like = torch.empty(0, dtype=torch.float64)
    starts = spherical(2000, 300, like=like, generator=generator(0))
    rules = [gauss_quadratures(operator, row[None], steps)[0] for row in starts]
    held = [1 - rule.nodes[-1] <= excess(300, steps, level=0.95) for rule in rules]
    assert np.mean(held) >= 0.93
