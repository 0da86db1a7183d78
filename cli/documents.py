"""JSON documents that landscape wrote, read back from files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from landscape.errors import InputError

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
        document = json.loads(path.read_text("utf-8"))
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
