"""Connectivity in words and tables: pairs, paths, components, and what the verdicts rest on."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from landscape.answer import Table

if TYPE_CHECKING:
    from landscape.connectivity.result import ConnectResult, Pair, PathAnswer

Row = tuple[Any, ...]

WORDS = {
    "connected": "connected",
    "barrier": "barrier on the paths tried",
    "inconclusive": "inconclusive",
    "refused": "refused",
}
SAID = {"aligned": "aligned line"}


def summary_of(result: ConnectResult) -> str:
    """Return the verdict, the path that decides it and its barrier; counts for many pairs."""
    if (pair := result.alone) is not None:
        return f"{pair.name}: {_verdict(pair)}"
    count = {word: sum(pair.verdict == word for pair in result.pairs) for word in WORDS}
    told = ", ".join(f"{number} {word}" for word, number in count.items() if number)
    parts = len(result.components)
    number = f"{parts}" if result.fewest == parts else f"{result.fewest} to {parts}"
    return (
        f"{len(result.checkpoints)} networks, {len(result.pairs)} pairs: {told}; components at "
        f"the tolerance: {number}"
    )


def _verdict(pair: Pair) -> str:
    path = pair.best
    if path is None or pair.verdict == "refused":
        return f"{WORDS[pair.verdict]}: {pair.reason}"
    by = f" along the {SAID.get(pair.by, pair.by)}" if pair.by is not None else ""
    told = f"loss barrier {path.barrier.loss:.3g} of {pair.tolerance.loss:.3g} tolerated"
    if path.barrier.error is not None and pair.tolerance.error is not None:
        told += f", error barrier {path.barrier.error:.3g} of {pair.tolerance.error:.3g}"
    return f"{WORDS[pair.verdict]}{by} ({told})"


def caption_of(result: ConnectResult) -> str:
    """Return method and cost of the figure."""
    many = result.drawn is None
    with_error = all(pair.tolerance.error is not None for pair in result.pairs)
    shown = "Barriers of the error" if with_error else "Barriers of the mean loss"
    shown = f"{shown} of every pair" if many else "Mean loss along the paths"
    bands = "Verdicts by bands" if many else "Bands"
    refreshed = any(path.stale is not None for pair in result.pairs for path in pair.paths.values())
    statistics = "; BatchNorm statistics recomputed at every point" if refreshed else ""
    return (
        f"{shown}, {result.samples:,} samples ({result.judged_on}){statistics}. "
        f"{bands}: simultaneous {result.level:.0%} (paired differences, multiplier bootstrap), the "
        f"level shared among the paths. {result.cost.seconds:.1f} s, seed {result.seed}."
    )


def tables_of(result: ConnectResult) -> tuple[Table, ...]:
    """Return the tables, those with nothing in them left out."""
    made = [_pairs(result), _paths(result), _definitions(result), _alignments(result)]
    if result.alone is None:
        made.append(_components(result))
    made.append(_explained(result))
    return tuple(table for table in made if table.rows)


def _pairs(result: ConnectResult) -> Table:
    columns = ("a", "b", "verdict", "by", "loss tolerated", "error tolerated", "reason")
    rows = tuple(
        (
            pair.a,
            pair.b,
            pair.verdict,
            pair.by,
            pair.tolerance.loss,
            pair.tolerance.error,
            pair.reason,
        )
        for pair in result.pairs
    )
    return Table("Pairs", columns, rows)


def _each(result: ConnectResult) -> list[tuple[Row, PathAnswer]]:
    """Return every path with the cells that name it."""
    return [
        ((pair.name, name) if result.alone is None else (name,), path)
        for pair in result.pairs
        for name, path in pair.paths.items()
    ]


def _named(result: ConnectResult, *columns: str) -> tuple[str, ...]:
    return ("pair", "path", *columns) if result.alone is None else ("path", *columns)


def _paths(result: ConnectResult) -> Table:
    rows = []
    for names, path in _each(result):
        fitted = path.training
        rows.append(
            (
                *names,
                path.verdict,
                path.barrier.loss,
                path.barrier.error,
                path.argmax,
                fitted.barrier.loss if fitted is not None else None,
                path.length,
                path.more_samples,
            )
        )
    columns = _named(
        result,
        "verdict",
        "loss barrier",
        "error barrier",
        "at t",
        "loss barrier, training data",
        "length / chord",
        "more samples needed",
    )
    return _filled(Table("Paths", columns, tuple(rows)))


def _filled(table: Table) -> Table:
    """Return the table without columns that hold nothing."""
    kept = [i for i in range(len(table.columns)) if any(row[i] is not None for row in table.rows)]
    columns = tuple(table.columns[i] for i in kept)
    return Table(table.title, columns, tuple(tuple(row[i] for i in kept) for row in table.rows))


def _definitions(result: ConnectResult) -> Table:
    rows = []
    for names, path in _each(result):
        for quantity, one in (("loss", path.loss_definitions), ("error", path.error_definitions)):
            if one is not None:
                values = (one.supremum, one.mean, one.maximum, one.midpoint)
                rows.append((*names, quantity, *values))
    columns = ("of", "sup over line", "max − mean of ends", "max", "midpoint")
    return Table("Barriers by definition", _named(result, *columns), tuple(rows))


def _alignments(result: ConnectResult) -> Table:
    rows = tuple(
        (
            pair.name,
            found.method,
            found.groups,
            found.moved,
            found.units,
            found.distance,
            found.proof,
        )
        for pair in result.pairs
        if (found := pair.alignment) is not None
    )
    columns = ("pair", "matching", "groups", "weights that can move", "units moved")
    columns += ("distance after / before", "relative error of the proof")
    return Table("Alignment", columns, rows)


def _components(result: ConnectResult) -> Table:
    rows = tuple(
        (number, len(part), ", ".join(part), whole)
        for number, (part, whole) in enumerate(
            zip(result.components, result.whole, strict=True), start=1
        )
    )
    return Table("Components", ("component", "size", "networks", "every pair connected"), rows)


def _explained(result: ConnectResult) -> Table:
    rows = tuple((one.name, one.kind, one.size, one.axes, one.reason) for one in result.explained)
    return Table("What may change places", ("group", "kind", "size", "axes", "reason"), rows)


def trust_of(result: ConnectResult) -> tuple[tuple[str, str], ...]:
    """Return what the verdicts rest on, as rows (name, value)."""
    judged = [(pair, name, path) for pair in result.pairs for name, path in pair.paths.items()]
    rows = [
        ("judged on", f"{result.judged_on}, {result.samples:,} samples"),
        ("intervals", f"simultaneous over t, {result.level:.0%} shared among a pair's paths"),
        ("which doubt", "that of the samples; other training runs of the recipe may differ more"),
    ]
    if judged:
        points = sorted({len(path.t) for _, _, path in judged})
        hidden = max(path.hidden for _, _, path in judged)
        rows.append(
            ("points on a path", " to ".join(map(str, dict.fromkeys(points[:1] + points[-1:]))))
        )
        rows.append(("a grid could hide, estimated", _short(hidden)))
    if any(name == "curve" for _, name, _ in judged) and result.judged_on == "the given data":
        rows.append(("curves", "judged on the data that they were fitted on; give held-out data"))
    if proofs := [pair.alignment.proof for pair in result.pairs if pair.alignment is not None]:
        rows.append(("permutations proved, largest relative error", _short(max(proofs))))
    for pair in result.pairs:
        for name, reason in pair.missing.items():
            rows.append((f"not judged: {name} of {pair.name}", reason))
    return tuple(rows)


def _short(value: float) -> str:
    return f"{value:.2g}" if math.isfinite(value) else "not known"
