"""Where something came from: the user's file behind a factory and behind what it made."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary


@dataclass(frozen=True, kw_only=True)
class Source:
    """The file that something was made by.

    Args:
        path: Where it lies.
        sha256: Of its bytes; for a file given by path, of the bytes that were executed.
    """

    path: str
    sha256: str


_SOURCES: WeakKeyDictionary[Any, Source] = WeakKeyDictionary()


def source_of(item: object) -> Source | None:
    """Return the user's file behind something that a spec loaded; None where there is none."""
    try:
        return _SOURCES.get(item)
    except TypeError:  # a list, a tuple, a number: nothing can be remembered of it
        return None


def record_source(item: object, source: Source | None) -> None:
    """Remember which file `item` comes from, for as long as `item` lives."""
    if source is not None:
        with contextlib.suppress(TypeError):
            _SOURCES[item] = source
