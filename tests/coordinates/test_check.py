"""The coordinate check against closed forms, on networks of several kinds, and what it refuses."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.coordinates.check import _module, _overall
from landscape.coordinates.family import drawn_from
from landscape.coordinates.optimizer import optimizer_of
from landscape.coordinates.result import CoordcheckResult
from landscape.coordinates.trace import Trace, _Seen, followed
from landscape.diagnostics import result_of
from landscape.errors import InputError, LandscapeError, ModelError, SettingError
from landscape.estimate import Status
from landscape.subject.batch import as_batch
from landscape.subject.losses import BUILT_IN
from tests.coordinates import families
from tests.coordinates.families import drawn, samples

NARROW = (16, 32, 64, 128)


def checked(model: Any, data: Any = None, **settings: Any) -> CoordcheckResult:
    return ls.Coordcheck(**{"widths": NARROW, "seeds": 3, "steps": 2, **settings}).run(
        model, samples() if data is None else data
    )


def traced(
    model: nn.Module, item: Any, loss: str = "mse", *, steps: int = 1, rate: float = 0.1
) -> Trace:
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    batch, criterion = as_batch(item, 0), BUILT_IN[loss]()
    return followed(model, batch, criterion, optimizer, steps=steps, seed=0)


# --- closed forms ------------------------------------------------------------------------------


def test_a_step_of_gradient_descent_on_two_linear_layers():
    """h = Ux, f = vᵀh, L = mean (f − y)²: U and v after one step by hand."""
    x = torch.randn(5, 3, generator=drawn(0), dtype=torch.float64)
    y = torch.randn(5, 1, generator=drawn(1), dtype=torch.float64)
    net = nn.Sequential(nn.Linear(3, 7, bias=False), nn.Linear(7, 1, bias=False)).double()
    u, v = (layer.weight.detach().clone() for layer in net)  # type: ignore[union-attr]
    h = x @ u.T
    f = h @ v.T
    slope = 2 * (f - y) / 5
    after_u, after_v = u - 0.1 * (slope @ v).T @ x, v - 0.1 * slope.T @ h
    after_h = x @ after_u.T
    after_f = after_h @ after_v.T

    found = traced(net, (x, y))
    assert found.names == ("0", "1")
    sizes = [[one.abs().mean() for one in pair] for pair in ((h, f), (after_h, after_f))]
    np.testing.assert_allclose(found.size, sizes, rtol=1e-12)
    changes = [[0, 0], [(after_h - h).abs().mean(), (after_f - f).abs().mean()]]
    np.testing.assert_allclose(found.change, changes, rtol=1e-12)
    losses = [(f - y).square().mean(), (after_f - y).square().mean()]
    np.testing.assert_allclose(found.loss, losses, rtol=1e-12)


def test_weights_of_variance_one_grow_by_half_a_power_a_layer():
    found = checked(families.unscaled, widths=(32, 64, 128, 256), seeds=5, steps=1)
    for layer, expected in enumerate((0.0, 0.5, 1.0)):
        slope = found.modules[layer].sizes[0]
        assert slope is not None
        assert slope.value == pytest.approx(expected, abs=0.1)
        assert slope.interval[0] <= expected <= slope.interval[1]
    assert [one.outcome for one in found.modules[1:3]] == ["fail", "fail"]
    worst = found.findings()[0]
    assert worst.severity == "critical"
    assert worst.sentence.startswith("Before training, the activations of 2 Linear grow")


def test_gradient_descent_on_two_linear_layers_scales_as_it_must():
    """v of variance 1/n: after a step Δh is of the order n^−½ and Δf of the order n."""

    def build(width: int) -> nn.Module:
        net = nn.Sequential(nn.Linear(16, width, bias=False), nn.Linear(width, 1, bias=False))
        nn.init.normal_(net[0].weight, std=0.25)  # type: ignore[arg-type]
        nn.init.normal_(net[1].weight, std=width**-0.5)  # type: ignore[arg-type]
        return net

    x = torch.randn(32, 16, generator=drawn(0))
    found = checked(
        build,
        [(x, 20 + x[:, :1])],
        widths=(64, 128, 256, 512),
        optimizer="sgd",
        learning_rate=1e-3,
        steps=1,
        seeds=6,
    )
    hidden, output = (one.changes[0] for one in found.modules)
    assert hidden is not None
    assert hidden.value == pytest.approx(-0.5, abs=0.12)
    assert output is not None
    assert output.value == pytest.approx(1, abs=0.12)
    assert found.verdict == "fail"
    assert found.module("0").outcome == "fail"  # it vanishes


def test_the_standard_parametrisation_fails_and_the_maximal_update_passes():
    wide = {"widths": (32, 64, 128, 256), "seeds": 8}
    standard = checked(families.standard, **wide)
    assert standard.verdict == "fail"
    output = standard.module("4").changes[0]
    assert output is not None
    assert output.value == pytest.approx(1.1, abs=0.3)  # Adam: every weight moves alike
    assert standard.module("0").outcome != "fail"
    maximal = checked(families.maximal, optimizer=families.scaled, **wide)
    assert maximal.verdict == "pass"
    assert maximal.module("4").sizes[0] is None  # the output is zero at the start
    assert maximal.module("2").changes[0] is None  # and hands nothing back
    assert (standard.exit_code, maximal.exit_code) == (1, 0)


def test_what_a_weight_has_learnt_by_itself():
    """(W₁ − W₀) z₁ of every layer after one step, by hand: of the second, at its input of now."""
    x = torch.randn(5, 3, generator=drawn(0), dtype=torch.float64)
    y = torch.randn(5, 2, generator=drawn(1), dtype=torch.float64)
    first, second = nn.Linear(3, 7), nn.Linear(7, 2)
    net = nn.Sequential(first, nn.Tanh(), second).double()
    before = [layer.weight.detach().clone() for layer in (first, second)]
    found = traced(net, (x, y))
    z = torch.tanh(first(x)).detach()
    expected = [
        float(((layer.weight.detach() - old) @ given.T).abs().mean())
        for layer, old, given in zip((first, second), before, (x, z), strict=True)
    ]
    np.testing.assert_allclose(found.learnt[:, [0, 2]], [[0, 0], expected], rtol=1e-9)
    assert found.weighted == {"0", "2"}
    assert not found.learnt[:, 1].any()


def test_what_convolutions_and_embeddings_have_learnt():
    """Where there is no bias, the change of the first layer is that of its weight alone."""
    strided = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular", stride=2, bias=False)
    net = nn.Sequential(strided, nn.Flatten(), nn.Linear(36, 3))
    image = torch.randn(4, 1, 6, 6, generator=drawn(2))
    found = traced(net, (image, torch.arange(4) % 3), "ce")
    np.testing.assert_allclose(found.learnt[1, 0], found.change[1, 0], rtol=1e-3)
    words = nn.Sequential(nn.Embedding(11, 4), nn.Flatten(), nn.Linear(12, 3))
    tokens = torch.randint(11, (4, 3), generator=drawn(3))
    found = traced(words, (tokens, torch.arange(4) % 3), "ce")
    np.testing.assert_allclose(found.learnt[1, 0], found.change[1, 0], rtol=1e-3)
    assert found.learnt[1, 0] > 0


def test_a_layer_that_stops_learning_is_seen_whatever_comes_from_below():
    """Adam with a hidden rate as width^−3/2 in place of width^−1: ΔW z falls as width^−1/2."""

    def stopping(model: Any, width: int) -> torch.optim.Optimizer:
        optimizer = families.scaled(model, width)
        rate = optimizer.param_groups[1]["lr"]
        rest = optimizer.param_groups[0]["params"]
        hidden = {"params": [model[2].weight], "lr": rate * (32 / width) ** 0.5}
        return torch.optim.Adam(
            [{"params": rest, "lr": 0.01}, hidden, {"params": [model[4].weight]}], lr=rate
        )

    wide = {"widths": (32, 64, 128, 256), "seeds": 8}
    found = checked(families.standard, optimizer=stopping, **wide)
    hidden = found.module("2")
    assert hidden.steepest_change is not None
    assert hidden.steepest_change[1].interval[1] > -0.25  # what comes from below hides it
    assert hidden.steepest_own is not None
    assert hidden.steepest_own[1].value == pytest.approx(-0.5, abs=0.1)
    assert (hidden.outcome, found.verdict) == ("fail", "fail")
    (told,) = (one for one in found.findings() if "by itself" in one.sentence)
    assert "2 Linear learns by itself vanishes with the width" in told.sentence
    assert not any("What training does" in one.sentence for one in found.findings())
    right = checked(families.standard, optimizer=families.scaled, **wide).module("2")
    assert right.steepest_own is not None
    assert abs(right.steepest_own[1].value) < 0.1


WIDTHS = np.array(NARROW, dtype=np.float64)
FLAT = np.ones((3, len(NARROW), 2))


def power(exponent: float) -> np.ndarray:  # (seeds, w, 2)
    return FLAT * (WIDTHS**exponent)[None, :, None]


@pytest.mark.parametrize(
    ("size", "change", "own", "outcome"),
    [
        (0.0, 0.0, 0.0, "pass"),
        (-1.0, 0.0, 0.0, "pass"),  # outputs of µP fall before training
        (0.5, 0.0, 0.0, "fail"),
        (0.0, -0.5, 0.0, "fail"),
        (0.0, 0.5, 0.0, "fail"),
        (0.0, 0.0, -0.5, "fail"),
        (0.0, 0.0, 0.5, "fail"),
    ],
)
def test_what_fails(size, change, own, outcome):
    seen = power(size), power(change), power(own)
    assert _module("x", "Linear", NARROW, seen, 0.25).outcome == outcome


def test_nothing_that_moved_is_no_pass():
    still = _module("x", "Linear", NARROW, (FLAT, 0 * FLAT, 0 * FLAT), 0.25)
    assert still.outcome == "pass"
    assert _overall([still]) == "undecided"
    assert _overall([still, _module("y", "ReLU", NARROW, (FLAT, FLAT, None), 0.25)]) == "pass"


def test_a_change_by_rounding_is_none():
    seen, module, x = _Seen(), nn.ReLU(), torch.full((100,), 3.0)
    found = []
    for shown in (x, torch.nextafter(x, 2 * x), x * (1 + 1e-5)):
        seen.begin()
        seen.left("relu", module, shown)
        found.append(float(seen.means()[1, 0]))
    assert found == [0, 0, pytest.approx(3e-5, rel=0.05)]


def test_the_batch_is_of_all_batches():
    found = checked(families.convolutional, families.images(), widths=(4, 8, 16))
    assert found.cost.samples == 12
    few = checked(families.convolutional, families.images(), widths=(4, 8, 16), samples=9)
    assert few.cost.samples == 9


def test_frozen_weights_are_not_trained():
    net: Any = families.standard(8)
    net[0].weight.requires_grad_(False)
    (group,) = optimizer_of("adam", None)(net, 8).param_groups
    assert all(one is not net[0].weight for one in group["params"])
    assert len(group["params"]) == 5
    frozen = optimizer_of(lambda model: torch.optim.SGD([model[0].weight], lr=1.0), None)
    with pytest.raises(InputError, match="holds no parameter of the network"):
        frozen(net, 8)


@pytest.mark.full
@pytest.mark.parametrize("zero", [False, True])
def test_the_maximal_update_passes_as_it_comes(zero):
    """Table 3 of arXiv 2203.03466, four layers, with the default widths, seeds and steps."""

    def build(width: int) -> nn.Module:
        layers = [nn.Linear(a, b) for a, b in pairwise([16, width, width, width])]
        for layer in layers:
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
            nn.init.zeros_(layer.bias)
        output = nn.Linear(width, 4)
        nn.init.normal_(output.weight, std=0.0 if zero else 1 / width)
        nn.init.zeros_(output.bias)
        parts = [part for layer in layers for part in (layer, nn.ReLU())]
        return nn.Sequential(*parts, output)

    def optimizer(model: Any, width: int) -> torch.optim.Optimizer:
        wide = [model[k].weight for k in (2, 4, 6)]
        rest = [one for one in model.parameters() if all(one is not other for other in wide)]
        groups = [{"params": rest}, {"params": wide, "lr": 1e-3 * 128 / width}]
        return torch.optim.Adam(groups, lr=1e-3)

    found = ls.Coordcheck(optimizer=optimizer).run(build, samples(128))
    assert found.verdict == "pass"


def test_few_seeds_of_narrow_networks_decide_nothing():
    found = checked(families.maximal, widths=(2, 3, 4), seeds=2, steps=1)
    assert found.verdict == "undecided"
    assert found.exit_code == 7


# --- networks of several kinds -----------------------------------------------------------------


def test_a_tied_transformer_with_mapping_batches_and_dropout():
    found = checked(families.Transformer, families.sentences(), widths=(8, 16, 32))
    names = [one.name for one in found.modules]
    assert names[:2] == ["embedding", "attention"]
    assert "head" in names
    assert "" not in names  # it hands on what the head gave
    assert "feed" not in names
    for module in found.modules:
        assert all(slope is not None for slope in module.changes)
        assert np.isfinite(module.size).all()
    assert found.status.settled


def test_batch_normalisation_normalises_by_the_batch_of_training():
    found = checked(families.convolutional, families.images(), widths=(4, 8, 16), steps=3)
    normalised = found.module("1")
    assert (normalised.size < 1).all()  # E|x| ≤ √E x² = 1
    assert (normalised.size > 0.6).all()


def test_what_is_written_over_in_place_was_seen_before():
    item, found = families.images()[0], list[Trace]()
    for inplace in (True, False):
        with torch.random.fork_rng():
            torch.default_generator.manual_seed(3)
            net = families.convolutional(4, inplace=inplace)
        found.append(traced(net, item, "ce", steps=2))
    assert found[0].names == found[1].names == ("0", "1", "2", "3", "4", "5")
    np.testing.assert_array_equal(found[0].size, found[1].size)
    np.testing.assert_array_equal(found[0].change, found[1].change)


def test_a_module_that_is_called_twice_is_the_mean_over_its_calls():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared = nn.Linear(3, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.shared(self.shared(x))

    x = torch.randn(4, 3, generator=drawn(0))
    net = Twice()
    with torch.no_grad():
        first = net.shared(x)
        expected = (first.abs().mean() + net.shared(first).abs().mean()) / 2
    assert traced(net, (x, x)).size[0, 0] == pytest.approx(float(expected), rel=1e-6)


def test_dropout_draws_the_same_mask_at_every_step():
    net = nn.Sequential(nn.Linear(3, 64), nn.Dropout(0.5), nn.Linear(64, 3))
    x = torch.randn(8, 3, generator=drawn(0))
    found = traced(net, (x, x), steps=2, rate=1e-30)
    assert not found.change.any()
    assert found.loss[0] == found.loss[1] == found.loss[2]


def test_an_activation_whose_shape_changes_is_not_compared():
    class Shrinking(nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.body, self.calls = nn.Linear(16, width), 0
            self.taken, self.head = nn.Identity(), nn.Linear(width, 4)

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            x = self.body(x)
            self.taken(x[: -self.calls])
            return self.head(x)

    found = checked(Shrinking)
    assert found.module("taken").outcome == "undecided"
    assert found.status is Status.NOT_FINITE
    assert found.verdict != "pass"
    assert any("followed" in one.sentence for one in found.findings())


def test_networks_that_diverge_do_not_pass():
    found = checked(families.maximal, optimizer="sgd", learning_rate=1e30, steps=3)
    assert found.status is Status.NOT_FINITE
    assert found.verdict != "pass"


def test_training_that_moves_nothing_is_undecided():
    found = checked(families.standard, optimizer="sgd", learning_rate=1e-30)
    assert found.verdict == "undecided"
    assert found.findings()[0].sentence == "Training moved nothing."


# --- what is kept ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answer() -> CoordcheckResult:
    return checked(families.standard)


def test_the_same_seed_gives_the_same_answer(answer):
    again = checked(families.standard)
    assert again.answer() == answer.answer()
    other = checked(families.standard, seed=7)
    assert other.answer() != answer.answer()


def test_the_global_generators_are_as_before():
    before = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
    checked(families.standard, steps=1)
    assert torch.equal(torch.random.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]  # type: ignore[index]


def test_widths_draw_independently():
    assert len({drawn_from(seed, width) for seed in range(9) for width in NARROW}) == 9 * 4


def test_the_document(answer):
    document = json.loads(json.dumps(answer.to_json(), allow_nan=False))
    assert document["schema"] == "landscape/coordcheck/2"
    jsonschema.validate(document, CoordcheckResult.schema())
    back = result_of(document)
    assert isinstance(back, CoordcheckResult)
    assert back.to_json() == answer.to_json()
    assert (back.summary(), back.exit_code) == (answer.summary(), answer.exit_code)
    assert document["settings"]["optimizer"] == "adam, learning rate 0.01"


def test_tables_and_words(answer):
    exponents, losses = answer.tables()
    assert len(exponents.rows) == 5
    assert [row[0] for row in losses.rows] == list(NARROW)
    assert losses.rows[0][1] == sum(p.numel() for p in families.standard(16).parameters())
    assert "\n" not in answer.summary()
    assert dict(answer.headline())


def test_figures(answer, tmp_path):
    answer.plot(tmp_path / "main.svg")
    assert "ReLU" in (tmp_path / "main.svg").read_text()
    for picture in answer.pictures():
        picture.figure()
    assert tuple(one.name for one in answer.pictures()) == CoordcheckResult.picture_names


# --- what is refused ---------------------------------------------------------------------------


def deeper(width: int) -> nn.Module:
    layers = [nn.Linear(16, 16) for _ in range(width // 16)]
    return nn.Sequential(*layers, nn.Linear(16, 4))


def fixed(width: int) -> nn.Module:
    torch.default_generator.manual_seed(0)
    return families.standard(width)


def raising(width: int) -> nn.Module:
    raise ValueError(f"no width {width}")


class Refusing(nn.Module):
    """It computes in eval mode alone."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = families.standard(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            raise ValueError("not in training")
        return self.body(x)


def refused() -> Iterator[tuple[str, Any, dict[str, Any], type[LandscapeError], str]]:
    build = families.standard
    yield "depth", deeper, {}, ModelError, "has other modules than that of width 16"
    yield "constant", lambda width: build(8), {}, ModelError, "does not grow with the width"  # noqa: ARG005
    yield "no width", lambda size: build(size), {}, ModelError, "takes no width"
    yield "seeded", fixed, {}, ModelError, "the same weights whatever the seed"
    yield "raises", raising, {}, ModelError, "failed when it was called"
    yield "no module", lambda width: width, {}, ModelError, "torch.nn.Module"
    yield "training", Refusing, {}, ModelError, "not in training"
    yield "network", build(8), {}, ModelError, "takes no width"
    yield "two widths", build, {"widths": (8, 16)}, SettingError, "widths 8, 16"
    yield "twice", build, {"widths": (8, 8, 16)}, SettingError, "widths"
    yield "one seed", build, {"seeds": 1}, SettingError, "at least 2"
    yield "tolerance", build, {"tolerance": math.inf}, SettingError, "above 0"
    yield "optimizer", build, {"optimizer": "adamm"}, SettingError, "adam"
    yield "none", build, {"optimizer": lambda model: None}, InputError, "expected torch.optim"  # noqa: ARG005
    yield "rate", build, {"optimizer": foreign, "learning_rate": 1.0}, SettingError, "no learning"
    yield "foreign", build, {"optimizer": foreign}, InputError, "holds no parameter"
    yield "needs", build, {"optimizer": lambda model, other: None}, InputError, "no optimizer"  # noqa: ARG005
    yield "broken", build, {"optimizer": lambda model: model.heads}, InputError, "raised Attribute"


def foreign(model: nn.Module) -> torch.optim.Optimizer:
    del model
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)


@pytest.mark.parametrize(
    ("model", "settings", "kind", "told"), [pytest.param(*row[1:], id=row[0]) for row in refused()]
)
def test_refusals(model, settings, kind, told):
    with pytest.raises(kind) as error:
        checked(model, **settings)
    assert told in str(error.value)


def test_labels_that_no_output_stands_for():
    with pytest.raises(InputError, match="label 9 but the model has 4 outputs"):
        checked(families.standard, [(torch.randn(4, 16), torch.tensor([0, 1, 2, 9]))])
