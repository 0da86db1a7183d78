"""Spectra of kernels whose eigenvalues are known, and what rounding leaves of the smallest."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import NumericalError
from landscape.kernels.decomposition import decomposition
from landscape.tangent.kernel import kernel

EPS = float(np.finfo(np.float64).eps)


def with_spectrum(values, seed=0):
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(len(values), len(values))))
    return turn @ np.diag(values) @ turn.T


def test_prescribed_eigenvalues():
    values = np.geomspace(100, 1e-3, 12)
    found = decomposition(with_spectrum(values), precision=EPS)
    np.testing.assert_allclose(found.values, values, rtol=1e-9)
    assert found.rank == 12
    assert found.condition.value == pytest.approx(1e5, rel=1e-8)
    assert found.condition.kind == "exact"
    assert found.participation == pytest.approx(values.sum() ** 2 / np.square(values).sum())
    assert found.effective_dimension(1.0) == pytest.approx((values / (values + 1)).sum())


def test_equal_eigenvalues_have_full_ranks():
    found = decomposition(3 * np.eye(7), precision=EPS)
    assert found.participation == pytest.approx(7)
    assert found.entropy_rank.value == pytest.approx(7)


def test_blocks_are_one_spectrum():
    first, second = np.diag([4.0, 1.0]), np.diag([3.0, 2.0])
    found = decomposition(np.stack([first, second]), precision=EPS)
    np.testing.assert_allclose(found.values, [4, 3, 2, 1])
    assert found.vectors is None


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_sample_twice_is_an_eigenvalue_below_the_floor(dtype):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    inputs = torch.randn(24, 20)
    inputs[5] = inputs[17]
    data = [(inputs.to(getattr(torch, dtype)), torch.randint(3, (24,)))]
    subject = ls.Subject(model, "ce", data, dtype=dtype, device="cpu")
    eps = float(torch.finfo(subject.dtype).eps)
    found = decomposition(kernel(subject).values, precision=eps)
    assert found.rank == 23
    assert found.condition.kind == "lower_bound"
    assert found.condition.value == pytest.approx(found.values[0] / found.floor)
    assert found.condition.interval[1] == math.inf


def test_negative_eigenvalues_raise_the_floor():
    found = decomposition(with_spectrum([5, 1, 0.01, -0.02]), precision=EPS)
    assert found.floor == pytest.approx(0.02)
    assert found.rank == 2


def test_what_is_not_finite_is_an_error():
    with pytest.raises(NumericalError, match="not finite"):
        decomposition(np.array([[1.0, np.nan], [np.nan, 1.0]]), precision=EPS)


def test_a_zero_kernel():
    found = decomposition(np.zeros((4, 4)), precision=EPS)
    assert found.rank == 0
    assert not math.isfinite(found.condition.value)
    assert found.condition.reason


def test_the_entropy_rank_tells_what_rounding_hides():
    values = np.diag([4.0, 2.0, 1e-9, 0.0])
    share = np.array([4, 2]) / 6
    found = decomposition(values, precision=1e-3).entropy_rank
    assert found.value == pytest.approx(float(np.exp(-(share * np.log(share)).sum())))
    assert found.interval[0] == found.value < found.interval[1] < 1.1 * found.value
    exact = decomposition(np.eye(3), precision=1e-16).entropy_rank
    assert exact.kind == "exact"
    assert exact.value == pytest.approx(3)
