"""Is PyTorch's second derivative of this network right? Asked before any spectrum.

Some operations have a second derivative that is wrong and raises no error. One product on a few
samples, in float64, is held against a central difference of gradients and against its transpose,
and the working precision against float64. A mismatch is an error that names the module.

This is done near the weights, not at them: where zero biases meet zero inputs, as in many networks
before training, an activation stands on its kink, and there is no second derivative to be right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from landscape.errors import DataError, LandscapeError, NumericalError, out_of_memory
from landscape.linalg.probes import spherical
from landscape.operators.faulty import faulty_part
from landscape.operators.local import Local, one_by_one
from landscape.operators.misfit import LIMITS, length, misfit
from landscape.subject.batch import Batch
from landscape.subject.regrouping import regrouped
from landscape.subject.rounding import batch_gradient
from landscape.subject.undisturbed import differentiable_attention

if TYPE_CHECKING:
    from landscape.operators.curvature import CurvatureOperator

UNSYMMETRIC = {torch.float64: 1e-6, torch.float32: 1e-2}
NEARBY = 1e-3  # how far from the weights, relative to their size
IMPRECISE = 0.05  # relative difference of float32 from float64
ROUNDED = 1e-3  # relative difference of gradients, from which it is rounding
ROUNDING = 1e-16  # relative differences below it are told as such
SAMPLES = 16
PLACES = 4  # batches that they come from
BYTES = 4 * 2**20  # intermediate results of the samples


@dataclass(frozen=True, kw_only=True)
class DerivativeCheck:
    """How well one product agrees with independent ones, each relative to the product."""

    difference: float  # from a central difference of gradients, beyond its rounding
    transpose: float  # |u·Hv − v·Hu|
    precision: float  # of the working precision from float64
    samples: int
    dtype: str  # in which it was checked

    @property
    def told(self) -> str:
        """Return the check in words."""
        return (
            f"{_size(self.difference) if self.difference else 'nothing beyond rounding'} from "
            f"central differences, {_size(self.transpose)} from its transpose ({self.dtype}, "
            f"{self.samples} samples); {_size(self.precision)} from float64"
        )


def _size(difference: float) -> str:
    return f"< {ROUNDING:g}" if difference < ROUNDING else f"{difference:.1g}"


class MissingDerivativeError(RuntimeError):
    """The derivative does not exist in PyTorch; the engine tells why in all its ways."""


def check_derivatives(operator: CurvatureOperator) -> DerivativeCheck:
    """Check an operator's derivative on a few samples.

    Raises:
        MissingDerivativeError: There is nothing to check.
        NumericalError: It is wrong; the part of the network that is to blame is named.

    Cost: about twenty gradients of a few samples.
    """
    batch = _few(operator)
    subject = operator.subject
    with subject.undisturbed(0), differentiable_attention():
        exact = _beside(_in_double(operator, batch), batch)
        theta = exact.point.theta
        local = exact.local(batch.to(theta.device, theta.dtype))
        dtype = local.precision()
        if dtype not in LIMITS:
            subject.note(f"second derivatives were not checked: the network computes in {dtype}")
            raise MissingDerivativeError(f"the network computes in {dtype}")
        u, v = _directions(theta)
        images = _products(local, torch.stack([u, v]))
        difference = misfit(local, v, images[1], dtype)
        scale = max(length(images[1]), 1e-300)
        transpose = abs(float(u @ images[1] - v @ images[0])) / scale
        if difference > LIMITS[dtype] or transpose > UNSYMMETRIC[dtype]:
            raise _wrong(exact, batch, difference, transpose)
        working = operator.at(exact.point.to(operator.dtype))
        found = _products(working.local(batch), v.to(operator.dtype).unsqueeze(0))[0]
        precision = length(found.to(theta.dtype) - images[1]) / scale
        if precision > IMPRECISE:
            _refuse_or_note(working, exact, batch, precision)
    name = str(dtype).removeprefix("torch.")
    return DerivativeCheck(
        difference=difference,
        transpose=transpose,
        precision=precision,
        samples=batch.samples,
        dtype=name,
    )


def _few(operator: CurvatureOperator) -> Batch:
    """Return a few samples, spread over the data that are at hand.

    All of the first batch where its samples depend on one another. In train mode too the check is
    made with few, normalised by themselves: with many, some always stand on a kink.
    """
    source = operator.source()
    batches = source if isinstance(source, list) else [next(iter(source))]
    if operator.engine.micro_batches.as_given:
        few = batches[0].spread(SAMPLES)
        return few if operator.subject.mode == "train" and _fits(operator, few) else batches[0]
    per_sample = operator.engine.micro_batches.bytes_per_sample
    samples = max(1, min(SAMPLES, int(BYTES / max(per_sample, 1.0))))
    places = sorted({len(batches) * part // PLACES for part in range(min(PLACES, samples))})
    each = math.ceil(samples / len(places))
    return next(regrouped((batches[place].spread(each) for place in places), samples))


def _fits(operator: CurvatureOperator, batch: Batch) -> bool:
    """Return whether the network takes a batch of another size."""
    with operator.subject.undisturbed(0), torch.no_grad():
        try:
            operator.value(batch)
        except LandscapeError:
            return False
    return True


def _in_double(operator: CurvatureOperator, batch: Batch) -> CurvatureOperator:
    """Return the operator in float64, or as it is where the network cannot be evaluated in it."""
    if operator.dtype == torch.float64:
        return operator
    exact = operator.in_precision(torch.float64)
    theta = exact.point.theta
    try:
        _products(exact.local(batch.to(theta.device, theta.dtype)), torch.zeros_like(theta)[None])
    except (LandscapeError, RuntimeError) as error:
        if out_of_memory(error) is not None:
            raise
        return operator
    return exact


def _beside(operator: CurvatureOperator, batch: Batch) -> CurvatureOperator:
    """Return the operator at a point nearby, or where it is if products are not finite there."""
    theta = operator.point.theta
    direction, probe = _directions(theta)
    moved = theta + NEARBY * max(1.0, length(theta)) * direction
    nearby = operator.at(operator.point.moved(moved))
    image = _products(nearby.local(batch.to(theta.device, theta.dtype)), probe[None])
    return nearby if bool(image.isfinite().all()) else operator


def _directions(theta: Tensor) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return spherical(2, theta.numel(), like=theta, generator=generator)


def _products(local: Local, rows: Tensor) -> Tensor:
    try:
        return local.graph()(rows)
    except (RuntimeError, NotImplementedError, DataError) as error:
        if out_of_memory(error) is not None:
            raise
    try:
        return one_by_one(local)(rows)
    except (RuntimeError, NotImplementedError, DataError) as error:
        if out_of_memory(error) is not None:
            raise
        raise MissingDerivativeError(str(error)) from error


def _refuse_or_note(
    working: CurvatureOperator, exact: CurvatureOperator, batch: Batch, precision: float
) -> None:
    """Tell of products far from those in float64: a part is wrong, or rounding adds up.

    Rounding that a second derivative shows, the first shows as well.

    Raises:
        NumericalError: A part of the network is wrong in this precision alone.
    """
    if not _rounded(working, exact, batch) and (part := faulty_part(working, batch)) is not None:
        raise _told(part, f"in {working.dtype} a product differs by {precision:.2g} from float64")
    working.subject.note(f"products in {working.dtype} differ by {precision:.1g} from float64")


def _rounded(working: CurvatureOperator, exact: CurvatureOperator, batch: Batch) -> bool:
    """Return whether the gradient of some samples is far from that in float64."""
    theta = exact.point.theta
    right = batch_gradient(exact.subject, exact.point, batch.to(theta.device, theta.dtype))
    found = batch_gradient(working.subject, working.point, batch)
    return length(found.to(theta.dtype) - right) > ROUNDED * length(right)


def _wrong(
    operator: CurvatureOperator, batch: Batch, difference: float, transpose: float
) -> NumericalError:
    told = "inf" if not math.isfinite(difference) else f"{difference:.2g}"
    return _told(
        faulty_part(operator, batch),
        f"a product differs by {told} from a central difference of gradients, and by "
        f"{transpose:.2g} from its transpose",
    )


def _told(part: str | None, why: str) -> NumericalError:
    of = f" of {part}" if part is not None else ""
    return NumericalError(
        f"the second derivative{of} is wrong",
        where=part or "the network",
        why=why,
        hint="mend its backward, replace it, or take differences instead: --product differences",
    )
