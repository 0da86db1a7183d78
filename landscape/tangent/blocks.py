"""The factors of every parameter for a block of samples, proved to cover the whole Jacobian."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from math import inf

import torch
from torch import Tensor
from torch.func import functional_call, jacrev, vmap

from landscape.errors import DataError, NumericalError
from landscape.linalg.probes import spherical
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention
from landscape.tangent.capture import Capture, factors_of
from landscape.tangent.factors import Factors, Flat

AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}  # relative, of factors with autograd


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

    Cost: a forward pass, R + 1 backward passes; n R more for what has no factors.
    """
    tensors = {name: t.detach() for name, t in subject.network.tensors(point).items()}
    studied = set(subject.parameters.names)
    with subject.undisturbed(0), differentiable_attention():
        with torch.enable_grad(), Capture({n: tensors[n] for n in studied}) as capture:
            outputs = called(subject, tensors, batch)
            found = {}
            if outputs.requires_grad and capture.intact:
                found = factors_of(capture.uses, outputs, combine)
        outputs = outputs.detach() if combine is None else outputs.detach() @ combine
        own, unfactored, worst = _covered(subject, tensors, batch, combine, found, outputs)
    return Block(outputs=outputs, factors=own, unfactored=unfactored, agreement=worst)


def called(subject: Subject, tensors: Mapping[str, Tensor], batch: Batch) -> Tensor:  # (n, O)
    """Return the outputs that the loss reads, flat for every sample."""
    own = batch.mapped(torch.clone)
    network = subject.network
    buffers = {name for name, _ in network.model.named_buffers()}
    given = {name: t.clone() if name in buffers else t for name, t in tensors.items()}
    told = functional_call(network.model, given, own.args, dict(own.kwargs))
    read = read_by(subject.criterion)(told)
    if any(one.dim() == 0 or len(one) != batch.samples for one in read):
        raise DataError(
            "the outputs are not one for each sample",
            where="tangent kernel",
            why="a kernel compares samples",
            hint="give a network whose outputs begin with the samples",
        )
    return torch.cat([one.flatten(1) for one in read], 1)


def _covered(
    subject: Subject,
    tensors: Mapping[str, Tensor],
    batch: Batch,
    combine: Tensor | None,
    found: Mapping[str, Factors],
    outputs: Tensor,
) -> tuple[dict[str, Factors], dict[str, str], float]:
    """Return factors that agree with autograd, those that had to be computed, the worst error."""
    generator = torch.Generator().manual_seed(0)
    u = spherical(1, outputs.numel(), like=outputs[:0], generator=generator).view_as(outputs)
    truth = _pulled(subject, tensors, batch, combine, u)
    scale = max((float(torch.linalg.vector_norm(one)) for one in truth.values()), default=0.0)
    limit = AGREEMENT[outputs.dtype]
    own, unfactored, worst = dict[str, Factors](), dict[str, str](), 0.0
    for block in subject.parameters.blocks:
        name = block.name
        wanted = float(torch.linalg.vector_norm(truth[name]))
        one = found.get(name)
        if one is None and wanted == 0:
            continue  # it moves no output
        error = inf if one is None else _error(one, truth[name], u, wanted, scale)
        if error > limit:
            unfactored[name] = "used in a way without factors"
            for jacobian in _jacobians(subject, tensors, batch, combine, name):
                one = Flat(j=jacobian)
                error = _error(one, truth[name], u, wanted, scale)
                if error <= limit:
                    break
        if one is None or error > limit:
            raise NumericalError(
                f"the Jacobian of {name} does not agree with autograd",
                where="tangent kernel",
                why="samples of a batch depend on one another",
                hint="study a network in eval mode, whose samples are independent",
            )
        worst = max(worst, error)
        own[name] = one if block.kept is None else Flat(j=one.flat()[..., block.kept])
    return own, unfactored, worst


def _error(one: Factors, truth: Tensor, u: Tensor, wanted: float, scale: float) -> float:
    gap = float(torch.linalg.vector_norm(one.pulled(u) - truth.flatten()))
    return gap / max(wanted, 1e-6 * scale) if gap else 0.0


def _pulled(
    subject: Subject,
    tensors: Mapping[str, Tensor],
    batch: Batch,
    combine: Tensor | None,
    u: Tensor,
) -> dict[str, Tensor]:
    """Return Jᵀu by autograd."""
    own = {name: tensors[name].clone().requires_grad_() for name in subject.parameters.names}
    with torch.enable_grad():
        outputs = called(subject, {**tensors, **own}, batch)
        total = ((outputs if combine is None else outputs @ combine) * u).sum()
        if not total.requires_grad:
            return {name: torch.zeros_like(tensor) for name, tensor in own.items()}
        found = torch.autograd.grad(
            total, list(own.values()), allow_unused=True, materialize_grads=True
        )
    return dict(zip(own, found, strict=True))


def _jacobians(
    subject: Subject,
    tensors: Mapping[str, Tensor],
    batch: Batch,
    combine: Tensor | None,
    name: str,
) -> Iterator[Tensor]:  # each (O, n, p)
    """Yield the Jacobian of one parameter: of all samples at once, then one after another."""
    leaves = [t for t in batch.tensors() if t.dim() and len(t) == batch.samples]

    def of_sample(weight: Tensor, parts: list[Tensor]) -> Tensor:
        given = iter(parts)
        one = batch.mapped(
            lambda t: next(given)[None] if t.dim() and len(t) == batch.samples else t
        )
        outputs = called(subject, {**tensors, name: weight}, one)[0]
        return outputs if combine is None else outputs @ combine

    with suppress(RuntimeError, ValueError, DataError), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        found = vmap(jacrev(of_sample), (None, 0))(tensors[name], leaves)
        yield found.flatten(2).transpose(0, 1)
    rows = [_row(of_sample, tensors[name], [t[i] for t in leaves]) for i in range(batch.samples)]
    yield torch.stack(rows).flatten(2).transpose(0, 1)


def _row(
    outputs: Callable[[Tensor, list[Tensor]], Tensor], weight: Tensor, parts: list[Tensor]
) -> Tensor:  # (O, *shape)
    own = weight.clone().requires_grad_()
    with torch.enable_grad():
        grads = [
            torch.autograd.grad(one, own, retain_graph=True, materialize_grads=True)[0]
            for one in outputs(own, parts)
        ]
    return torch.stack(grads)
