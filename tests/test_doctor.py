"""The preflight finds what is planted, and nothing where there is nothing; it disturbs nothing."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.budget import Budget, spending
from landscape.doctor import Check, Doctor, State, examine, preflight
from landscape.doctor.answer import Way
from landscape.doctor.baseline import best_constant
from landscape.doctor.parts import Parts
from landscape.doctor.plans import judge_memory, plan_memory, plan_report, plan_time, told_bytes
from landscape.doctor.products import judge_ways, time_ways, told_seconds
from landscape.doctor.verdict import counted
from landscape.errors import InputError, ModelError
from landscape.subject.batch import Batch
from landscape.subject.losses import BinaryCrossEntropy, CrossEntropy, MeanSquaredError, ModelLoss
from landscape.work import Pace
from tests.cases import CASES, classified, labels, normal, seeded

BATCHES = classified((9, 6), (5,), 3)
NOT_FINITE = (torch.full((2, 5), math.nan), torch.zeros(2).long())


def net() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), 3)


def trained() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A network that beats the best constant, and what trained it."""
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(60):
        for x, y in BATCHES:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model, optimizer


@pytest.fixture(scope="module")
def good() -> Doctor:
    model, optimizer = trained()
    checkpoint = replace(
        ls.Checkpoint.of_model(model), optimizer=optimizer.state_dict(), learning_rate=3e-2
    )
    return examine(ls.Subject(net(), "ce", {"train": BATCHES, "held_out": BATCHES[1]}, checkpoint))


def check(found: Doctor, name: str) -> Check:
    (one,) = (check for check in found.checks if check.name == name)
    return one


def states(found: Doctor) -> dict[str, str]:
    return {one.name: one.status.value for one in found.checks}


def examined(model: nn.Module, **settings: Any) -> Doctor:
    return examine(ls.Subject(model, "ce", BATCHES, **settings))


# --- a good subject ----------------------------------------------------------------------------


def test_all_is_well(good):
    assert set(states(good).values()) == {"ok"}
    assert (good.status, good.exit_code, good.message) == (State.OK, 0, "19 checks passed")
    assert "Adam, learning rate 0.03, step 120" in check(good, "optimizer").found
    assert good.cost.products > 0
    assert good.cost.samples == 15
    told = {one.section: one for one in good.report}
    assert set(told) == {kind.name for kind in ls.DIAGNOSTICS if kind.surveyed}
    assert (told["spectrum"].seconds or 0) > (told["weights"].seconds or 0)
    assert (told["ntk"].bytes or 0) > 0


def test_one_is_told_in_the_singular(good):
    assert [counted(n, "micro-batch") for n in (1, 2)] == ["1 micro-batch", "2 micro-batches"]
    assert [counted(n, "thread") for n in (0, 1, 1000)] == [
        "0 threads",
        "1 thread",
        "1,000 threads",
    ]
    checks = good.checks[:1]
    assert Doctor(checks=checks).message == "1 check passed"
    bad = replace(checks[0], status=State.FAIL, name="a", found="b")
    assert Doctor(checks=(*checks, bad)).message == "1 check passed, 1 failed; first failure: a: b"
    told = [one.found for one in good.checks]
    assert not [line for line in told if re.search(r"(?<![\d.,])1 (\S+s|such vectors)\b", line)]


def test_held_out_data_are_told_with_their_loss(good):
    model, _ = trained()
    x, y = BATCHES[1]
    told = (
        f"6 samples in 1 batch; the first: float32 6×5, int64 6; {F.cross_entropy(model(x), y):.4g}"
    )
    assert check(good, "held-out").found == f"{told} per label"
    assert check(examined(net()), "held-out").status is State.SKIPPED


def test_the_loss_is_that_of_the_network(good):
    model, _ = trained()
    x, y = (torch.cat(parts) for parts in zip(*BATCHES, strict=True))
    value = F.cross_entropy(model(x), y).item()
    shares = torch.bincount(y).double() / len(y)
    entropy = -float((shares * shares.log()).sum())
    found = check(good, "loss").found
    assert found.startswith(f"{value:.4g} per label, over 15 labels")
    assert found.endswith(f"{entropy:.4g}")


def test_every_way_is_timed_and_agrees(good):
    assert [way.name for way in good.ways] == ["reverse", "cached", "linearize", "forward"]
    for way in good.ways:
        assert way.missing == ""
        assert (way.block_seconds or 0) > 0
        assert (way.seconds or 0) > 0
        assert (way.agreement, way.repeat) == (pytest.approx(0, abs=1e-5),) * 2
        assert (way.samples, way.block) == (15, 8)


def test_large_data_are_timed_in_part():
    parts = Parts.of(ls.Subject(net(), "ce", BATCHES))
    assert {way.samples for way in time_ways(parts, seconds=1e-6)} == {15}
    partly = time_ways(parts, seconds=1e6)
    assert {way.samples for way in partly} == {9}
    assert all(way.agreement == pytest.approx(0, abs=1e-5) for way in partly)


def test_json_round_trip(good):
    document = json.loads(json.dumps(good.to_json(), allow_nan=False))
    jsonschema.validate(document, Doctor.schema(), cls=jsonschema.Draft202012Validator)
    assert document["schema"] == "landscape/doctor/1"
    assert Doctor.from_json(document).to_json() == document
    assert Doctor.from_json(document).ways == good.ways
    with pytest.raises(InputError, match="is no examination"):
        Doctor.from_json({**document, "schema": "landscape/doctor/0"})


def test_nothing_is_disturbed():
    model = net().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    examined(model)
    assert model.training
    assert all(torch.equal(before[name], one) for name, one in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)


# --- one thing wrong ---------------------------------------------------------------------------


def test_weights_that_are_not_finite():
    model = net()
    model[0].weight.data[1, 2] = math.nan  # type: ignore[index]
    found = examined(model)
    assert (found.status, found.exit_code) == (State.FAIL, 5)
    assert "0.weight (first at [1, 2])" in check(found, "weights").found
    assert check(found, "data").status is State.OK
    assert check(found, "time").found == "not looked at: weights failed"


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = net()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + 0.1 * torch.randn(3)


def test_a_forward_that_draws_random_numbers():
    found = examined(Noisy())
    assert found.exit_code == 3
    assert "draws random numbers" in check(found, "determinism").found
    assert check(found, "forward").status is State.OK
    assert check(found, "loss").status is State.SKIPPED


class Partial(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.unused = net(), nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


def test_parameters_that_are_not_used():
    found = examined(Partial())
    assert (found.status, found.exit_code) == (State.WARN, 0)
    assert "zero in 2 of 6 tensors: unused.weight, unused.bias" in check(found, "gradient").found
    assert check(found, "products").status is State.OK


class RootAtZero(nn.Module):
    """A loss that is finite where its gradient is not."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight.abs().sqrt()


def test_a_gradient_that_is_not_finite():
    found = examined(RootAtZero())
    assert found.exit_code == 5
    assert check(found, "gradient").found == "the gradient is not finite in weight"
    assert check(found, "loss").status is not State.FAIL


def test_forward_mode_that_does_not_exist():
    found = examine(CASES["recurrent"]().subject())
    assert found.exit_code == 0
    missing = {way.name: way.missing for way in found.ways}
    assert missing["reverse"] == missing["cached"] == ""
    assert "mkldnn_rnn_layer" in missing["linearize"]
    assert "mkldnn_rnn_layer" in missing["forward"]
    assert check(found, "products").found.endswith("not there: linearize, forward")
    assert check(found, "time").status is State.OK


def test_a_network_that_is_worse_than_a_constant():
    model = net()
    model[2].weight.data *= 30  # type: ignore[index]
    assert "ignores its inputs" in check(examined(model), "loss").why


def test_attention_is_noted():
    assert "MATH kernel" in check(examine(CASES["multihead"]().subject()), "forward").found


@pytest.mark.parametrize("tracked", [True, False])
def test_statistics_that_eval_mode_cannot_use(tracked):
    norm = nn.BatchNorm1d(8, track_running_stats=tracked)
    model = nn.Sequential(nn.Linear(5, 8), norm, nn.Dropout(0.1), nn.Linear(8, 3))
    found = check(examined(model), "modules")
    assert found.status is State.WARN
    assert ("never updated" if tracked else "batch at hand") in found.why
    assert found.why.endswith(": 1")
    model(BATCHES[0][0])
    if tracked:
        found = check(examined(model), "modules")
        assert (found.status, found.found) == (
            State.OK,
            "BatchNorm1d ×1, Dropout ×1; studied in eval mode",
        )


def test_data_that_are_not_finite():
    x, y = BATCHES[0]
    found = examine(ls.Subject(net(), "ce", [(x / 0, y)]))
    assert found.exit_code == 5
    assert check(found, "data").status is State.FAIL
    assert check(found, "weights").status is State.OK
    assert found.provenance["model"] == "Sequential"


def test_what_is_not_given_is_skipped():
    found = examine(ls.Subject(net()))
    assert (found.exit_code, found.status) == (0, State.OK)
    assert check(found, "data").next.startswith("give --data, for example --data ")
    assert check(found, "forward").found == "not looked at: data was not given"


def test_a_budget_leaves_ways_out():
    with spending(Budget(products=1)):
        found = examined(net())
    assert [bool(way.missing) for way in found.ways] == [False, True, True, True]
    assert "budget" in found.ways[1].missing


# --- parts that cannot be put together ---------------------------------------------------------


@pytest.fixture
def file(tmp_path):
    torch.save({f"module.{name}": one for name, one in net().state_dict().items()}, tmp_path / "a")
    return tmp_path / "a"


def test_a_network_of_another_shape(file):
    found = preflight(nn.Sequential(nn.Linear(5, 9), nn.Linear(9, 3)), "ce", BATCHES, file)
    assert found.exit_code == 3
    failed = check(found, "load map")
    assert failed.code == "L310"
    assert "0.weight: checkpoint 8x5, model 9x5" in failed.why
    assert states(found)["checkpoint"] == states(found)["data"] == "ok"
    assert check(found, "gradient").found == "not looked at: load map failed"


def test_prefixes_and_leftovers_are_told(file):
    tensors = torch.load(file, weights_only=True)
    torch.save({**tensors, "extra": torch.ones(2)}, file)
    found = check(preflight(net(), "ce", BATCHES, file), "load map")
    assert found.status is State.WARN
    assert (
        found.found == "4 of 4 tensors found in the file; prefix `module.` stripped from 4/4 names"
    )
    assert found.why == "tensors of the file left unused (1): extra"


@pytest.mark.parametrize(
    ("wrong", "name", "code"),
    [
        ({"checkpoints": "nowhere.pt"}, "checkpoint", 3),
        ({"model": "nowhere.py:net"}, "model", 3),
        ({"params": "nothing.*"}, "parameters", 3),
        ({"data": "nowhere.py:data"}, "data", 3),
        ({"data": []}, "data", 3),
        ({"data": {"train": BATCHES, "held_out": "nowhere.py:data"}}, "held-out", 3),
        ({"data": {"train": BATCHES, "held_out": classified((9,), (4,), 3)}}, "held-out", 3),
        ({"data": {"train": BATCHES, "held_out": classified((99,), (5,), 9)}}, "held-out", 3),
        ({"data": {"train": BATCHES, "held_out": NOT_FINITE}}, "held-out", 5),
        ({"loss": "cross-entropie"}, "data", 2),
        ({"device": "cuda:99"}, "device", 3),
    ],
)
def test_a_part_that_fails_leaves_the_others(file, wrong, name, code):
    given = {"model": net(), "loss": "ce", "data": BATCHES, "checkpoints": file, **wrong}
    found = preflight(**given)
    assert [one.name for one in found.checks if one.status is State.FAIL] == [name]
    assert found.exit_code == code
    assert name != "held-out" or check(found, name).found.startswith("held-out data: ")
    ok = {one.name for one in found.checks if one.status is State.OK}
    alone = {"device", "checkpoint", "model", "data"} - {name}
    assert ok >= (alone - {"data"} if name == "device" else alone)
    assert Doctor.from_json(found.to_json()).to_json() == found.to_json()


def test_a_checkpoint_alone(file):
    found = preflight(checkpoints=file)
    assert {name for name, state in states(found).items() if state == "ok"} == {
        "device",
        "checkpoint",
        "weights",
    }
    tensors = torch.load(file, weights_only=True)
    tensors["module.0.bias"][0] = math.inf
    torch.save(tensors, file)
    assert preflight(checkpoints=file).exit_code == 5


def test_random_data_are_stamped():
    found = preflight(net(), "ce", "random:shape=5,classes=3,samples=20")
    assert check(found, "data").why == "they are random numbers"
    failed = preflight("nowhere.py:net", "ce", "random:shape=5,classes=3,samples=20")
    assert check(failed, "data") == check(found, "data")


# --- plans and baselines -----------------------------------------------------------------------


def test_the_best_constant_of_labels():
    batches = [Batch((), {}, labels(40, classes=4, seed=1)), Batch((), {}, torch.tensor([-100]))]
    logits = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    fit = torch.optim.LBFGS([logits], max_iter=100, tolerance_grad=1e-12)

    def closure() -> Tensor:
        fit.zero_grad()
        loss = F.cross_entropy(logits.expand(40, 4), batches[0].targets)
        loss.backward()
        return loss

    fit.step(closure)
    assert best_constant(CrossEntropy(), batches) == pytest.approx(closure().item(), rel=1e-9)


def test_the_best_constant_of_distributions():
    targets = normal(30, 4, seed=2).softmax(1)
    mean = targets.double().mean(0)
    expected = -float((mean * mean.log()).sum())
    assert best_constant(CrossEntropy(), [Batch((), {}, targets)]) == pytest.approx(expected)


def test_the_best_constant_of_numbers_and_of_flags():
    values, flags = normal(30, 2, seed=3), (normal(30, seed=4) > 0.5).long()
    squares = (values - values.mean(0)).square().mean()
    assert best_constant(MeanSquaredError(), [Batch((), {}, values)]) == pytest.approx(
        float(squares), rel=1e-5
    )
    p = float(flags.float().mean())
    entropy = -p * math.log(p) - (1 - p) * math.log(1 - p)
    assert best_constant(BinaryCrossEntropy(), [Batch((), {}, flags)]) == pytest.approx(entropy)


def test_no_constant_where_none_is_known():
    ragged = [Batch((), {}, normal(2, size, seed=0)) for size in (3, 4)]
    assert best_constant(MeanSquaredError(), ragged) is None
    assert best_constant(ModelLoss(), [Batch((), {}, labels(4, 3, classes=2, seed=0))]) is None
    assert best_constant(CrossEntropy(), [Batch((), {}, None)]) is None


def test_the_plan_of_time_counts_the_products_of_the_preset():
    parts = Parts.of(ls.Subject(net(), "ce", BATCHES))
    pace = Pace(forward=1, gradient=0.25, product=0.5, step=0, call=0, operation=0)
    quick, standard, full = plan_time(parts, pace)
    assert (quick.pairs, quick.density, quick.trace) == (130, 8 * 32, 32)
    assert (standard.pairs, standard.density, standard.trace) == (130, 8 * 48, 128)
    assert (full.pairs, full.density, full.trace) == (230, 16 * 75, 256)  # 75 parameters
    assert quick.seconds == 0.25 * 20 + 0.5 * (130 + 256 + 32)
    assert quick.at_least < quick.seconds < quick.at_most
    sections, _ = plan_report(parts, pace, "quick", 0)
    spectrum = next(one for one in sections if one.section == "spectrum")
    assert spectrum.seconds == quick.seconds
    assert f"about {130 + 256 + 32} products" in spectrum.expected


def test_the_plan_of_memory():
    parts = Parts.of(ls.Subject(net(), "ce", BATCHES))
    plan = plan_memory(parts)
    assert (plan.vector, plan.micro_batch, plan.micro_batches) == (4 * 75, 15, 1)
    assert plan.basis_vectors == plan.basis // plan.vector
    assert plan.product / 2 < plan.halved < plan.product
    assert judge_memory(plan).why == ""
    assert "may not fit" in judge_memory(replace(plan, free=plan.product - 1)).why
    assert "restarts often" in judge_memory(replace(plan, basis_vectors=20)).why


def test_no_way_at_all():
    with pytest.raises(ModelError, match="no curvature product"):
        judge_ways((Way(name="reverse", missing="Once can be differentiated only once"),))


def test_noisy_products():
    way = Way(name="reverse", seconds=1.0, block=8, block_seconds=1.0, repeat=0.01)
    assert judge_ways((way,)).why == "products are noisy"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.00012, "0.12 ms"),
        (0.5, "500 ms"),
        (1.2, "1.2 s"),
        (90, "90 s"),
        (180, "3 min"),
        (9e3, "2.5 h"),
    ],
)
def test_times_are_told(seconds, told):
    assert told_seconds(seconds) == told


def test_sizes_are_told():
    assert [told_bytes(size) for size in (0, 900, 2048, 3 * 2**30, 5 * 2**42)] == [
        "0 B",
        "900 B",
        "2 KiB",
        "3 GiB",
        "2.05e+04 GiB",
    ]
