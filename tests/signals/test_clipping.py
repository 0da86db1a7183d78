from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.signals.clipping import clip, lengths_of, quantile_interval
from landscape.signals.noise import noise_scale
from landscape.signals.sample_gradients import sample_gradients
from landscape.subject.subject import Subject
from tests.cases import CASES, reference
from tests.oracles import F64, generator
from tests.signals.problems import gradients_one_by_one, samples_of


def test_softmax_regression_has_the_closed_form():
    """‖gᵢ‖ = ‖p − y‖ ‖x‖."""
    x = torch.randn(48, 6, generator=generator(0), dtype=F64)
    y = torch.randint(4, (48,), generator=generator(1))
    model = nn.Linear(6, 4, bias=False, dtype=F64)
    model.weight.data = torch.randn(4, 6, generator=generator(2), dtype=F64)
    samples = samples_of(Subject(model, "ce", list(zip(x.split(16), y.split(16), strict=True))))
    found = sample_gradients(samples)
    errors = (x @ model.weight.T).softmax(1).detach() - torch.eye(4, dtype=F64)[y]
    norms = (errors.norm(dim=1) * x.norm(dim=1)).numpy()
    np.testing.assert_allclose(found.norms, norms, rtol=1e-10)
    told = lengths_of(found, ())
    assert told.quantiles["0.5"] == pytest.approx(np.quantile(norms, 0.5))
    assert told.mean.value == pytest.approx(norms.mean())


@pytest.mark.parametrize("threshold", [0.05, 0.3, 100.0])
def test_the_clipped_mean_is_that_of_dense_gradients(threshold):
    exact = gradients_one_by_one(reference("soft-labels"))[:8]
    problem = CASES["soft-labels"]()
    samples = samples_of(problem.subject(dtype="float64", max_samples=8))
    scale = exact * 1.0
    norms = scale.norm(dim=1)
    cut = (scale * (threshold / norms).clamp(max=1)[:, None]).mean(0)
    mean = scale.mean(0)
    found = clip(samples, sample_gradients(samples), threshold, "asked for")
    assert found.fraction.value == pytest.approx(float((norms > threshold).double().mean()))
    cosine = float(cut @ mean / (cut.norm() * mean.norm()))
    assert found.cosine.value == pytest.approx(cosine, rel=1e-9)
    assert found.ratio.value == pytest.approx(float(cut.norm() / mean.norm()), rel=1e-9)
    if threshold == 100.0:
        assert found.fraction.value == 0
        assert found.cosine.interval == pytest.approx((1, 1))


def test_diversity_and_the_plain_noise_scale_are_one_number():
    """n Δ = 1 + (n − 1)/n · B with the biased B = tr Σ / ‖ḡ‖² (Σ with 1/(n − 1))."""
    samples = samples_of(CASES["ragged"]().subject(dtype="float64"))
    found = sample_gradients(samples)
    number = samples.number
    told = lengths_of(found, ())
    biased = noise_scale(found).trace.value / float(samples.gradient.square().sum())
    assert told.diversity.value == pytest.approx(1 + (number - 1) / number * biased, rel=1e-9)


def test_samples_that_agree_have_a_diversity_of_one():
    x, y = torch.ones(32, 3, dtype=F64), torch.zeros(32, 1, dtype=F64)
    model = nn.Linear(3, 1, bias=False, dtype=F64)
    model.weight.data.fill_(1.0)
    found = sample_gradients(samples_of(Subject(model, "mse", (x, y))))
    told = lengths_of(found, ())
    assert told.diversity.value == pytest.approx(1)
    assert told.growth.value == pytest.approx(1)
    assert noise_scale(found).simple.value == pytest.approx(0, abs=1e-12)


def test_quantiles_of_few_samples_are_open():
    values = np.arange(10.0)
    assert quantile_interval(values, 0.95)[1] == math.inf
    assert quantile_interval(values, 0.05)[0] == 0.0
    low, high = quantile_interval(values, 0.5)
    assert (low, high) == (1.0, 8.0)  # the 2nd and 9th of ten: 97.9 %


@pytest.mark.full
@pytest.mark.parametrize("q", [0.25, 0.5, 0.95])
@pytest.mark.parametrize("number", [40, 256])
def test_coverage_of_quantiles(q, number):
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(2000):
        low, high = quantile_interval(random.exponential(size=number), q)
        hits += low <= -math.log(1 - q) <= high
    assert hits >= 0.93 * 2000


@pytest.mark.full
def test_coverage_of_the_clipped_cosine():
    """Linear regression; the truth from a million draws."""
    from landscape.signals.intervals import jackknife

    threshold, delta = 1.0, torch.full((4,), 0.4, dtype=F64)

    def rows(number: int, seed: int) -> torch.Tensor:
        draw = generator(seed)
        x = torch.randn(number, 4, generator=draw, dtype=F64)
        r = x @ delta - 0.5 * torch.randn(number, generator=draw, dtype=F64)
        return r[:, None] * x

    def cosine(all_: torch.Tensor) -> float:
        cut = all_ * (threshold / all_.norm(dim=1)).clamp(max=1)[:, None]
        a, b = cut.mean(0), all_.mean(0)
        return float(a @ b / (a.norm() * b.norm()))

    exact = cosine(rows(1_000_000, 12345))
    hits = 0
    for seed in range(2000):
        one = rows(256, seed)
        keep = torch.arange(256) % 16
        left = np.array([cosine(one[keep != k]) for k in range(16)])
        low, high = jackknife(cosine(one), left, "", samples=256).interval
        hits += low <= exact <= high
    assert hits >= 0.9 * 2000  # a cosine near its largest value is skewed
