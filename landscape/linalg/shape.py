"""How large the blocks and the basis of a search are."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.linalg.memory import basis_budget, bytes_of_rows
from landscape.linalg.operator import LinearOperator

SPARING = 8  # a search takes one row for so many that the operator prefers
LEAST_ROWS = 64
LEAST_FREE = 10  # rows beyond the wanted ones
ROWS_OF_BLOCK = 16  # basis rows for each further row of a block


@dataclass(frozen=True)
class Shape:
    """Sizes of a search."""

    block: int  # b, products at once
    basis: int  # rows kept before a restart
    on_host: bool  # the basis does not fit on the device of the operator
    images: bool  # there is room for the products of the basis as well

    def rows_beside(self, known: int) -> int:
        """Return the basis rows of a search beside some known pairs, which take memory too."""
        return max(self.basis - known, self.basis // 2, 4 * self.block)


def fitting(
    operator: LinearOperator,
    *,
    pairs: int,
    max_products: int,
    block: int | None = None,
    basis_size: int | None = None,
    memory_bytes: int | None = None,
) -> Shape:
    """Return the sizes of a search for some pairs that fit the memory.

    A block of b finds what a single vector finds with about √b times as many products, so it pays
    where products cost little more together than alone; an operator says so by a `preferred_block`
    of 16 and more. A larger basis needs fewer products, by little beyond two rows a pair.

    Args:
        operator: Symmetric, n × n.
        pairs: How many are wanted.
        max_products: The budget; a block is at most an eighth of it.
        block: Rows of a block, instead of the choice.
        basis_size: Rows of the basis, instead of the choice.
        memory_bytes: What the basis may take; a quarter of what is free by default.
    """
    block = block or max(1, operator.preferred_block // SPARING)
    block = max(1, min(block, max_products // 8, operator.shape[0]))
    least = pairs + max(4 * block, pairs // 2, LEAST_FREE)
    if basis_size is not None:
        return Shape(block, max(basis_size, least), on_host=False, images=True)
    wanted = max(2 * pairs + 20, LEAST_ROWS) + ROWS_OF_BLOCK * (block - 1)
    memory = basis_budget(operator.device) if memory_bytes is None else memory_bytes
    rows = memory // bytes_of_rows(operator, 1)
    on_host = rows < least and operator.device.type != "cpu"
    if on_host:
        return Shape(block, wanted, on_host=True, images=False)
    return Shape(block, min(wanted, max(rows, least)), on_host=False, images=rows >= 2 * wanted)
