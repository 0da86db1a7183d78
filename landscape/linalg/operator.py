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

    `preferred_block` is a hint: how many products at once cost least for each.
    """

    preferred_block: int = 8

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

    @property
    def imprecision(self) -> float:
        """Return how far a product is from one in float64, relative to it, where it was measured.

        That is more than rounding where what is differentiated loses digits.
        """
        return 0.0

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
                why="a product is computed where its operator lies, in its precision",
                hint="convert the block with .to(dtype=..., device=...)",
            )
        products = self._products(block.T).T
        self.require_finite(products)
        return products

    def unchecked(self, rows: Tensor) -> Tensor:
        """Return A applied to rows (k, n), without waiting to see whether it is finite.

        For loops that must not wait for the device; they look later, by `require_finite`.
        """
        return self._products(rows)

    def require_finite(self, numbers: Tensor) -> None:
        """Refuse products, or what was computed from them, that are NaN or infinite.

        Raises:
            NumericalError: They are.
        """
        if not bool(numbers.sum().isfinite() or numbers.isfinite().all()):  # a sum may overflow
            raise NumericalError(
                "a product of the operator is not finite",
                where=type(self).__name__,
                why="its parts are finite, so a derivative overflowed or divided by zero",
                hint="try --dtype float64; look for square roots and divisions at zero",
            )

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
                why="every column costs a product, and all are held at once",
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
        """Return the block of A on some coordinates.

        Args:
            kept: Their positions (k,), or true where they are (n,).

        Raises:
            SettingError: There is none, or one is out of range.
        """
        return _Restricted(self, self.positions(kept))

    def positions(self, kept: Tensor) -> Tensor:
        """Return positions of coordinates that are given by position or by truth, checked.

        Raises:
            SettingError: There is none, or one is out of range.
        """
        size = self.shape[1]
        wrong = len(kept) == 0 or (kept.dtype == torch.bool and len(kept) != size)
        if not wrong and kept.dtype == torch.bool:
            kept = kept.nonzero().squeeze(1)
        if wrong or not len(kept) or bool((kept < 0).any()) or bool((kept >= size).any()):
            raise SettingError(
                f"coordinates between 0 and {size - 1} are needed",
                where=f"{type(self).__name__}.restricted",
                why=f"got {len(kept)}, {kept[:5].tolist()} …",
                hint="give positions (k,), or one boolean for each coordinate",
            )
        return kept

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


class DiagonalOperator(LinearOperator):
    """A diagonal matrix."""

    def __init__(self, diagonal: Tensor) -> None:
        size = len(diagonal)
        super().__init__((size, size), dtype=diagonal.dtype, device=diagonal.device)
        self.diagonal = diagonal

    def _products(self, rows: Tensor) -> Tensor:
        return self.diagonal * rows


class _Sum(LinearOperator):
    def __init__(self, left: LinearOperator, right: LinearOperator) -> None:
        if left.shape != right.shape:
            raise SettingError(
                f"operators of shapes {left.shape} and {right.shape} cannot be added",
                where="LinearOperator",
                why="a sum needs operands of one shape",
                hint="add operators over the same coordinates",
            )
        symmetric = left.symmetric and right.symmetric
        super().__init__(left.shape, dtype=left.dtype, device=left.device, symmetric=symmetric)
        self.left, self.right = left, right
        self.preferred_block = min(left.preferred_block, right.preferred_block)

    @property
    def imprecision(self) -> float:
        return max(self.left.imprecision, self.right.imprecision)

    def _products(self, rows: Tensor) -> Tensor:
        return self.left.unchecked(rows) + self.right.unchecked(rows)


class _Scaled(LinearOperator):
    def __init__(self, inner: LinearOperator, factor: float) -> None:
        super().__init__(
            inner.shape, dtype=inner.dtype, device=inner.device, symmetric=inner.symmetric
        )
        self.inner, self.factor = inner, factor
        self.preferred_block = inner.preferred_block

    @property
    def imprecision(self) -> float:
        return self.inner.imprecision

    def _products(self, rows: Tensor) -> Tensor:
        return self.factor * self.inner.unchecked(rows)


class _Restricted(LinearOperator):
    def __init__(self, inner: LinearOperator, kept: Tensor) -> None:
        size = len(kept)
        super().__init__(
            (size, size), dtype=inner.dtype, device=inner.device, symmetric=inner.symmetric
        )
        self.inner, self.kept = inner, kept
        self.preferred_block = inner.preferred_block

    @property
    def imprecision(self) -> float:
        return self.inner.imprecision

    def _products(self, rows: Tensor) -> Tensor:
        whole = rows.new_zeros(len(rows), self.inner.shape[1])
        whole.index_add_(1, self.kept, rows)
        return self.inner.unchecked(whole)[:, self.kept]
