from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from landscape.subject.rounding import gradient_error, rounded_length
from landscape.subject.subject import Subject
from tests.cases import sure
from tests.oracles import F64


def gradients(model: nn.Module, data: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """The gradient in float32 and in float64."""
    found = []
    for dtype in ("float32", "float64"):
        subject = Subject(model, "ce", data, dtype=dtype)
        found.append(subject.gradient(subject.point).double())
    return found[0], found[1]


def test_the_error_of_one_group_is_what_float64_tells():
    model, data = sure(60)
    subject = Subject(model, "ce", data)
    found = gradient_error(subject, subject.point)
    assert found is not None
    rounded, exact = gradients(model, data)
    last = 2e-7 * float(exact.abs().max())  # of the division by the number of samples
    torch.testing.assert_close(found, (rounded - exact).abs(), rtol=0, atol=last)
    assert found.norm() > 1e-5 * exact.norm()  # far more than one rounding: hence this module


@pytest.mark.parametrize(("samples", "batches"), [(300, 1), (3000, 1), (3000, 10), (3001, 7)])
def test_groups_bound_the_error_of_all(samples, batches):
    model, data = sure(samples, batches)
    subject = Subject(model, "ce", data)
    error = gradient_error(subject, subject.point)
    rounded, exact = gradients(model, data)
    assert error is not None
    assert (rounded - exact).norm() <= error.norm() <= 40 * (rounded - exact).norm()
    told = rounded_length(rounded.float(), error)
    assert told.kind == "estimate"
    assert told.interval[0] <= float(exact.norm()) <= told.interval[1]


def test_groups_come_from_all_over_the_data():
    """The first batches are so sure that nothing is left of them to round."""
    model, data = sure(640, 20)
    data = [(100 * x if place < 8 else x, y) for place, (x, y) in enumerate(data)]
    subject = Subject(model, "ce", data)
    error = gradient_error(subject, subject.point)
    rounded, exact = gradients(model, data)
    assert error is not None
    assert float((rounded - exact).norm()) <= float(error.norm())


def test_in_float64_there_is_no_error():
    model, data = sure(30)
    subject = Subject(model, "ce", data, dtype="float64")
    error = gradient_error(subject, subject.point)
    assert error is not None
    assert not error.any()
    assert rounded_length(torch.tensor([3.0, 4.0], dtype=F64), error[:2]).kind == "exact"


class Single(nn.Module):
    """An operation that float64 lacks."""

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float64:
            raise RuntimeError("not implemented for 'Double'")
        return x


def test_what_cannot_be_evaluated_in_float64_has_no_known_error():
    model, data = sure(30)
    model[1] = Single()  # pyright: ignore[reportIndexIssue]
    subject = Subject(model, "ce", data)
    before = subject.point.theta.clone()
    assert gradient_error(subject, subject.point) is None
    assert torch.equal(subject.point.theta, before)
    told = rounded_length(torch.tensor([3.0, 4.0]), None)
    assert (told.value, told.kind) == (5, "estimate")
    assert "not measured" in told.method


def test_a_gradient_that_is_not_finite_has_no_interval_that_holds_nothing():
    told = rounded_length(torch.tensor([math.nan, 4.0]), torch.zeros(2))
    assert told.reason
