"""Is PyTorch's second derivative of this network right? Asked before any spectrum.

Some operations have a second derivative that is wrong and raises no error. One product on a few
samples, in float64, is held against a central difference of gradients and against its transpose,
and the working precision against float64. A mismatch is an error that names the module.
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
from landscape.subject.batch import Batch
from landscape.subject.undisturbed import differentiable_attention

if TYPE_CHECKING:
    from landscape.operators.curvature import CurvatureOperator

STEPS = (1e-4, 1e-5, 1e-6, 1e-7)  # relative to the size of the weights; kinks want small ones
WRONG = 1e-3  # relative difference that rounding and kinks do not explain
UNSYMMETRIC = 1e-6
IMPRECISE = 0.05  # relative difference of float32 from float64
SAMPLES = 16
BYTES = 64 * 2**20  # intermediate results of the samples


@dataclass(frozen=True, kw_only=True)
class DerivativeCheck:
    """How well one product agrees with independent ones, each relative to the product."""

    difference: float  # from a central difference of gradients
    transpose: float  # |u·Hv − v·Hu|
    precision: float  # of the working precision from float64
    samples: int
    dtype: str  # in which it was checked

    @property
    def told(self) -> str:
        """Return the check in words."""
        return (
            f"{self.difference:.1g} from central differences, {self.transpose:.1g} from its "
            f"transpose ({self.dtype}, {self.samples} samples); {self.precision:.1g} from float64"
        )


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
        exact, dtype = _in_double(operator, batch)
        theta = exact.point.theta
        local = exact.local(batch.to(theta.device, theta.dtype))
        generator = torch.Generator().manual_seed(0)
        u, v = spherical(2, theta.numel(), like=theta, generator=generator)
        images = _products(local, torch.stack([u, v]))
        difference = min(_misfit(local, v, images[1], step) for step in STEPS)
        scale = _length(images[1])
        transpose = abs(float(u @ images[1] - v @ images[0])) / max(scale, 1e-300)
        working = operator.local(batch)
        found = _products(working, v.to(operator.dtype).unsqueeze(0))[0]
        precision = _length(found.to(theta.dtype) - images[1]) / max(scale, 1e-300)
        loose = 1.0 if dtype == torch.float64 else 100.0
        if difference > WRONG * loose or transpose > UNSYMMETRIC * loose**2:
            raise _wrong(exact, batch, difference, transpose)
    if precision > IMPRECISE:
        subject.note(f"products in {operator.dtype} differ by {precision:.1g} from float64")
    name = str(dtype).removeprefix("torch.")
    return DerivativeCheck(
        difference=difference,
        transpose=transpose,
        precision=precision,
        samples=batch.samples,
        dtype=name,
    )


def _few(operator: CurvatureOperator) -> Batch:
    """Return a few samples of the first batch."""
    first = next(iter(operator.source()))
    per_sample = operator.engine.micro_batches.bytes_per_sample
    return first.head(max(1, min(SAMPLES, int(BYTES / max(per_sample, 1.0)))))


def _in_double(operator: CurvatureOperator, batch: Batch) -> tuple[CurvatureOperator, torch.dtype]:
    """Return the operator in float64, or as it is where the network cannot be evaluated in it."""
    if operator.dtype == torch.float64:
        return operator, torch.float64
    exact = operator.in_precision(torch.float64)
    theta = exact.point.theta
    try:
        _products(exact.local(batch.to(theta.device, theta.dtype)), torch.zeros_like(theta)[None])
    except (LandscapeError, RuntimeError) as error:
        if out_of_memory(error) is not None:
            raise
        return operator, operator.dtype
    return exact, torch.float64


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


def _misfit(local: Local, vector: Tensor, image: Tensor, step: float) -> float:
    """Return how far a product is from a central difference, relative, beyond rounding."""
    difference, noise = local.difference(vector, step)
    scale = max(_length(image), _length(difference))
    beyond = max(_length(image - difference) - noise, 0.0)
    return beyond / scale if scale > 0 else 0.0


def _length(vector: Tensor) -> float:
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def _wrong(
    operator: CurvatureOperator, batch: Batch, difference: float, transpose: float
) -> NumericalError:
    part = faulty_part(operator, batch)
    of = f" of {part}" if part is not None else ""
    told = "inf" if not math.isfinite(difference) else f"{difference:.2g}"
    return NumericalError(
        f"the second derivative{of} is wrong",
        where=part or type(operator).__name__,
        why=f"a product differs by {told} from a central difference of gradients, and by "
        f"{transpose:.2g} from its transpose",
        hint="mend its backward, replace it, or take differences instead: --product differences",
    )
