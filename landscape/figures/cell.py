"""A cell of a table in few characters, alike in a terminal and in a notebook."""

from __future__ import annotations


def told(cell: object) -> str:
    """Return a cell for a person: four digits as of estimates, yes or no, nothing for None."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    return f"{cell:.4g}" if isinstance(cell, float) else str(cell)
