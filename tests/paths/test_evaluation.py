from __future__ import annotations

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import InputError, ModelError
from landscape.paths.curves import Bezier, Line, evenly
from landscape.paths.evaluation import evaluate, evaluate_outputs
from landscape.paths.route import Route
from landscape.paths.together import together_pays
from landscape.subject.batch import Batch
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.normalisation import refreshed, some_batches, statistics_of
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from tests.cases import CASES, Residual, labels, normal, seeded, with_statistics
from tests.paths.networks import cnn as digits_cnn
from tests.paths.networks import digits_data, mlp, pair, trained

TS = (0.0, 0.25, 0.5, 1.0)
RAGGED = (7, 4, 1)


def images() -> list[tuple[Tensor, Tensor]]:
    return [
        (normal(b, 1, 6, 6, seed=i), labels(b, classes=4, seed=i)) for i, b in enumerate(RAGGED)
    ]


def residual() -> nn.Module:
    return with_statistics(Residual())


def residuals(**settings: Any) -> tuple[Subject, Point, Point]:
    models = [seeded(residual, seed).double() for seed in (0, 1)]
    return pair(models, "ce", images(), dtype="float64", **settings)


def line(subject: Subject, a: Point, b: Point) -> Route:
    return Route(subject.network, Line(a.theta, b.theta), a, b)


# --- what is measured --------------------------------------------------------------------------


def test_every_sample_has_the_loss_of_the_interpolated_network():
    """Against a module whose state dict is interpolated by hand."""
    models = [
        seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)), s).double()
        for s in (0, 1)
    ]
    data = [(normal(b, 5, seed=b), labels(b, classes=3, seed=b)) for b in RAGGED]
    subject, a, b = pair(models, "ce", data, dtype="float64")
    found = evaluate(subject, line(subject, a, b), TS, list(subject.device_batches()))
    x = torch.cat([x for x, _ in data]).double()
    y = torch.cat([y for _, y in data])
    assert found.errors is not None
    for t, losses, errors in zip(TS, found.losses, found.errors, strict=True):
        other = copy.deepcopy(models[0])
        states = [model.state_dict() for model in models]
        other.load_state_dict({k: (1 - t) * states[0][k] + t * states[1][k] for k in states[0]})
        z = other(x)
        expected = F.cross_entropy(z, y, reduction="none").detach().numpy()
        np.testing.assert_allclose(losses, expected, rtol=1e-10)
        np.testing.assert_array_equal(errors, (z.argmax(1) != y).numpy())
    assert found.stale is None
    assert found.loss[0] == pytest.approx(subject.loss(a), rel=1e-12)
    assert found.loss[-1] == pytest.approx(subject.loss(b), rel=1e-12)


@pytest.mark.parametrize(
    "name",
    [
        "tied",
        "ignored",
        "regression",
        "binary",
        "pixels",
        "self-scored",
        "frozen",
        "masked",
        "soft-labels",
    ],
)
def test_weighted_means_are_the_losses_of_the_subject(name):
    subject = CASES[name]().subject(dtype="float64")
    a = subject.point
    b = a.moved(a.theta + 0.1 * normal(len(a.theta), seed=0).double())
    route = line(subject, a, b)
    found = evaluate(subject, route, TS, list(subject.device_batches()), refresh=False)
    assert found.weights.sum() == subject.count
    for t, loss in zip(TS, found.loss, strict=True):
        assert loss == pytest.approx(subject.loss(route(t)), rel=1e-9)


def test_between_equal_ends_every_loss_is_the_same_bit_for_bit():
    models = [seeded(residual, 0), seeded(residual, 0)]
    subject, a, b = pair(models, "ce", images())
    for curve in (Line(a.theta, b.theta), Bezier(evenly(a.theta, b.theta, bends=2))):
        route = Route(subject.network, curve, a, b)
        found = evaluate(
            subject, route, np.linspace(0, 1, 7).tolist(), list(subject.device_batches())
        )
        assert (found.losses == found.losses[0]).all()


def test_outputs_of_anything_are_evaluated_alike():
    subject, a, b = residuals()
    route, batches = line(subject, a, b), list(subject.device_batches())
    direct = evaluate(subject, route, TS, batches, refresh=False)
    other = evaluate_outputs(subject, lambda t, x: subject.outputs(route(t), x), TS, batches)
    np.testing.assert_array_equal(direct.losses, other.losses)
    np.testing.assert_array_equal(direct.errors, other.errors)


@pytest.mark.parametrize(
    "name", ["ragged", "tied", "ignored", "regression", "binary", "pixels", "soft-labels"]
)
def test_losses_taken_in_one_call_are_those_of_each_point(name, monkeypatch):
    subject = CASES[name]().subject(dtype="float64")
    a = subject.point
    route = line(subject, a, a.moved(a.theta * 1.1))
    batches = list(subject.device_batches())
    joined = evaluate(subject, route, TS, batches)
    monkeypatch.setattr("landscape.paths.evaluation.JOINED_BYTES", 0)
    apart = evaluate(subject, route, TS, batches)
    np.testing.assert_allclose(joined.losses, apart.losses, rtol=1e-13)
    np.testing.assert_array_equal(joined.weights, apart.weights)
    if joined.errors is None or apart.errors is None:
        assert joined.errors is apart.errors
    else:
        np.testing.assert_array_equal(joined.errors, apart.errors)


# --- statistics of normalisation layers --------------------------------------------------------


def test_statistics_are_recomputed_at_every_point_from_the_training_data():
    subject, a, b = residuals()
    route = line(subject, a, b)
    held = [Batch((normal(9, 1, 6, 6, seed=9).double(),), {}, labels(9, classes=4, seed=9))]
    found = evaluate(subject, route, TS, held)
    assert found.stale is not None
    for t, loss, stale in zip(TS, found.loss, found.stale, strict=True):
        own = refreshed(subject, route(t), some_batches(subject))
        for point, value in ((own, loss), (route(t), stale)):
            with torch.no_grad(), subject.undisturbed(0):
                z = subject.outputs(point, held[0])
            assert value == pytest.approx(float(F.cross_entropy(z, held[0].targets)), rel=1e-10)
    assert not np.allclose(found.loss, found.stale, rtol=1e-3)


def test_stale_statistics_are_told_only_when_asked_for():
    subject, a, b = residuals()
    batches = list(subject.device_batches())
    route = line(subject, a, b)
    quiet = evaluate(subject, route, TS, batches, stale=False)
    assert quiet.stale is not None
    assert np.isnan(quiet.stale).all()
    kept = evaluate(subject, route, TS, batches, refresh=False)
    assert kept.stale is None
    assert kept.loss[0] == pytest.approx(subject.loss(a), rel=1e-10)


def test_the_route_between_averages_statistics_as_state_dicts_are_averaged():
    subject, a, b = residuals()
    route = line(subject, a, b)
    assert route(0) is a
    assert route(1.0) is b
    middle = route(0.5)
    for name in statistics_of(subject.network.model):
        torch.testing.assert_close(middle.rest[name], (a.rest[name] + b.rest[name]) / 2)
    counter = "norm1.num_batches_tracked"
    assert torch.equal(middle.rest[counter], a.rest[counter])
    assert route.digest != line(subject, b, a).digest
    other = route.along(Bezier(evenly(a.theta, b.theta, bends=1)))
    assert other.digest != route.digest
    assert line(subject, a, b).digest == route.digest


def test_ends_that_differ_in_what_does_not_move_are_refused():
    models = [seeded(residual, seed) for seed in (0, 1)]
    subject, a, b = pair(models, "ce", images(), params="head.*")
    with pytest.raises(InputError, match=r"stem\.weight, which the path does not move") as raised:
        line(subject, a, b)
    assert "--params all" in raised.value.hint


def test_masked_coordinates_are_compared_by_what_is_held_fixed():
    def subject_of(change: float) -> tuple[Subject, Point, Point]:
        one, other = (seeded(lambda: nn.Linear(3, 2), 0) for _ in range(2))
        with torch.no_grad():
            other.weight[0, 0] += 1.0  # studied
            other.weight[1, 1] += change  # held fixed
        mask = torch.zeros(2, 3, dtype=torch.bool)
        mask[0, 0] = True
        data = (normal(5, 3, seed=0), labels(5, classes=2, seed=0))
        return pair([one, other], "ce", data, params="weight", mask={"weight": mask})

    assert line(*subject_of(0.0))(0.5).theta.numel() == 1
    with pytest.raises(InputError, match="weight"):
        line(*subject_of(1.0))


# --- at once over stacked weights --------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "residual", "tied", "multihead", "ignored", "masked"])
def test_points_at_once_give_what_they_give_one_by_one(name):
    subject = CASES[name]().subject(dtype="float64")
    a = subject.point
    b = a.moved(a.theta + 0.1 * normal(len(a.theta), seed=0).double())
    route, batches = line(subject, a, b), list(subject.device_batches())
    alone, stacked = (
        evaluate(subject, route, TS, batches, together=together) for together in (False, True)
    )
    np.testing.assert_allclose(stacked.losses, alone.losses, rtol=1e-9)


# --- guards ------------------------------------------------------------------------------------


def test_a_loss_without_samples_is_refused():
    subject = CASES["custom-mean"]().subject()
    with pytest.raises(ModelError, match="no loss for single samples"):
        evaluate(subject, lambda _: subject.point, TS, list(subject.device_batches()))


def test_points_that_do_not_fit_are_made_again(monkeypatch):
    subject, a, b = residuals()
    route, batches = line(subject, a, b), list(subject.device_batches())
    kept = evaluate(subject, route, TS, batches)
    monkeypatch.setattr("landscape.paths.evaluation.KEPT_BYTES", 0)
    again = evaluate(subject, route, TS, batches)
    np.testing.assert_array_equal(kept.losses, again.losses)


def test_the_model_and_the_generators_are_as_before():
    model = seeded(residual, 0).train()
    other = seeded(residual, 1)
    before = copy.deepcopy(model.state_dict())
    state = torch.get_rng_state()
    subject, a, b = pair([model, other], "ce", images())
    evaluate(subject, line(subject, a, b), TS, list(subject.device_batches()))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert torch.equal(state, torch.get_rng_state())


def test_joined_points_are_in_order():
    subject, a, b = residuals()
    route, batches = line(subject, a, b), list(subject.device_batches())
    whole = evaluate(subject, route, TS, batches)
    parts = evaluate(subject, route, TS[1:3], batches).joined(
        evaluate(subject, route, (0.0, 1.0), batches)
    )
    np.testing.assert_array_equal(parts.t, whole.t)
    np.testing.assert_array_equal(parts.losses, whole.losses)
    np.testing.assert_array_equal(parts.errors, whole.errors)
    np.testing.assert_array_equal(parts.stale, whole.stale)


# --- what it costs -----------------------------------------------------------------------------


def least(function: Callable[[], object], repeats: int) -> float:
    """The shortest of some CPU times."""
    found = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        found.append(time.process_time() - start)
    return min(found)


@pytest.mark.full
def test_points_on_a_path_cost_what_plain_evaluations_cost():
    """25 points of a CNN against a loop over the module itself, on the same data."""
    models = [trained(digits_cnn, *seeds, 50) for seeds in ((0, 1), (1, 2))]
    subject, a, b = pair(models, "ce", digits_data())
    batches, model = list(subject.device_batches()), models[0]
    route, ts = line(subject, a, b), np.linspace(0, 1, 25).tolist()

    def plain() -> None:
        with torch.no_grad():
            for _ in ts:
                for batch in batches:
                    z = model(batch.args[0])
                    float(F.cross_entropy(z, batch.targets, reduction="sum"))

    least(plain, 2)
    evaluate(subject, route, ts, batches, refresh=False)
    turns = [  # in turn: what slows the machine down meets both
        (least(lambda: evaluate(subject, route, ts, batches, refresh=False), 1), least(plain, 1))
        for _ in range(10)
    ]
    own, bare = map(min, zip(*turns, strict=True))
    assert own <= 1.15 * bare


@pytest.mark.gpu
def test_small_networks_are_evaluated_faster_at_once_on_a_gpu():
    models = [trained(mlp, *seeds, 50) for seeds in ((0, 1), (1, 2))]
    checkpoints = [Checkpoint.of_model(model) for model in models]
    subject = Subject(models[0], "ce", digits_data(), checkpoints, device="cuda")
    a, b = (subject.point_of(one) for one in subject.checkpoints)
    points = [line(subject, a, b)(float(t)) for t in np.linspace(0, 1, 25)]
    with subject.undisturbed(0), torch.no_grad():
        batch = next(iter(subject.device_batches()))
        assert together_pays(subject, points, batch), subject.provenance()["notes"]
