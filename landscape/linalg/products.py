"""Products of tall blocks with one another, accumulated in float64."""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2**19  # columns converted to float64 at a time: 4 MiB a row
PIECE = 4096  # columns whose products may be summed in float32
SAFE = (1e-15, 1e15)  # lengths whose squares float32 holds with room to spare


def projections(block: Tensor, rows: Tensor) -> Tensor:  # (b, k)
    """Return the products of a block (b, n) with rows (k, n), float64, for orthogonalisation.

    In float32 the sums over pieces of 4096 columns are single, and are added up in double
    precision: five times faster than converting the rows, and off by some 1e-8 for unit rows, 2e-7
    for parallel ones, which the next pass corrects. Where float32 products are allowed to be
    coarser (TF32, bfloat16), the rows are converted.
    """
    exact = block.dtype == torch.float32 and torch.get_float32_matmul_precision() == "highest"
    if not exact or not len(rows):
        return dots(rows, block).T
    whole = block.shape[1] // PIECE * PIECE
    left = block[:, :whole].unflatten(1, (-1, PIECE)).transpose(0, 1)
    right = rows[:, :whole].unflatten(1, (-1, PIECE)).permute(1, 2, 0)
    total = torch.bmm(left, right).sum(0, dtype=torch.float64)
    return total + (block[:, whole:] @ rows[:, whole:].T).double()


def dots(rows: Tensor, block: Tensor) -> Tensor:  # (k,) or (k, b)
    """Return the products of rows (k, n) with a vector (n,) or a block (b, n), in float64."""
    total = torch.zeros(len(rows), *block.shape[:-1], dtype=torch.float64, device=block.device)
    for start in range(0, block.shape[-1] if len(rows) else 0, CHUNK):
        part = slice(start, start + CHUNK)
        right = block[..., part].double()
        total += rows[:, part].double() @ (right if right.dim() == 1 else right.T)
    return total


def lengths(rows: Tensor) -> Tensor:  # (k,), float64
    """Return the lengths of rows (k, n), accumulated in float64.

    Those of a single float32 row on the host are summed over pieces of 4096 columns in float32,
    fifteen times faster, where no square can overflow or vanish.
    """
    if len(rows) == 1 and rows.dtype == torch.float32 and rows.device.type == "cpu":
        whole = rows.shape[1] // PIECE * PIECE
        pieces = torch.linalg.vector_norm(rows[:, :whole].unflatten(1, (-1, PIECE)), dim=2)
        rest = torch.linalg.vector_norm(rows[:, whole:], dim=1, keepdim=True)
        parts = torch.cat([pieces, rest], 1)
        length = torch.linalg.vector_norm(parts, dim=1, dtype=torch.float64)
        if SAFE[0] < float(length) < SAFE[1]:
            return length
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float64)


def gram(rows: Tensor) -> Tensor:  # (k, k)
    """Return the products of rows (k, n) with one another, in float64."""
    return dots(rows, rows)


def norm(vector: Tensor) -> float:
    """Return the length of a vector, accumulated in float64."""
    return float(torch.linalg.vector_norm(vector, dtype=torch.float64))


def combined(weights: Tensor, rows: Tensor, out: Tensor | None = None) -> Tensor:  # (l, n)
    """Return weights (l, k), float64, times rows (k, n), rounded once to the dtype of the rows.

    Args:
        weights: One combination a row.
        rows: What is combined.
        out: Where to put it; it may overlap the rows.
    """
    out = rows.new_empty(len(weights), rows.shape[1]) if out is None else out
    for start in range(0, rows.shape[1], CHUNK):
        part = slice(start, start + CHUNK)
        out[:, part] = (weights @ rows[:, part].double()).to(rows.dtype)
    return out
