"""The Jacobian of one parameter as it is, where it has no factors."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress

import torch
from torch import Tensor
from torch.func import jacrev, vmap

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.tangent.calling import called
from landscape.tangent.factors import Flat


def jacobians(
    subject: Subject, point: Point, batch: Batch, combine: Tensor | None, name: str
) -> Iterator[Flat]:
    """Yield the Jacobian of one parameter: of all samples at once, then one after another."""
    tensors = {n: t.detach() for n, t in subject.network.tensors(point).items()}
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
        yield Flat(j=found.flatten(2))
    rows = [_row(of_sample, tensors[name], [t[i] for t in leaves]) for i in range(batch.samples)]
    yield Flat(j=torch.stack(rows).flatten(2))


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
