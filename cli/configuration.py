"""Configuration files: found, read, checked by name; nothing in them is run."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from landscape.errors import InputError, SettingError

NAME = "landscape.toml"
PROJECT = "pyproject.toml"
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(?:#.*)?$")

Table = tuple[str, ...]  # of a command: ("tickets", "find"); () of what is common


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One value of a configuration file, and where it stands."""

    table: Table
    key: str
    value: Any
    file: Path
    line: int | None
    table_line: int | None

    @property
    def place(self) -> str:
        """Return file and line."""
        return place_of(self.file, self.line)

    @property
    def where(self) -> str:
        """Return file, line, table and key."""
        table = f"[{'.'.join(self.table)}] " if self.table else ""
        return f"{self.place}, {table}{self.key}"


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """A configuration file as it was read."""

    path: Path
    sha256: str
    entries: tuple[Entry, ...]

    @property
    def name(self) -> str:
        """Return the path as seen from the working directory."""
        return os.path.relpath(self.path)


def configurations(given: Path | None) -> tuple[Configuration, ...]:
    """Return the files that hold here, the weakest first.

    The nearest `pyproject.toml` with a table `[tool.landscape]`, the nearest `landscape.toml`, and
    the file that is given. They are looked for from the working directory upward, as far as the
    root of its repository or the home directory; elsewhere in the working directory alone.

    Raises:
        InputError: The file that is given cannot be read.
        SettingError: A file is not TOML.
    """
    project = next((one for one in _nearest(PROJECT) if _concerns(one)), None)
    own = next(_nearest(NAME), None)
    return tuple(_read(path) for path in (project, own, given) if path is not None)


def placed(value: str, folder: Path, *, spec: bool) -> str:
    """Return a path or a spec of a file, seen from the working directory.

    Relative paths start at the folder of the file that states them: `nets.py:build`,
    `npz:digits.npz`, `torchvision:CIFAR10,root=data`, or a path itself. What names no file stays.
    """
    if not spec or value.endswith(".npy"):
        return ",".join(_moved(part, folder) for part in value.split(","))
    found = re.match(r"(npz:|)([^,]*?)(\.py:[^,]*|)(,.*|)$", value, re.DOTALL)
    if found is not None and (found[1] or found[3]) and found[2]:
        ending = found[3].partition(":")[0]
        path = _moved(found[2] + ending, folder)
        value = f"{found[1]}{path}{found[3].removeprefix(ending)}{found[4]}"
    return re.sub(r"(,root=)([^,'\"]+)", lambda root: root[1] + _moved(root[2], folder), value)


def _moved(path: str, folder: Path) -> str:
    """Return a path of a folder as seen from the working directory."""
    if not path or path.startswith("~") or Path(path).is_absolute():
        return path
    return os.path.relpath(folder / path)


def _nearest(name: str) -> Iterator[Path]:
    """Yield the files of a name that hold here, the nearest first."""
    here = Path.cwd()
    above = [here, *here.parents]
    ends = [i for i, folder in enumerate(above) if (folder / ".git").exists()]
    ends = ends or [i for i, folder in enumerate(above) if folder == Path.home()] or [0]
    yield from (one for folder in above[: ends[0] + 1] if (one := folder / name).is_file())


def _concerns(path: Path) -> bool:
    """Return whether a `pyproject.toml` speaks of landscape; one that is no TOML does not."""
    try:
        tool = tomllib.loads(path.read_text("utf-8-sig")).get("tool")
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(tool, dict) and isinstance(tool.get("landscape"), dict)


def _read(path: Path) -> Configuration:
    content, text, document = _parsed(path)
    inside = ("tool", "landscape") if path.name == PROJECT else ()
    for part in inside:
        document = document.get(part, {})
    entries: dict[tuple[Table, str], Entry] = {}
    for table, key, said, value in _flat(document, ()):
        entry = Entry(
            table=table,
            key=key,
            value=value,
            file=path,
            line=_line(text, (*inside, *table, said)),
            table_line=_line(text, (*inside, *table)),
        )
        if (table, key) in entries:
            told = "in a key, - and _ are the same"
            raise SettingError(
                f"{key!r} stands twice", where=entry.where, why=told, hint="keep one"
            )
        entries[table, key] = entry
    digest = hashlib.sha256(content).hexdigest()
    return Configuration(path=path, sha256=digest, entries=tuple(entries.values()))


def _parsed(path: Path) -> tuple[bytes, str, dict[str, Any]]:
    """Return the bytes of a file, its text, and what that says as TOML."""
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
        return content, text, tomllib.loads(text)
    except OSError as error:
        near = difflib.get_close_matches(path.name, [one.name for one in path.parent.glob("*")], 1)
        raise InputError(
            f"{path} cannot be read",
            where="--config",
            why=error.strerror or str(error),
            hint=f"did you mean {path.with_name(near[0])}?" if near else "check the path",
        ) from error
    except (ValueError, RecursionError) as error:
        line = re.search(r"at line (\d+)", str(error))
        raise SettingError(
            f"{os.path.relpath(path)} is not TOML",
            where=place_of(path, int(line[1]) if line else None),
            why=f"{error}" if isinstance(error, ValueError) else "it is nested too deeply",
            hint="mend the file: key = value, text in quotes, [tables] named for commands",
        ) from error


def _flat(tree: Mapping[str, Any], table: Table) -> Iterator[tuple[Table, str, str, Any]]:
    """Yield (table, key, key as written, value); an empty table has the key "": its name counts."""
    if not tree and table:
        yield table, "", "", None
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, (*table, key))
        else:
            yield table, key.replace("-", "_"), key, value


def place_of(file: Path, line: int | None) -> str:
    """Return file and line, as seen from the working directory."""
    shown = os.path.relpath(file)
    return shown if line is None else f"{shown}:{line}"


def _line(text: str, place: Table) -> int | None:
    """Return the line on which something stands, or on which the table begins that holds it."""
    table: Table = ()
    nearest: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if (header := _HEADER.match(line)) is not None:
            table = _parts(header[1])
            here = table
        elif (key := _KEY.match(line)) is not None:
            here = (*table, *_parts(key[1]))
        else:
            continue
        if here == place:
            return number
        if place[: len(here)] == here:
            nearest = number
    return nearest


def _parts(dotted: str) -> Table:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))
