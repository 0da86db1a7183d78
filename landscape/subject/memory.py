"""Shared work, remembered: in memory, and in a folder when there is one.

What two diagnostics both need is computed once; going on after an interruption is the same look-up.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from zipfile import BadZipFile

import numpy as np

from landscape.encode import decode, encode, write_atomically

T = TypeVar("T")


class Memory:
    """Answers of functions by a key of everything that they depend on."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._known: dict[str, Any] = {}

    def once(self, key: object, function: Callable[[], T], kind: Any) -> T:
        """Return what a function returned for this key, calling it only the first time.

        Args:
            key: Anything that encodes as JSON.
            function: Computes the answer.
            kind: Its type, to read it back from disk.
        """
        name = hashlib.sha256(json.dumps(encode(key), sort_keys=True).encode()).hexdigest()[:32]
        if name not in self._known:
            found = self._read(name, kind)
            if found is None:
                found = function()
                self._write(name, found)
            self._known[name] = found
        return self._known[name]

    def _read(self, name: str, kind: Any) -> Any:
        if self.folder is None or not (path := self.folder / f"{name}.npz").exists():
            return None
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
                if kind is np.ndarray:
                    return stored["array"]
                return decode(kind, json.loads(str(stored["json"])))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):
            return None  # a torn or foreign file is computed again

    def _write(self, name: str, value: Any) -> None:
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        if isinstance(value, np.ndarray):
            np.savez(buffer, array=value)
        else:
            np.savez(buffer, json=np.array(json.dumps(encode(value))))
        write_atomically(self.folder / f"{name}.npz", buffer.getvalue())


def returned_kind(function: Callable[..., Any]) -> Any:
    """Return the annotated type of what a function returns."""
    return get_type_hints(function).get("return", Any)
