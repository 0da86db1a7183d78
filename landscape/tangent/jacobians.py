"""The Jacobians of parameters as they are, where they have no factors."""

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
    subject: Subject, point: Point, batch: Batch, combine: Tensor | None, names: list[str]
) -> Iterator[dict[str, Flat]]:
    """Yield the Jacobians of some parameters: of all samples at once, then one after another."""
    tensors = {n: t.detach() for n, t in subject.network.tensors(point).items()}
    weights = {name: tensors[name] for name in names}
    leaves = [t for t in batch.tensors() if t.dim() and len(t) == batch.samples]

    def of_sample(own: dict[str, Tensor], parts: list[Tensor]) -> Tensor:
        given = iter(parts)
        one = batch.mapped(
            lambda t: next(given)[None] if t.dim() and len(t) == batch.samples else t
        )
        outputs = called(subject, {**tensors, **own}, one)[0]
        return outputs if combine is None else outputs @ combine

    with suppress(RuntimeError, ValueError, DataError), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "There is a performance drop")
        found = vmap(jacrev(of_sample), (None, 0))(weights, leaves)
        yield {name: Flat(j=one.flatten(2)) for name, one in found.items()}
    rows = [_row(of_sample, weights, [t[i] for t in leaves]) for i in range(batch.samples)]
    yield {name: Flat(j=torch.stack([row[name] for row in rows]).flatten(2)) for name in names}


def _row(
    outputs: Callable[[dict[str, Tensor], list[Tensor]], Tensor],
    weights: dict[str, Tensor],
    parts: list[Tensor],
) -> dict[str, Tensor]:  # (O, *shape)
    own = {name: weight.clone().requires_grad_() for name, weight in weights.items()}
    with torch.enable_grad():
        grads = [
            torch.autograd.grad(
                one,
                list(own.values()),
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            )
            for one in outputs(own, parts)
        ]
    return {name: torch.stack(of) for name, of in zip(own, zip(*grads, strict=True), strict=True)}
