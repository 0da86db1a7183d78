from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.spectra.subspace import gradient_shares, overlap
from tests.oracles import F64, orthogonal
from tests.spectra.pairs import pairs


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


def test_an_error_of_the_gradient_is_a_doubt_of_the_share():
    rows = orthogonal(5)[:3]
    gradient, off = 3 * rows[0] + 4 * rows[1], 0.05 * rows[0] - 0.05 * rows[1]
    length = float(off.norm())
    found = gradient_shares(pairs(rows, [4.0, 2.0, 1.0]), gradient, length)[0]
    right = gradient_shares(pairs(rows, [4.0, 2.0, 1.0]), gradient + off)[0].value
    assert found.value == pytest.approx(0.36)
    assert found.interval == pytest.approx((0.36 - length / 5, 0.36 + length / 5))
    assert found.interval[0] < right < found.interval[1]


def test_a_closed_gap_leaves_the_share_open():
    rows = orthogonal(5)[:2]
    found = gradient_shares(pairs(rows, [2.0, 2.0], 1e-3), rows[0])
    assert found[0].interval == (0, 1)


def test_where_pairs_may_have_been_missed_the_share_is_open():
    rows = orthogonal(5)[:2]
    found = gradient_shares(pairs(rows, [2.0, 1.0], complete=False), rows[0])
    assert found[0].interval == (0, 1)


def test_no_gradient_has_no_share():
    assert gradient_shares(pairs(orthogonal(4)[:1], [1.0]), torch.zeros(4, dtype=F64)) == ()


def test_overlap_is_one_for_the_same_span_and_zero_for_orthogonal_ones():
    basis = orthogonal(8)
    turn = orthogonal(3, seed=4)
    assert overlap(basis[:3], turn @ basis[:3]) == pytest.approx(1)
    assert overlap(basis[:3], basis[3:6]) == pytest.approx(0, abs=1e-12)
    assert overlap(basis[:2], basis[1:3]) == pytest.approx(0.5)
