"""Points evaluated, against an independent float64 network and against stored samples."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape import progress
from landscape.paths.evaluation import evaluate
from landscape.subject.subject import Subject
from landscape.surfaces import evaluation
from landscape.surfaces.evaluation import LOSS, LOSS_DEVIATION, Evaluator, Sums
from landscape.surfaces.samples import Samples
from tests.cases import CASES, labels, mean_log_cosh, normal, reference, seeded
from tests.oracles import generator


def values(subject: Subject, direction: Tensor, *, samples: int = 0, recompute: bool = True) -> Any:
    evaluator = Evaluator(subject, Samples(subject, samples), recompute)
    point = subject.point
    with progress.task("test") as task:
        return evaluator.values(
            lambda number: point.moved(point.theta + (number - 1) * direction), 3, task
        )


@pytest.mark.parametrize("name", list(CASES))
def test_the_loss_is_that_of_an_independent_network(name):
    """Ragged and dict batches, ignored tokens, ties, masks, frozen and unused parameters."""
    subject = CASES[name]().subject()
    direction = 0.1 * normal(subject.parameters.size, seed=3)
    found = values(subject, direction, recompute=False)
    oracle = reference(name)
    expected = [float(oracle.loss(oracle.theta + k * direction.double())) for k in (-1, 0, 1)]
    assert found[LOSS].tolist() == pytest.approx(expected, rel=2e-5)


@pytest.mark.parametrize("name", ["cnn", "ignored", "regression", "pixels"])
def test_means_and_deviations_are_those_of_kept_samples(name):
    """The streamed numbers against those from every sample, statistics recomputed."""
    subject = CASES[name]().subject()
    direction = 0.1 * normal(subject.parameters.size, seed=3)
    found = values(subject, direction)
    point = subject.point
    kept = evaluate(
        subject,
        lambda t: point.moved(point.theta + t * direction),
        [-1.0, 0.0, 1.0],
        list(subject.device_batches()),
    )
    assert found[LOSS] == pytest.approx(kept.loss, rel=1e-6)
    weights = kept.weights[kept.weights > 0]
    count = len(weights)
    apart = weights * (kept.losses[:, kept.weights > 0] - kept.loss[:, None])
    error = np.sqrt(count / (count - 1) * np.square(apart).sum(1)) / weights.sum()
    assert found[LOSS_DEVIATION] == pytest.approx(error, rel=1e-5)
    if kept.error is None:
        assert np.isnan(found[2]).all()
    else:
        assert found[2] == pytest.approx(kept.error, rel=1e-12)


def test_the_deviation_covers():
    """The mean of 60 of many samples lies within 1.96 of its deviations in 95 % of draws."""
    source, hits = generator(0), 0
    for _ in range(400):
        counts = torch.randint(1, 9, (60,), generator=source).double()
        sums = counts * (1 + torch.randn(1, 60, generator=source, dtype=torch.float64))
        added = Sums()
        for part in (slice(0, 7), slice(7, 60)):
            added.add(sums[:, part], counts[part])
        (mean,), (deviation,) = added.values()
        hits += abs(float(mean) - 1) <= 1.96 * float(deviation)
    assert 0.91 <= hits / 400 <= 0.98


def test_one_sample_has_no_deviation():
    added = Sums()
    added.add(torch.ones(2, 1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
    mean, deviation = added.values()
    assert mean.tolist() == [1, 1]
    assert deviation.isnan().all()


def test_a_loss_that_is_a_mean_is_told_by_batches():
    problem = CASES["custom-mean"]()
    assert problem.loss is mean_log_cosh
    subject = problem.subject()
    evaluator = Evaluator(subject, Samples(subject), True)
    assert not evaluator.by_sample
    direction = 0.1 * normal(subject.parameters.size, seed=3)
    found = values(subject, direction)
    assert np.isfinite(found[LOSS_DEVIATION]).all(), "two batches tell a deviation"
    assert np.isnan(found[2]).all()


def test_points_that_do_not_fit_are_made_again(monkeypatch):
    subject = CASES["cnn"]().subject()
    direction = 0.1 * normal(subject.parameters.size, seed=3)
    kept = values(subject, direction)
    monkeypatch.setattr(evaluation, "KEPT_BYTES", 1)
    assert np.array_equal(values(subject, direction), kept)


def test_infinite_losses_are_told_as_they_are():
    subject = CASES["mlp"]().subject()
    direction = torch.full((subject.parameters.size,), 1e38)
    found = values(subject, direction)
    assert math.isfinite(found[LOSS, 1])
    assert not np.isfinite(found[LOSS, [0, 2]]).any()


class Viewed(nn.Sequential):
    """Views its activations as they lie in memory, which they do not with channels last."""

    def forward(self, input: Tensor) -> Tensor:
        *body, head = self
        for layer in body:
            input = layer(input)
        return head(input.view(len(input), -1))


@pytest.mark.parametrize("views", [False, True])
def test_channels_last_where_they_fit(views):
    """The same losses; a network that depends on how its activations lie is left alone."""
    parts = [nn.Conv2d(2, 3, 3), nn.ReLU(), nn.MaxPool2d(2)]
    flat = [] if views else [nn.Flatten()]
    kind = Viewed if views else nn.Sequential
    model = seeded(lambda: kind(*parts, *flat, nn.Linear(12, 4)), 0)
    data = [(normal(5, 2, 6, 6, seed=0), labels(5, classes=4, seed=0))]
    subject = Subject(model, "ce", data, device="cpu")
    evaluator = Evaluator(subject, Samples(subject), True)
    assert (evaluator.laid_out is evaluation.with_channels_last) is not views
    found = values(subject, 0.1 * normal(subject.parameters.size, seed=3))
    assert found[LOSS, 1] == pytest.approx(subject.loss(subject.point), rel=1e-6)


def test_samples_are_thinned_evenly():
    data = [(normal(size, 4, seed=size), labels(size, classes=3, seed=size)) for size in (60, 30)]
    model = seeded(lambda: nn.Linear(4, 3), 0)
    subject = Subject(model, "ce", data, device="cpu")
    sizes = [batch.samples for batch in Samples(subject, 30)]
    assert sizes == [20, 10]
    assert [batch.samples for batch in Samples(subject)] == [60, 30]
    assert [batch.samples for batch in Samples(subject, 1000)] == [60, 30]
    one = Samples(subject, 1)
    assert [batch.samples for batch in one] == [1]
    assert len(one) == 1
    assert len({Samples(subject, most).name for most in (0, 1, 30)}) == 3


def test_train_mode_has_no_deviations():
    """Samples of one batch depend on one another; the loss itself is that of train mode."""
    subject = CASES["cnn"]().subject(mode="train")
    evaluator = Evaluator(subject, Samples(subject), True)
    assert evaluator.refreshing == []
    found = values(subject, 0.1 * normal(subject.parameters.size, seed=3))
    assert found[LOSS, 1] == pytest.approx(subject.loss(subject.point), rel=1e-6)
    assert np.isnan(found[LOSS_DEVIATION]).all()
