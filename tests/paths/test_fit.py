from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from landscape.errors import DataError, SettingError
from landscape.paths.barrier import Barriers, barriers
from landscape.paths.constant import best_constant
from landscape.paths.curves import Bezier, Curve, Line, PolygonalChain, evenly
from landscape.paths.fit import fit
from landscape.paths.route import Route
from landscape.paths.scan import scan
from landscape.paths.verdict import path_verdict, tolerance_of
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from tests.oracles import F64, Chain, generator
from tests.paths.networks import cnn, digits_data, mlp, pair, trained

ENDS = {"mlp": mlp, "cnn": cnn}


def fitted(kind, subject: Subject, a: Point, b: Point, *, bends: int = 1, steps: int = 600):
    start = kind(evenly(a.theta, b.theta, bends=bends))
    return fit(subject, start, a=a, b=b, steps=steps, learning_rate=5e-3, generator=generator(0))


def judged(subject: Subject, curve: Curve, a: Point, b: Point) -> Barriers:
    route = Route(subject.network, curve, a, b)
    found = scan(subject, route, list(subject.device_batches()), name=route.digest)
    return barriers(found, generator=generator(0))


@pytest.mark.parametrize("kind", [Bezier, PolygonalChain])
def test_two_wells_are_joined_round_the_hill(kind):
    """F = ½ (w₁w₂ − 1)²: zero all along w₁w₂ = 1, and 0.158 on the line."""
    ones = torch.ones(4, 1, dtype=F64)
    ends = [Chain(w) for w in ([2.0, 0.5], [0.5, 2.0])]
    subject, a, b = pair(ends, "mse", (ones, ones / 2**0.5), dtype="float64")
    curve = fitted(kind, subject, a, b, bends=3, steps=300)
    assert judged(subject, curve, a, b).loss.supremum.value < 0.158 / 50
    assert 1 < curve.stretch < 1.3


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        ("mlp", Bezier),
        ("mlp", PolygonalChain),
        pytest.param("cnn", Bezier, marks=pytest.mark.full),
    ],
)
def test_independent_networks_are_connected_by_a_curve(network, kind):
    """Theory, H7: the line rises by more than 0.2, the curve by less than 0.05."""
    models = [trained(ENDS[network], *seeds) for seeds in ((0, 1), (1, 2))]
    subject, a, b = pair(models, "ce", digits_data())
    line = judged(subject, Line(a.theta, b.theta), a, b)
    assert line.loss.supremum.interval[0] > 0.2
    curve = fitted(kind, subject, a, b)
    found = judged(subject, curve, a, b)
    assert found.loss.supremum.interval[1] < 0.05
    tolerance = tolerance_of(best_constant(subject, list(subject.device_batches())))
    assert path_verdict(line, tolerance).verdict == "barrier"
    assert path_verdict(found, tolerance).verdict == "connected"


def test_the_ends_stay_and_the_subject_is_undisturbed():
    models = [copy.deepcopy(trained(cnn, *seeds, 20)).train() for seeds in ((0, 1), (1, 2))]
    before, state = copy.deepcopy(models[0].state_dict()), torch.get_rng_state()
    subject, a, b = pair(models, "ce", digits_data())
    ends = a.theta.clone(), b.theta.clone()
    curve = fitted(Bezier, subject, a, b, steps=5)
    assert curve.at(0) is a.theta
    assert curve.at(1) is b.theta
    assert torch.equal(a.theta, ends[0])
    assert torch.equal(b.theta, ends[1])
    assert not curve.bends[0].requires_grad
    assert all(torch.equal(before[name], t) for name, t in models[0].state_dict().items())
    assert all(module.training for module in models[0].modules())
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in models[0].parameters())


def test_the_same_generator_gives_the_same_curve():
    models = [trained(mlp, *seeds) for seeds in ((0, 1), (1, 2))]
    subject, a, b = pair(models, "ce", digits_data())
    one, other = (fitted(Bezier, subject, a, b, bends=2, steps=20) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(one.bends, other.bends, strict=True))


def test_a_curve_without_bends_is_refused():
    models = [nn.Linear(2, 1), nn.Linear(2, 1)]
    subject, a, b = pair(models, "mse", (torch.ones(3, 2), torch.ones(3, 1)))
    with pytest.raises(SettingError, match="without bends"):
        fitted(Bezier, subject, a, b, bends=0)


def test_data_that_are_read_again_and_again_are_fitted_to(monkeypatch):
    """A list is passed through in random order; a stream as it comes."""
    monkeypatch.setattr("landscape.subject.batches.CACHE_LIMIT_BYTES", 0)
    models = [trained(mlp, *seeds) for seeds in ((0, 1), (1, 2))]
    subject, a, b = pair(models, "ce", digits_data())
    assert not isinstance(subject.device_batches(), list)
    curve = fitted(Bezier, subject, a, b, steps=30)
    assert not torch.equal(curve.bends[0], Bezier(evenly(a.theta, b.theta, bends=1)).bends[0])


def test_a_single_sample_does_for_no_normalisation_layer():
    models = [nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1)) for _ in range(2)]
    subject, a, b = pair(models, "mse", (torch.ones(1, 2), torch.ones(1, 1)))
    with pytest.raises(DataError, match="two samples"):
        fitted(Bezier, subject, a, b, steps=2)
