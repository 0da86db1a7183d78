"""Names of files that are no UTF-8: Python opens them, libraries in C++ and Rust do not."""

from __future__ import annotations

from pathlib import Path


def is_utf8(path: Path) -> bool:
    """Return whether the name of a file can be given to a library that wants UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True
