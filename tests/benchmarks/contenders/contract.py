"""What a contender can be asked."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.benchmarks.problems import Problem


class UnableError(Exception):
    """The contender does not offer what it was asked for."""


@dataclass(frozen=True)
class Top:
    """Eigenvalues and unit eigenvectors, with the residuals that the contender found itself."""

    values: np.ndarray  # (k,)
    vectors: Tensor  # (k, n), rows
    residuals: np.ndarray  # (k,), ‖Hv − λv‖

    @classmethod
    def checked(cls, values: np.ndarray, vectors: Tensor, images: Tensor) -> Top:
        """Return pairs with their residuals, from products with the vectors (k, n)."""
        expected = torch.as_tensor(values, device=images.device, dtype=images.dtype)
        gaps = torch.linalg.vector_norm(images - expected[:, None] * vectors, dim=1)
        return cls(values, vectors, gaps.numpy(force=True))


@dataclass(frozen=True)
class Measure:
    """A discrete distribution of eigenvalues."""

    nodes: np.ndarray
    weights: np.ndarray


class Contender:
    """One way to compute with the Hessian of a problem.

    A contender gets its best legal configuration. Where more effort buys more accuracy, `efforts`
    lists its settings from the cheapest on; the first that is accurate enough is what counts.
    """

    efforts: ClassVar[dict[str, tuple[float, ...]]] = {}  # by task; none: does not offer it

    def setup(self, problem: Problem) -> None:
        """Build whatever is built once."""
        raise NotImplementedError

    def product(self, vector: Tensor) -> Tensor:  # (n,) -> (n,)
        """Return H v."""
        raise NotImplementedError

    def products(self, columns: Tensor) -> Tensor:  # (n, k) -> (n, k)
        """Return H V."""
        raise UnableError("no products with several vectors")

    def top10(self, effort: float, seed: int) -> Top:
        """Return the ten largest eigenvalues, as accurate as the effort buys, and how accurate."""
        raise UnableError("no eigenpairs")

    def trace(self, effort: float, seed: int) -> float:
        """Return the trace."""
        raise UnableError("no trace")

    def density(self, effort: float, seed: int) -> Measure:
        """Return the distribution of the eigenvalues."""
        raise UnableError("no density")

    def attention(self) -> AbstractContextManager[object]:
        """Return the block under which everything above is called.

        PyTorch's fused attention cannot be differentiated twice, so the user of a library that
        does not see to it switches to the kernel that can.
        """
        return sdpa_kernel(SDPBackend.MATH)

    @property
    def told(self) -> str:
        """Return what was chosen on the way, in words."""
        return ""
