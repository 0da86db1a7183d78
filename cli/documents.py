"""JSON documents that landscape wrote, read back from files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from landscape.errors import InputError, LandscapeError

T = TypeVar("T")

LARGEST_BYTES = 2**28


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
                hint="give a report.json, or what --json printed",
            )
        document = json.loads(path.read_text("utf-8-sig"))
    except FileNotFoundError as error:
        from landscape.subject.files.sniff import did_you_mean

        raise InputError("no such file", where=str(path), hint=did_you_mean(path)) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}", where=str(path), hint="check the path"
        ) from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} is not JSON: {error}",
            where=str(path),
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
    try:
        return decode(document)
    except InputError as error:
        if error.where == "schema":
            error.where = str(path)
        raise
    except LandscapeError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise InputError(
            f"{path} is damaged: {type(error).__name__}: {error}",
            where=str(path),
            why=f"it does not have the form of {document['schema']}",
            hint="write it again with landscape",
        ) from error
