"""What a Nyström approximation proves, against the kernel itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import NumericalError
from landscape.kernels import by_products
from landscape.kernels.by_products import found_by_products
from landscape.kernels.nystrom import Bounds, Nystrom, nystrom
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence
from landscape.tangent.kernel import diagonal, kernel
from landscape.tangent.products import TangentOperator
from tests.cases import CASES
from tests.tangent.test_products import large

CHOSEN = ["mlp", "cnn", "residual", "multihead", "tied", "masked"]


def ran(subject: ls.Subject, rows: int) -> Recurrence:
    """Return a block Lanczos run with about so many rows of a basis."""
    operator = TangentOperator(subject)
    size = operator.shape[0]
    like = torch.empty(size, dtype=operator.dtype)
    source = torch.Generator().manual_seed(1)
    starts = spherical(min(3, size), size, like=like, generator=source)
    run = Recurrence(operator, starts, capacity=min(rows, size), generator=source)
    while not run.full and not run.spans:
        run.step()
    return run


def proved(subject: ls.Subject, run: Recurrence, **more):
    """Return the approximation, what it proves, and the exact trace."""
    exact = diagonal(subject, list(subject.device_batches()))
    trace, size = float(exact.values.sum()), run.operator.shape[0]
    eps = float(torch.finfo(subject.dtype).eps)
    found = nystrom(run, floor=eps * float(run.ritz().values[-1]) * size**0.5)
    settings = {
        "trace": trace,
        "rounding": 2 * max(exact.agreement, eps) * trace,
        "size": min(size, subject.parameters.size),
        "ridges": tuple(trace / size * 10.0**k for k in range(-4, 3)),
    }
    return found, found.approximation(**{**settings, **more}), trace


@pytest.mark.parametrize("rows", [6, 12])
@pytest.mark.parametrize("case", CHOSEN)
def test_the_certificate_is_the_nuclear_norm_of_what_is_missed(case, rows):
    """K̂ by its definition, from the dense kernel and the run's basis alone."""
    subject = CASES[case]().subject(dtype="float64")
    dense = kernel(subject, kind="full").values
    run = ran(subject, rows)
    basis = run.basis.rows.numpy()
    image = dense @ basis.T
    near = image @ np.linalg.pinv(basis @ image, hermitian=True) @ image.T
    nuclear = np.linalg.svd(dense - near, compute_uv=False).sum()
    found, told, trace = proved(subject, run)
    assert len(found.values) < len(dense)
    assert nuclear > 1e-3 * trace  # there is something to miss
    assert told.missed.kind == "exact"
    assert abs(told.missed.value * trace - nuclear) < 1e-10 * trace
    low, high = told.missed.interval
    assert low <= nuclear / trace <= high <= low + 1e-9
    expected = np.linalg.eigvalsh(near)[::-1][: len(found.values)]
    np.testing.assert_allclose(found.values, expected, atol=1e-10 * expected[0])
    off = found.approximation(trace=1.001 * trace, rounding=0, size=len(dense), ridges=())
    assert abs(off.missed.value * 1.001 * trace - nuclear) > 9e-4 * trace  # it would be seen


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("rows", [3, 9, 10**6])
@pytest.mark.parametrize("case", CHOSEN)
def test_brackets_hold(case, rows, dtype):
    """Of every eigenvalue and every effective dimension, also in float32, to the last row."""
    values = np.linalg.eigvalsh(kernel(CASES[case]().subject(dtype="float64"), kind="full").values)
    values = np.maximum(values[::-1], 0)
    subject = CASES[case]().subject(dtype=dtype)
    _, told, trace = proved(subject, ran(subject, rows))
    slack, rank = 1e-12 * values[0], len(told.lower)
    assert rank > 0
    assert (told.lower <= values[:rank] + slack).all()
    assert (values[:rank] <= told.upper + slack).all()
    assert (values[rank:] <= told.beyond + slack).all()
    for ridge, one in zip(told.ridges, told.dimensions, strict=True):
        low, high = one.interval
        assert low <= (values / (values + ridge)).sum() * (1 + 1e-12)
        assert (values / (values + ridge)).sum() <= high * (1 + 1e-12)
    if rows > len(values):
        assert told.missed.kind == "upper_bound"  # nothing but rounding
        assert told.missed.value < (1e-9 if dtype == "float64" else 0.02)
        width = told.upper[0] - told.lower[0]
        assert width < (1e-9 if dtype == "float64" else 0.05) * trace


def test_bounds_are_attained():
    """By spectra with the same lower bounds and the same sum."""
    bounds = Bounds(lower=np.array([5.0, 2.0, 1.0]), excess=1.5, size=6)
    np.testing.assert_allclose(bounds.upper(), [6.5, 3.5, 2.25, 1.25])
    worst = ([6.5, 2, 1], [5, 3.5, 1], [5, 2.25, 2.25], [5, 2, 1.25, 1.25])
    for spectrum in worst:
        assert sum(spectrum) <= 8 + 1.5
        assert (np.array(spectrum[:3]) >= bounds.lower).all()
    filled = np.array([5, 2, 1, 0.5, 0.5, 0.5])
    for ridge in (0.1, 1.0, 10.0):
        low, high = bounds.dimension(ridge).interval
        assert low == pytest.approx((bounds.lower / (bounds.lower + ridge)).sum())
        assert high == pytest.approx((filled / (filled + ridge)).sum())
    whole = replace(bounds, excess=5.0)  # the zeros are filled, and the smallest one with them
    raised = np.array([5, 2, 1.5, 1.5, 1.5, 1.5])
    assert whole.dimension(1.0).interval[1] == pytest.approx((raised / (raised + 1)).sum())
    full = replace(bounds, size=3)
    assert len(full.upper()) == 3
    assert full.dimension(1.0).interval[1] == pytest.approx(5 / 6 + 2.25 / 3.25 * 2)


def test_no_spectrum_exceeds_the_bounds():
    """Random spectra with given lower bounds and sum."""
    source = np.random.default_rng(0)
    for _ in range(200):
        lower = np.sort(source.exponential(size=4))[::-1]
        bounds = Bounds(lower=lower, excess=source.exponential(), size=7)
        extra = source.dirichlet(np.full(7, 0.4)) * bounds.excess
        spectrum = np.sort(np.append(lower, np.zeros(3)) + extra)[::-1]
        upper = bounds.upper()
        assert (spectrum[:4] <= upper[:4] + 1e-12).all()
        assert (spectrum[4:] <= upper[4] + 1e-12).all()
        for ridge in (0.1, 1.0):
            low, high = bounds.dimension(ridge).interval
            assert low <= (spectrum / (spectrum + ridge)).sum() <= high + 1e-12


def test_more_products_miss_less():
    subject = large()
    missed = [proved(subject, ran(subject, rows))[1].missed.value for rows in (6, 24, 60, 150)]
    assert sorted(missed, reverse=True) == missed
    assert missed[-1] < 0.01 < missed[0]


def test_a_trace_that_is_too_small_is_refused(monkeypatch):
    """Products and factors are two ways to one number: lost factors cannot pass."""
    subject = large()
    real = diagonal

    def short(*args, **more):
        found = real(*args, **more)
        return replace(found, values=0.9 * found.values)

    monkeypatch.setattr(by_products, "diagonal", short)
    with pytest.raises(NumericalError, match="trace"):
        found_by_products(subject, list(subject.device_batches()), top=4, probes=4, seed=0)


def test_without_an_exact_trace_nothing_is_proved():
    subject = large()
    batches = list(subject.device_batches())
    found = found_by_products(subject, batches, top=4, probes=2, seed=0, memory_bytes=2000)
    assert found.exact is None
    assert found.approximation is None


def test_a_network_that_does_not_move():
    model = nn.Linear(3, 2, bias=False).double()
    inputs = torch.zeros(5, 3).double()
    data = [(inputs, torch.zeros(5, 2).double())]
    subject = ls.Subject(model, "mse", data, dtype="float64", device="cpu")
    _, told, trace = proved(subject, ran(subject, 4), ridges=(1.0,))
    assert trace == 0
    assert not len(told.lower)
    assert told.missed.value == 0
    assert told.dimensions[0].interval == (0, 0)


def test_what_is_not_a_part_of_the_kernel_is_refused():
    near = Nystrom(values=np.array([3.0, 1.0]), rounding=np.zeros(2))
    with pytest.raises(NumericalError, match="trace 4"):
        near.approximation(trace=3.9, rounding=0, size=4, ridges=())
    with pytest.raises(NumericalError):
        near.approximation(trace=float("nan"), rounding=0, size=4, ridges=())
