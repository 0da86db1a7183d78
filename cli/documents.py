"""JSON documents: read back from files, and those that no diagnostic makes."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import InputError, LandscapeError

from .configured import command_line

T = TypeVar("T")

LARGEST_BYTES = 2**28
DAMAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError)


@dataclass(frozen=True)
class Document:
    """A JSON document of landscape, and the SHA-256 of the bytes that it was read from."""

    content: dict[str, Any]
    sha256: str


def read_document(path: Path) -> Document:
    """Return the JSON document in a file, which is read once: it may be a pipe.

    Raises:
        InputError: There is no such file, or it does not hold a document of landscape.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise InputError(
                f"{path} is larger than a report can be",
                where=str(path),
                why=f"it has more than {LARGEST_BYTES:,} bytes",
                hint="give a report.json, or what --json printed",
            )
        data = path.read_bytes()
        document = json.loads(data.decode("utf-8-sig"))
    except FileNotFoundError as error:
        from landscape.subject.files.sniff import did_you_mean, why_missing

        raise InputError(
            "no such file", where=str(path), why=why_missing(path), hint=did_you_mean(path)
        ) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read",
            where=str(path),
            why=error.strerror or str(error),
            hint="check the path",
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not JSON",
            where=str(path),
            why=str(error),
            hint="give a file that --json or -o wrote",
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("schema"), str):
        raise InputError(
            f"{path} is not a document of landscape",
            where=str(path),
            why="it has no schema",
            hint="give a report.json, or what --json printed",
        )
    return Document(document, hashlib.sha256(data).hexdigest())


def read_answer(path: Path, decode: Callable[[dict[str, Any]], T]) -> T:
    """Return the answer or report in a file.

    Args:
        path: The file.
        decode: Makes it from the document.

    Raises:
        InputError: The document is not of the form that its schema has.
    """
    document = read_document(path)
    with guarded({path: document}):
        return decode(document.content)


def made_by(files: Mapping[Path, str]) -> dict[str, Any]:
    """Return what a document that rests on files tells of its making: the command, their hashes."""
    return {"command": command_line(), "files": {str(path): told for path, told in files.items()}}


def enveloped(
    name: str, number: int, answer: Mapping[str, Any], message: str, *, began: float, **more: Any
) -> dict[str, Any]:
    """Return the document of a command that asks no diagnostic, as every other one is written.

    Args:
        name: Of the command.
        number: Of the version of its schema.
        answer: What it tells.
        message: What there is to say of it.
        began: When it began, by `time.perf_counter`.
        more: Of its provenance.
    """
    seconds = time.perf_counter() - began
    return {
        "schema": f"landscape/{name}/{number}",
        "status": "converged",
        "message": message,
        "settings": {},
        "seed": None,
        "cost": {"seconds": seconds, "products": 0, "peak_memory_bytes": None, "samples": 0},
        "answer": answer,
        "provenance": {
            "landscape": version("landscape"),
            "python": platform.python_version(),
            "system": platform.system(),
            "command": command_line(),
            **more,
        },
    }


@contextmanager
def guarded(documents: Mapping[Path, Document]) -> Iterator[None]:
    """Say that a document is damaged where what is done with it finds no number or name.

    Args:
        documents: Every one that is looked into, by its file.

    Raises:
        InputError: One is not of the form that its schema has.
    """
    names = " or ".join(map(str, documents))
    try:
        yield
    except InputError as error:
        if error.where == "schema":
            error.where = names
        raise
    except LandscapeError:
        raise
    except DAMAGE as error:
        schemas = " or ".join({document.content["schema"]: None for document in documents.values()})
        raise InputError(
            f"{names} is damaged: {type(error).__name__}: {error}",
            where=names,
            why=f"it does not have the form of {schemas}",
            hint="write it again with landscape",
        ) from error
