"""JSON documents that landscape wrote, read back from files."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import InputError, LandscapeError

T = TypeVar("T")

LARGEST_BYTES = 2**28
DAMAGE = (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError)


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON document in a file.

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
        document = json.loads(path.read_text("utf-8-sig"))
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
            f"{path} is not JSON: {error}",
            where=str(path),
            why="documents are JSON, whole and in UTF-8",
            hint="give a file that --json or -o wrote",
        ) from error
    if not isinstance(document, dict) or not isinstance(document.get("schema"), str):
        raise InputError(
            f"{path} is not a document of landscape",
            where=str(path),
            why="it has no schema",
            hint="give a report.json, or what --json printed",
        )
    return document


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
        return decode(document)


@contextmanager
def guarded(documents: dict[Path, dict[str, Any]]) -> Iterator[None]:
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
        schemas = " or ".join({document["schema"]: None for document in documents.values()})
        raise InputError(
            f"{names} is damaged: {type(error).__name__}: {error}",
            where=names,
            why=f"it does not have the form of {schemas}",
            hint="write it again with landscape",
        ) from error
