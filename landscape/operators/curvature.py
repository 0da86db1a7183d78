"""What the curvature operators have in common: a subject, a point and the product engine."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from functools import cached_property

from torch import Tensor

from landscape.linalg.operator import LinearOperator
from landscape.operators.engine import Engine, Product
from landscape.operators.local import Local
from landscape.operators.memory import block_size
from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject


class CurvatureOperator(LinearOperator):
    """A symmetric matrix over the studied parameters that is a mean over the data.

    Args:
        subject: Network, loss and data.
        point: Where; the subject's last checkpoint by default.
        product: How products are computed; `auto` finds the fastest way.
        batch_size: Samples in a micro-batch; None chooses.
    """

    def __init__(
        self,
        subject: Subject,
        point: Point | None = None,
        *,
        product: Product = "auto",
        batch_size: int | None = None,
    ) -> None:
        self.point = point if point is not None else subject.point
        theta = self.point.theta
        super().__init__((theta.numel(), theta.numel()), dtype=theta.dtype, device=theta.device)
        self.subject = subject
        self.preferred_block = block_size(theta)
        self._settings = (product, batch_size)

    @abstractmethod
    def local(self, batch: Batch) -> Local:
        """Return the share of a micro-batch."""

    def source(self) -> Iterable[Batch]:
        """Return the batches on the device, as the data give them."""
        return self.subject.device_batches()

    @cached_property
    def engine(self) -> Engine:
        """Return what computes the products."""
        product, batch_size = self._settings
        return Engine(
            self.subject,
            self.point,
            self.local,
            self.source,
            product=product,
            batch_size=batch_size,
            block=self.preferred_block,
        )

    def _products(self, rows: Tensor) -> Tensor:
        return self.engine.products(rows)
