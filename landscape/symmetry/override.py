"""What the user knows better than the inference, from a file; the proof has the last word.

freeze = ["head.*:0"]                        # axes, as globs over names and the axis's number
tie = [["a.weight:0", "b.weight:0"]]         # axes that must be permuted alike
groups = [["a.weight:0", "b.weight:1"]]      # axes that are one free group, whatever was found
like = { my_op = "elementwise" }             # an operation without a rule, and one with
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from landscape.errors import InputError, ModelError, SettingError
from landscape.symmetry.axes import Atom, Axes, Label, freeze, size_of, unify
from landscape.symmetry.operations import OPERATIONS
from landscape.symmetry.rules import Walk

Place = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Override:
    """Axes to freeze, to tie and to release, and operations to treat like others."""

    freeze: tuple[str, ...] = ()
    tie: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    like: dict[str, str] = field(default_factory=dict)

    def apply(self, state: Walk) -> None:
        """Change the labels of a walk.

        Raises:
            ModelError: A place is not there, or lengths differ.
        """
        for pattern in self.freeze:
            for name, axis in _matching(state, pattern):
                freeze(state.tensors[name][axis], "override")
        for places in self.tie:
            labels = _labels(state, places)
            for label in labels[1:]:
                unify(labels[0], label, "override")
        for places in self.groups:
            _release(state, places)


def read(path: str | Path) -> Override:
    """Read an override from a TOML or JSON file.

    Raises:
        InputError: The file cannot be read or parsed.
        SettingError: It holds something else.
    """
    file = Path(path)
    try:
        text = file.read_text()
        found = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise InputError(
            "the override file cannot be read",
            where=str(file),
            why=str(error),
            hint="give a TOML or JSON file",
        ) from error
    return from_mapping(found, where=str(file))


def from_mapping(found: Any, *, where: str = "override") -> Override:
    """Return the override that a mapping describes.

    Raises:
        SettingError: A key or a value is not one of an override's.
    """
    known = {each.name for each in fields(Override)}
    if not isinstance(found, dict) or set(found) - known:
        raise _wrong(where, f"expected a table with {', '.join(sorted(known))}")
    nested = {
        key: tuple(_strings(each, where, key) for each in found.get(key, []))
        for key in ("tie", "groups")
    }
    like = found.get("like", {})
    if not isinstance(like, dict) or not all(value in OPERATIONS for value in like.values()):
        raise _wrong(where, "like names, for an operation, another that has a rule")
    frozen = _strings(found.get("freeze", []), where, "freeze")
    return Override(freeze=frozen, tie=nested["tie"], groups=nested["groups"], like=dict(like))


def _strings(value: Any, where: str, key: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise _wrong(where, f"{key} takes lists of places such as 'layer.weight:0'")
    return tuple(value)


def _wrong(where: str, why: str) -> SettingError:
    return SettingError(
        "the override is not understood",
        where=where,
        why=why,
        hint="see landscape.symmetry.override",
    )


def _matching(state: Walk, pattern: str) -> list[Place]:
    glob, _, axis = pattern.rpartition(":")
    found = [
        (name, i)
        for name, axes in state.tensors.items()
        for i in range(len(axes))
        if fnmatchcase(name, glob) and axis in (str(i), "*")
    ]
    if not found:
        raise ModelError(
            f"no axis matches {pattern!r}",
            where="override",
            why="a place is a tensor's name, a colon, and the number of an axis",
            hint=f"names are such as {', '.join(list(state.tensors)[:3])}",
        )
    return found


def _labels(state: Walk, places: tuple[str, ...]) -> list[Label]:
    found = [_matching(state, place)[0] for place in places]
    labels = [state.tensors[name][axis] for name, axis in found]
    if len({size_of(label) for label in labels}) > 1:
        raise ModelError(
            "axes of different lengths cannot be one group",
            where="override",
            why=", ".join(f"{p}: {size_of(x)}" for p, x in zip(places, labels, strict=True)),
            hint="name axes that run over the same units",
        )
    return labels


def _release(state: Walk, places: tuple[str, ...]) -> None:
    labels = _labels(state, places)
    atom = Atom(size_of(labels[0]))
    atom.ties["override"] = None
    for name, axis in (_matching(state, place)[0] for place in places):
        axes: Axes = state.tensors[name]
        state.tensors[name] = (*axes[:axis], (atom,), *axes[axis + 1 :])
        state.joints.append(state.tensors[name])
