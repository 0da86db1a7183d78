from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.errors import SettingError
from landscape.paths.barrier import Barriers, barrier, barriers
from landscape.paths.curves import Line
from landscape.paths.evaluation import Evaluated
from landscape.paths.route import Route
from landscape.paths.scan import scan
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from tests.cases import labels, normal, seeded
from tests.oracles import F64, Chain, generator
from tests.paths.networks import digits_data, mlp, pair, trained

T = np.linspace(0, 1, 11)


def scanned(subject: Subject, a: Point, b: Point) -> Evaluated:
    route = Route(subject.network, Line(a.theta, b.theta), a, b)
    return scan(subject, route, list(subject.device_batches()), name=route.digest)


def found_on(subject: Subject, a: Point, b: Point) -> Barriers:
    return barriers(scanned(subject, a, b), generator=generator(0))


# --- closed forms ------------------------------------------------------------------------------


def test_two_wells_have_the_barrier_of_their_closed_form():
    """F = ½ (w₁w₂ − 1)² between (2, ½) and (½, 2): ½ (1.25² − 1)² = 0.158203125 at the middle."""
    ones = torch.ones(3, 1, dtype=F64)
    ends = [Chain(w) for w in ([2.0, 0.5], [0.5, 2.0])]
    subject, a, b = pair(ends, "mse", (ones, ones / 2**0.5), dtype="float64")
    found = found_on(subject, a, b).loss
    assert found.supremum.value == pytest.approx(0.158203125, abs=1e-12)
    assert found.supremum.interval == pytest.approx((0.158203125, 0.158203125), abs=1e-3)
    assert found.argmax == 0.5
    for other in (found.mean, found.maximum, found.midpoint):
        assert other.value == pytest.approx(0.158203125, abs=1e-12)


def test_a_quadratic_has_the_closed_form_of_its_curvature():
    """B(t) = −½ t (1 − t) hᵀHh, never positive; H = 2 XᵀX / n."""
    x, y = normal(40, 3, seed=0).double(), normal(40, 1, seed=1).double()
    ends = [seeded(lambda: nn.Linear(3, 1, bias=False), s).double() for s in (0, 1)]
    subject, a, b = pair(ends, "mse", (x, y), dtype="float64")
    found = scanned(subject, a, b)
    h = b.theta - a.theta
    sag = 0.5 * float(h @ (2 * x.T @ x / 40) @ h)
    excess = found.loss - (1 - found.t) * found.loss[0] - found.t * found.loss[-1]
    np.testing.assert_allclose(excess, -sag * found.t * (1 - found.t), atol=1e-13)
    told = barriers(found, generator=generator(0)).loss
    assert told.supremum.value == 0
    assert told.supremum.interval[0] == 0
    assert told.midpoint.value == pytest.approx(-sag / 4)


@pytest.mark.parametrize("seed", range(5))
def test_a_convex_loss_has_no_barrier(seed):
    ends = [seeded(lambda: nn.Linear(4, 3), 10 * seed + s).double() for s in (0, 1)]
    data = (3 * normal(50, 4, seed=seed).double(), labels(50, classes=3, seed=seed))
    subject, a, b = pair(ends, "ce", data, dtype="float64")
    assert found_on(subject, a, b).loss.supremum.value == 0


def test_a_network_against_itself_has_no_barrier_and_no_doubt():
    model = trained(mlp, 0, 1)
    subject, a, b = pair([model, model], "ce", digits_data())
    found = found_on(subject, a, b)
    assert found.error is not None
    for one in (found.loss, found.error):
        assert one.supremum.value == 0
        assert one.supremum.interval == (0, 0)
        assert one.hidden == 0


# --- definitions -------------------------------------------------------------------------------


def test_the_definitions_differ_where_the_ends_do():
    """A monotone slope: nothing rises above the line, and half of the fall above the mean."""
    values = np.outer(1 - T, np.ones(6)) + 0.5
    found = barrier(T, values, np.ones(6), seed=0)
    assert found.supremum.value == pytest.approx(0, abs=1e-12)
    assert found.mean.value == pytest.approx(0.5)
    assert found.maximum.value == pytest.approx(1.5)
    assert found.midpoint.value == pytest.approx(0)
    assert found.by("mean") is found.mean


def test_the_definitions_by_hand():
    mean = np.array([1.0, 2, 4, 3, 2, 2, 2, 5, 2, 1, 0])
    values = np.tile(mean[:, None], (1, 4)) + normal(1, 4, seed=0).numpy() * 0
    found = barrier(T, values, np.array([1.0, 2, 3, 4]), seed=0)
    line = 1 - T
    assert found.supremum.value == pytest.approx((mean - line).max())
    assert found.argmax == pytest.approx(0.7)
    assert found.mean.value == pytest.approx(5 - 0.5)
    assert found.maximum.value == 5
    assert found.midpoint.value == pytest.approx(2 - 0.5)
    np.testing.assert_allclose(found.value, mean)
    assert found.supremum.interval[1] == pytest.approx(found.supremum.value + found.hidden)


def test_the_band_hugs_the_ends_and_holds_the_curve():
    rng = np.random.default_rng(0)
    values = rng.random((11, 300)) + np.outer(T * (1 - T), np.ones(300))
    found = barrier(T, values, np.ones(300), seed=0)
    assert found.lower[0] == found.value[0] == found.upper[0]
    assert found.lower[-1] == pytest.approx(found.value[-1], abs=1e-15)
    assert (found.lower <= found.value).all()
    assert (found.value <= found.upper).all()
    again = barrier(T, values, np.ones(300), seed=0)
    assert again.supremum == found.supremum


def test_losses_that_are_not_finite_are_told():
    values = np.ones((11, 20))
    values[4] = np.inf
    found = barrier(T, values, np.ones(20), seed=0)
    assert found.supremum.value == np.inf
    assert found.supremum.reason is not None
    assert found.argmax == pytest.approx(0.4)


def test_few_wrong_samples_leave_the_doubt_of_a_count():
    """None of 50 was wrong anywhere: up to 7 percent may be, though nothing differed."""
    losses = normal(11, 50, seed=0).double().numpy()
    evaluated = Evaluated(
        t=T, losses=losses, errors=np.zeros((11, 50)), weights=np.ones(50), stale=None
    )
    found = barriers(evaluated, generator=generator(0)).error
    assert found is not None
    assert found.supremum.value == 0
    assert 0.06 < found.supremum.interval[1] < 0.09
    assert found.upper[0] == 0


def test_the_points_that_a_barrier_needs_must_be_there():
    for t in (T[1:], T[:-1], np.linspace(0, 1, 10)):
        with pytest.raises(SettingError, match="0, ½ and 1"):
            barrier(t, np.ones((len(t), 3)), np.ones(3), seed=0)


# --- what real networks show -------------------------------------------------------------------


class Permuted(nn.Sequential):
    """A network with the units of its hidden layers shuffled: the same function."""

    def __init__(self, model: nn.Module, seed: int) -> None:
        first, act, second, other, last = (model[i] for i in range(5))  # type: ignore[index]
        p, q = (torch.randperm(64, generator=generator(seed + i)) for i in (0, 1))

        def layer(weight: Tensor, bias: Tensor) -> nn.Linear:
            made = nn.Linear(weight.shape[1], weight.shape[0])
            made.load_state_dict({"weight": weight, "bias": bias})
            return made

        super().__init__(
            layer(first.weight[p], first.bias[p]),
            act,
            layer(second.weight[q][:, p], second.bias[q]),
            other,
            layer(last.weight[:, q], last.bias),
        )


def test_a_shuffled_copy_lies_behind_a_barrier():
    model = trained(mlp, 0, 1)
    subject, a, b = pair([model, Permuted(model, 0)], "ce", digits_data())
    found = found_on(subject, a, b)
    assert found.loss.supremum.interval[0] > 0.2
    assert found.error is not None
    assert found.error.supremum.interval[0] > 0.02


def test_independent_networks_lie_behind_a_barrier():
    """Theory, H7: more than 0.2 in loss."""
    subject, a, b = pair([trained(mlp, 0, 1), trained(mlp, 1, 2)], "ce", digits_data())
    found = found_on(subject, a, b)
    assert found.loss.supremum.interval[0] > 0.2
    assert 0.3 < found.loss.argmax < 0.7
