"""REPAIR against statistics and networks computed layer by layer, in float64, without hooks."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import ModelError, SettingError
from landscape.subject.batches import Batches
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.normalisation import refreshed
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry import repair as module
from landscape.symmetry.repair import Repair, repaired
from landscape.symmetry.restored import sites
from tests.cases import Multihead, Residual, normal, seeded, with_statistics
from tests.oracles import generator, relative

SAMPLES = 48


def deep() -> nn.Sequential:
    layers = [nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 7), nn.Tanh(), nn.Linear(7, 6), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(6, 3))


def normalised() -> nn.Sequential:
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True)]
    second = [nn.ConvTranspose2d(4, 3, 2), nn.ReLU(inplace=True), nn.BatchNorm2d(3, affine=False)]
    third = [nn.Conv2d(3, 4, 3, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3)]
    second[2].running_var = torch.tensor([0.5, 2.0, 1.0])
    with_statistics(nn.Sequential(*first))
    return nn.Sequential(*first, *second, *third)


def affine_norms() -> nn.Sequential:
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU()]
    second = [nn.Conv2d(4, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()]
    return nn.Sequential(*first, *second, nn.Linear(75, 3))


class Problem:
    """Two networks, data in ragged batches, and the point at t between the two."""

    def __init__(self, build: Any, *shape: int, sizes: tuple[int, ...] = (SAMPLES,)) -> None:
        inputs = normal(SAMPLES, *shape, seed=9).double()
        labels = torch.arange(SAMPLES) % 3
        data = list(zip(inputs.split(sizes), labels.split(sizes), strict=True))
        models = [seeded(build, seed).double() for seed in (1, 2)]
        ends = [Checkpoint.of_model(one) for one in models]
        self.subject = Subject(models[0], "ce", data, ends, device="cpu", dtype="float64")
        self.a, self.b = (self.subject.point_of(one) for one in self.subject.checkpoints)
        assert self.subject.batches is not None
        self.batches: Batches = self.subject.batches
        self.inputs = inputs

    def between(self, t: float) -> Point:
        tensors = [self.subject.network.tensors(one) for one in (self.a, self.b)]
        mixed = {
            n: x + t * (tensors[1][n] - x) if x.is_floating_point() else x
            for n, x in tensors[0].items()
        }
        return self.subject.network.point(mixed)

    def layers(self, point: Point) -> list[tuple[Tensor, Tensor]]:
        named = self.subject.network.tensors(point)
        return [(named[f"{i}.weight"], named[f"{i}.bias"]) for i in (0, 2, 4, 6)]

    def outputs(self, point: Point) -> Tensor:
        with self.subject.undisturbed(0), torch.no_grad():
            return torch.cat([self.subject.outputs(point, one) for one in self.batches])


def plain(problem: Problem, point: Point) -> list[Tensor]:
    """Return the pre-activations of the hidden layers of `deep`."""
    x, found = problem.inputs, []
    for (weight, bias), bend in zip(problem.layers(point), (F.relu, F.tanh, F.relu), strict=False):
        found.append(x @ weight.T + bias)
        x = bend(found[-1])
    return found


def restored(problem: Problem, point: Point, t: float) -> Tensor:
    """Return the outputs of `deep` restored layer after layer on all data at once."""
    ends = zip(plain(problem, problem.a), plain(problem, problem.b), strict=True)
    *hidden, (last, offset) = problem.layers(point)
    x = problem.inputs
    for (weight, bias), (a, b), bend in zip(hidden, ends, (F.relu, F.tanh, F.relu), strict=True):
        y = x @ weight.T + bias
        mean = (1 - t) * a.mean(0) + t * b.mean(0)
        deviation = (1 - t) * a.std(0) + t * b.std(0)
        x = bend((y - y.mean(0)) / y.std(0) * deviation + mean)
    return x @ last.T + offset


@pytest.mark.parametrize("sizes", [(48,), (16, 16, 16), (30, 17, 1)])
@pytest.mark.parametrize("t", [0.25, 0.5])
def test_an_mlp_is_restored_layer_by_layer(sizes: tuple[int, ...], t: float, monkeypatch: Any):
    """However the data are batched: as many passes as layers make the maps exact."""
    monkeypatch.setattr(module, "TOLERANCE", 1e-10)
    problem = Problem(deep, 5, sizes=sizes)
    point = problem.between(t)
    found = repaired(problem.subject, point, problem.a, problem.b, t, problem.batches)
    assert set(found.folded) == {"0", "2", "4"}
    assert not found.hooked
    assert found.residual < 1e-10
    assert found.passes <= 5
    expected = restored(problem, point, t)
    torch.testing.assert_close(problem.outputs(found.point), expected, rtol=1e-9, atol=1e-9)
    assert not torch.allclose(problem.outputs(point), expected, rtol=1e-2)


def test_the_residual_is_the_departure_of_what_the_point_computes(monkeypatch: Any):
    """Few passes over small batches leave one, and it is told."""
    monkeypatch.setattr(module, "PASSES", 2)
    problem = Problem(deep, 5, sizes=(16, 16, 16))
    ends = Repair.between(problem.subject, problem.a, problem.b, problem.batches)
    found = ends.at(problem.between(0.5), 0.5)
    worst = 0.0
    a, b, y = (plain(problem, one) for one in (problem.a, problem.b, found.point))
    for one, other, mid in zip(a, b, y, strict=True):
        deviation = (one.std(0, correction=0) + other.std(0, correction=0)) / 2
        apart = mid.mean(0) - (one.mean(0) + other.mean(0)) / 2
        wider = mid.std(0, correction=0) - deviation
        worst = max(worst, float(torch.maximum(apart.abs(), wider.abs()).div(deviation).max()))
    assert found.residual == pytest.approx(worst, rel=1e-6)
    assert 1e-6 < worst < 0.3


def test_units_of_correlation_r_are_scaled_by_the_closed_form():
    """Their average has variance (1 + r) / 2 (Jordan et al. 2022, section 3)."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(2, 1, bias=True), nn.Linear(1, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.first(x))

    r, angle = 0.4, math.acos(0.4)
    x, _ = torch.linalg.qr(
        normal(SAMPLES, 3, seed=1).double() - normal(SAMPLES, 3, seed=1).double().mean(0)
    )
    model = Two().double()
    ends = []
    for weight in ([1.0, 0.0], [math.cos(angle), math.sin(angle)]):
        model.first.weight.data = torch.tensor([weight], dtype=torch.float64)
        model.first.bias.data.zero_()
        ends.append(Checkpoint.of_model(model))
    data = [(x[:, :2].contiguous(), torch.arange(SAMPLES) % 3)]
    subject = Subject(model, "ce", data, ends, device="cpu", dtype="float64")
    a, b = (subject.point_of(one) for one in subject.checkpoints)
    middle = a.moved((a.theta + b.theta) / 2)
    assert subject.batches is not None
    found = repaired(subject, middle, a, b, 0.5, subject.batches)
    before, after = (subject.network.tensors(one)["first.weight"] for one in (middle, found.point))
    torch.testing.assert_close(after / before, torch.full((1, 2), math.sqrt(2 / (1 + r))).double())


@pytest.mark.parametrize("t", [0, 1])
def test_the_ends_stay_themselves(t: int):
    problem = Problem(normalised, 1, 8, 8)
    end = problem.b if t else problem.a
    found = repaired(problem.subject, end, problem.a, problem.b, t, problem.batches)
    assert found.point is end
    assert not found.hooked


def test_a_network_between_itself_and_itself_is_not_changed():
    problem = Problem(deep, 5, sizes=(20, 28))
    found = repaired(problem.subject, problem.a, problem.a, problem.a, 0.3, problem.batches)
    torch.testing.assert_close(found.point.theta, problem.a.theta, rtol=1e-12, atol=1e-12)


def test_what_goes_into_batchnorm_and_what_comes_out_last_are_left_alone():
    problem = Problem(normalised, 1, 8, 8)
    assert sites(problem.subject, problem.a, problem.batches) == {"1", "3", "5", "6"}
    residual = Problem(Residual, 1, 8, 8)
    assert sites(residual.subject, residual.a, residual.batches) == {"stem", "norm1", "norm2"}


def test_batchnorm_without_statistics_of_the_data_is_restored_all_the_same():
    """Maps that weights cannot hold stay with the hooks: no bias, no affine parameters."""
    problem = Problem(normalised, 1, 8, 8)
    t = 0.5
    found = repaired(problem.subject, problem.between(t), problem.a, problem.b, t, problem.batches)
    assert set(found.folded) == {"1", "3"}
    assert set(found.hooked) == {"5", "6"}
    seen: dict[str, list[Tensor]] = {name: [] for name in ("1", "3", "5", "6")}
    model: Any = problem.subject.model

    def after(name: str) -> Any:
        return lambda *seeing: seen[name].append(seeing[-1].clone())  # ReLU works in place

    def outputs(point: Point) -> None:
        handles = [model.get_submodule(n).register_forward_hook(after(n)) for n in seen]
        problem.outputs(point)
        for handle in handles:
            handle.remove()

    for end in (problem.a, problem.b):
        outputs(refreshed(problem.subject, end, problem.batches))
    with found.applied():
        outputs(found.point)
    assert not any(one._forward_hooks for one in model.modules())
    for name, (a, b, mid) in seen.items():
        mean, deviation = (
            sum(f(one, (0, 2, 3)) for one in (a, b)) / 2 for f in (torch.mean, torch.std)
        )
        torch.testing.assert_close(mid.mean((0, 2, 3)), mean, rtol=1e-9, atol=1e-9, msg=name)
        torch.testing.assert_close(mid.std((0, 2, 3)), deviation, rtol=1e-9, atol=1e-9, msg=name)
    batch = next(iter(problem.batches))
    with problem.subject.undisturbed(0), torch.no_grad():
        ours = found.outputs(batch)
    with found.applied():
        torch.testing.assert_close(ours, problem.outputs(found.point)[: len(ours)])


def test_the_statistics_of_batchnorm_are_those_of_its_inputs():
    """Pooled over ragged batches; and the refreshing of statistics finds nearly the same."""
    problem = Problem(affine_norms, 1, 8, 8, sizes=(20, 28))
    ends = Repair.between(problem.subject, problem.a, problem.b, problem.batches)
    found = ends.at(problem.between(0.5), 0.5)
    assert set(found.folded) == {"1", "4"}
    assert not found.hooked
    assert found.residual <= module.TOLERANCE
    model = affine_norms().double().eval()
    model.load_state_dict(problem.subject.network.tensors(found.point))
    with torch.no_grad():
        for name in (1, 4):
            inputs = model[:name](problem.inputs)
            layer: Any = model[name]
            torch.testing.assert_close(layer.running_mean, inputs.mean((0, 2, 3)))
            torch.testing.assert_close(layer.running_var, inputs.var((0, 2, 3)))
    again = refreshed(problem.subject, found.point, problem.batches)
    outputs = problem.outputs(found.point)
    assert relative(problem.outputs(again) - outputs, outputs) < 0.01


def test_shared_weights_are_not_folded_into():
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(5, 5), nn.Linear(5, 5)
            self.second.weight = self.first.weight
            self.head = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(F.relu(self.second(F.relu(self.first(x)))))

    problem = Problem(Shared, 5)
    found = repaired(
        problem.subject, problem.between(0.5), problem.a, problem.b, 0.5, problem.batches
    )
    assert set(found.hooked) == {"first", "second"}
    assert found.residual < 1e-9


def test_modules_can_be_named_and_batchnorm_is_always_among_them():
    problem = Problem(normalised, 1, 8, 8)
    chosen = Repair.between(problem.subject, problem.a, problem.b, problem.batches, names=["7"])
    assert set(chosen.start) == {"1", "5", "7"}
    found = chosen.at(problem.between(0.5), 0.5)
    assert found.residual < 1e-9
    with pytest.raises(ModelError, match="no module 'block'"):
        Repair.between(problem.subject, problem.a, problem.b, problem.batches, names=["block"])


def test_a_module_that_is_not_called_cannot_be_restored():
    class Partly(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(5, 3), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    problem = Problem(Partly, 5)
    assert not sites(problem.subject, problem.a, problem.batches)
    with pytest.raises(ModelError, match="does not call spare"):
        Repair.between(problem.subject, problem.a, problem.b, problem.batches, names=["spare"])


def test_routed_experts_are_restored_where_they_are_met() -> None:
    """Either end sends samples to other experts, and the one in the middle again to others."""

    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.gate, self.last = nn.Linear(5, 6), nn.Linear(5, 4), nn.Linear(6, 3)
            self.experts = nn.ModuleList(nn.Linear(6, 6) for _ in range(4))

        def forward(self, x: Tensor) -> Tensor:
            y, choice = self.first(x), self.gate(x).mean(0).argmax()
            return self.last(y + self.experts[int(choice)](y.relu()))

    problem = Problem(Routed, 5)
    tensors = problem.subject.network.tensors(problem.a)
    places = []
    for bias in ([9.0, 0, 0, 0], [0, 9.0, 0, 0], [8.0, 8.0, 20.0, 0]):
        values = {**tensors, "gate.bias": torch.tensor(bias).to(problem.a.theta)}
        places.append(problem.subject.network.point(values))
    a, b, middle = places
    chosen = Repair.between(problem.subject, a, b, problem.batches)
    assert set(chosen.start) == set(chosen.end) == {"first", "gate"}
    assert chosen.at(middle, 0.5).residual < 1e-2
    names = ["first", "experts.0"]
    found = Repair.between(problem.subject, a, a, problem.batches, names=names).at(middle, 0.5)
    assert {*found.folded, *found.hooked} == {"first"}  # the expert of both ends is not met there
    with pytest.raises(ModelError, match=r"does not call experts\.1"):
        Repair.between(problem.subject, a, b, problem.batches, names=["experts.1"])


class Weighing(nn.Module):
    """Computes the weights of a layer by another, which sees no samples."""

    def __init__(self) -> None:
        super().__init__()
        self.code, self.maker = nn.Parameter(torch.randn(4)), nn.Linear(4, 30)
        self.middle, self.last = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.maker(self.code).view(6, 5)
        return self.last(self.middle(F.linear(x, weight).relu()).relu())


def test_what_is_computed_without_samples_is_not_restored() -> None:
    problem = Problem(Weighing, 5)
    assert sites(problem.subject, problem.a, problem.batches) == {"middle"}
    found = repaired(
        problem.subject, problem.between(0.5), problem.a, problem.b, 0.5, problem.batches
    )
    assert found.residual < 1e-2


def test_attention_is_restored_as_a_whole():
    tokens = torch.randint(6, (SAMPLES, 5), generator=generator(1))
    models = [seeded(Multihead, seed).double() for seed in (1, 2)]
    ends = [Checkpoint.of_model(one) for one in models]
    data = [(tokens, tokens)]
    subject = Subject(models[0], "ce", data, ends, device="cpu", dtype="float64")
    a, b = (subject.point_of(one) for one in subject.checkpoints)
    assert subject.batches is not None
    middle = a.moved((a.theta + b.theta) / 2)
    found = repaired(subject, middle, a, b, 0.5, subject.batches)
    assert set(found.hooked) == {"attention", "layer.self_attn"}
    assert set(found.folded) == {"layer.linear1", "layer.linear2"}
    assert found.residual < 1e-9


def test_a_unit_that_has_fallen_silent_is_counted_and_only_shifted():
    problem = Problem(deep, 5)
    tensors = problem.subject.network.tensors(problem.between(0.5))
    tensors["2.weight"] = tensors["2.weight"].clone()
    tensors["2.weight"][3] = 0
    point = problem.subject.network.point(tensors)
    found = repaired(problem.subject, point, problem.a, problem.b, 0.5, problem.batches)
    assert found.silent == 1
    a, b, mid = (plain(problem, one)[1][:, 3] for one in (problem.a, problem.b, found.point))
    torch.testing.assert_close(mid, (a.mean() + b.mean()).expand(SAMPLES) / 2)


def test_data_that_are_used_up_are_refused():
    problem = Problem(deep, 5)
    with pytest.raises(SettingError, match="no batches"):
        Repair.between(problem.subject, problem.a, problem.b, [])
