from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import DataError
from landscape.subject.normalisation import (
    normalised,
    refreshed,
    some_batches,
    statistics_of,
)
from landscape.subject.subject import Subject
from tests.cases import Residual, cnn, labels, normal, seeded, with_statistics
from tests.oracles import F64

RAGGED = (64, 5, 98, 2, 1)


def images(sizes: tuple[int, ...] = RAGGED, size: int = 8) -> list[tuple[Tensor, Tensor]]:
    """Batches whose means differ, so that weighting shows."""
    return [
        ((i + 1) * normal(b, 1, size, size, seed=i).double() + i, labels(b, classes=4, seed=i))
        for i, b in enumerate(sizes)
    ]


def subject_of(model: nn.Module, data: Any, **settings: Any) -> Subject:
    return Subject(model.double(), "ce", data, dtype="float64", device="cpu", **settings)


class Watched(nn.Module):
    """Keeps what its BatchNorm is given; every layer runs in train mode but dropout."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.inner = copy.deepcopy(model).train()
        self.seen: dict[str, list[Tensor]] = {}
        for name, module in self.inner.named_modules():
            if isinstance(module, nn.Dropout):
                module.eval()
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.register_forward_pre_hook(self.watch(name))

    def watch(self, name: str) -> Any:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            del module
            self.seen.setdefault(name, []).append(inputs[0].detach())

        return hook

    def statistics(self) -> dict[str, Tensor]:
        found = {}
        for name, parts in self.seen.items():
            values = torch.cat([x.transpose(0, 1).flatten(1) for x in parts], 1)
            found[f"{name}.running_mean"] = values.mean(1)
            found[f"{name}.running_var"] = values.var(1)
        return found


@pytest.mark.parametrize("build", [cnn, lambda: with_statistics(Residual())])
def test_statistics_are_those_of_all_values_of_ragged_batches(build):
    """Against torch's own train mode, its inputs gathered and their variance taken at once."""
    model = seeded(build, 0).double()
    data = images(RAGGED[:-1])
    subject = subject_of(model, data)
    found = refreshed(subject, subject.point, subject.device_batches())
    watched = Watched(model)
    for x, _ in data:
        watched.inner(x)
    expected = watched.statistics()
    assert set(expected) == set(statistics_of(model))
    for name, value in expected.items():
        torch.testing.assert_close(found.rest[name], value, rtol=1e-10, atol=1e-12)
        assert not torch.allclose(found.rest[name], subject.point.rest[name], rtol=1e-2)


def test_the_plain_mean_over_batches_is_something_else():
    """What torch.optim.swa_utils.update_bn takes: a batch of two weighs as much as one of 98."""
    model, data = seeded(cnn, 0).double(), images(RAGGED[:-1])
    subject = subject_of(model, data)
    found = refreshed(subject, subject.point, subject.device_batches())
    other = copy.deepcopy(model)
    torch.optim.swa_utils.update_bn(data, other)
    theirs = dict(other.named_buffers())["1.running_mean"]
    assert float((theirs - found.rest["1.running_mean"]).abs().max()) > 0.1


def test_one_sample_at_a_time_gives_the_statistics_of_the_first_layer():
    model, (x, y) = seeded(cnn, 0).double(), images((6,))[0]
    ones = [(x[i : i + 1], y[i : i + 1]) for i in range(6)]
    alone, whole = (subject_of(model, data) for data in (ones, [(x, y)]))
    first = refreshed(alone, alone.point, alone.device_batches())
    second = refreshed(whole, whole.point, whole.device_batches())
    for name in statistics_of(model):
        torch.testing.assert_close(first.rest[name], second.rest[name], rtol=1e-10, atol=1e-12)


def vectors(size: int) -> list[tuple[Tensor, Tensor]]:
    return [(normal(size, 5, seed=0).double(), labels(size, classes=3, seed=0))]


def flat() -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))


def test_a_single_value_is_normalised_by_what_came_before_and_alone_is_refused():
    """torch's train mode raises for it; a loader's last batch may hold one sample."""
    model = seeded(flat, 0).double()
    (x, y) = vectors(9)[0]
    ragged = subject_of(model, [(x[:8], y[:8]), (x[8:], y[8:])])
    found = refreshed(ragged, ragged.point, ragged.device_batches())
    torch.testing.assert_close(found.rest["0.running_mean"], x.mean(0))
    torch.testing.assert_close(found.rest["0.running_var"], x.var(0))
    single = subject_of(model, vectors(1))
    with pytest.raises(DataError, match="one value of each channel"):
        refreshed(single, single.point, single.device_batches())


def test_full_batch_statistics_are_a_fixed_point():
    """Refreshing again, at a point that has them already, changes nothing, bit for bit."""
    subject = subject_of(seeded(flat, 0), vectors(40))
    batches = list(subject.device_batches())
    once = refreshed(subject, subject.point, batches)
    twice = refreshed(subject, once, batches)
    for name in statistics_of(subject.network.model):
        assert torch.equal(once.rest[name], twice.rest[name])
    assert torch.equal(
        once.rest["0.num_batches_tracked"], subject.point.rest["0.num_batches_tracked"]
    )


def test_dropout_is_off_and_nothing_of_the_model_is_changed():
    model = seeded(lambda: nn.Sequential(nn.Dropout(0.9), flat()), 0).double().train()
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    subject = subject_of(model, vectors(30))
    found = refreshed(subject, subject.point, subject.device_batches())
    (x, _) = vectors(30)[0]
    torch.testing.assert_close(found.rest["1.0.running_mean"], x.mean(0))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_hooks_are_gone_after_an_error():
    class Failing(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            if self.failing:
                raise KeyboardInterrupt
            return x

        failing = False

    failing = Failing()
    model = nn.Sequential(flat(), failing)
    subject = subject_of(model, vectors(4))
    batches = list(subject.device_batches())
    failing.failing = True
    with pytest.raises(KeyboardInterrupt):
        refreshed(subject, subject.point, batches)
    assert not any(module._forward_pre_hooks for module in model.modules())


def test_without_such_layers_the_point_is_given_back():
    subject = subject_of(
        seeded(lambda: nn.Sequential(nn.Linear(5, 3), nn.LayerNorm(3)), 0), vectors(4)
    )
    point = subject.point
    assert normalised(subject.network.model) == {}
    assert refreshed(subject, point, []) is point


def test_a_layer_that_never_runs_keeps_its_statistics_and_one_that_runs_twice_has_both():
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nn.BatchNorm1d(5), nn.BatchNorm1d(5)
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.used(x) + self.used(3 * x + 1))

    subject = subject_of(seeded(Odd, 0), vectors(20))
    found = refreshed(subject, subject.point, subject.device_batches())
    (x, _) = vectors(20)[0]
    both = torch.cat([x, 3 * x + 1])
    torch.testing.assert_close(found.rest["used.running_mean"], both.mean(0))
    torch.testing.assert_close(found.rest["used.running_var"], both.var(0))
    assert torch.equal(found.rest["idle.running_var"], torch.ones(5, dtype=F64))


def test_some_batches_are_spread_over_the_data_and_the_same_every_time():
    data = [(normal(10, 5, seed=i), labels(10, classes=3, seed=i)) for i in range(100)]
    subject = Subject(seeded(flat, 0), "ce", data)
    chosen = some_batches(subject, samples=100)
    assert sum(one.samples for one in chosen) == 100
    assert [torch.equal(one.args[0], data[10 * i][0]) for i, one in enumerate(chosen)] == [
        True
    ] * 10
    assert len(some_batches(subject)) == 100
    assert len(some_batches(subject, samples=1)) == 1
