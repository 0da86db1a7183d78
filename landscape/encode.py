"""Frozen dataclasses to JSON and back, and their JSON Schema (RFC 8259: no NaN, no Infinity)."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import tempfile
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from landscape.errors import OutputError

T = TypeVar("T")
Schema = dict[str, Any]

_SURROGATE = re.compile("[\ud800-\udfff]")

_PRIMITIVES: dict[type, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": ["number", "null"]},
    str: {"type": "string"},
    type(None): {"type": "null"},
}


def encode(value: Any) -> Any:
    """Return plain JSON types; numbers that are not finite become null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray | np.generic):
        return encode(value.tolist())
    if isinstance(value, Mapping):
        mapping = cast("Mapping[object, Any]", value)
        return {str(key): encode(item) for key, item in mapping.items()}
    if isinstance(value, tuple | list):
        return [encode(item) for item in cast("Sequence[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"no JSON form for {type(value).__name__}")


def decode(kind: Any, value: Any) -> Any:
    """Return the value of a type from its JSON form; null becomes NaN where a number is due."""
    kind = _bare(kind)
    if kind is float:
        return math.nan if value is None else float(value)
    if kind is np.ndarray:
        return np.array(value, dtype=np.float64)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return decode_fields(kind, value)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        return None if value is None else decode(_some(arguments), value)
    if origin is tuple:
        inner = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(decode(item, part) for item, part in zip(inner, value, strict=True))
    if origin is dict:
        return {key: decode(arguments[1], part) for key, part in value.items()}
    return value


def decode_fields(kind: type[T], value: Mapping[str, Any]) -> T:
    """Return a dataclass from a mapping of its fields; unknown keys are left alone."""
    hints = get_type_hints(kind, include_extras=True)
    names = [f.name for f in dataclasses.fields(kind) if f.name in value]  # type: ignore[arg-type]
    return kind(**{name: decode(hints[name], value[name]) for name in names})


def schema_of(kind: Any) -> Schema:
    """Return the JSON Schema of a type."""
    kind = _bare(kind)
    if kind is Any:
        return {}
    if kind in _PRIMITIVES:
        return dict(_PRIMITIVES[kind])
    if kind is np.ndarray:
        return {"type": "array"}
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return schema_of_fields(kind, [f.name for f in dataclasses.fields(kind)])
    return _schema_of_generic(kind)


def schema_of_fields(kind: type, names: list[str]) -> Schema:
    """Return the JSON Schema of some fields of a dataclass."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        "type": "object",
        "properties": {name: schema_of(hints[name]) for name in names},
        "required": names,
    }


def _schema_of_generic(kind: Any) -> Schema:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [schema_of(argument) for argument in arguments]}
    if origin is tuple:
        return {"type": "array", "items": schema_of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1])}
    raise TypeError(f"no JSON schema for {kind}")


def _bare(kind: Any) -> Any:
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _some(arguments: tuple[Any, ...]) -> Any:
    return next(argument for argument in arguments if argument is not type(None))


def to_text(document: Any) -> str:
    """Return a JSON document as text; what UTF-8 cannot hold, as in some file names, is escaped."""
    text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def require_folder(path: Path, what: str) -> None:
    """Refuse a place to write to whose folder is not there.

    Raises:
        OutputError: It is not.
    """
    if not path.absolute().parent.is_dir():
        raise OutputError(
            f"{what} cannot be written",
            where=str(path),
            why="there is no such folder",
            hint="make the folder first",
        )


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never a part.

    The content goes to a temporary file in the same folder, is synced, and takes the name at once.
    """
    data = content.encode(errors="replace") if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
