"""Names from files, cut to what fits in a message: a name may be a megabyte long."""

from __future__ import annotations

from collections.abc import Sequence

MAX_NAME = 80


def cut(name: str) -> str:
    """Return a name, shortened in the middle where it is long."""
    return name if len(name) <= MAX_NAME else f"{name[:56]}…{name[-23:]}"


def listed(names: Sequence[str], count: int = 10) -> str:
    """Return the first names of many, and how many more there are."""
    first = ", ".join(cut(name) for name in names[:count])
    return f"{first} and {len(names) - count:,} more" if len(names) > count else first
