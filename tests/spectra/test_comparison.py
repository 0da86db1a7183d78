from __future__ import annotations

import pytest
import torch

from landscape.linalg.operator import MatrixOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.spectra.comparison import compare
from tests.cases import CASES, dense_gauss_newton, dense_hessian
from tests.oracles import F64, generator, orthogonal, spectrum_of


def test_the_parts_of_a_known_sum():
    basis = orthogonal(30)
    positive = basis[:10].T @ torch.diag(torch.arange(1, 11, dtype=F64)) @ basis[:10]
    residual = basis[20:].T @ torch.diag(torch.linspace(-2, 1, 10, dtype=F64)) @ basis[20:]
    hessian = positive + residual
    found = compare(
        MatrixOperator(hessian), MatrixOperator(positive), probes=64, generator=generator(0)
    )
    share = float(residual.norm() / hessian.norm())
    low, high = found.residual_share.interval
    assert abs(found.residual_share.value - share) <= high - low  # four standard errors
    assert high - low < share
    values = [found.hessian, found.gauss_newton, found.residual_top, found.residual_bottom]
    for estimate, truth in zip(values, (10, 10, 1, -2), strict=True):
        assert estimate.value == pytest.approx(truth, abs=0.02)
        assert abs(estimate.value - truth) <= (estimate.residual or 0) + 1e-9


def test_equal_matrices_leave_no_residual():
    matrix = MatrixOperator(torch.diag(torch.tensor([3.0, 2.0, 1.0], dtype=F64)))
    found = compare(matrix, matrix, probes=4, generator=generator(0))
    assert found.residual_share.value == 0
    assert found.residual_bottom.value == pytest.approx(0, abs=1e-12)


def test_a_network_against_dense_matrices():
    subject = CASES["mlp"]().subject(dtype="float64")
    found = compare(
        HessianOperator(subject), GaussNewtonOperator(subject), probes=64, generator=generator(0)
    )
    hessian, positive = dense_hessian("mlp"), dense_gauss_newton("mlp")
    assert found.hessian.value == pytest.approx(spectrum_of(hessian)[-1], rel=1e-3)
    assert found.gauss_newton.value == pytest.approx(spectrum_of(positive)[-1], rel=1e-3)
    lowest = spectrum_of(hessian - positive)[0]
    assert found.residual_bottom.value == pytest.approx(lowest, rel=1e-2)
    assert spectrum_of(hessian)[0] >= lowest - 1e-9
    share = float((hessian - positive).norm() / hessian.norm())
    low, high = found.residual_share.interval
    assert low - (high - low) <= share <= high + (high - low)
