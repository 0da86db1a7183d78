"""An orthonormal basis in one contiguous buffer, grown by blocks without asking the host."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from landscape.linalg.products import combined, dots, gram, lengths, norm, projections

PASSES = 3  # of Gram-Schmidt and Cholesky-QR over every block
CANCELLED = 0.5  # share of a row that must survive a pass, or another one follows
SHIFT = 1e-13  # added to correlations, so that their Cholesky factors exist
STREAMED = 16  # rows of a basis on the host that are brought to the device at a time

__all__ = ["Basis", "dots", "norm", "orthonormal"]


class Basis:
    """Rows (m, n) that are kept orthonormal.

    Args:
        capacity: The largest number of rows.
        like: A vector (n,) that gives length, dtype and device.
        fixed: Rows (l, n) to which every new row is orthogonalised as well.
        on_host: Keep the rows in host memory, and stream them to the device where they are needed.
    """

    def __init__(
        self, capacity: int, like: Tensor, fixed: Tensor | None = None, *, on_host: bool = False
    ) -> None:
        streamed = on_host and like.device.type != "cpu"
        self._buffer = torch.empty(
            capacity,
            like.numel(),
            dtype=like.dtype,
            device="cpu" if streamed else like.device,
            pin_memory=streamed and like.device.type == "cuda",
        )
        self._fixed = fixed if fixed is not None else like.new_empty(0, like.numel())
        self.size = 0

    @property
    def rows(self) -> Tensor:  # (size, n)
        """Return the rows so far, where they are kept."""
        return self._buffer[: self.size]

    @property
    def room(self) -> int:
        """Return how many more rows can be taken, by the buffer and by the space."""
        return min(len(self._buffer) - self.size, self.left)

    @property
    def left(self) -> int:
        """Return the dimensions that neither the basis nor the fixed rows span."""
        return self._buffer.shape[1] - len(self._fixed) - self.size

    @property
    def spans(self) -> bool:
        """Return whether the basis and the fixed rows span the whole space."""
        return self.left <= 0

    def free(self, block: Tensor) -> tuple[Tensor, Tensor]:
        """Return a block (b, n) freed of the basis, and its coefficients (b, size), float64.

        One pass of classical Gram-Schmidt.
        """
        block = _without(block, self._fixed)[0]
        found = [block.new_zeros(len(block), 0, dtype=torch.float64)]
        if self._buffer.device == block.device:
            block, coefficients = _without(block, self.rows)
            return block, coefficients
        for part in self.rows.split(STREAMED):
            block, coefficients = _without(block, part.to(block.device, non_blocking=True))
            found.append(coefficients)
        return block, torch.cat(found, dim=1)

    def orthonormalised(
        self, block: Tensor, spare: Callable[[], Tensor], negligible: Tensor | float = 0.0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return Q, C and R with W = C V + R Q for a block W (b, n) and this basis V.

        A row that lies in the span of the others and of the basis is replaced by a spare one, with
        a coupling of zero.

        Args:
            block: W (b, n), with b at most `left`.
            spare: Gives rows (b, n) of about unit length in general position.
            negligible: The length below which what is new in a row is rounding.

        Returns:
            Orthonormal rows Q (b, n), coefficients C (b, size) and coupling R (b, b) in float64.

        Source: Giraud et al. 2005 (how many passes).
        """
        if not len(block):
            none = block.new_zeros(0, self.size, dtype=torch.float64)
            return block, none, none[:, :0]
        if len(block) == 1 and block.device.type == "cpu":
            return self._one(block, spare, float(negligible))
        return self._several(block, spare, negligible)

    def _one(
        self, row: Tensor, spare: Callable[[], Tensor], negligible: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Orthonormalise a row on the host: two passes, and more where much cancels."""
        row, coefficients, length = self._freed(row, negligible)
        coupling = length.reshape(1, 1)
        if not float(length) > negligible:
            row, _, length = self._freed(spare().to(row.dtype), 0.0)
            coupling = torch.zeros_like(coupling)
        return row / length.to(row.dtype), coefficients, coupling

    def _freed(self, row: Tensor, negligible: float) -> tuple[Tensor, Tensor, Tensor]:
        row, coefficients = self.free(row)
        length = lengths(row)
        for _ in range(PASSES):
            before = float(length)
            row, found = self.free(row)
            coefficients += found
            length = lengths(row)
            if not negligible < float(length) < CANCELLED * before:
                break
        return row, coefficients, length

    def _several(
        self, block: Tensor, spare: Callable[[], Tensor], negligible: Tensor | float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Orthonormalise rows without waiting for the host, by shifted Cholesky-QR in every pass.

        Source: Fukaya et al. 2020, arXiv 1809.11085.
        """
        coefficients = block.new_zeros(len(block), self.size, dtype=torch.float64)
        coupling = torch.eye(len(block), dtype=torch.float64, device=block.device)
        for attempt in range(PASSES):
            block, found = self.free(block)
            coefficients += coupling @ found
            length = lengths(block)
            if attempt == 1:
                new = torch.linalg.vector_norm(coupling, dim=0) * length > negligible
                block = torch.where(new[:, None], block, spare().to(block.dtype))
                coupling = coupling * new
                length = torch.where(new, length, torch.ones_like(length))
            block, factor = _cholesky_qr(block, length, last=attempt == PASSES - 1)
            coupling = coupling @ factor
        return block, coefficients, coupling

    def append(self, block: Tensor) -> None:
        """Take orthonormal rows (b, n), orthogonal to the basis, as the next ones."""
        self._buffer[self.size : self.size + len(block)] = block
        self.size += len(block)

    def compress(self, weights: Tensor) -> None:
        """Replace the rows by combinations: weights (k, size), float64, orthonormal rows."""
        combined(weights.to(self._buffer.device), self.rows, out=self._buffer[: len(weights)])
        self.size = len(weights)

    def combine(self, weights: Tensor) -> Tensor:  # (k, n)
        """Return combinations of the rows: weights (k, size), float64."""
        found = combined(weights.to(self._buffer.device), self.rows)
        return found.to(self._fixed.device)


def orthonormal(rows: Tensor) -> Tensor:  # (k, n)
    """Return orthonormal rows with the span of independent rows (k, n)."""
    for attempt in range(PASSES):
        rows, _ = _cholesky_qr(rows, lengths(rows), last=attempt == PASSES - 1)
    return rows


def _cholesky_qr(block: Tensor, length: Tensor, *, last: bool) -> tuple[Tensor, Tensor]:
    """Return rows Q that are closer to orthonormal, and F (b, b) with block = F Q.

    The last pass finds them well conditioned and is not shifted.
    """
    length = length.clamp_min(torch.finfo(block.dtype).tiny)
    block = block / length.to(block.dtype)[:, None]
    correlation = gram(block)
    correlation.diagonal().add_(0.0 if last else SHIFT)
    lower, _ = torch.linalg.cholesky_ex(correlation)
    identity = torch.eye(len(block), dtype=torch.float64, device=block.device)
    inverse = torch.linalg.solve_triangular(lower, identity, upper=False)
    return inverse.to(block.dtype) @ block, length[:, None] * lower


def _without(block: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    coefficients = projections(block, rows)
    if not len(rows):
        return block, coefficients
    return torch.addmm(block, coefficients.to(block.dtype), rows, alpha=-1), coefficients
