from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import jsonschema
import numpy as np
import pytest

from landscape import encode as module
from landscape.encode import decode, encode, schema_of, to_text, write_atomically
from landscape.estimate import Estimate, Status


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    name: str
    weight: float | None


@dataclass(frozen=True)
class Outer:
    flag: bool
    count: int
    number: float
    text: str
    colour: Colour
    kind: Literal["a", "b"]
    pair: tuple[float, float]
    several: tuple[Inner, ...]
    maybe: Inner | None
    table: dict[str, Inner]
    array: np.ndarray
    anything: Any


def outer(**changes: Any) -> Outer:
    values = {
        "flag": True,
        "count": 3,
        "number": 1.5,
        "text": "Grüße ± λ",
        "colour": Colour.BLUE,
        "kind": "b",
        "pair": (0.1, -2.0),
        "several": (Inner("x", 1.0), Inner("y", None)),
        "maybe": Inner("z", 2.0),
        "table": {"k": Inner("w", 0.5)},
        "array": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "anything": {"nested": [1, None, "two"]},
    }
    return Outer(**{**values, **changes})


def through_text(value: Any) -> Any:
    return json.loads(to_text(encode(value)))


def same(one: Any, other: Any) -> bool:
    """Equality in which NaN equals NaN and types count."""
    if isinstance(one, np.ndarray):
        return isinstance(other, np.ndarray) and np.array_equal(one, other, equal_nan=True)
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    if isinstance(one, Outer | Inner):
        return type(one) is type(other) and all(
            same(getattr(one, f.name), getattr(other, f.name)) for f in fields(one)
        )
    if isinstance(one, tuple):
        return type(other) is tuple and all(map(same, one, other)) and len(one) == len(other)
    return type(one) is type(other) and one == other


VALUES = {
    "plain": outer(),
    "nothing": outer(maybe=None, several=(), table={}, array=np.zeros(0)),
    "nan": outer(number=math.nan, array=np.array([1.0, math.nan]), pair=(math.nan, 1.0)),
    "extremes": outer(number=5e-324, pair=(1.7976931348623157e308, -0.0)),
    "integers where numbers are due": outer(number=2.0, array=np.array([1.0, 2.0])),
}


@pytest.mark.parametrize("name", VALUES)
def test_what_is_encoded_comes_back_through_text(name):
    value = VALUES[name]
    assert same(decode(Outer, through_text(value)), value)


@pytest.mark.parametrize("name", VALUES)
def test_what_is_encoded_fits_its_schema(name):
    jsonschema.Draft202012Validator.check_schema(schema_of(Outer))
    jsonschema.validate(through_text(VALUES[name]), schema_of(Outer))


@pytest.mark.parametrize(
    ("key", "wrong"),
    [
        ("flag", 1),
        ("count", 1.5),
        ("number", "1.5"),
        ("text", 5),
        ("colour", "green"),
        ("kind", "c"),
        ("pair", "ab"),
        ("several", [{"name": 5, "weight": 1}]),
        ("maybe", {"name": "z"}),
        ("table", {"k": 5}),
        ("array", 5.0),
    ],
)
def test_what_does_not_fit_is_rejected_by_the_schema(key, wrong):
    document = {**through_text(outer()), key: wrong}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema_of(Outer))


def test_every_field_is_required():
    document = through_text(outer())
    for field in fields(Outer):
        partial = {key: value for key, value in document.items() if key != field.name}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(partial, schema_of(Outer))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_are_null_and_come_back_as_nan(value):
    for form in (value, np.float32(value), np.float64(value)):
        assert encode(form) is None
    assert encode({"a": [value]}) == {"a": [None]}
    assert encode(np.array([value, 1.0])) == [None, 1.0]
    assert math.isnan(decode(float, None))
    assert "NaN" not in to_text(encode([value]))


def test_a_missing_option_stays_missing():
    """Null is NaN where a number is due, and None where there may be none."""
    assert decode(float | None, None) is None
    assert decode(Inner, {"name": "a", "weight": None}).weight is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.arange(4).reshape(2, 2), [[0, 1], [2, 3]]),
        (np.array(2.5), 2.5),
        (Status.CONVERGED, "converged"),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (True, True),
    ],
)
def test_numpy_enums_and_tuples_become_plain(value, expected):
    found = encode(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    "value",
    [object(), {1, 2}, b"bytes", 1j, Inner],
    ids=["object", "set", "bytes", "complex", "type"],
)
def test_what_has_no_json_form_is_refused(value):
    with pytest.raises(TypeError, match="no JSON form"):
        encode(value)


@pytest.mark.parametrize("kind", [bytes, list[int], Mapping[str, int]], ids=str)
def test_a_type_without_a_schema_is_refused(kind):
    with pytest.raises(TypeError, match="no JSON schema"):
        schema_of(kind)


def test_unknown_keys_are_left_alone():
    """A document of a newer version may say more."""
    assert decode(Inner, {"name": "a", "weight": 1.0, "new": 5}) == Inner("a", 1.0)


@pytest.mark.parametrize(
    "estimate",
    [
        Estimate.exact(2.5, "counted"),
        Estimate.mean(np.array([1.0, 2.0, 4.0]), method="draws"),
        Estimate(value=1.0, kind="lower_bound", interval=(1.0, 2.0), residual=1e-6),
    ],
)
def test_estimates_come_back(estimate):
    document = through_text(estimate)
    jsonschema.validate(document, schema_of(Estimate))
    assert decode(Estimate, document) == estimate


def test_an_estimate_that_is_not_finite_comes_back_with_its_reason():
    document = through_text(Estimate.exact(math.inf))
    jsonschema.validate(document, schema_of(Estimate))
    back = decode(Estimate, document)
    assert math.isnan(back.value)
    assert back.status is Status.NOT_FINITE
    assert "inf" in back.reason


def test_text_is_strict_json_that_ends_in_a_line():
    text = to_text({"λ": [1.5, None]})
    assert text.endswith("}\n")
    assert "λ" in text
    with pytest.raises(ValueError, match="JSON"):
        to_text(math.nan)


# --- files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", ["text ±\n", b"\x00bytes", ""])
def test_a_file_holds_what_was_written(tmp_path, content):
    path = tmp_path / "out.json"
    write_atomically(path, content)
    assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_old_file_is_replaced_whole(tmp_path):
    path = tmp_path / "out.json"
    path.write_text("a much longer text than the new one")
    write_atomically(path, "new")
    assert path.read_text() == "new"


def test_a_long_name_is_no_obstacle(tmp_path):
    path = tmp_path / ("n" * 250)
    write_atomically(path, "x")
    assert path.read_text() == "x"


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    path = tmp_path / "out.json"
    path.write_text("old")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError("no space left on device")

    if step == "fsync":
        monkeypatch.setattr(os, "fsync", fail)
    else:
        monkeypatch.setattr(Path, step, fail)
    with pytest.raises(OSError, match="no space"):
        write_atomically(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]


def test_an_interruption_leaves_nothing_either(tmp_path, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(module.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "out.json", "new")
    assert not list(tmp_path.iterdir())


def test_a_folder_in_the_way_is_not_replaced(tmp_path):
    path = tmp_path / "out.json"
    path.mkdir()
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        write_atomically(path, "new")
    assert path.is_dir()
    assert [p.name for p in tmp_path.iterdir()] == ["out.json"]
