"""The log as it is read: whole lines, also while it is written, and where a torn one begins."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from landscape.errors import InputError
from landscape.progress import task
from landscape.recorder.journal import SCHEMA
from landscape.recorder.shape import ARRAYS, well_formed
from landscape.subject.files.sniff import did_you_mean, why_missing

Record = dict[str, Any]

CHUNK = 2**22  # bytes that are read at a time
LONGEST_LINE = 2**28  # bytes


@dataclass(frozen=True, kw_only=True)
class Torn:
    """A line that is not whole.

    Args:
        line: Its number, from 1.
        offset: The byte at which it begins.
        bytes: Of it that are there.
        last: Whether the log ends with it; the next writer closes it.
    """

    line: int
    offset: int
    bytes: int
    last: bool

    @property
    def sentence(self) -> str:
        """Return what it means, for a person."""
        if self.last:
            return f"the log ends in the middle of line {self.line}, at byte {self.offset}"
        return f"line {self.line}, at byte {self.offset}, is not a record; it was left out"


@dataclass(frozen=True, kw_only=True)
class Log:
    """A log, read as far as it goes.

    Args:
        path: Of the file.
        header: Of the last run in it.
        first: Header of the first run.
        records: In the order of writing, without headers.
        torn: Lines that are not whole.
        ended: Whether the last run said that it was over.
        sha256: Of the bytes that were read.
    """

    path: Path
    header: Record
    first: Record
    records: tuple[Record, ...]
    torn: tuple[Torn, ...]
    ended: bool
    sha256: str

    def of(self, kind: str) -> list[Record]:
        """Return the records of a kind; of steps that were done again, the later ones.

        A run that goes on from an earlier step replaces what was recorded beyond it.
        """
        found: dict[Any, Record] = {}
        for number, record in enumerate(self.records):
            if record["kind"] == "resumed":
                found = {key: one for key, one in found.items() if one["step"] < record["step"]}
            elif record["kind"] == kind:
                key = record.get("step", number) if kind in ("step", "detail") else number
                found[key] = record
        return list(found.values())


class Follower:
    """Reads a log again and again, each time what was added.

    Args:
        path: Of the log.

    Raises:
        InputError: There is no such file, or it is not a log.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Record | None = None
        self.first: Record = {}  # header
        self.records: list[Record] = []
        self._torn: list[Torn] = []
        self._offset = 0
        self._lines = 0
        self._rest = b""
        self._digest = hashlib.sha256()

    def read(self) -> int:
        """Read the whole lines that were added, and return how many records they are."""
        before = len(self.records)
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset + len(self._rest))
                while chunk := stream.read(CHUNK):
                    self._digest.update(chunk)
                    self._take(chunk)
        except FileNotFoundError as error:
            raise InputError(
                "no such file",
                where=str(self.path),
                why=why_missing(self.path),
                hint=did_you_mean(self.path),
            ) from error
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be read",
                where=str(self.path),
                why=error.strerror or str(error),
                hint="give a log that a Recorder writes: Recorder(..., log='run.jsonl')",
            ) from error
        return len(self.records) - before

    def log(self) -> Log:
        """Return what has been read.

        Raises:
            InputError: The file does not begin with the header of a log.
        """
        if self.header is None:
            raise InputError(
                f"{self.path} holds no whole header",
                where=str(self.path),
                why="its first line is none of a log"
                if self._lines
                else "it is empty, or its first line is torn",
                hint="wait for the first step, or give another file",
            )
        torn = list(self._torn)
        if self._rest:
            torn.append(self._tear(len(self._rest), last=True))
        return Log(
            path=self.path,
            header=self.header,
            first=self.first,
            records=tuple(self.records),
            torn=tuple(torn),
            ended=bool(self.records) and self.records[-1]["kind"] == "end",
            sha256=self._digest.hexdigest(),
        )

    def _take(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > LONGEST_LINE:
            raise _not_a_log(self.path, "a line has no end")
        for line in lines:
            self._line(line)
            self._offset += len(line) + 1
            self._lines += 1

    def _line(self, line: bytes) -> None:
        record = _parsed(line)
        if self._lines == 0 and (record is None or record.get("schema") != SCHEMA):
            if record is None and not line.strip().startswith(b"{"):
                raise _not_a_log(self.path, "its first line is no header")
            if record is not None:
                raise _not_a_log(self.path, f"its schema is {record.get('schema')!r}")
        layers = len(self.header["layers"]) if self.header is not None else 0
        if record is None or not well_formed(record, layers):
            if line:
                self._torn.append(self._tear(len(line), last=False))
        elif record["kind"] != "header":
            self.records.append(record)
        else:
            if self.header is None:
                self.first = record
            else:
                self.records.append({"kind": "resumed", "step": record.get("step", 0)})
            self.header = record

    def _tear(self, length: int, *, last: bool) -> Torn:
        return Torn(line=self._lines + 1, offset=self._offset, bytes=length, last=last)


def read_log(path: str | Path) -> Log:
    """Return a log, also of a run that still goes on or that was killed.

    Raises:
        InputError: There is no such file, or it is not a log.
    """
    follower = Follower(Path(path))
    with task("reading the log"):
        follower.read()
    return follower.log()


def numbers(record: Mapping[str, Any], key: str, count: int) -> np.ndarray:
    """Return a list of numbers of a record; NaN for those that were not finite or not there."""
    values = np.array(record.get(key, ()), dtype=float)[:count]  # None becomes NaN
    return np.concatenate([values, np.full(count - len(values), np.nan)])


def number(record: Mapping[str, Any], key: str) -> float:
    """Return a number of a record; NaN when it was not finite or is not there."""
    value = record.get(key)
    return float("nan") if value is None else float(value)


def _parsed(line: bytes) -> Record | None:
    try:
        record = json.loads(line)
        if not isinstance(record, dict):
            return None
        arrays = {key: np.array(record[key], dtype=float) for key in ARRAYS if key in record}
    except (ValueError, TypeError, RecursionError):
        return None
    return {**record, **arrays}


def _not_a_log(path: Path, why: str) -> InputError:
    return InputError(
        f"{path} is not a log of a training run",
        where=str(path),
        why=why,
        hint="give the file that Recorder(..., log=...) writes",
    )
