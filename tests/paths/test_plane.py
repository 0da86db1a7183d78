from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.errors import SettingError
from landscape.paths.evaluation import evaluate
from landscape.paths.plane import Plane
from landscape.subject.subject import Subject
from tests.oracles import F64, generator


def three(size: int = 9) -> list[Tensor]:
    return [torch.randn(size, generator=generator(i), dtype=F64) for i in range(3)]


def test_the_three_points_are_given_back_themselves():
    given = three()
    plane = Plane(*given)
    for point, place in zip(given, plane.positions, strict=True):
        assert plane.at(*place) is point


def test_the_axes_are_orthogonal_and_positions_are_projections():
    a, b, c = three()
    plane = Plane(a, b, c)
    u, v = plane.at(1, 0) - a, plane.at(0, 1) - a
    assert float(u @ v) == pytest.approx(0, abs=1e-12)
    assert plane.lengths == pytest.approx((float(u.norm()), float(v.norm())))
    for point, place in zip((a, b, c), plane.positions, strict=True):
        assert plane.position(point) == pytest.approx(place, abs=1e-12)
        torch.testing.assert_close(a + place[0] * u + place[1] * v, point)
    assert plane.position(plane.at(0.3, -1.7)) == pytest.approx((0.3, -1.7))


@pytest.mark.parametrize("third", [0.0, 0.5, 1.0, -3.0])
def test_three_points_on_a_line_are_refused(third):
    a, b, _ = three()
    with pytest.raises(SettingError, match="on a line"):
        Plane(a, b, a + third * (b - a))
    with pytest.raises(SettingError, match="on a line"):
        Plane(a, a, b)


class Bowl(nn.Module):
    """x² + 3y² of its two parameters, for every row of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(2, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        x0, y0 = self.weights
        return (x0**2 + 3 * y0**2) * x


def itself(outputs: Tensor, targets: Tensor) -> Tensor:
    return outputs[:, 0] + 0 * targets


def test_the_surface_of_a_quadratic_has_constant_second_differences():
    """Kills combs: shifted rows and columns of a grid."""
    subject = Subject(Bowl(), itself, (torch.ones(4, 1, dtype=F64), torch.zeros(4)))
    corners = [torch.tensor(p, dtype=F64) for p in ([0.2, 0.1], [1.0, -0.4], [0.5, 1.3])]
    plane, size = Plane(*corners), 9
    axis = np.linspace(-0.5, 1.5, size)
    grid = [(x, y) for y in axis for x in axis]
    found = evaluate(
        subject,
        lambda k: subject.point.moved(plane.at(*grid[int(k)])),
        range(len(grid)),
        list(subject.device_batches()),
    )
    surface = found.loss.reshape(size, size)
    u, v = corners[1] - corners[0], plane.at(0, 1) - corners[0]
    step = axis[1] - axis[0]
    for along, direction in ((1, u), (0, v)):
        second = np.diff(surface, 2, axis=along) / step**2
        curvature = 2 * float(direction[0] ** 2 + 3 * direction[1] ** 2)
        np.testing.assert_allclose(second, curvature, rtol=1e-10)
