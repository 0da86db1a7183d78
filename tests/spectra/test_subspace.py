from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.linalg.eigenpairs import Pairs
from landscape.spectra.subspace import directions, gradient_shares, overlap
from tests.oracles import F64, orthogonal


def pairs(vectors: torch.Tensor, values: list[float], residual: float = 0.0) -> Pairs:
    return Pairs(np.array(values), np.full(len(values), residual), vectors)


def test_the_share_is_the_squared_cosine_with_the_subspace():
    rows = orthogonal(10)[:3]
    gradient = 3 * rows[0] + 4 * rows[2]
    found = gradient_shares(pairs(rows, [9.0, 5.0, 1.0]), gradient)
    assert [one.value for one in found] == pytest.approx([0.36, 0.36, 1.0])
    assert found[0].interval == pytest.approx((0.36, 0.36))
    assert found[2].interval == (0, 1)  # the next eigenvalue is not known


def test_residuals_and_gaps_bound_the_share():
    basis = orthogonal(6, seed=1)
    turned = torch.stack([basis[0] * np.cos(0.01) + basis[1] * np.sin(0.01), basis[1]])
    residual = np.sin(0.01) * 4  # of the turned vector, for eigenvalues 5 and 1
    gradient = basis.sum(0)
    exact = 1 / 6
    found = gradient_shares(pairs(turned, [5.0, 1.0], residual), gradient)[0]
    low, high = found.interval
    assert low <= exact <= high
    assert high - low < 0.05


def test_a_closed_gap_leaves_the_share_open():
    rows = orthogonal(5)[:2]
    found = gradient_shares(pairs(rows, [2.0, 2.0], 1e-3), rows[0])
    assert found[0].interval == (0, 1)


def test_no_gradient_has_no_share():
    assert gradient_shares(pairs(orthogonal(4)[:1], [1.0]), torch.zeros(4, dtype=F64)) == ()


def test_mass_and_participation():
    vector = torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=F64)
    (found,) = directions(vector, [(0, 2), (2, 4)])
    np.testing.assert_allclose(found.mass, [0.36, 0.64])
    assert found.participation == pytest.approx(1 / (0.6**4 + 0.8**4))
    (even,) = directions(torch.full((1, 100), 0.1), [(0, 100)])
    assert even.participation == pytest.approx(100)


def test_overlap_is_one_for_the_same_span_and_zero_for_orthogonal_ones():
    basis = orthogonal(8)
    turn = orthogonal(3, seed=4)
    assert overlap(basis[:3], turn @ basis[:3]) == pytest.approx(1)
    assert overlap(basis[:3], basis[3:6]) == pytest.approx(0, abs=1e-12)
    assert overlap(basis[:2], basis[1:3]) == pytest.approx(0.5)
