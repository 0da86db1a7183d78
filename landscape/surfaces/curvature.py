"""The curvature of a slice, computed twice: by second differences of the loss, and by a product Hu.

The Hessian is that of the network in eval mode, at fixed statistics of normalisation layers, so
the differences are taken at fixed statistics too, whatever the picture shows. Where kinks of the
activations lie closer together than rounding lets the steps of the loss be, differences of its
slope gᵀu decide: their steps may be a thousand times smaller.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape import budget, progress
from landscape.errors import DataError, LandscapeError
from landscape.estimate import Estimate
from landscape.linalg.products import dots, lengths, norm
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from landscape.surfaces.differences import (
    Difference,
    rounding_noise,
    second_difference,
    slope_difference,
)

FIRST = 0.02  # of ‖θ‖: the largest step
FIRST_OF_SLOPES = 1e-3
RESOLVED = 0.05  # of the curvature: a doubt above it decides nothing
SMALL = 1e-3  # of ‖Hu‖: a curvature below it counts as that large, when doubts are weighed
UNSEEN = 1e-4  # of the curvature: faint kinks that every step crosses, so that no two tell of them
BEFORE = "the curvature was checked"
PRODUCT_ROUNDING = 64  # units in the last place of ‖Hu‖


@dataclass(frozen=True, kw_only=True)
class Products:
    """What a Hessian product and the gradient say of directions u with ‖u‖ = 1."""

    curvature: np.ndarray  # (k,), uᵀHu
    residual: np.ndarray  # (k,), ‖Hu − (uᵀHu) u‖
    image: np.ndarray  # (k,), ‖Hu‖
    slope: np.ndarray  # (k,), gᵀu
    reason: str  # why there are none; empty when there are


@dataclass(frozen=True, kw_only=True)
class Check:
    """The curvature along one direction at one checkpoint, computed twice.

    Args:
        direction: Its name.
        checkpoint: Where.
        difference: The second difference of the loss.
        product: uᵀHu.
        residual: ‖Hu − (uᵀHu) u‖: zero for an eigenvector.
        slope: gᵀu.
        by_slopes: The difference of slopes, where the second difference decides nothing.
        agrees: Whether products and differences agree within their doubt; None where that is too
            large to tell.
        step: Of the second difference.
        dtype: In which both were computed.
        reason: Why there is none; empty when there is.
    """

    direction: str
    checkpoint: str
    difference: Estimate
    product: Estimate | None
    residual: float
    slope: float
    by_slopes: Estimate | None
    agrees: bool | None
    step: float
    dtype: str
    reason: str


def products(subject: Subject, units: Sequence[Tensor]) -> Products:
    """Return what products and gradient say of unit vectors (n,).

    Args:
        subject: At one checkpoint, as `exactly` gives it.
        units: ‖u‖ = 1.

    Cost: a product each, and a gradient.
    """
    rows = torch.stack(list(units)).to(subject.point.theta)
    way = "reverse" if subject.product == "auto" else subject.product
    slope = dots(rows, subject.gradient(subject.point)).cpu().numpy()
    try:
        images = HessianOperator(subject, product=way).matmat(rows.T).T
    except DataError:  # the network could not be called at all
        raise
    except LandscapeError as error:
        none = np.full(len(rows), np.nan)
        return Products(curvature=none, residual=none, image=none, slope=slope, reason=error.what)
    inner = torch.stack([dots(u[None], hu)[0] for u, hu in zip(rows, images, strict=True)])
    apart = images - inner.to(rows)[:, None] * rows
    return Products(
        curvature=inner.cpu().numpy(),
        residual=lengths(apart).cpu().numpy(),
        image=lengths(images).cpu().numpy(),
        slope=slope,
        reason="",
    )


def differences(subject: Subject, units: Sequence[Tensor]) -> list[Difference]:
    """Return the second differences of the loss along unit vectors (n,), at fixed statistics.

    Args:
        subject: At one checkpoint, as `exactly` gives it.
        units: ‖u‖ = 1.

    Raises:
        BudgetError: A budget is spent on the way.

    Cost: some ten to thirty passes over the data for each.
    """
    point = subject.point
    size, unit = _scales(point.theta)
    found, noise = [], math.nan
    with progress.task("curvature along the directions") as task:
        for one in units:
            along = one.to(point.theta)

            def f(distance: float, along: Tensor = along) -> float:
                budget.require(BEFORE)
                task.advance()
                return subject.loss(point.moved(torch.add(point.theta, along, alpha=distance)))

            if math.isnan(noise):
                noise = rounding_noise(f, spacing=math.sqrt(unit) * size, unit=unit)
            found.append(second_difference(f, largest=FIRST * size, noise=noise))
    return found


def slope_differences(subject: Subject, unit: Tensor) -> Difference:
    """Return the difference of slopes of the loss along a unit vector (n,), at fixed statistics.

    Raises:
        BudgetError: A budget is spent on the way.

    Cost: some thirty gradients.
    """
    point = subject.point
    size, eps = _scales(point.theta)
    along = unit.to(point.theta)
    length = norm(subject.gradient(point))
    with progress.task("slopes along the directions") as task:

        def slope(distance: float) -> float:
            budget.require(BEFORE)
            task.advance()
            there = point.moved(torch.add(point.theta, along, alpha=distance))
            return float(dots(along[None], subject.gradient(there))[0])

        noise = rounding_noise(slope, spacing=eps**0.75 * size, unit=eps, size=length)
        return slope_difference(slope, largest=FIRST_OF_SLOPES * size, noise=noise)


def _scales(theta: Tensor) -> tuple[float, float]:
    """Return how long the weights are, and the unit of rounding."""
    return norm(theta) or 1.0, float(torch.finfo(theta.dtype).eps)


def checks(
    subject: Subject,
    units: Sequence[Tensor],
    names: Sequence[str],
    *,
    digest: str,
    checkpoint: str,
    seen: Products,
) -> tuple[Check, ...]:
    """Return the curvature along directions, computed twice; `subject.once` keeps differences.

    Args:
        subject: At one checkpoint, as `exactly` gives it.
        units: ‖u‖ = 1.
        names: Of the directions.
        digest: What tells them from others.
        checkpoint: Its name.
        seen: What products say of them.
    """

    def loss_differences(subject: Subject, *, directions: str) -> np.ndarray:
        del directions  # part of the key
        return np.array([tuple(vars(one).values()) for one in differences(subject, units)])

    def difference_of_slopes(subject: Subject, *, directions: str, number: int) -> Difference:
        del directions
        return slope_differences(subject, units[number])

    rows = subject.once(loss_differences, directions=digest)
    found = []
    for number, name in enumerate(names):
        value, error, step = (float(part) for part in rows[number])
        one = _Told(subject, seen, number)
        second = one.estimate(value, error, "second difference of the loss")
        agrees, by_slopes = one.agrees(second), None
        if not agrees and not seen.reason:
            slopes = subject.once(difference_of_slopes, directions=digest, number=number)
            by_slopes = one.estimate(slopes.value, slopes.error, "difference of slopes")
            agrees = one.agrees(by_slopes)
        found.append(
            Check(
                direction=name,
                checkpoint=checkpoint,
                difference=second,
                product=one.product,
                residual=float(seen.residual[number]),
                slope=float(seen.slope[number]),
                by_slopes=by_slopes,
                agrees=agrees,
                step=step,
                dtype=one.dtype,
                reason=seen.reason,
            )
        )
    return tuple(found)


class _Told:
    """What a product says of one direction, to hold differences against."""

    def __init__(self, subject: Subject, seen: Products, number: int) -> None:
        self.dtype = str(subject.dtype).removeprefix("torch.")
        self._q, self._image = float(seen.curvature[number]), float(seen.image[number])
        self._rounding = PRODUCT_ROUNDING * float(torch.finfo(subject.dtype).eps) * self._image

    @property
    def product(self) -> Estimate | None:
        if math.isnan(self._q):
            return None
        return _estimate(self._q, self._rounding, f"a Hessian product, {self.dtype}")

    def estimate(self, value: float, error: float, method: str) -> Estimate:
        return _estimate(value, error + UNSEEN * abs(value), f"{method}, {self.dtype}")

    def agrees(self, found: Estimate) -> bool | None:
        """Return whether a difference agrees; None where the doubt is too large to tell."""
        scale = max(abs(self._q), abs(found.value), SMALL * self._image)
        doubt = found.half_width + self._rounding
        if not math.isfinite(scale) or not doubt <= RESOLVED * scale:
            return None
        return abs(found.value - self._q) <= doubt


def _estimate(value: float, half: float, method: str) -> Estimate:
    interval = (value - half, value + half)
    return Estimate(value=value, kind="estimate", interval=interval, solver=interval, method=method)


def exactly(subject: Subject) -> Subject:
    """Return the subject in float64, or as it is where the network does not go in float64."""
    exact = subject.in_precision(torch.float64)
    try:
        exact.loss(exact.point)
    except LandscapeError:
        return subject
    return exact
