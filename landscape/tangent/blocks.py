"""The factors of every parameter for a block of samples, proved to cover the whole Jacobian."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import NumericalError, ResourceError
from landscape.linalg.probes import spherical
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention
from landscape.tangent.calling import called
from landscape.tangent.capture import Capture, Use, factors_of
from landscape.tangent.certificate import Certificate
from landscape.tangent.factors import Factors, Flat
from landscape.tangent.jacobians import jacobians
from landscape.tangent.memory import Sample


@dataclass(frozen=True, kw_only=True)
class Block:
    """The Jacobian of the outputs for some samples, parameter by parameter.

    Args:
        outputs: f (n, O), or the R combinations of them that were asked for.
        factors: By name; parameters that move no output are left out.
        unfactored: Parameters whose Jacobian was computed as it is, with the reason.
        agreement: The largest relative difference of Jᵀu from autograd.
    """

    outputs: Tensor
    factors: Mapping[str, Factors]
    unfactored: Mapping[str, str]
    agreement: float

    @property
    def samples(self) -> int:
        """Return n."""
        return len(self.outputs)

    @property
    def nbytes(self) -> int:
        """Return the memory of the factors."""
        return sum(one.nbytes for one in self.factors.values())


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """A forward pass whose graph is kept."""

    outputs: Tensor  # (n, O) or (n, R)
    parameters: Mapping[str, Tensor]
    uses: list[Use]

    def factors(self) -> dict[str, Factors]:
        return factors_of(self.uses, self.outputs) if self.outputs.requires_grad else {}


def block_of(
    subject: Subject, point: Point, batch: Batch, *, combine: Tensor | None = None
) -> Block:
    """Return the factors for a batch on the subject's device.

    Every parameter's Jᵀu at a random u is held against autograd; where the factors do not give it,
    because a use of the parameter was not seen, its Jacobian is computed sample by sample.

    Args:
        subject: Network and loss; samples must not depend on one another.
        point: Where.
        batch: On the device, in the precision of the point.
        combine: Directions (O, R); None: every output by itself.

    Raises:
        NumericalError: A Jacobian agrees with autograd in no way.

    Cost: a forward pass, R backward passes through the activations, one through the parameters as
    well; n R more for what has no factors.
    """
    with subject.undisturbed(0), differentiable_attention():
        seen = _seen(subject, point, batch, combine)
        found = seen.factors()
        certificate = _certificate(seen)
        own, errors = dict[str, Factors | None](), dict[str, float]()
        for name in subject.parameters.names:
            if name in found or not certificate.zero(name):  # else it moves no output
                own[name] = found.pop(name, None)
                errors[name] = certificate.error(name, own[name])
        lacking = _beyond(errors, certificate)
        unfactored = dict.fromkeys(lacking, "used in a way without factors")
        for made in jacobians(subject, point, batch, combine, lacking) if lacking else ():
            own |= made
            errors |= {name: certificate.error(name, one) for name, one in made.items()}
            if not _beyond(errors, certificate):
                break
        if wrong := _beyond(errors, certificate):
            raise _disagrees(wrong[0])
    kept = {part.name: part.kept for part in subject.parameters.blocks}
    factors = {n: _studied(one, kept[n]) for n, one in own.items() if one is not None}
    worst = max(errors.values(), default=0.0)
    return Block(
        outputs=seen.outputs.detach(), factors=factors, unfactored=unfactored, agreement=worst
    )


def _beyond(errors: Mapping[str, float], certificate: Certificate) -> list[str]:
    """Return the parameters whose Jacobian does not agree with autograd."""
    return [name for name, error in errors.items() if not error <= certificate.limit]


def _studied(factors: Factors, kept: Tensor | None) -> Factors:
    """Return the Jacobian in the coordinates that are studied."""
    return factors if kept is None else Flat(j=factors.flat()[..., kept])


def factored(
    subject: Subject, point: Point, batch: Batch, *, combine: Tensor | None = None
) -> tuple[dict[str, Factors], int]:
    """Return the factors that were caught, unproved, and the number of outputs.

    Cost: a forward pass, R backward passes through the activations.
    """
    with subject.undisturbed(0), differentiable_attention():
        seen = _seen(subject, point, batch, combine)
        return seen.factors(), seen.outputs.shape[1]


def probed(subject: Subject, batch: Batch, combine: Tensor | None, *, room: float) -> Sample:
    """Return what a sample takes, without a certificate.

    Raises:
        ResourceError: Not even one sample's factors fit.
    """
    with subject.undisturbed(0), differentiable_attention():
        seen = _seen(subject, subject.point, batch, combine)
        count = seen.outputs.shape[1]
        caught = {id(use.output): use.output.nbytes for use in seen.uses}
        _refuse_too_large(count * sum(caught.values()) / batch.samples, count, room)
        found = seen.factors()
        missing = [t.nbytes for name, t in seen.parameters.items() if name not in found]
    slopes = [count * one / batch.samples for one in caught.values()]
    each = sum(one.nbytes for one in found.values()) / batch.samples + count * sum(missing)
    return Sample(
        outputs=count,
        factors=each,
        slopes=sum(slopes) + count * sum(missing),
        largest=max(slopes, default=0.0),
    )


def _seen(subject: Subject, point: Point, batch: Batch, combine: Tensor | None) -> _Seen:
    tensors = {name: t.detach() for name, t in subject.network.tensors(point).items()}
    own = {name: tensors[name].detach().requires_grad_() for name in subject.parameters.names}
    with torch.enable_grad():
        with Capture(own) as capture:
            outputs = called(subject, {**tensors, **own}, batch)
        outputs = outputs if combine is None else outputs @ combine
    uses = capture.uses if capture.intact else []
    return _Seen(outputs=outputs, parameters=own, uses=uses)


def _certificate(seen: _Seen) -> Certificate:
    outputs, generator = seen.outputs, torch.Generator().manual_seed(0)
    u = spherical(1, outputs.numel(), like=outputs.detach()[:0], generator=generator)
    u = u.view_as(outputs)
    return Certificate(u=u, truth=_pulled(seen, u), generator=generator)


def _pulled(seen: _Seen, u: Tensor) -> dict[str, Tensor]:
    """Return Jᵀu by autograd."""
    if not seen.outputs.requires_grad:
        return {name: torch.zeros_like(tensor) for name, tensor in seen.parameters.items()}
    found = torch.autograd.grad(
        seen.outputs, list(seen.parameters.values()), u, allow_unused=True, materialize_grads=True
    )
    return dict(zip(seen.parameters, found, strict=True))


def _refuse_too_large(needed: float, outputs: int, room: float) -> None:
    if needed > room:
        raise ResourceError(
            f"the tangent kernel of {outputs:,} outputs does not fit",
            where="tangent kernel",
            why=f"the derivatives of one sample take {needed / 2**30:,.1f} GiB, "
            f"and {room / 2**30:,.1f} GiB are for them",
            hint="take random combinations of the outputs, --kind sketch, or --kind products",
        )


def _disagrees(name: str) -> NumericalError:
    return NumericalError(
        f"the Jacobian of {name} does not agree with autograd",
        where="tangent kernel",
        why="samples of a batch depend on one another",
        hint="study a network in eval mode, whose samples are independent",
    )
