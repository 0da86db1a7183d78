"""The log as it is written: JSON lines that are only ever appended, each whole or not there."""

from __future__ import annotations

import json
import math
import os
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from landscape.encode import encode
from landscape.errors import OutputError

SCHEMA = "landscape/log/1"
DIGITS = "%.9g"  # that bring a float32 back bit for bit


class Journal:
    """A log that records are appended to.

    Every call writes whole lines with one system call, so that a reader never waits for the rest
    of a record that was written before a crash; what the run leaves behind when it is killed ends
    with a whole line.

    Args:
        path: Of the log; it may be there already, and is gone on with. None: a temporary file that
            vanishes with this object.

    Raises:
        OutputError: It cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.temporary = path is None
        if path is None:
            handle, name = tempfile.mkstemp(prefix="landscape-", suffix=".jsonl")
            os.close(handle)
            path = Path(name)
            weakref.finalize(self, path.unlink, missing_ok=True)
        self.path = path
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0)
            self._file: int | None = os.open(path, flags, 0o644)
            if _torn(path):
                os.write(self._file, b"\n")
        except OSError as error:
            raise OutputError(
                "the log cannot be written",
                where=str(path),
                why=error.strerror or str(error),
                hint="choose a folder that exists and can be written",
            ) from error

    def write(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Append some records, one line each.

        Raises:
            OutputError: The disk is full, or the place is gone. Nothing is written after that.
        """
        if not records or self._file is None:
            return
        data = "".join(line_of(record) for record in records).encode()
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError as error:
            with suppress(OSError):
                os.close(self._file)
            self._file = None
            raise OutputError(
                "the log cannot be gone on with",
                where=str(self.path),
                why=error.strerror or str(error),
                hint="free some space; every whole line that was written can be read",
            ) from error

    def close(self) -> None:
        """Bring what was written to the disk, and close."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None


def line_of(record: Mapping[str, Any]) -> str:
    """Return a record as one line of JSON (RFC 8259).

    Numbers that are not finite are null; `not_finite` says what each was, by its place.
    """
    odd: dict[str, str] = {}
    parts = [f"{json.dumps(key)}:{_text(value, key, odd)}" for key, value in record.items()]
    if odd:
        parts.append(f'"not_finite":{json.dumps(odd)}')
    return "{" + ",".join(parts) + "}\n"


def _text(value: Any, place: str, odd: dict[str, str]) -> str:
    if isinstance(value, float):
        return _number(value, place, odd)
    if isinstance(value, list | tuple):
        if value and all(type(one) is float for one in value) and math.isfinite(sum(value)):
            return "[" + ",".join([DIGITS % one for one in value]) + "]"
        parts = [_text(one, f"{place}.{number}", odd) for number, one in enumerate(value)]
        return "[" + ",".join(parts) + "]"
    if isinstance(value, Mapping):
        items = [
            f"{json.dumps(str(key))}:{_text(one, f'{place}.{key}', odd)}"
            for key, one in value.items()
        ]
        return "{" + ",".join(items) + "}"
    return json.dumps(encode(value), allow_nan=False)


def _number(value: float, place: str, odd: dict[str, str]) -> str:
    if math.isfinite(value):
        return DIGITS % value
    odd[place] = "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return "null"


def _torn(path: Path) -> bool:
    """Return whether a file ends in the middle of a line."""
    with path.open("rb") as stream:
        if not stream.seek(0, os.SEEK_END):
            return False
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) != b"\n"
