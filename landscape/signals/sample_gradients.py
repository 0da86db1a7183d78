"""Lengths of the gradients of single samples, computed a few at a time and never kept."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.func import grad, vmap

from landscape import progress
from landscape.errors import LandscapeError, out_of_memory
from landscape.linalg.memory import free_bytes
from landscape.signals.samples import Samples, UnavailableError, rows_of
from landscape.subject.batch import Batch

CHUNK_BYTES = 2**28  # of gradients that are held at a time
SHARE = 8  # and at most one part of so many of the free memory
ADDS_UP = 1e-3  # relative, of the mean of the samples' gradients with the gradient
MISSING = re.compile(  # what PyTorch says where it cannot vectorise over samples
    r"vmap|functorch|batching rule|data pointer|storage|transform|shape|as_strided",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True)
class SampleGradients:
    """What is kept of gᵢ, the gradients of N samples whose mean is g.

    Args:
        squares: ‖gᵢ‖² (N,).
        dots: gᵢ · g (N,).
        way: How they were computed.
    """

    squares: np.ndarray  # (N,)
    dots: np.ndarray  # (N,)
    way: str

    @property
    def norms(self) -> np.ndarray:  # (N,)
        """Return ‖gᵢ‖."""
        return np.sqrt(self.squares)


def sample_gradients(samples: Samples) -> SampleGradients:
    """Return the lengths of the gradients of single samples, and their products with the mean.

    Samples are taken together by `vmap` where the network allows it, and one after another where it
    does not; never more gradients are held than fit into an eighth of the free memory.

    Raises:
        UnavailableError: The network mixes samples, or a gradient is not finite.

    Cost: about two forward and backward passes over the samples; by far more where they are taken
    one after another. Memory: 256 MiB, or one gradient.

    Source: Abadi et al. 2016, arXiv 1607.00133 (what they are for).
    """
    samples.check()
    direction = samples.gradient
    gather = _Gather(samples, direction)
    with samples.quiet(), progress.task("gradients of single samples", samples.number) as task:
        for batch in samples.batches:
            for part in gather(batch):
                task.advance(part)
    squares, dots = (np.concatenate(parts) for parts in (gather.squares, gather.dots))
    if not (np.isfinite(squares).all() and np.isfinite(dots).all()):
        raise UnavailableError("the gradient of a sample is not finite")
    whole = float(direction.square().sum())
    if abs(dots.mean() - whole) > ADDS_UP * max(whole, np.sqrt(whole * squares.mean())):
        raise UnavailableError("the gradients of the samples do not add up to the gradient")
    return SampleGradients(squares=squares, dots=dots, way=gather.way)


class _Gather:
    """Goes through batches, in the way that the network allows."""

    def __init__(self, samples: Samples, direction: Tensor) -> None:
        self._samples, self._direction = samples, direction
        self.squares: list[np.ndarray] = []
        self.dots: list[np.ndarray] = []
        self.way = "vectorised over samples"

    def __call__(self, batch: Batch) -> Iterator[int]:
        """Take the samples of a batch, and say how many were taken."""
        for rows in torch.arange(batch.samples).split(self._chunk()):
            part = rows_of(batch, rows)
            self._keep(self._gradients(part))
            yield len(rows)

    def _chunk(self) -> int:
        theta = self._samples.point.theta
        room = min(CHUNK_BYTES, free_bytes(theta.device) // SHARE)
        return max(int(room // theta.nbytes), 1)

    def _gradients(self, batch: Batch) -> Iterator[Tensor]:
        """Yield blocks of gradients (k, n)."""
        if self.way == "vectorised over samples":
            try:
                yield _together(self._samples, batch)
            except (RuntimeError, NotImplementedError, LandscapeError) as error:
                told = error.what if isinstance(error, LandscapeError) else str(error)
                if out_of_memory(error) is None and MISSING.search(told) is None:
                    raise
                self.way = "one sample after another"
            else:
                return
        for row in range(batch.samples):
            alone = rows_of(batch, torch.tensor([row]))
            yield _gradient(self._samples.objective(alone), self._samples.point.theta)[None]

    def _keep(self, blocks: Iterator[Tensor]) -> None:
        scale = self._samples.scale
        for block in blocks:
            lengths = torch.linalg.vector_norm(block, dim=1, dtype=torch.float64)
            along = torch.stack([(row.double() * self._direction).sum() for row in block])
            self.squares.append((lengths * scale).square().cpu().numpy())
            self.dots.append((along * scale).cpu().numpy())


def _gradient(objective: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:  # (n,)
    theta = theta.detach().requires_grad_()
    value = objective(theta)
    if not value.requires_grad:
        return torch.zeros_like(theta)
    return torch.autograd.grad(value, theta)[0]


def _together(samples: Samples, batch: Batch) -> Tensor:  # (b, n)
    """Return the gradients of all samples of a batch at once."""
    size = batch.samples
    tensors = list(batch.tensors())
    along = tuple(0 if t.dim() and len(t) == size else None for t in tensors)

    def alone(theta: Tensor, *parts: Tensor) -> Tensor:
        single = iter(
            part if axis is None else part.unsqueeze(0)
            for part, axis in zip(parts, along, strict=True)
        )
        return samples.objective(batch.mapped(lambda _: next(single)))(theta)

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There is a performance drop")
        found = vmap(grad(alone), in_dims=(None, *along))(samples.point.theta.detach(), *tensors)
    return found.detach()
