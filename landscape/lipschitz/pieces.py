"""Linear maps that networks are made of, each with its ℓ₂ norm from above."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor
from torch.func import vjp

from landscape.lipschitz.convolution import Convolution
from landscape.lipschitz.matrix import matrix_norm, rough_norm
from landscape.lipschitz.nonnegative import nonnegative_norm, sources_of_rows

DENSE_SIDE = 1024  # of the shorter side of a map that is written out as a matrix
DENSE_SIZE = 4_000_000  # entries of it
AT_ONCE = 128  # columns computed together

Shape = tuple[int, ...]


class Piece(ABC):
    """x ↦ A x between tensors of fixed shapes.

    Args:
        entering: Shape of x.
        leaving: Shape of A x.
    """

    def __init__(self, entering: Shape, leaving: Shape) -> None:
        self.entering = entering
        self.leaving = leaving

    @abstractmethod
    def apply(self, x: Tensor) -> Tensor:
        """Return A x."""

    @abstractmethod
    def _bound(self) -> float: ...

    @cached_property
    def norm(self) -> float:
        """Return an upper bound of ‖A‖₂."""
        return self._bound()

    @cached_property
    def row_norm(self) -> float:
        """Return how much longer rows (along the last axis) can become; ∞ where not known."""
        return math.inf

    def estimate(self) -> float:
        """Return the norm, or a cheap guess of it that nothing is to rest on."""
        return self.norm

    @property
    def core(self) -> Piece:
        """Return the smallest map that has the same norm."""
        return self

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Return where its numbers are."""

    @property
    def shape(self) -> tuple[int, int]:
        """Return numbers of outputs and of inputs."""
        return math.prod(self.leaving), math.prod(self.entering)


class Matrix(Piece):
    """W on the last axis."""

    def __init__(self, weight: Tensor, entering: Shape) -> None:  # (o, i)
        super().__init__(entering, (*entering[:-1], weight.shape[0]))
        self.weight = weight

    @property
    def device(self) -> torch.device:
        """Return where the matrix is."""
        return self.weight.device

    def apply(self, x: Tensor) -> Tensor:
        """Return x Wᵀ."""
        return x @ self.weight.to(x.dtype).T

    def _bound(self) -> float:
        return matrix_norm(self.weight)

    def estimate(self) -> float:
        """Return the largest Ritz value of a few steps of the power method."""
        return rough_norm(self.weight)

    @property
    def core(self) -> Matrix:
        """Return the map of a single row."""
        return Matrix(self.weight, self.entering[-1:])

    @cached_property
    def row_norm(self) -> float:
        """Return ‖W‖₂: every row is mapped by itself."""
        return self.norm


class LeftMatrix(Piece):
    """W on the axis before the last, the same or another for each batch."""

    def __init__(self, weight: Tensor, entering: Shape, leaving: Shape) -> None:
        super().__init__(entering, leaving)
        self.weight = weight

    @property
    def device(self) -> torch.device:
        """Return where the matrix is."""
        return self.weight.device

    def apply(self, x: Tensor) -> Tensor:
        """Return W x."""
        return self.weight.to(x.dtype) @ x

    def _bound(self) -> float:
        batch = self.weight.shape[:-2]
        wider = math.prod(self.leaving[:-2]) // max(1, math.prod(self.entering[:-2]))
        several = self.weight.reshape(math.prod(batch), *self.weight.shape[-2:])
        return matrix_norm(several) * math.sqrt(wider)


class Scale(Piece):
    """Every entry times a number of its own."""

    def __init__(self, factor: Tensor, entering: Shape) -> None:
        super().__init__(entering, entering)
        self.factor = factor

    @property
    def device(self) -> torch.device:
        """Return where the factors are."""
        return self.factor.device

    def apply(self, x: Tensor) -> Tensor:
        """Return d ⊙ x."""
        return x * self.factor.to(x.dtype)

    def _bound(self) -> float:
        return float(self.factor.abs().max()) if self.factor.numel() else 0.0

    @cached_property
    def row_norm(self) -> float:
        """Return the largest factor."""
        return self.norm

    def along(self, axis: int) -> Tensor | None:
        """Return the factors as a vector, where they vary along one axis only."""
        rank = len(self.entering)
        sizes = (1,) * (rank - self.factor.dim()) + tuple(self.factor.shape)
        if any(size != 1 for i, size in enumerate(sizes) if i != axis % rank):
            return None
        return self.factor.reshape(-1).expand(self.entering[axis])


class Convolve(Piece):
    """A convolution, or the adjoint of one."""

    def __init__(
        self,
        convolution: Convolution,
        entering: Shape,
        leaving: Shape,
        *,
        transposed: bool = False,
    ) -> None:
        super().__init__(entering, leaving)
        self.convolution = convolution
        self.transposed = transposed

    @property
    def device(self) -> torch.device:
        """Return where the kernel is."""
        return self.convolution.weight.device

    @property
    def channels(self) -> int:
        """Return the axis of the channels, counted from the last."""
        return -1 - self.convolution.rank

    def apply(self, x: Tensor) -> Tensor:
        """Return the convolution of x without bias."""
        if not self.transposed:
            return self.convolution.apply(x)
        like = torch.zeros(self.leaving, dtype=x.dtype, device=x.device)
        return vjp(self.convolution.apply, like)[1](x)[0]

    def _bound(self) -> float:
        if writable(self.shape):
            return matrix_norm(dense(self.apply, self.entering, self.convolution.weight.device))
        return self.convolution.norm()

    def estimate(self) -> float:
        """Return the largest norm at a few frequencies."""
        return self.convolution.estimate()

    def scaled(self, factors: Tensor, *, leaving: bool) -> Convolve:
        """Return the convolution with its outgoing or incoming channels scaled (c,)."""
        weight, groups = self.convolution.weight, self.convolution.groups
        if leaving != self.transposed:
            scaled = weight * factors.reshape(-1, *(1,) * (weight.dim() - 1))
        else:
            split = weight.reshape(groups, -1, *weight.shape[1:])
            each = factors.reshape(groups, 1, -1, *(1,) * (weight.dim() - 2))
            scaled = (split * each).reshape(weight.shape)
        convolution = replace(self.convolution, weight=scaled)
        return Convolve(convolution, self.entering, self.leaving, transposed=self.transposed)


class Nonnegative(Piece):
    """A map without negative coefficients, such as a mean, a selection, a reshape."""

    def __init__(
        self,
        action: Callable[[Tensor], Tensor],
        entering: Shape,
        leaving: Shape,
        device: torch.device,
        *,
        moves: bool,
        wraps: tuple[int, ...] | None = None,
    ) -> None:
        super().__init__(entering, leaving)
        self._action = action
        self._device = device
        self._moves = moves
        self.wraps = wraps  # what a circular padding puts before each space axis

    @property
    def device(self) -> torch.device:
        """Return where it works."""
        return self._device

    def apply(self, x: Tensor) -> Tensor:
        """Return A x."""
        return self._action(x)

    @property
    def _empty(self) -> Tensor:
        return torch.zeros(self.entering, dtype=torch.float64, device=self._device)

    def _bound(self) -> float:
        return nonnegative_norm(self._action, self._empty).upper

    @cached_property
    def row_norm(self) -> float:
        """Return √(old rows in a new row · repetitions), where entries are only moved."""
        return sources_of_rows(self._action, self._empty) if self._moves else math.inf


def writable(shape: tuple[int, int]) -> bool:
    """Return whether a map of so many outputs and inputs is small enough to be written out."""
    return min(shape) <= DENSE_SIDE and shape[0] * shape[1] <= DENSE_SIZE


def dense(action: Callable[[Tensor], Tensor], entering: Shape, device: torch.device) -> Tensor:
    """Return the matrix (outputs, inputs) of a linear map, column by column, in float64."""
    count = math.prod(entering)
    columns = torch.eye(count, dtype=torch.float64, device=device)
    mapped = torch.func.vmap(lambda x: action(x.reshape(entering)).reshape(-1), chunk_size=AT_ONCE)
    return mapped(columns).T


def fused(after: Piece, before: Piece) -> Piece | None:
    """Return one piece for two, where their norm is found together."""
    match after, before:
        case Scale(), Scale() if after.factor.dim() == before.factor.dim():
            return Scale(after.factor * before.factor, before.entering)
        case Matrix(), Matrix():
            return Matrix(after.weight @ before.weight, before.entering)
        case Scale(), Matrix() if (factors := after.along(-1)) is not None:
            return Matrix(before.weight * factors[:, None], before.entering)
        case Matrix(), Scale() if (factors := before.along(-1)) is not None:
            return Matrix(after.weight * factors, before.entering)
        case Scale(), Convolve() if (factors := after.along(before.channels)) is not None:
            return before.scaled(factors, leaving=True)
        case Convolve(), Scale() if (factors := before.along(after.channels)) is not None:
            return after.scaled(factors, leaving=False)
        case Convolve(), Nonnegative() if before.wraps is not None:
            return _circular(after, before, before.wraps)
        case _:
            return None


def _circular(after: Convolve, before: Nonnegative, wraps: tuple[int, ...]) -> Piece | None:
    """Return a convolution round a torus, for one without padding after a circular padding."""
    inner = after.convolution
    around = before.entering[2:]
    fits = all(
        m * (s if n % s == 0 else 1) <= n
        for n, m, s in zip(around, inner.leaving, inner.stride, strict=True)
    )
    if after.transposed or any(inner.padding) or not fits:
        return None
    convolution = replace(inner, padding=wraps, entering=around, circular=True)
    return Convolve(convolution, before.entering, after.leaving)
