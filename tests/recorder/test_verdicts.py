"""Verdicts: each is given where it is planted, and nowhere else."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.recorder.answer import TrackResult
from landscape.recorder.recorder import Recorder
from landscape.recorder.spikes import outstanding
from landscape.recorder.verdict import Verdict
from landscape.recorder.verdicts import beyond_stability
from tests.cases import normal
from tests.recorder.runs import flat_loss, history, mlp, sgd, train


def kinds(result: TrackResult) -> list[str]:
    return [one.kind for one in result.verdicts]


def verdict(result: TrackResult, kind: str) -> Verdict:
    (found,) = [one for one in result.verdicts if one.kind == kind]
    return found


def run(model: nn.Module, clip: float | None = None) -> TrackResult:
    optimizer = sgd(model, lr=0.02)
    with Recorder(model, optimizer, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=60, clip=clip)
    return recorder.result()


def test_a_healthy_run_has_none():
    result = run(mlp())
    assert not result.verdicts
    assert result.status.settled
    assert result.clip_rate is not None
    assert result.clip_rate.value == 0


# --- not finite ----------------------------------------------------------------------------


class Broken(torch.autograd.Function):
    """The identity, with a derivative that is not a number."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        del ctx
        return gradients[0] * math.nan


def overflowing(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    del module, inputs
    return output * math.inf


def broken_behind(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    del module, inputs
    return Broken.apply(output)  # type: ignore[return-value]


def broken_run(when: int, how: str, *, looking: bool = True) -> TrackResult:
    model = mlp(depth=4)
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        assert recorder._hooks is not None
        recorder._hooks._origin._looks *= looking
        for step in range(when + 4):
            optimizer.zero_grad()
            for number in range(2):
                inputs = normal(16, 5, seed=10 * step + number)
                now = step == when and number == 1
                handle = None
                if now and how == "weights":
                    with torch.no_grad():
                        model.get_parameter("4.weight")[0, 0] = math.nan
                if now and how in ("forward", "backward"):
                    broken = overflowing if how == "forward" else broken_behind
                    handle = model[4].register_forward_hook(broken)
                if now and how == "data":
                    inputs[3, 2] = math.inf
                loss = F.cross_entropy(model(inputs), inputs[:, :3].argmax(1).clamp(0, 2))
                loss = loss * math.nan if now and how == "loss" else loss
                recorder.loss(loss).backward()
                if handle is not None:
                    handle.remove()
            optimizer.step()
    return recorder.result()


@pytest.mark.parametrize("when", [0, 7, 13])
@pytest.mark.parametrize(
    ("how", "layer", "told"),
    [
        ("weights", "4.weight", "in the weights of 4.weight"),
        ("forward", "4", "in the forward pass of 4"),
        ("backward", "4.bias", "in the backward pass at 4."),
        ("data", None, "the batch itself"),
        ("loss", None, "in the loss"),
    ],
)
def test_where_the_first_nan_arose(when, how, layer, told):
    result = broken_run(when, how)
    found = verdict(result, "not finite")
    assert found.severity == "critical"
    assert found.step == when
    assert f"step {when}" in found.sentence
    assert "(micro-batch 2)" in found.sentence
    assert told in found.sentence
    if layer is not None:
        assert found.layers[0].startswith(layer[0])
    assert result.verdicts[0] is found
    assert not result.status.settled
    assert result.findings()[0].evidence


def test_steps_that_a_scaler_skips_do_not_hide_the_first():
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=256.0)
    with Recorder(model, optimizer, scaler=scaler, quiet=True) as recorder:
        for step in range(12):
            optimizer.zero_grad()
            if step == 9:
                model.get_parameter("2.weight").data[0, 0] = math.nan
            scaler.scale(flat_loss(model, step) * (math.inf if step in (2, 4) else 1)).backward()
            scaler.unscale_(optimizer)
            optimizer.step() if step >= 9 else scaler.step(optimizer)
            scaler.update()
    found = verdict(recorder.result(), "not finite")
    assert found.step == 9
    assert "in the weights of 2.weight (micro-batch 1)" in found.sentence


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("weights", "in the weights of 4.weight."),
        ("backward", "in the forward or backward pass at 4."),
        (
            "forward",
            "in the forward or backward pass at 4.",
        ),  # the activation hides ∞ from the loss
        ("loss", "in the forward pass or in the loss."),
    ],
)
def test_without_looking_at_every_step_as_on_a_gpu_norms_tell(how, told):
    found = verdict(broken_run(5, how, looking=False), "not finite")
    assert found.step == 5
    assert told in found.sentence + "."


def test_looking_for_the_origin_changes_nothing():
    model = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 3))
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        loss = F.cross_entropy(model(normal(8, 5, seed=0)), torch.zeros(8, dtype=torch.long))
        buffers = [one.clone() for one in model.buffers()]
        state = torch.get_rng_state()
        (loss * math.nan).backward()
        assert all(torch.equal(a, b) for a, b in zip(buffers, model.buffers(), strict=True))
        assert torch.equal(torch.get_rng_state(), state)
        optimizer.step()
    assert recorder.log().of("origin")[0]["forward"] is False


def test_a_replay_leaves_attributes_as_they_were():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear, self.calls, self.seen = nn.Linear(5, 3), 0, [[0]]
            self.mean = torch.zeros(3)
            self.shared = self.seen[0]
            self.register_buffer("total", torch.zeros(3))

        def forward(self, x: Tensor) -> Tensor:
            out = self.linear(x)
            self.calls += 1
            self.seen[0].append(self.calls)
            self.mean += out.detach().mean(0)
            self.total = self.total + out.detach().mean(0)
            self.last = out
            return out

    model = Counting()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        loss = model(normal(8, 5, seed=0)).square().mean() * math.inf
        before = (model.calls, model.seen, model.mean, model.total, model.last, model.shared)
        mean, total = model.mean.clone(), model.total.clone()
        loss.backward()
        after = (model.calls, model.seen, model.mean, model.total, model.last, model.shared)
        optimizer.step()
    assert "module" in recorder.log().of("origin")[0]
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert model.seen == [[0, 1]]
    assert model.shared is model.seen[0]
    assert torch.equal(model.mean, mean)
    assert torch.equal(model.total, total)


# --- spikes --------------------------------------------------------------------------------


def test_spikes_are_found_and_only_these():
    draws = np.random.default_rng(0)
    values = np.exp(0.2 * draws.standard_normal(1000)) * np.linspace(2, 0.1, 1000)
    assert not len(outstanding(values))
    values[[300, 301, 700]] *= 20
    values[500] = np.nan
    assert outstanding(values).tolist() == [300, 301, 700]


def test_a_single_spike_is_one():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=0, quiet=True) as recorder:
        for step in range(30):
            optimizer.zero_grad()
            (flat_loss(model, 0) * (1000.0 if step == 28 else 1.0)).backward()
            optimizer.param_groups[0]["lr"] = 0.0
            optimizer.step()
    found = verdict(recorder.result(), "spike of the gradient norm")
    assert found.evidence.startswith("At step 28: more than 6 robust standard deviations")


def test_a_rare_false_alarm():
    """Heavy noise without drift: fewer than one step in a thousand stands out."""
    draws = np.random.default_rng(1)
    count = sum(len(outstanding(np.exp(0.5 * draws.standard_normal(500)))) for _ in range(40))
    assert count <= 20


def test_a_spike_in_a_run():
    model = mlp()
    optimizer = sgd(model, lr=0.01)
    with Recorder(model, optimizer, quiet=True) as recorder:
        for step in range(60):
            optimizer.zero_grad()
            recorder.loss(flat_loss(model, step) * (100 if step == 45 else 1)).backward()
            optimizer.step()
    result = recorder.result()
    assert verdict(result, "spike of the gradient norm").step == 45
    assert verdict(result, "spike of the loss").step == 45
    assert result.series_of.spikes.tolist() == [45]


# --- depth ---------------------------------------------------------------------------------


def deep(
    gain: float, activation: type[nn.Module], depth: int = 24, width: int = 64
) -> nn.Sequential:
    layers: list[nn.Module] = []
    for number in range(depth):
        layer = nn.Linear(width, width, bias=False)
        with torch.no_grad():
            layer.weight.copy_(normal(width, width, seed=number) * gain / math.sqrt(width))
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def depth_run(model: nn.Module, width: int = 64) -> TrackResult:
    optimizer = sgd(model, lr=0.0)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(5):
            optimizer.zero_grad()
            inputs = normal(32, width, seed=500 + step)
            (model(inputs) * normal(32, width, seed=900 + step)).sum().backward()
            optimizer.step()
    return recorder.result()


def test_a_chaotic_tanh_network_explodes():
    """q settles at q*, and the backward signal grows by χ₁ > 1 a layer: so does ‖g_l‖."""
    result = depth_run(deep(6.0, nn.Tanh, depth=32))
    assert {"exploding gradient", "exploding backward"} <= set(kinds(result))
    assert not {"exploding forward", "vanishing forward"} & set(kinds(result))
    (slope,) = [one for one in result.slopes if one.kind == "gradient"]
    low, high = slope.slope.interval
    assert low < slope.slope.value < high < 0


def test_a_sigmoid_network_vanishes():
    """Activations stay near ½; the backward signal shrinks by more than a factor of 2 a layer."""
    result = depth_run(deep(1.0, nn.Sigmoid))
    assert {"vanishing gradient", "vanishing backward"} <= set(kinds(result))
    (slope,) = [one for one in result.slopes if one.kind == "backward"]
    assert slope.slope.interval[0] > math.log(2)


@pytest.mark.parametrize("c", [0.5, 2.0])
def test_relu_networks_of_variance_2c_grow_by_c_a_layer(c):
    """Second moments of signals change by c a layer: the slope of the root is ½ ln c."""
    result = depth_run(deep(math.sqrt(2 * c), nn.ReLU, width=256), width=256)
    slopes = {one.kind: one for one in result.slopes}
    expected = math.log(c) / 2
    assert slopes["forward"].slope.value == pytest.approx(expected, abs=0.05)
    assert slopes["backward"].slope.value == pytest.approx(-expected, abs=0.05)
    word = "vanishing" if c < 1 else "exploding"
    assert {f"{word} forward", f"{word} backward"} <= set(kinds(result))
    assert f"{word} gradient" not in kinds(result)  # both ends cancel in ‖g_l‖


def test_a_relu_network_of_he_is_steady():
    result = depth_run(deep(math.sqrt(2), nn.ReLU, width=256), width=256)
    assert {one.verdict for one in result.slopes} == {"steady"}


# --- layers --------------------------------------------------------------------------------


class Branches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(5, 3), nn.Linear(5, 3)
        self.silenced, self.frozen = nn.Linear(5, 3), nn.Linear(5, 3)
        self.frozen.requires_grad_(requires_grad=False)
        self.not_held = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        kept = self.used(x) + self.frozen(x) + self.not_held(x)
        return kept + 0 * self.silenced(x) + self.unused(x).detach()


def test_layers_that_training_does_not_reach():
    model = Branches()
    groups = [model.used, model.unused, model.silenced]
    optimizer = torch.optim.SGD([p for one in groups for p in one.parameters()], lr=0.1)
    with Recorder(model, optimizer, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder)
    result = recorder.result()
    for kind, name in (
        ("unused", "unused"),
        ("zero gradient", "silenced"),
        ("not held", "not_held"),
        ("frozen", "frozen"),
    ):
        assert verdict(result, kind).layers == (f"{name}.weight", f"{name}.bias")
    states = {one.name: one.state for one in result.layers}
    assert states["used.weight"] == "trains"
    assert not [
        v for v in kinds(result) if v not in ("unused", "zero gradient", "not held", "frozen")
    ]


def test_updates_below_the_precision_of_the_weights():
    model = nn.Linear(5, 3).to(torch.bfloat16)
    with torch.no_grad():
        model.weight.fill_(100.0)
        model.bias.fill_(0.0)
    optimizer = sgd(model, lr=1e-4)
    with Recorder(model, optimizer, quiet=True) as recorder:
        for step in range(25):
            optimizer.zero_grad()
            model(normal(8, 5, seed=step).bfloat16()).sum().backward()
            optimizer.step()
    assert verdict(recorder.result(), "unmoved").layers == ("weight",)


def test_heads_that_take_turns():
    """Two heads, the second at every third step: norms are medians of where there is a gradient."""
    model = nn.ModuleDict({"a": nn.Linear(4, 1), "b": nn.Linear(4, 1)})
    optimizer = sgd(model, lr=0.01)
    seen: list[float] = []
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(40):
            optimizer.zero_grad()
            head = model["a" if step % 3 else "b"]
            (head(normal(8, 4, seed=step)) - 3).square().mean().backward()
            if step % 3 == 0:
                seen.append(float(head.weight.grad.norm()))  # type: ignore[union-attr, operator]
            optimizer.step()
    result = recorder.result()
    layers = {one.name: one for one in result.layers}
    assert layers["b.weight"].gradient_norm == pytest.approx(float(np.median(seen)), rel=1e-5)
    assert layers["b.weight"].update_ratio is not None
    assert layers["b.weight"].update_ratio > 0
    assert (result.layer_norms >= 0).all()
    assert "unused" not in kinds(result)


def test_tensors_that_train_later_are_told():
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    model[0].requires_grad_(requires_grad=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, quiet=True) as recorder:
        train(model, optimizer, flat_loss, steps=5)
        assert "other tensors" not in kinds(recorder.result())
        model[0].requires_grad_(requires_grad=True)
        train(model, optimizer, flat_loss, steps=5)
        head = nn.Linear(3, 3)
        model.append(head)
        optimizer.add_param_group({"params": list(head.parameters())})
        train(model, optimizer, flat_loss, steps=5)
    result = recorder.result()
    found = verdict(result, "other tensors")
    assert found.step == 5
    assert found.layers == ("0.weight", "0.bias")
    assert "began to train: 0.weight, 0.bias" in found.evidence
    assert "the optimizer held 4 tensors, then 6" in found.evidence
    assert [one["step"] for one in recorder.log().of("changed")] == [5, 10]


def test_dead_units():
    model = nn.Sequential(nn.Linear(5, 10), nn.ReLU(), nn.Linear(10, 3))
    with torch.no_grad():
        model.get_parameter("0.bias")[:7] = -100
    result = run(model)
    found = verdict(result, "dead units")
    assert found.layers == ("2",)
    assert "inputs of 2: 70%" in found.evidence or "inputs of 2: 80%" in found.evidence
    table = next(one for one in result.tables() if one.title.startswith("Signals"))
    shares = {row[0]: row[table.columns.index("dead inputs")] for row in table.rows}
    assert shares["0"] is None  # the module whose outputs feed them
    assert shares["2"] >= 0.7


# --- clipping and learning rate ------------------------------------------------------------


def test_clipping_that_is_always_on():
    result = run(mlp(), clip=1e-3)
    assert verdict(result, "clipping").evidence.startswith("60 steps")
    assert result.clip_rate is not None
    assert result.clip_rate.interval[0] > 0.9


def test_clipping_now_and_then_is_not_told():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        for step in range(60):
            train(model, optimizer, flat_loss, recorder, steps=1, clip=1e-3 if step % 3 else None)
    assert "clipping" not in kinds(recorder.result())


def test_a_learning_rate_beyond_the_stability_margin():
    from landscape.diagnostics.spectrum import Spectrum

    model = mlp()
    inputs = normal(32, 5, seed=0)
    probe = [(inputs, inputs[:, :3].argmax(1))]
    found = {}
    for rate in (0.01, 100.0):
        optimizer = sgd(model, lr=rate)
        question: Any = Spectrum(top=1, bottom=1, probes=2, lanczos_steps=16)
        with Recorder(
            model,
            optimizer,
            schedule={question: 1},
            data=probe,
            loss="ce",
            share=1e9,
            details_every=0,
            quiet=True,
        ) as recorder:
            optimizer.zero_grad()
            flat_loss(model, 0).mul(0).backward()  # stays where it is
            optimizer.step()
        found[rate] = beyond_stability(history(recorder))
    assert not found[0.01]
    (one,) = found[100.0]
    assert "beyond the stability margin" in one.sentence
    assert "threshold 0.02 of gradient descent" in one.evidence
