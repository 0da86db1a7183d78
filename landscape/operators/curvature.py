"""What the curvature operators have in common: a subject, a point and the product engine."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property
from typing import Self

import torch
from torch import Tensor

from landscape.errors import LandscapeError, out_of_memory
from landscape.linalg.memory import free_bytes
from landscape.linalg.operator import LinearOperator
from landscape.operators.derivatives import (
    DerivativeCheck,
    MissingDerivativeError,
    check_derivatives,
)
from landscape.operators.engine import Engine
from landscape.operators.local import Local
from landscape.operators.memory import SHARE, block_size
from landscape.operators.microbatches import Grouping
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Product, Subject


class CurvatureOperator(LinearOperator):
    """A symmetric matrix over the studied parameters that is a mean over the data.

    Args:
        subject: Network, loss and data.
        point: Where; the subject's last checkpoint by default.
        product: How products are computed; None: as the subject says.
        batch_size: Samples in a micro-batch; None: as the subject says. In train mode there is one
            batch, which is never split.
    """

    def __init__(
        self,
        subject: Subject,
        point: Point | None = None,
        *,
        product: Product | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.point = point if point is not None else subject.point
        theta = self.point.theta
        super().__init__((theta.numel(), theta.numel()), dtype=theta.dtype, device=theta.device)
        self.subject = subject
        self._block = subject.ranks.from_first(lambda: block_size(theta), "a block")
        self._product: Product = product or subject.product
        self._batch_size = batch_size or subject.batch_size

    @abstractmethod
    def local(self, batch: Batch) -> Local:
        """Return the share of a micro-batch."""

    def source(self) -> Iterable[Batch]:
        """Return the batches on the device, as the data give them."""
        return self.subject.device_batches()

    def value(self, batch: Batch) -> Tensor:
        """Return a sum over the samples of a batch, by one forward pass."""
        return self.subject.objective(self.point, batch)(self.point.theta)

    @cached_property
    def engine(self) -> Engine:
        """Return what computes the products."""
        room = int(SHARE * free_bytes(self.device))
        block = self._block
        micro_batches = Grouping(
            self.subject, self.value, self.source, self._batch_size, room=room, block=block
        )
        return Engine(
            self.subject,
            self.device,
            self.local,
            micro_batches,
            exact=self.exact,
            product=self._product,
            block=block,
        )

    def exact(self, batch: Batch) -> Local:
        """Return the share of a micro-batch in float64."""
        exact = self.in_precision(torch.float64)
        return exact.local(batch.to(self.device, torch.float64))

    @cached_property
    def check(self) -> DerivativeCheck | None:
        """Return how products agree with differences; None when they are, or do not exist.

        Raises:
            NumericalError: PyTorch's derivative of this network is wrong.
        """
        if self._product == "differences":
            return None
        try:
            if self.point is not self.subject.point:
                return check_derivatives(self)
            key = ("derivatives", type(self).__name__, self.subject.identity())
            return self.subject.memory.once(key, lambda: check_derivatives(self), DerivativeCheck)
        except MissingDerivativeError:
            return None

    @property
    def imprecision(self) -> float:
        """Return how far a product of a few samples is from float64, relative to it."""
        return self.check.precision if self.check is not None else 0.0

    def restricted(self, kept: Tensor) -> LinearOperator:
        """Return the diagonal block on some coordinates (k,), without computing cross terms.

        Positions in increasing order are studied by themselves: only their derivatives are taken.
        """
        kept = self.positions(kept)
        if not bool((kept[1:] > kept[:-1]).all()):
            return super().restricted(kept)
        other = self._copied()
        other.subject = self.subject.narrowed(kept)
        other.point = other.subject.network.point(self.subject.network.tensors(self.point))
        other.shape = (len(kept), len(kept))
        other._block = min(self._block, block_size(other.point.theta))
        return other

    def at(self, point: Point) -> Self:
        """Return the same operator at another point."""
        other = self._copied()
        other.point = point
        return other

    def in_precision(self, dtype: torch.dtype) -> Self:
        """Return the same operator in another precision."""
        other = self._copied()
        other.subject = self.subject.in_precision(dtype)
        other.point = self.point.to(dtype)
        other.dtype = dtype
        return other

    def _copied(self) -> Self:
        other = copy.copy(self)
        for name in ("engine", "check"):  # each has its own
            if name in vars(other):
                delattr(other, name)
        return other

    def _products(self, rows: Tensor) -> Tensor:
        try:
            _ = self.check
            return self.engine.products(rows)
        except LandscapeError:
            raise
        except Exception as error:
            if (resources := out_of_memory(error)) is not None:
                raise resources from error
            raise
