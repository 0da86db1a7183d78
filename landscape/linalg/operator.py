"""A symmetric or general matrix that is known by its products."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from landscape.errors import NumericalError, SettingError

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyOperator

DENSE_LIMIT = 20_000


class LinearOperator(ABC):
    """v ↦ A v on flat vectors.

    Args:
        shape: Rows and columns.
        dtype: Precision of vectors and products.
        device: Where they live.
        symmetric: Whether A equals its transpose.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
        symmetric: bool = True,
    ) -> None:
        self.shape = shape
        self.dtype = dtype
        self.device = device
        self.symmetric = symmetric

    @abstractmethod
    def _products(self, rows: Tensor) -> Tensor:
        """Return A applied to every row of a block (k, n), as rows (k, m)."""

    def matvec(self, vector: Tensor) -> Tensor:
        """Return A v for a vector (n,)."""
        return self.matmat(vector.unsqueeze(1)).squeeze(1)

    def matmat(self, block: Tensor) -> Tensor:
        """Return A V for a block of columns (n, k), in one pass over whatever A is made of.

        Raises:
            SettingError: The block has another shape, precision or device.
            NumericalError: A product is NaN or infinite.
        """
        expected = (self.shape[1], self.dtype, self.device.type)
        got = (block.shape[0], block.dtype, block.device.type)
        if block.dim() != 2 or got != expected:
            raise SettingError(
                f"the operator needs columns of length, dtype, device {expected}, got {got}",
                where=type(self).__name__,
                hint="convert the block with .to(dtype=..., device=...)",
            )
        products = self._products(block.T).T
        if not bool(products.isfinite().all()):
            raise NumericalError(
                "a product of the operator is not finite",
                where=type(self).__name__,
                why="its parts are finite, so a derivative overflowed or divided by zero",
                hint="try --dtype float64; look for square roots and divisions at zero",
            )
        return products

    def to_dense(self, limit: int = DENSE_LIMIT) -> Tensor:
        """Return the matrix itself, from as many products as it has columns.

        Raises:
            SettingError: It has more than `limit` columns.
        """
        columns = self.shape[1]
        if columns > limit:
            raise SettingError(
                f"a dense matrix of {columns} columns was asked for, at most {limit} are allowed",
                where=f"{type(self).__name__}.to_dense",
                hint="use matvec, or raise `limit`",
            )
        return self.matmat(torch.eye(columns, dtype=self.dtype, device=self.device))

    def to_scipy(self) -> ScipyOperator:
        """Return the operator in SciPy's form: float64 vectors on the host."""
        from scipy.sparse.linalg import LinearOperator as ScipyOperator

        def matmat(block: np.ndarray) -> np.ndarray:
            columns = torch.as_tensor(block).to(self.device, self.dtype)
            return self.matmat(columns.reshape(self.shape[1], -1)).double().cpu().numpy()

        def matvec(vector: np.ndarray) -> np.ndarray:
            return matmat(vector).squeeze(1)

        products: dict[str, Any] = {"matvec": matvec, "matmat": matmat}
        if self.symmetric:
            products["rmatvec"] = matvec
        return ScipyOperator(shape=self.shape, dtype=np.dtype("float64"), **products)

    def restricted(self, kept: Tensor) -> LinearOperator:
        """Return the block of A on some coordinates, given by their positions (k,)."""
        return _Restricted(self, kept)

    def __matmul__(self, right: Tensor) -> Tensor:
        return self.matvec(right) if right.dim() == 1 else self.matmat(right)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return _Sum(self, other)

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        return _Sum(self, -1.0 * other)

    def __mul__(self, factor: float) -> LinearOperator:
        return _Scaled(self, factor)

    __rmul__ = __mul__


class MatrixOperator(LinearOperator):
    """A matrix that is there."""

    def __init__(self, matrix: Tensor, *, symmetric: bool = True) -> None:
        rows, columns = matrix.shape
        super().__init__(
            (rows, columns), dtype=matrix.dtype, device=matrix.device, symmetric=symmetric
        )
        self.matrix = matrix

    def _products(self, rows: Tensor) -> Tensor:
        return rows @ self.matrix.T


class GramOperator(LinearOperator):
    """W Wᵀ of a matrix W (m, n), without forming it."""

    def __init__(self, matrix: Tensor) -> None:
        size = matrix.shape[0]
        super().__init__((size, size), dtype=matrix.dtype, device=matrix.device)
        self.matrix = matrix

    def _products(self, rows: Tensor) -> Tensor:
        return (rows @ self.matrix) @ self.matrix.T


class _Sum(LinearOperator):
    def __init__(self, left: LinearOperator, right: LinearOperator) -> None:
        if left.shape != right.shape:
            raise SettingError(
                f"operators of shapes {left.shape} and {right.shape} cannot be added",
                where="LinearOperator",
                hint="add operators over the same coordinates",
            )
        symmetric = left.symmetric and right.symmetric
        super().__init__(left.shape, dtype=left.dtype, device=left.device, symmetric=symmetric)
        self.left, self.right = left, right

    def _products(self, rows: Tensor) -> Tensor:
        return (self.left.matmat(rows.T) + self.right.matmat(rows.T)).T


class _Scaled(LinearOperator):
    def __init__(self, inner: LinearOperator, factor: float) -> None:
        super().__init__(
            inner.shape, dtype=inner.dtype, device=inner.device, symmetric=inner.symmetric
        )
        self.inner, self.factor = inner, factor

    def _products(self, rows: Tensor) -> Tensor:
        return self.factor * self.inner.matmat(rows.T).T


class _Restricted(LinearOperator):
    def __init__(self, inner: LinearOperator, kept: Tensor) -> None:
        size = len(kept)
        super().__init__(
            (size, size), dtype=inner.dtype, device=inner.device, symmetric=inner.symmetric
        )
        self.inner, self.kept = inner, kept

    def _products(self, rows: Tensor) -> Tensor:
        whole = rows.new_zeros(len(rows), self.inner.shape[1])
        whole[:, self.kept] = rows
        return self.inner.matmat(whole.T).T[:, self.kept]
