"""An orthonormal basis in one contiguous buffer, its dot products accumulated in float64."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2**19  # columns converted to float64 at a time: 4 MiB a row


class Basis:
    """Rows (m, n) that are kept orthonormal.

    Args:
        capacity: The largest number of rows.
        like: A vector (n,) that gives length, dtype and device.
        fixed: Rows (l, n) to which every new row is orthogonalised as well.
    """

    def __init__(self, capacity: int, like: Tensor, fixed: Tensor | None = None) -> None:
        self._buffer = torch.empty(capacity, like.numel(), dtype=like.dtype, device=like.device)
        self._fixed = fixed if fixed is not None else self._buffer[:0]
        self.size = 0

    @property
    def rows(self) -> Tensor:  # (size, n)
        """Return the rows so far."""
        return self._buffer[: self.size]

    @property
    def full(self) -> bool:
        """Return whether the basis and the fixed rows span the whole space, or the buffer ends."""
        return self.size == len(self._buffer) or self.spans

    @property
    def spans(self) -> bool:
        """Return whether the basis and the fixed rows span the whole space."""
        return self.size + len(self._fixed) >= self._buffer.shape[1]

    def orthogonalise(self, vector: Tensor) -> tuple[Tensor, Tensor]:
        """Return a vector (n,) freed of the basis, and its coefficients in it (size,), float64.

        Two passes of classical Gram-Schmidt ("twice is enough", Giraud et al. 2005).
        """
        coefficients = torch.zeros(self.size, dtype=torch.float64, device=vector.device)
        for _ in range(2):
            vector = _freed(vector, self._fixed, dots(self._fixed, vector))
            found = dots(self.rows, vector)
            vector = _freed(vector, self.rows, found)
            coefficients += found
        return vector, coefficients

    def append(self, vector: Tensor) -> float:
        """Normalise a vector and take it as the next row; return the norm that it had."""
        length = norm(vector)
        self._buffer[self.size] = vector / length
        self.size += 1
        return length

    def compress(self, weights: Tensor) -> None:
        """Replace the rows by combinations: weights (k, size), float64, orthonormal rows."""
        kept = len(weights)
        for start in range(0, self._buffer.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            self._buffer[:kept, part] = (weights @ self.rows[:, part].double()).to(
                self._buffer.dtype
            )
        self.size = kept

    def combine(self, weights: Tensor) -> Tensor:  # (k, n)
        """Return combinations of the rows: weights (k, size), float64."""
        out = self._buffer.new_empty(len(weights), self._buffer.shape[1])
        for start in range(0, out.shape[1], CHUNK):
            part = slice(start, start + CHUNK)
            out[:, part] = (weights @ self.rows[:, part].double()).to(out.dtype)
        return out


def dots(rows: Tensor, vector: Tensor) -> Tensor:  # (k,)
    """Return the products of rows (k, n) with a vector (n,), accumulated in float64."""
    total = torch.zeros(len(rows), dtype=torch.float64, device=vector.device)
    for start in range(0, len(vector) if len(rows) else 0, CHUNK):
        part = slice(start, start + CHUNK)
        total += rows[:, part].double() @ vector[part].double()
    return total


def norm(vector: Tensor) -> float:
    """Return the length of a vector, accumulated in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def _freed(vector: Tensor, rows: Tensor, coefficients: Tensor) -> Tensor:
    if not len(rows):
        return vector
    return torch.addmv(vector, rows.T, coefficients.to(vector), alpha=-1)
