from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.linalg.operator import LinearOperator
from landscape.operators.hessian import HessianOperator
from landscape.signals.noise import noise_scale, parts_of, with_curvature
from landscape.signals.sample_gradients import SampleGradients, sample_gradients
from landscape.subject.subject import Subject
from tests.oracles import F64
from tests.signals.problems import linear_regression, samples_of


def of_rows(rows: torch.Tensor) -> SampleGradients:
    mean = rows.mean(0)
    return SampleGradients(
        squares=rows.square().sum(1).numpy(), dots=(rows @ mean).numpy(), way="given"
    )


def closed_form(size: int = 10, noise: float = 0.5, length: float = 0.7) -> tuple[float, float]:
    """tr Σ = s² D + (D + 1) ‖δ‖² and ‖g‖² = ‖δ‖², of ½ (·)²; of (·)² four times."""
    return 4 * (noise**2 * size + (size + 1) * length**2), 4 * length**2


def test_linear_regression_has_the_closed_form():
    model, data, _ = linear_regression(20_000, batch=5000)
    found = noise_scale(sample_gradients(samples_of(Subject(model, "mse", data), 20_000)))
    trace, square = closed_form()
    for estimate, exact in (
        (found.trace, trace),
        (found.squared_gradient, square),
        (found.simple, trace / square),
    ):
        assert abs(estimate.value - exact) <= 2 * estimate.half_width
        assert estimate.value == pytest.approx(exact, rel=0.1)


def test_the_two_parts_are_those_of_mccandlishs_two_batches():
    """Identical to the unbiased pair of batch sizes 1 and N."""
    rows = torch.randn(40, 7, generator=torch.Generator().manual_seed(0), dtype=F64) + 0.5
    found = noise_scale(of_rows(rows))
    small, big = float(rows.square().sum(1).mean()), float(rows.mean(0).square().sum())
    square = (40 * big - small) / 39
    trace = (small - big) / (1 - 1 / 40)
    assert found.squared_gradient.value == pytest.approx(square)
    assert found.trace.value == pytest.approx(trace)
    assert found.simple.value == pytest.approx(trace / square)
    assert found.trace.value == pytest.approx(float(rows.T.cov().trace()))


def test_both_parts_are_unbiased_where_the_plain_ones_are_not():
    """Of groups of one size from N(μ, Σ) the means over many draws are ‖μ‖² and tr Σ."""
    generator = torch.Generator().manual_seed(1)
    mean, count, size = torch.full((5,), 0.3, dtype=F64), 6, 4
    squares, traces = [], []
    for _ in range(4000):
        rows = mean + torch.randn(count * size, 5, generator=generator, dtype=F64)
        groups = rows.view(count, size, 5).mean(1)
        gram = (groups @ groups.T).numpy()
        parts = parts_of(np.diagonal(gram).copy(), gram.sum(1), size)
        squares.append(parts.square.mean())
        traces.append(parts.spread.mean())
    for draws, exact in ((squares, 5 * 0.09), (traces, 5.0)):
        error = np.std(draws) / math.sqrt(len(draws))
        assert abs(np.mean(draws) - exact) <= 4 * error


class Given(LinearOperator):
    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__((len(matrix), len(matrix)), dtype=matrix.dtype, device=matrix.device)
        self._matrix = matrix

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        return rows @ self._matrix


def test_with_the_identity_for_a_curvature_it_is_the_simple_one():
    rows = torch.randn(64, 9, generator=torch.Generator().manual_seed(2), dtype=F64) + 1
    groups = torch.stack([rows[k::16].mean(0) for k in range(16)])
    simple = noise_scale(of_rows(rows))
    found = with_curvature(simple, Given(torch.eye(9, dtype=F64)), groups, samples=64)
    gram = (groups @ groups.T).numpy()
    parts = parts_of(np.diagonal(gram).copy(), gram.sum(1), 4)
    assert found.curvature is not None
    assert found.along is not None
    assert found.curvature.value == pytest.approx(parts.spread.mean() / parts.square.mean())
    assert found.along.value == pytest.approx(1)


def test_noise_with_curvature_of_linear_regression():
    """H = 2 I for x ~ N(0, I), so that both noise scales are the same."""
    model, data, _ = linear_regression(8192, batch=2048)
    subject = Subject(model, "mse", data)
    samples = samples_of(subject)
    means = samples.group_means(torch.ones(8192), 16)
    simple = noise_scale(sample_gradients(samples))
    found = with_curvature(simple, HessianOperator(subject), means, samples=8192)
    trace, square = closed_form()
    assert found.curvature is not None
    assert found.curvature.interval[0] <= trace / square <= found.curvature.interval[1]
    assert found.along is not None
    assert found.along.value == pytest.approx(2, rel=0.1)
    assert found.groups == 16


def test_a_curvature_that_is_negative_along_the_gradient_has_no_noise_scale():
    rows = torch.randn(64, 9, generator=torch.Generator().manual_seed(3), dtype=F64) + 3
    groups = torch.stack([rows[k::16].mean(0) for k in range(16)])
    found = with_curvature(
        noise_scale(of_rows(rows)), Given(-torch.eye(9, dtype=F64)), groups, samples=64
    )
    assert found.curvature is not None
    assert math.isnan(found.curvature.value)
    assert found.batch_size == found.simple


def covered(number: int, seeds: range) -> float:
    trace, square = closed_form()
    hits = 0
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(number, 10, generator=generator, dtype=F64)
        delta = torch.full((10,), 0.7 / math.sqrt(10), dtype=F64)
        r = x @ delta - 0.5 * torch.randn(number, generator=generator, dtype=F64)
        low, high = noise_scale(of_rows(2 * r[:, None] * x)).simple.interval
        hits += low <= trace / square <= high
    return hits / len(seeds)


def test_the_interval_covers():
    assert covered(256, range(200)) >= 0.9


@pytest.mark.full
@pytest.mark.parametrize("number", [32, 64, 256, 2048])
def test_coverage(number):
    assert covered(number, range(2000)) >= 0.93


@pytest.mark.full
@pytest.mark.parametrize("spread", ["even", "decaying"])
def test_coverage_with_curvature(spread):
    """gᵢ ~ N(μ, Σ) and a fixed H, sixteen groups of sixteen."""
    size = 20
    diagonal = torch.ones(size, dtype=F64)
    if spread == "decaying":
        diagonal = torch.arange(1, size + 1, dtype=F64) ** -1.0
    mean = torch.full((size,), 0.2, dtype=F64)
    exact = float(diagonal.sum() / (diagonal * mean.square()).sum())
    operator = Given(torch.diag(diagonal))
    hits = 0
    for seed in range(2000):
        generator = torch.Generator().manual_seed(seed)
        rows = mean + torch.randn(256, size, generator=generator, dtype=F64)
        groups = torch.stack([rows[k::16].mean(0) for k in range(16)])
        found = with_curvature(noise_scale(of_rows(rows)), operator, groups, samples=256)
        assert found.curvature is not None
        hits += found.curvature.interval[0] <= exact <= found.curvature.interval[1]
    assert hits >= 0.93 * 2000
