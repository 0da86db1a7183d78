"""Two documents compared: refused when they are unlike, else number by number."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from landscape.answer import Cost
from landscape.comparison.likeness import refuse_other_kinds, unlike
from landscape.comparison.numbers import Contrast, Shared, shared
from landscape.comparison.places import answer_of, last_of, name_of
from landscape.comparison.result import APART, Comparison, Side
from landscape.comparison.software import software
from landscape.diagnostics import DIAGNOSTICS
from landscape.difference import Direction
from landscape.errors import InputError
from landscape.estimate import Status, worst

ROUNDING = {"float64": 1e-12}  # relative, by precision
SINGLE = 1e-5  # of float32 products, summed in any order


def compare_documents(
    a: Mapping[str, Any],
    b: Mapping[str, Any],
    *,
    names: tuple[str, str] = ("A", "B"),
    anyway: bool = False,
) -> Comparison:
    """Return B held against A, number by number, each with a verdict and its reason.

    Args:
        a: The document of an answer or of a report.
        b: Another of the same kind.
        names: Where they come from.
        anyway: Compare also what was not made alike.

    Raises:
        InputError: They answer different questions; or they are unlike, unless `anyway`; or one of
            them holds no answer.
    """
    started = time.perf_counter()
    refuse_other_kinds(a, b)
    differing = unlike(a, b)
    grave = [one for one in differing if one.grave]
    if grave and not anyway:
        count = "1 setting differs" if len(grave) == 1 else f"{len(grave)} settings differ"
        raise InputError(
            f"the documents were not made alike: {count}",
            where=f"{names[0]} and {names[1]}",
            why="; ".join(one.told for one in grave),
            hint="make one again with the settings of the other, or pass --anyway",
        )
    provenance = [one.get("provenance") or {} for one in (a, b)]
    precision = {str(one.get("dtype")) for one in provenance}
    rounding = max(ROUNDING.get(one, SINGLE) for one in precision)
    parts = list(_parts(a, b, rounding))
    hashes = [one.get("batches_hash") for one in provenance]
    prints = [one.get("weights_fingerprint") for one in provenance]
    status = worst(*(_status(one) for one in (a, b)))
    numbers = tuple(one for part in parts for one in part.numbers)
    return Comparison(
        status=status,
        message=_message(numbers),
        settings={"a": names[0], "b": names[1], "anyway": anyway},
        seed=int(a.get("seed") or 0),
        cost=Cost(seconds=time.perf_counter() - started),
        provenance={**software(), "a": provenance[0], "b": provenance[1]},
        of=name_of(a),
        a=_side(a, names[0]),
        b=_side(b, names[1]),
        same_data=hashes[0] is not None and hashes[0] == hashes[1],
        same_weights=prints[0] is not None and prints[0] == prints[1],
        rounding=rounding,
        unlike=differing,
        numbers=numbers,
        changed=tuple(one for part in parts for one in part.changed),
        only_a=tuple(one for part in parts for one in part.only_a),
        only_b=tuple(one for part in parts for one in part.only_b),
        sections_left_out=tuple(_alone(a, b)),
        undecided=tuple(one for part in parts for one in part.undecided),
    )


def _message(numbers: Sequence[Contrast]) -> str:
    if not numbers:
        return "Nothing was compared: no number is in both."
    count = sum(one.verdict in APART for one in numbers)
    return f"{count} of {len(numbers)} numbers are told apart."


def directions_of(document: Mapping[str, Any]) -> Mapping[str, Direction]:
    """Return which way is better for the numbers of a document, as its result declares it."""
    name = name_of(document)
    return next((one.result.better for one in DIAGNOSTICS if one.name == name), {})


def _parts(a: Mapping[str, Any], b: Mapping[str, Any], rounding: float) -> Iterator[Shared]:
    """Yield the comparison of every section; of every member of series that are equally long."""
    sections = answer_of(a).get("sections"), answer_of(b).get("sections")
    if isinstance(sections[0], Mapping) and isinstance(sections[1], Mapping):
        for name, section in sections[0].items():
            if name in sections[1]:
                yield from _answers(section, sections[1][name], rounding, (name,))
    else:
        yield from _answers(a, b, rounding, ())


def _answers(
    a: Mapping[str, Any], b: Mapping[str, Any], rounding: float, at: tuple[str, ...]
) -> Iterator[Shared]:
    ways = directions_of(a)
    left, right = (answer_of(one).get("series") for one in (a, b))
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        for number, (one, other) in enumerate(zip(left, right, strict=True)):
            yield shared(one, other, ways, rounding=rounding, at=(*at, "series", number))
    else:
        yield shared(last_of(a), last_of(b), ways, rounding=rounding, at=at)


def _alone(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[str]:
    both = [(answer_of(one).get("sections") or {}).keys() for one in (a, b)]
    yield from sorted(both[0] ^ both[1])


def _side(document: Mapping[str, Any], source: str) -> Side:
    provenance = document.get("provenance") or {}
    label = str(last_of(document).get("checkpoint") or "")
    files = provenance.get("checkpoints") or ()
    if not label and files and isinstance(files[-1], Mapping):
        label = str(files[-1].get("label") or "")
    return Side(
        label=label or source,
        source=source,
        weights_fingerprint=provenance.get("weights_fingerprint"),
    )


def _status(document: Mapping[str, Any]) -> Status:
    known = {status.value for status in Status}
    found = document.get("status")
    return Status(found) if found in known else Status.CONVERGED
