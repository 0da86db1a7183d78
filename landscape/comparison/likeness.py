"""What two documents must have in common before their numbers may be held against one another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from landscape.comparison.places import answer_of, name_of
from landscape.errors import InputError

# what of the provenance decides which quantity a number is an estimate of
_SAME = {
    "batches_hash": "data",
    "held_out_hash": "held-out data",
    "loss": "loss",
    "mode": "mode",
    "dtype": "precision",
    "params": "parameters studied",
    "mask": "mask",
}
# what may differ, and is told
_TOLD = {
    "model": "network",
    "learning_rate": "learning rate",
    "landscape": "version of landscape",
    "torch": "version of torch",
    "device": "device",
    "budget": "budget",
}


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """Something in which two documents differ.

    Args:
        what: That differs.
        a: In the one.
        b: In the other.
        grave: Whether numbers are then of different quantities.
    """

    what: str
    a: str
    b: str
    grave: bool

    @property
    def told(self) -> str:
        """Return the difference in a few words."""
        return f"{self.what}: {self.a} and {self.b}"


def refuse_other_kinds(a: Mapping[str, Any], b: Mapping[str, Any]) -> None:
    """Refuse documents that answer different questions.

    Raises:
        InputError: They do.
    """
    names = name_of(a), name_of(b)
    if names[0] != names[1]:
        raise InputError(
            "the documents answer different questions",
            where="landscape compare",
            why=f"one is of {names[0]}, the other of {names[1]}",
            hint="compare two answers of one diagnostic, or two reports",
        )


def unlike(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Unlike, ...]:
    """Return every setting in which two documents of one kind differ, grave ones first."""
    found = [*_documents(a, b, ""), *_provenance(a, b)]
    left, right = (answer_of(one).get("sections") for one in (a, b))
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for name in sorted(left.keys() & right.keys()):
            found += _documents(left[name], right[name], f"{name}: ")
    return tuple(sorted(found, key=lambda one: not one.grave))


def _documents(a: Mapping[str, Any], b: Mapping[str, Any], where: str) -> Iterator[Unlike]:
    yield from _differing({f"{where}schema": (a.get("schema"), b.get("schema"))}, grave=True)
    settings = a.get("settings") or {}, b.get("settings") or {}
    keys = dict.fromkeys([*settings[0], *settings[1]])
    pairs = {f"{where}setting {key}": tuple(one.get(key) for one in settings) for key in keys}
    pairs.setdefault(f"{where}setting seed", (a.get("seed"), b.get("seed")))
    yield from _differing(pairs, grave=True)


def _provenance(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Unlike]:
    both = a.get("provenance") or {}, b.get("provenance") or {}
    for names, grave in ((_SAME, True), (_TOLD, False)):
        pairs = {what: tuple(one.get(key) for one in both) for key, what in names.items()}
        yield from _differing(pairs, grave=grave)


def _differing(pairs: Mapping[str, tuple[Any, ...]], *, grave: bool) -> Iterator[Unlike]:
    for what, (one, other) in pairs.items():
        if one != other:
            yield Unlike(what=what, a=_short(one), b=_short(other), grave=grave)


def _short(value: Any) -> str:
    """Return a value in a few characters; the beginning of a hash."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
