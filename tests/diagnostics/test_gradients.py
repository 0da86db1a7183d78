from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from landscape.diagnostics.gradients import Gradients, GradientsResult
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.work import BACKWARD
from tests.cases import CASES, Problem, reference
from tests.oracles import F64


@pytest.mark.parametrize("name", CASES)
def test_norms_are_those_of_autograd(name):
    exact = reference(name)
    gradient = exact.gradient(exact.theta)
    result = Gradients().run(CASES[name]().subject(dtype="float64"))
    start = 0
    layers = {layer.name: layer for layer in result.layers}
    for block, kept in exact.kept.items():
        size = int(kept.sum())
        if size == 0:
            assert block not in layers
            continue
        part = slice(start, start + size)
        layer, start = layers[block], start + size
        assert layer.parameters == size
        norm = float(gradient[part].norm())
        assert layer.gradient_norm.value == pytest.approx(norm, rel=1e-9, abs=1e-15)
        assert layer.weight_norm.value == pytest.approx(float(exact.theta[part].norm()))
        assert layer.update_norm is None
    assert start == len(exact.theta) == result.parameters
    assert result.total_norm.value == pytest.approx(float(gradient.norm()), rel=1e-10)
    assert result.weight_norm.value == pytest.approx(float(exact.theta.norm()), rel=1e-12)
    assert result.loss.value == pytest.approx(float(exact.loss(exact.theta)), rel=1e-12)
    assert result.update_norm is None


def test_float32_gradient_is_near_the_exact_one():
    exact = reference("tied")
    result = Gradients().run(CASES["tied"]().subject())
    norm = float(exact.gradient(exact.theta).norm())
    assert result.total_norm.value == pytest.approx(norm, rel=1e-5)


def test_unused_parameters_are_named_and_frozen_ones_left_out():
    result = Gradients().run(CASES["partial"]().subject())
    assert result.unused == ("unused.weight", "unused.bias")
    assert not any("frozen" in layer.name for layer in result.layers)
    warnings = [f for f in result.findings() if f.severity == "warning"]
    assert len(warnings) == 1
    assert "unused.weight" in warnings[0].evidence


def test_a_used_network_has_no_findings():
    result = Gradients().run(CASES["mlp"]().subject())
    assert result.unused == result.non_finite == ()
    assert all(finding.severity == "notable" for finding in result.findings())


def test_a_gradient_that_is_not_finite_is_named():
    """√ has a finite value and an infinite slope at zero."""

    class Rooted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.zero = nn.Parameter(torch.zeros(2))
            self.fine = nn.Parameter(torch.ones(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.fine + self.zero.abs().sqrt()

    result = Gradients().run(Subject(Rooted(), "mse", (torch.ones(3, 2), torch.zeros(3, 2))))
    assert result.non_finite == ("zero",)
    assert result.findings()[0].severity == "critical"
    json.dumps(result.to_json(), allow_nan=False)


def test_at_a_minimum_the_gradient_vanishes():
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    y = torch.randn(20, 1, generator=torch.Generator().manual_seed(1), dtype=F64)
    model = nn.Linear(3, 1, bias=False, dtype=F64)
    model.weight.data = torch.linalg.lstsq(x, y).solution.T
    assert Gradients().run(Subject(model, "mse", (x, y))).total_norm.value <= 1e-14


# --- the last step of the optimizer ------------------------------------------------------------

OPTIMIZERS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "adam": (torch.optim.Adam, {"lr": 0.01}),
    "adam other settings": (torch.optim.Adam, {"lr": 0.1, "betas": (0.8, 0.95), "eps": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.0}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
    "sgd momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    "sgd dampened": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    "rmsprop momentum": (torch.optim.RMSprop, {"lr": 0.01, "momentum": 0.9}),
}
UNKNOWABLE: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "nadam": (torch.optim.NAdam, {"lr": 0.01}),
    "radam": (torch.optim.RAdam, {"lr": 0.01}),
    "adamax": (torch.optim.Adamax, {"lr": 0.01}),
    "adagrad": (torch.optim.Adagrad, {"lr": 0.01}),
    "rmsprop": (torch.optim.RMSprop, {"lr": 0.01}),
}


def stepped(
    problem: Problem, kind: type[torch.optim.Optimizer], settings: dict[str, Any], steps: int = 4
) -> tuple[Checkpoint, dict[str, torch.Tensor]]:
    """Train for some steps; return the checkpoint and what the last step subtracted."""
    model = problem.model
    optimizer = kind([p for p in model.parameters() if p.requires_grad], **settings)
    before: dict[str, torch.Tensor] = {}
    for step in range(steps):
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        x, y = problem.data[step % len(problem.data)]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    after = Checkpoint.of_model(model)
    found = Checkpoint(
        label="trained", tensors=after.tensors, optimizer=optimizer.state_dict(), step=steps
    )
    moved = {n: before[n] - p.detach() for n, p in model.named_parameters() if p.requires_grad}
    return found, moved


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("steps", [1, 4])
def test_last_step_is_what_the_optimizer_subtracted(name, steps):
    problem = CASES["mlp"]()
    kind, settings = OPTIMIZERS[name]
    problem.model.double()
    problem.data[:] = [(x.double(), y) for x, y in problem.data]
    checkpoint, moved = stepped(problem, kind, settings, steps)
    result = Gradients().run(problem.subject(checkpoints=[checkpoint], dtype="float64"))
    for layer in result.layers:
        assert layer.update_norm is not None
        exact = float(moved[layer.name].norm())
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-9)
    whole = torch.cat([step.flatten() for step in moved.values()])
    assert result.update_norm is not None
    assert result.update_norm.value == pytest.approx(float(whole.norm()), rel=1e-9)


@pytest.mark.parametrize("name", UNKNOWABLE)
def test_a_step_is_either_right_or_left_out(name):
    """What the state does not tell is left out; it is never a number of another optimizer."""
    problem = CASES["mlp"]()
    checkpoint, moved = stepped(problem, *UNKNOWABLE[name])
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    told = {one.name: one.update_norm.value for one in result.layers if one.update_norm is not None}
    assert told == pytest.approx({name: float(moved[name].norm()) for name in told}, rel=1e-3)


def test_frozen_parameters_take_no_slot():
    problem = CASES["partial"]()
    checkpoint, moved = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    steps = {layer.name: layer.update_norm for layer in result.layers}
    assert steps["used.weight"] is not None
    exact = float(moved["used.weight"].norm())
    assert steps["used.weight"].value == pytest.approx(exact, rel=1e-3)
    assert steps["unused.weight"] is None  # it never had a gradient, so there is no state


def test_only_studied_coordinates_of_a_step_are_measured():
    problem = CASES["masked"]()
    checkpoint, moved = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    result = Gradients().run(problem.subject(checkpoints=[checkpoint]))
    total = 0.0
    for layer in result.layers:
        kept = problem.masks.get(layer.name, torch.ones_like(moved[layer.name], dtype=torch.bool))
        exact = float(moved[layer.name][kept].norm())
        assert layer.update_norm is not None
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-3)
        total += exact**2
    assert result.update_norm is not None
    assert result.update_norm.value == pytest.approx(total**0.5, rel=1e-3)


def test_parameter_groups_bring_their_own_rates():
    problem = CASES["mlp"]()
    problem.model.double()
    problem.data[:] = [(x.double(), y) for x, y in problem.data]
    parts = list(problem.model.parameters())
    groups = [{"params": parts[:2], "lr": 0.5}, {"params": parts[2:], "lr": 0.001}]

    def optimizer(_: list[nn.Parameter], **settings: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(groups, **settings)

    checkpoint, moved = stepped(problem, optimizer, {})  # type: ignore[arg-type]
    result = Gradients().run(problem.subject(checkpoints=[checkpoint], dtype="float64"))
    for layer in result.layers:
        assert layer.update_norm is not None
        exact = float(moved[layer.name].norm())
        assert layer.update_norm.value == pytest.approx(exact, rel=1e-9)


def test_a_state_of_another_network_is_noted_and_left_out():
    problem, other = CASES["mlp"](), CASES["ragged"]()
    foreign, _ = stepped(other, torch.optim.Adam, {"lr": 0.01})
    own = Checkpoint.of_model(problem.model)
    mixed = Checkpoint(label="mixed", tensors=own.tensors, optimizer=foreign.optimizer)
    result = Gradients().run(problem.subject(checkpoints=[mixed]))
    assert result.update_norm is None
    assert any("optimizer state" in note for note in result.provenance["notes"])


# --- the document ------------------------------------------------------------------------------


def test_document_fits_its_schema_and_comes_back():
    import jsonschema

    problem = CASES["mlp"]()
    checkpoint, _ = stepped(problem, torch.optim.Adam, {"lr": 0.01})
    subject = problem.subject(checkpoints=[Checkpoint.of_model(problem.model), checkpoint])
    result = Gradients().run(subject)
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    jsonschema.validate(document, GradientsResult.schema())
    back = GradientsResult.from_json(document)
    assert back.to_json() == document
    assert len(back.series) == 2
    assert back.layers == result.layers


# --- signals, noise, Jacobians -----------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("self-scored",)])
def test_every_part_is_there_or_says_why_not(name):
    problem = CASES[name]()
    result = Gradients(products=16).run(problem.subject(dtype="float64"))
    left = {one.part: one.reason for one in result.left_out}
    assert set(left) <= {"noise with curvature"} | {p for p in left if p.startswith("conditioning")}
    assert all(left.values())
    assert result.signals
    assert result.per_sample is not None
    assert result.jacobian is not None
    assert result.smoothness is not None
    assert result.noise is not None
    assert result.noise.simple == result.noise_scale
    batches = problem.subject().batches
    assert batches is not None
    number = batches.samples
    assert result.per_sample.samples == result.signals[0].forward.samples == number


def test_the_document_of_the_product_page():
    """What scripts may rely on, by its path."""
    answer = Gradients().run(CASES["ragged"]().subject()).to_json()["answer"]
    assert answer["layers"][0]["gradient_norm"]["value"] > 0
    assert answer["layers"][0]["weight_norm"]["value"] > 0
    assert answer["noise_scale"]["interval"][0] >= 0
    assert isinstance(answer["per_sample"]["quantiles"]["0.5"], float)
    assert isinstance(answer["per_sample"]["quantiles"]["0.95"], float)


def test_quantiles_are_tabled_with_their_intervals():
    result = Gradients(jacobian=0, steps=False).run(CASES["ragged"]().subject())
    rows = {row[0]: row[1] for table in result.tables() for row in table.rows}
    told = rows["‖gᵢ‖, quantile 0.5"]
    assert result.per_sample is not None
    assert told.value == result.per_sample.quantiles["0.5"]
    assert told.interval == result.per_sample.intervals["0.5"]
    assert told.half_width > 0


class Chain(nn.Module):
    """One weight to a layer."""

    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        ones = [nn.Linear(1, 1, bias=False, dtype=F64) for _ in weights]
        for layer, weight in zip(ones, weights, strict=True):
            layer.weight.data.fill_(weight)
        self.layers = nn.Sequential(*ones)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x) / 2**0.5


@pytest.mark.parametrize(
    "weights", [[2.0] * 8, [0.5] * 8, [1.5, 0.5, 2.0, 0.8, 1.2, 3.0]], ids=["2", "half", "mixed"]
)
def test_the_chain_has_the_gradients_of_its_closed_form(weights):
    """F = ½ (Πw − 1)²: |∂F/∂wᵢ| = |Πⱼ≠ᵢ wⱼ| |Πw − 1|; for 2: 2^(L−1) (2^L − 1)."""
    x = torch.ones(3, 1, dtype=F64)
    result = Gradients().run(Subject(Chain(weights), "mse", (x, x / 2**0.5)))
    product = float(torch.tensor(weights, dtype=F64).prod())
    for layer, weight in zip(result.layers, weights, strict=True):
        exact = abs(product / weight) * abs(product - 1)
        assert layer.gradient_norm.value == pytest.approx(exact, rel=1e-10)
    if len(set(weights)) == 1:
        weight, depth = weights[0], len(weights)
        exact = abs(weight ** (depth - 1) * (weight**depth - 1))
        assert result.layers[0].gradient_norm.value == pytest.approx(exact, rel=1e-10)
        assert result.trend is not None
        assert result.trend.value == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("gain", [0.5, 2.0, 8.0])
def test_relu_layers_have_a_gain_of_half_their_variance(gain):
    draw = torch.Generator().manual_seed(0)
    layers: list[nn.Module] = []
    for number in range(12):
        layer = nn.Linear(64, 64, bias=False)
        layer.weight.data = torch.randn(64, 64, generator=draw) * (gain / 64) ** 0.5
        layers += [nn.ReLU(), layer] if number else [layer]
    x = torch.randn(32, 64, generator=draw)
    result = Gradients().run(Subject(nn.Sequential(*layers), "mse", (x, x)))
    assert result.mean_field is not None
    assert result.mean_field.gain.value == pytest.approx(gain / 2, rel=0.15)
    assert result.mean_field.layers == 11
    assert result.matrices == 12


def test_the_trend_is_that_of_the_gradients():
    """A plain sigmoid network vanishes towards the input; the finding says so."""
    draw = torch.Generator().manual_seed(1)
    layers: list[nn.Module] = []
    for number in range(8):
        layer = nn.Linear(16, 16, dtype=F64)
        layer.weight.data = torch.randn(16, 16, generator=draw, dtype=F64) / 4
        layers += [nn.Sigmoid(), layer] if number else [layer]
    x = torch.randn(40, 16, generator=draw, dtype=F64)
    result = Gradients().run(Subject(nn.Sequential(*layers), "mse", (x, x)))
    norms = [layer.gradient_norm.value for layer in result.layers if "weight" in layer.name]
    slopes = [
        (torch.tensor(norms[j]).log() - torch.tensor(norms[i]).log()) / (j - i)
        for i in range(8)
        for j in range(i + 1, 8)
    ]
    assert result.trend is not None
    assert result.trend.value == pytest.approx(float(torch.stack(slopes).quantile(0.5)), rel=1e-5)
    assert any("vanish" in finding.sentence for finding in result.findings())


def test_softmax_at_zero_logits():
    """The bias's gradient is p − mean one-hot, and the loss ln C."""
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(2), dtype=F64)
    y = torch.randint(3, (30,), generator=torch.Generator().manual_seed(3))
    model = nn.Linear(4, 3, dtype=F64)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    result = Gradients().run(Subject(model, "ce", (x, y)))
    assert result.loss.value == pytest.approx(float(torch.tensor(3.0).log()))
    exact = (torch.full((3,), 1 / 3, dtype=F64) - torch.eye(3, dtype=F64)[y].mean(0)).norm()
    (bias,) = [layer for layer in result.layers if layer.name == "bias"]
    assert bias.gradient_norm.value == pytest.approx(float(exact))


def test_half_precision_norms_are_accumulated_in_float32_or_better():
    """Sums of squares in bfloat16 would be off by tenths."""
    draw = torch.Generator().manual_seed(0)
    grads = [
        torch.randn(n, generator=draw, dtype=torch.bfloat16) for n in (1000, 1040, 1080, 1120, 966)
    ]

    class Given(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.parts = nn.ParameterList([nn.Parameter(torch.zeros_like(g)) for g in grads])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            total = sum((p * g.to(p.dtype)).sum() for p, g in zip(self.parts, grads, strict=True))
            return x[:, 0] * 0 + total

    def plain(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return outputs + 0 * targets

    x = torch.ones(4, 1)
    result = Gradients(samples=0, jacobian=0, steps=False).run(
        Subject(Given(), plain, (x, x[:, 0]))
    )
    exact = float(torch.cat([g.double() for g in grads]).norm())
    assert result.total_norm.value == pytest.approx(exact, rel=1e-6)


def test_batches_that_mix_samples_keep_what_can_be_had():
    class Mixing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x - x.mean(0))

    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(4))
    result = Gradients().run(Subject(Mixing(), "mse", (x, x[:, :3])))
    left = {one.part: one.reason for one in result.left_out}
    assert "other samples" in left["single gradients"]
    assert "other samples" in left["Jacobian"]
    assert result.noise is None
    assert result.noise_scale.reason == left["single gradients"]
    assert result.signals
    assert result.smoothness is not None
    assert any("other samples" in value for _, value in result.trust())


def test_what_is_not_asked_for_costs_nothing():
    problem = CASES["mlp"]()
    asked = Gradients(samples=0, jacobian=0, steps=False, width=0)
    result = asked.run(problem.subject())
    assert {one.reason for one in result.left_out} == {"not asked for"}
    assert result.signals == result.conditioning == ()
    assert result.noise is result.jacobian is result.smoothness is result.per_sample is None


def test_a_bound_on_products_is_kept():
    from landscape.budget import Budget, spending

    with spending(Budget(products=8)):
        result = Gradients(products=16).run(CASES["soft-labels"]().subject())
    assert result.cost.products <= 8


def test_a_series_tells_whether_smoothness_grows_with_the_gradient():
    """F = w⁴ at eight places: β ≈ 12 w² and ‖g‖ = 4 |w|³."""

    class Fourth(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1, dtype=F64))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * self.w.square()

    model, ends = Fourth(), []
    places = [0.3, 0.5, 0.8, 1.1, 1.5, 2.0, 2.5, 3.0]
    for place in places:
        model.w.data.fill_(place)
        ends.append(Checkpoint.of_model(model, f"w = {place}"))
    x = torch.ones(4, 1, dtype=F64)
    result = Gradients().run(Subject(model, "mse", (x, 0 * x), ends))
    fit = result.series[-1].growth
    assert result.series[1].growth is None
    assert fit is not None
    assert fit.trend is not None
    assert fit.trend.interval[0] > 0
    assert fit.norms == pytest.approx([4 * w**3 for w in places])
    for w, beta in zip(places, fit.smoothness, strict=True):
        assert beta == pytest.approx(12 * w**2, rel=0.1)
    assert (fit.constant.value + fit.slope.value * fit.norms >= fit.smoothness - 1e-9).all()
    assert any("smoothness grows" in finding.sentence for finding in result.findings())


def test_train_mode_takes_the_batch_whole():
    problem = CASES["cnn"]()
    result = Gradients(samples=4).run(problem.subject(mode="train"))
    assert any("sample" in one.reason for one in result.left_out if one.part == "single gradients")
    assert result.signals


@pytest.mark.parametrize("name", ["residual", "tied", "recurrent"])
def test_figures_are_drawn(name, tmp_path):
    from landscape.figures.canvas import save

    problem = CASES[name]()
    ends = [Checkpoint.of_model(problem.model, f"step {i}") for i in range(2)]
    result = Gradients().run(problem.subject(checkpoints=ends))
    drawn = {picture.name: picture for picture in result.pictures()}
    assert set(drawn) <= set(GradientsResult.picture_names)
    assert {"signals", "samples", "series"} <= set(drawn)
    for picture in drawn.values():
        save(picture.figure(), tmp_path / f"{picture.name}.png")
        assert picture.text.endswith(".")


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["mlp", "residual", "tied", "ignored", "recurrent"])
def test_an_accelerator_tells_the_same(name):
    asked = Gradients(products=16)
    problem = CASES[name]()
    here = asked.run(problem.subject(dtype="float64"))
    there = asked.run(Subject(problem.model, problem.loss, problem.data, device="cuda",
                              dtype="float64", **problem.settings))  # fmt: skip
    assert there.total_norm.value == pytest.approx(here.total_norm.value, rel=1e-6)
    assert there.per_sample is not None
    assert here.per_sample is not None
    assert there.per_sample.lengths == pytest.approx(here.per_sample.lengths, rel=1e-6)
    assert [one.name for one in there.signals] == [one.name for one in here.signals]
    for ours, theirs in zip(here.signals, there.signals, strict=True):
        assert theirs.forward.value == pytest.approx(ours.forward.value, rel=1e-6)


def test_the_time_of_jacobians_grows_with_rows_and_layers_not_with_the_data():
    model = nn.Sequential(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))
    subject = Subject(model, "mse", [(torch.zeros(40, 6), torch.zeros(40, 3))], device="cpu")
    without, whole = (Gradients(samples=0, jacobian=one).work(subject) for one in (0, 2))
    assert (whole.gradients - without.gradients) * 40 == pytest.approx(2 * (5 + 3))
    assert whole.calls - without.calls == BACKWARD * 2
