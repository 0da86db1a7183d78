"""Plain training: every sample once an epoch, the steps of the optimizer, resumed in the middle."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.subject.batch import Batch
from landscape.subject.losses import CrossEntropy
from landscape.training.minibatches import minibatches
from landscape.training.plain import PlainTraining, Recipe


def batches(*sizes):
    source = torch.Generator().manual_seed(0)
    found = []
    for size in sizes:
        inputs = torch.randn(size, 4, generator=source)
        found.append(Batch((inputs,), {}, torch.randint(3, (size,), generator=source)))
    return found


def network() -> Any:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def recipe(**changed):
    settings = {
        "optimizer": "sgd",
        "learning_rate": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
        "steps": 12,
        "minibatch": 6,
        "schedule": "constant",
    }
    return Recipe(**{**settings, **changed})


def trained(model, settings, data, *, start=0, save=lambda _: None, seed=0):
    training = PlainTraining(
        recipe=settings, data=minibatches(data, settings.minibatch), criterion=CrossEntropy()
    )
    training(model, seed=seed, start=start, save=save, mask=None)
    return model


def test_an_epoch_deals_every_sample_once_in_an_order_of_its_own():
    data = batches(8, 5, 7)
    dealt = minibatches(data, 6)
    assert dealt.per_epoch == 3

    def epoch(number, seed=0):
        steps = range(3 * number, 3 * number + 3)
        return [tuple(row) for s in steps for row in dealt.at(s, seed).args[0].tolist()]

    everything = {tuple(row) for one in data for row in one.args[0].tolist()}
    assert len(set(epoch(0))) == 18
    assert set(epoch(0)) <= everything
    assert epoch(0) != epoch(1)
    assert epoch(0) != epoch(0, seed=1)
    assert epoch(2) == epoch(2)
    assert minibatches(data, 100).at(0, 0).samples == 20


def test_sequences_of_several_lengths_stay_as_they_are():
    data = [Batch((torch.zeros(2, n),), {}, torch.zeros(2).long()) for n in (3, 4, 5)]
    dealt = minibatches(data, 4)
    assert dealt.per_epoch == 3
    assert sorted(dealt.at(step, 0).args[0].shape[1] for step in range(3)) == [3, 4, 5]


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_the_steps_are_those_of_the_optimizer(schedule):
    """Momentum written out: v ← βv + g, w ← w − ηv."""
    data, settings = batches(20), recipe(schedule=schedule)
    found = trained(network(), settings, data)
    model, dealt = network(), minibatches(data, 6)
    speed = [torch.zeros_like(p) for p in model.parameters()]
    for step in range(12):
        batch = dealt.at(step, 0)
        loss = F.cross_entropy(model(*batch.args), batch.targets)
        slopes = torch.autograd.grad(loss, list(model.parameters()))
        rate = 0.1 if schedule == "constant" else 0.05 * (1 + math.cos(math.pi * step / 12))
        with torch.no_grad():
            for parameter, v, g in zip(model.parameters(), speed, slopes, strict=True):
                v.mul_(0.9).add_(g)
                parameter -= rate * v
    for one, other in zip(found.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_training_that_begins_later_goes_on_where_it_was():
    data, settings = batches(20), recipe(momentum=0.0, schedule="cosine")
    model, halfway = network(), {}

    def save(step):
        if step == 5:
            halfway.update({name: t.clone() for name, t in model.state_dict().items()})

    trained(model, settings, data, save=save)
    other = network()
    other.load_state_dict(halfway)
    trained(other, settings, data, start=5)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_frozen_parameters_stay():
    model = network()
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    trained(model, recipe(optimizer="adamw", weight_decay=0.1), batches(20))
    assert torch.equal(model[0].weight, before)
