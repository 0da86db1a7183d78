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
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from landscape import budget, progress
from landscape.errors import DataError, LandscapeError
from landscape.estimate import Estimate, Status
from landscape.linalg.products import dots, lengths, norm
from landscape.operators.hessian import HessianOperator
from landscape.subject.files.fingerprint import fingerprint
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
GRADIENT = 3  # passes over the data that a gradient counts as
LEFT_OUT = Estimate(
    value=math.nan,
    kind="estimate",
    interval=(math.nan, math.nan),
    status=Status.SKIPPED,
    reason="left out, as it would cost more than the surface",
)


class Counted(NamedTuple):
    """A difference, and how many passes over the data it took."""

    found: Difference
    passes: int


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
        difference: The second difference of the loss; NaN where it was left out.
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

    @property
    def left_out(self) -> bool:
        """Return whether there is no difference, as it would cost more than the surface."""
        return self.difference.status is Status.SKIPPED


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


def loss_difference(subject: Subject, unit: Tensor) -> Counted:
    """Return the second difference of the loss along a unit vector (n,), at fixed statistics.

    Args:
        subject: At one checkpoint, as `exactly` gives it.
        unit: ‖u‖ = 1.

    Raises:
        BudgetError: A budget is spent on the way.

    Cost: some ten to thirty passes over the data.
    """
    point = subject.point
    size, eps = _scales(point.theta)
    along, taken = unit.to(point.theta), 0
    with progress.task("curvature along the directions") as task:

        def f(distance: float) -> float:
            nonlocal taken
            budget.require(BEFORE)
            task.advance()
            taken += 1
            return subject.loss(point.moved(torch.add(point.theta, along, alpha=distance)))

        noise = rounding_noise(f, spacing=math.sqrt(eps) * size, unit=eps)
        found = second_difference(f, largest=FIRST * size, noise=noise)
    return Counted(found, taken)


def slope_differences(subject: Subject, unit: Tensor) -> Counted:
    """Return the difference of slopes of the loss along a unit vector (n,), at fixed statistics.

    Raises:
        BudgetError: A budget is spent on the way.

    Cost: some thirty gradients, each of which counts as three passes.
    """
    point = subject.point
    size, eps = _scales(point.theta)
    along, taken = unit.to(point.theta), 0
    length = norm(subject.gradient(point))
    with progress.task("slopes along the directions") as task:

        def slope(distance: float) -> float:
            nonlocal taken
            budget.require(BEFORE)
            task.advance()
            taken += GRADIENT
            there = point.moved(torch.add(point.theta, along, alpha=distance))
            return float(dots(along[None], subject.gradient(there))[0])

        noise = rounding_noise(slope, spacing=eps**0.75 * size, unit=eps, size=length)
        found = slope_difference(slope, largest=FIRST_OF_SLOPES * size, noise=noise)
    return Counted(found, taken)


def _scales(theta: Tensor) -> tuple[float, float]:
    """Return how long the weights are, and the unit of rounding."""
    return norm(theta) or 1.0, float(torch.finfo(theta.dtype).eps)


def checks(
    subject: Subject,
    units: Sequence[Tensor],
    names: Sequence[str],
    *,
    checkpoint: str,
    seen: Products,
    most: float,
) -> tuple[Check, ...]:
    """Return the curvature along directions, computed twice; `subject.once` keeps differences.

    Args:
        subject: At one checkpoint, as `exactly` gives it.
        units: ‖u‖ = 1.
        names: Of the directions.
        checkpoint: Its name.
        seen: What products say of them.
        most: Passes over the data after which differences along no other direction are begun.
    """

    def difference(subject: Subject, *, direction: str, number: int, slopes: bool) -> np.ndarray:
        del direction  # part of the key
        found, passes = (slope_differences if slopes else loss_difference)(subject, units[number])
        return np.array([found.value, found.error, found.step, passes])

    spent, checked = 0.0, list[Check]()
    for number, name in enumerate(names):
        one = _Told(subject, seen, number)
        second, step, agrees, by_slopes = LEFT_OUT, math.nan, None, None
        if not spent or spent < most:
            key = {"direction": fingerprint({"vector": units[number]}), "number": number}
            value, error, step, passes = subject.once(difference, **key, slopes=False).tolist()
            spent += passes
            second = one.estimate(value, error, "second difference of the loss")
            agrees = one.agrees(second)
            if not agrees and not seen.reason:
                value, error, _, passes = subject.once(difference, **key, slopes=True).tolist()
                spent += passes
                by_slopes = one.estimate(value, error, "difference of slopes")
                agrees = one.agrees(by_slopes)
        checked.append(
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
    return tuple(checked)


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
