"""The weights that a user names by a dotted path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from landscape.errors import CheckpointError
from landscape.subject.files.candidates import Candidate, is_tensor, keys_of, weights_of
from landscape.subject.files.wording import cut, listed


def by_key(raw: object, key: str, candidates: list[Candidate], where: str) -> Candidate:
    """Return the weights at a dotted path, or those whose names begin with it.

    Raises:
        CheckpointError: There are none; the message lists where there are.
    """
    for value in _at(raw, key):
        weights = weights_of(value)
        if weights is not None:
            return Candidate(path=(key,), weights=weights)
    for candidate in candidates:
        part = {
            name[len(key) + 1 :]: value
            for name, value in candidate.weights.items()
            if isinstance(name, str) and name.startswith(f"{key}.") and is_tensor(value)
        }
        if part:
            return Candidate(path=(key,), weights=part)
    names = [c.name for c in candidates if c.path]
    raise CheckpointError(
        f"no weights at `{cut(key)}`",
        where=where,
        why=f"weights are at: {listed(names)}" if names else f"keys: {keys_of(raw)}",
        hint=f"try --state-key {cut(names[0])}" if names else "leave out --state-key",
    )


def _at(value: Any, key: str) -> Iterator[Any]:
    """Yield what a dotted path may mean; a key may itself hold dots."""
    if isinstance(value, list | tuple) and key.partition(".")[0].isdecimal():
        index, _, rest = key.partition(".")
        if int(index[:9]) < len(value):
            yield from _at(value[int(index[:9])], rest) if rest else (value[int(index[:9])],)
    if not isinstance(value, Mapping):
        return
    if key in value:
        yield value[key]
    parts = key.split(".")
    for count in range(1, min(len(parts), 16)):
        head = ".".join(parts[:count])
        if head in value:
            yield from _at(value[head], ".".join(parts[count:]))
