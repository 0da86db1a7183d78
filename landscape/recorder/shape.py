"""Whether a record has the shape that its readers rely on: JSON may be whole and yet no record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from landscape.estimate import Kind, Status

KINDS = get_args(Kind)
LAST_STEP = 2**53
ARRAYS = ("gradient", "before", "weight", "update")  # of numbers, kept as such


def well_formed(record: Mapping[str, Any], layers: int) -> bool:
    """Return whether a record can be read.

    Args:
        record: A line of a log.
        layers: Tensors that the log is of.
    """
    kind = record.get("kind")
    if not isinstance(kind, str) or not _arrays(record):
        return False
    if kind == "header":
        return _count(record.get("step", 0), LAST_STEP) and _header(record)
    if not _count(record.get("step"), LAST_STEP):
        return False
    return kind not in _KINDS or _KINDS[kind](record, layers)


def _arrays(record: Mapping[str, Any]) -> bool:
    return all(
        isinstance(record[k], np.ndarray) and record[k].ndim == 1 for k in ARRAYS if k in record
    )


def _header(record: Mapping[str, Any]) -> bool:
    layers, optimizer = record.get("layers"), record.get("optimizer")
    return (
        isinstance(layers, list)
        and len(layers) > 0
        and all(isinstance(one, dict) and _texts([one.get("name")]) for one in layers)
        and all(_counts(one.get("shape"), LAST_STEP) for one in layers)
        and _texts(record.get("frozen", []))
        and isinstance(optimizer, dict)
        and isinstance(optimizer.get("name"), str)
        and isinstance(optimizer.get("groups"), list)
        and all(isinstance(one, dict) for one in optimizer["groups"])
        and isinstance(record.get("environment", {}), dict)
    )


def _step(record: Mapping[str, Any], layers: int) -> bool:
    scalars = ("time", "loss", "scale", "samples")
    return (
        all(_number(record.get(key)) for key in scalars)
        and _numbers(record.get("learning_rate", []))
        and _counts(record.get("missing", []), layers)
    )


def _detail(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    signals, pieces = record.get("signals", {}), record.get("pieces")
    return (
        _number(record.get("cosine"))
        and isinstance(record.get("no_pieces", ""), str)
        and isinstance(signals, dict)
        and all(isinstance(one, dict) and _numbers([*one.values()]) for one in signals.values())
        and (pieces is None or _pieces(pieces))
    )


def _pieces(given: Any) -> bool:
    return (
        isinstance(given, dict)
        and isinstance(given.get("unit"), str)
        and all(_number(value) for key, value in given.items() if key != "unit")
    )


def _order(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    return _texts(record.get("modules"))


def _origin(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    module = record.get("module")
    replayed = "module" not in record or "inputs" in record
    return "micro_batch" in record and replayed and (module is None or isinstance(module, str))


def _diagnostic(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    document = record.get("document", {"answer": {}, "status": ""})
    if not isinstance(record.get("name"), str) or not isinstance(document, dict):
        return False
    if not (_number(record.get("seconds")) and _headline(record.get("headline", []))):
        return False
    answer = document.get("answer")
    return "status" in document and isinstance(answer, dict) and _answer(answer)


def _headline(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(one, dict)
        and _texts([one.get("name"), one.get("reason") or ""])
        and one.get("kind") in KINDS
        and one.get("status") in list(Status)
        and _number(one.get("value"))
        and _number(one.get("level"))
        and _numbers(one.get("interval"))
        and len(one["interval"]) == 2
        for one in values
    )


def _postponed(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    known = [record.get(key) for key in ("cost", "share", "at", "from")]
    if not isinstance(record.get("name"), str) or None in known or not _numbers(known):
        return False
    return record["share"] > 0


def _answer(answer: Mapping[str, Any]) -> bool:
    """Return whether what is read of a spectrum is there, where the answer is one."""
    values, margin = answer.get("eigenvalues"), answer.get("stability")
    if isinstance(values, dict):
        top = values.get("top") or []
        if not isinstance(top, list) or not all(isinstance(one, dict) for one in top):
            return False
        if not all("value" in one and _number(one["value"]) for one in top):
            return False
    elif values is not None:
        return False
    if not margin:
        return True
    if not isinstance(margin, dict) or not isinstance(margin.get("verdict"), str):
        return False
    if margin["verdict"] == "not judged":
        return True
    one = margin.get("margin")
    if not isinstance(one, dict) or not isinstance(margin.get("rule"), str):
        return False
    interval = one.get("interval")
    known = [margin.get("threshold"), margin.get("learning_rate"), one.get("value")]
    return _numbers(interval) and len(interval or ()) == 2 and None not in known and _numbers(known)


def _failed(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    return _texts([record.get("where"), record.get("error")])


def _changed(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    held = record.get("held")
    names = _texts(record.get("thawed")) and _texts(record.get("frozen"))
    return names and _counts(held, LAST_STEP) and len(held or ()) == 2


def _end(record: Mapping[str, Any], layers: int) -> bool:
    del layers
    overhead = record.get("overhead") or {}
    return isinstance(overhead, dict) and _number(overhead.get("share"))


_KINDS = {
    "step": _step,
    "detail": _detail,
    "order": _order,
    "origin": _origin,
    "diagnostic": _diagnostic,
    "postponed": _postponed,
    "failed": _failed,
    "changed": _changed,
    "end": _end,
}


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and abs(value) < 1e308)


def _numbers(values: Any) -> bool:
    return isinstance(values, list) and all(_number(one) for one in values)


def _count(value: Any, bound: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < bound


def _counts(values: Any, bound: int) -> bool:
    return isinstance(values, list) and all(_count(one, bound) for one in values)


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) for one in values)
