from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.signals import sample_gradients as module
from landscape.signals.sample_gradients import sample_gradients
from landscape.signals.samples import UnavailableError, some_samples
from landscape.subject.subject import Subject
from tests.cases import CASES, Problem, classified, reference, seeded
from tests.oracles import generator
from tests.signals.problems import gradients_one_by_one, samples_of

EVERY = [name for name in CASES if name != "self-scored"]


@pytest.mark.parametrize("name", EVERY)
def test_lengths_are_those_of_single_backward_passes(name):
    exact = gradients_one_by_one(reference(name))
    samples = samples_of(CASES[name]().subject(dtype="float64"))
    found = sample_gradients(samples)
    mean = exact.mean(0)
    torch.testing.assert_close(samples.gradient, mean, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.squares, exact.square().sum(1).numpy(), rtol=1e-8, atol=1e-14)
    np.testing.assert_allclose(found.dots, (exact @ mean).numpy(), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("name", ["cnn", "tied", "ignored", "pixels"])
def test_both_ways_agree(name, monkeypatch):
    samples = samples_of(CASES[name]().subject(dtype="float64"))
    together = sample_gradients(samples)

    def missing(*_: object) -> Tensor:
        raise RuntimeError("vmap: not possible here")

    monkeypatch.setattr(module, "_together", missing)
    alone = sample_gradients(samples)
    assert (together.way, alone.way) == ("vectorised over samples", "one sample after another")
    np.testing.assert_allclose(alone.squares, together.squares, rtol=1e-10)
    np.testing.assert_allclose(alone.dots, together.dots, rtol=1e-9, atol=1e-14)


def test_a_model_that_computes_its_own_loss_is_taken_one_by_one():
    samples = samples_of(CASES["self-scored"]().subject(dtype="float64"))
    found = sample_gradients(samples)
    assert found.way == "one sample after another"
    assert found.dots.mean() == pytest.approx(float(samples.gradient.square().sum()), rel=1e-9)


def test_memory_bounds_how_many_are_held(monkeypatch):
    samples = samples_of(CASES["mlp"]().subject(dtype="float64"))
    whole = sample_gradients(samples)
    sizes = []
    original = module._together
    monkeypatch.setattr(module, "CHUNK_BYTES", 3 * samples.point.theta.nbytes)
    monkeypatch.setattr(module, "_together", lambda s, b: sizes.append(b.samples) or original(s, b))
    parts = sample_gradients(samples)
    assert max(sizes) == 3
    np.testing.assert_allclose(parts.squares, whole.squares, rtol=1e-12)


class Mixing(nn.Module):
    """Subtracts the mean of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x - x.mean(0))


class Whole(nn.Module):
    """Takes batches of four only."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.view(4, 4))


@pytest.mark.parametrize(("kind", "told"), [(Mixing, "other samples"), (Whole, "single sample")])
def test_networks_without_single_samples_are_refused(kind, told):
    problem = Problem(seeded(kind, 0), classified((4, 4), (4,), 3))
    with pytest.raises(UnavailableError, match=told):
        sample_gradients(samples_of(problem.subject()))


def test_the_networks_own_errors_are_not_taken_for_missing_features():
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)
            self.calls = [0]

        def forward(self, x: Tensor) -> Tensor:
            self.calls[0] += 1
            if len(x) == 1 and self.calls[0] > 3:
                raise RuntimeError("out of coffee")
            return self.layer(x)

    problem = Problem(seeded(Broken, 0), classified((4, 4), (4,), 3))
    with pytest.raises(Exception, match="out of coffee"):
        sample_gradients(samples_of(problem.subject()))


def test_samples_are_spread_over_ragged_batches():
    x = torch.arange(23.0)[:, None]
    sizes = [7, 1, 9, 6]
    data = list(zip(x.split(sizes), torch.zeros(23, 1).split(sizes), strict=True))
    subject = Subject(nn.Linear(1, 1), "mse", data)
    picked = torch.cat([batch.args[0] for batch in some_samples(subject, 5)])[:, 0]
    assert picked.tolist() == [0, 6, 11, 16, 22]
    assert sum(batch.samples for batch in some_samples(subject, 99)) == 23


def test_group_means_are_means_over_every_kth_sample():
    exact = gradients_one_by_one(reference("ragged"))
    samples = samples_of(CASES["ragged"]().subject(dtype="float64"))
    number, groups = len(exact), 3
    weights = torch.rand(number, generator=generator(0), dtype=torch.float64)
    size = number // groups
    found = samples.group_means(weights, groups)
    for group in range(groups):
        own = (exact * weights[:, None])[group : size * groups : groups]
        torch.testing.assert_close(found[group], own.mean(0), rtol=1e-9, atol=1e-13)
