from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from landscape.estimate import Estimate
from landscape.operators.hessian import HessianOperator
from landscape.spectra.critical_point import CRITERIA, CriticalPoint, Kind, critical_point
from landscape.spectra.escape import Escape, escape_along
from landscape.subject.subject import Subject
from tests.oracles import F64, chain, softmax_regression

CELL = 60  # characters that a terminal shows of one


def studied(model: nn.Module, loss: str, data: tuple[Tensor, Tensor]) -> CriticalPoint:
    """The kind of point, from the dense Hessian."""
    subject = Subject(model, loss, data)
    point = subject.point
    values, vectors = torch.linalg.eigh(HessianOperator(subject).to_dense())
    gradient, value = subject.gradient(point), subject.loss(point)
    escape = None
    if values[0] < 0:
        escape = escape_along(
            lambda theta: subject.loss(point.moved(theta)),
            point.theta,
            vectors[:, 0],
            loss=value,
            slope=float(gradient @ vectors[:, 0]),
            curvature=Estimate.exact(float(values[0])),
        )
    return critical_point(
        loss=value,
        gradient_norm=Estimate.exact(float(gradient.norm())),
        weights=point.theta,
        largest=Estimate.exact(float(values[-1])),
        smallest=Estimate.exact(float(values[0])),
        escape=escape,
    )


def test_the_origin_of_a_product_is_a_saddle_and_the_escape_lowers_the_loss():
    found = studied(*with_loss(chain([0, 0])))
    assert found.verdict == "saddle"
    assert found.smallest is not None
    assert found.smallest.value == pytest.approx(-1)
    assert isinstance(found.escape, Escape)
    assert found.escape.lowered
    # along (1, 1)/√2 the loss is ½ (s²/2 − 1)²: zero at s = √2
    assert abs(found.escape.step) == pytest.approx(1.0)
    assert found.escape.lowest.value == pytest.approx(0.125)
    assert found.escape.predicted.value == pytest.approx(0.5)
    assert "lowers the loss" in found.sentence


def with_loss(problem: tuple[nn.Module, tuple[Tensor, Tensor]]):
    model, data = problem
    return model, "mse", data


def test_a_third_order_saddle_is_flat_to_second_order():
    assert studied(*with_loss(chain([0, 0, 0]))).verdict == "plateau"


def test_a_minimum_of_the_chain_is_minimum_like():
    found = studied(*with_loss(chain([2, 0.5, 4, 0.25])))
    assert found.verdict == "minimum-like"
    assert found.share_of_loss is None or found.predicted_decrease.value < 1e-20


def test_a_bowl_is_not_stationary_on_its_wall_and_a_minimum_at_its_bottom():
    x = torch.eye(3, dtype=F64)
    y = torch.tensor([[1.0], [2.0], [3.0]], dtype=F64)
    model = nn.Linear(3, 1, bias=False, dtype=F64)
    nn.init.zeros_(model.weight)
    wall = studied(model, "mse", (x, y))
    assert wall.verdict == "not stationary"
    # L = |θ − y|²/3 has λ = 2/3, and a step of 1/λ reaches the bottom: the whole loss is gained
    assert wall.predicted_decrease.value == pytest.approx(14 / 3)
    assert wall.share_of_loss is not None
    assert wall.share_of_loss.value == pytest.approx(1)
    with torch.no_grad():
        model.weight.copy_(y.T)
    assert studied(model, "mse", (x, y)).verdict == "minimum-like"


def test_dead_units_are_a_plateau():
    hidden = nn.Linear(4, 5, dtype=F64)
    nn.init.constant_(hidden.bias, -1e3)
    model = nn.Sequential(hidden, nn.ReLU(), nn.Linear(5, 1, bias=False, dtype=F64))
    x = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert studied(model, "mse", (x, torch.ones(20, 1, dtype=F64))).verdict == "plateau"


def test_a_top_is_maximum_like():
    found = critical_point(
        loss=1.0,
        gradient_norm=Estimate.exact(0.0),
        weights=torch.ones(4, dtype=F64),
        largest=Estimate.exact(-1.0),
        smallest=Estimate.exact(-2.0),
    )
    assert found.verdict == "maximum-like"


def test_negative_curvature_that_is_small_against_the_largest_is_neglected():
    def kind(smallest: float, residual: float) -> str:
        low = Estimate(
            value=smallest,
            kind="estimate",
            interval=(smallest - residual, smallest + residual),
        )
        return critical_point(
            loss=1.0,
            gradient_norm=Estimate.exact(1e-6),
            weights=torch.ones(4),
            largest=Estimate.exact(10.0),
            smallest=low,
        ).verdict

    assert kind(-0.05, 1e-4) == "minimum-like"
    assert kind(-0.5, 1e-4) == "saddle"
    assert kind(-0.5, 0.6) == "minimum-like"  # its residual does not exclude zero


def test_without_a_smallest_eigenvalue_it_is_undecided():
    found = critical_point(
        loss=1.0,
        gradient_norm=Estimate.exact(0.0),
        weights=torch.ones(4),
        largest=Estimate.exact(1.0),
        smallest=None,
    )
    assert found.verdict == "undecided"


def test_the_verdict_does_not_change_with_the_scale_of_the_loss():
    kinds = set()
    for scale in (1e-6, 1.0, 1e6):
        kinds.add(
            critical_point(
                loss=0.5 * scale,
                gradient_norm=Estimate.exact(0.01 * scale),
                weights=torch.ones(9, dtype=F64),
                largest=Estimate.exact(10.0 * scale),
                smallest=Estimate.exact(-1.0 * scale),
            ).verdict
        )
    assert kinds == {"saddle"}


def test_logistic_regression_before_training_is_not_stationary():
    model, data, _ = softmax_regression()
    assert studied(model, "ce", data).verdict == "not stationary"


def test_no_escape_from_a_bowl():
    found = escape_along(
        lambda theta: float(theta.square().sum()),
        torch.zeros(2, dtype=F64),
        torch.tensor([1.0, 0.0], dtype=F64),
        loss=0.0,
        slope=0.0,
        curvature=Estimate.exact(2.0),
    )
    assert not found.lowered
    assert found.decrease.value == 0
    assert math.isfinite(found.lowest.value)


def test_what_an_escape_gains_is_known_to_rounding_and_its_prediction_to_the_residual():
    """L = −(1.5 + 0.1) x²: the curvature that is told is off by its residual."""
    low = Estimate(value=-3.0, kind="estimate", interval=(-3.2, -2.8), residual=0.2)
    found = escape_along(
        lambda theta: 1.0 - 1.6 * float(theta[0]) ** 2,
        torch.zeros(2),
        torch.tensor([1.0, 0.0]),
        loss=1.0,
        slope=0.0,
        curvature=low,
    )
    gain = 1.6 * found.step**2
    for one in (found.predicted, found.decrease):
        assert one.interval[0] - 1e-12 <= gain <= one.interval[1] + 1e-12
    assert found.predicted.half_width == pytest.approx(0.1 * found.step**2)
    assert 0 < found.decrease.half_width < 1e-5


@pytest.mark.parametrize(("decrease", "kind"), [(0.002, "saddle"), (0.0005, "minimum-like")])
def test_little_negative_curvature_counts_where_its_step_gains(decrease, kind):
    escape = Escape(
        step=1,
        loss=Estimate.exact(1),
        lowest=Estimate.exact(1 - decrease),
        decrease=Estimate.exact(decrease),
        predicted=Estimate.exact(0.03),
        lowered=True,
    )
    found = critical_point(
        loss=1.0,
        gradient_norm=Estimate.exact(1e-6),
        weights=torch.ones(4),
        largest=Estimate.exact(10.0),
        smallest=Estimate.exact(-0.05),
        escape=escape,
    )
    assert found.verdict == kind


def test_the_predicted_decrease_takes_the_doubt_of_the_larger_eigenvalue_whole():
    def pair(low: float, value: float, high: float) -> Estimate:
        return Estimate(value=value, kind="estimate", interval=(low, high), residual=0.0)

    def decrease(
        largest: Estimate, smallest: Estimate | None, slope: Estimate | None = None
    ) -> Estimate:
        return critical_point(
            loss=1.0,
            gradient_norm=slope or Estimate.exact(2.0),
            weights=torch.ones(4),
            largest=largest,
            smallest=smallest,
        ).predicted_decrease

    found = decrease(pair(4, 5, 8), None)  # wider than a residual: the products' noise
    assert (found.value, found.interval) == (0.4, (0.25, 0.5))
    found = decrease(pair(4, 5, 6), pair(-16, -10, -8))  # of λ_min, as it is the larger
    assert (found.value, found.interval) == (0.2, (0.125, 0.25))
    found = decrease(pair(5, 5, math.inf), pair(-1, -1, -1))  # others may lie beyond
    assert found.interval == (0.0, 0.4)
    found = decrease(pair(-1, 1, 2), None)
    assert found.interval == (1.0, math.inf)
    found = decrease(pair(4, 5, 8), None, pair(1, 2, 4))  # and that of the gradient
    assert (found.value, found.interval) == (0.4, (1 / 16, 2.0))


def test_every_kind_has_criteria_that_fit_a_cell():
    assert set(CRITERIA) == set(get_args(Kind))
    assert max(len(told) for criteria in CRITERIA.values() for told in criteria) <= CELL
