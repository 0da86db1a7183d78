"""Answers for several checkpoints: their labels, their figure, and the numbers shown large."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from landscape.base import Result, Table
from landscape.estimate import Estimate
from landscape.figures.canvas import overlay

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SERIES = "Over the checkpoints"

# what a reader looks for first: label and place in the answer
_HEADLINES: dict[str, tuple[tuple[str, str], ...]] = {
    "gradients": (
        ("loss", "loss"),
        ("gradient norm", "total_norm"),
        ("weight norm", "weight_norm"),
        ("last step", "update_norm"),
    ),
    "spectrum": (
        ("λ_max", "eigenvalues.top.0"),
        ("λ_min", "eigenvalues.bottom.0"),
        ("trace", "trace"),
        ("effective rank", "effective_rank"),
        ("condition", "condition"),
    ),
    "weights": (("norm", "total_norm"), ("change", "total_change")),
}


def headline(result: Result) -> tuple[tuple[str, Estimate], ...]:
    """Return the numbers that are shown large; of an unlisted diagnostic the first five."""
    own = [(name.replace("_", " "), name) for name in type(result).answer_fields()]
    found = ((label, _at(result, path)) for label, path in _HEADLINES.get(result.name, own))
    return tuple((label, one) for label, one in found if isinstance(one, Estimate))[:5]


def labels(results: tuple[Result, ...]) -> tuple[str, ...]:
    """Return the names of the checkpoints; numbered where two are the same."""
    names = [str(getattr(one, "checkpoint", "checkpoint")) for one in results]
    return tuple(
        f"{name} ({number})" if names.count(name) > 1 else name
        for number, name in enumerate(names, start=1)
    )


def figure_of(result: Result, *, caption: bool = True) -> Figure:
    """Return the figure of an answer; of several checkpoints, the first and the last overlaid."""
    if len(result.series) < 2:
        return overlay([result], [None], caption=caption)
    names = labels(result.series)
    ends = [result.series[0], dataclasses.replace(result, series=())]
    return overlay(ends, [names[0], names[-1]], caption=caption)


def table_of_series(result: Result) -> Table | None:
    """Return one row of headline numbers per checkpoint; None when there is only one."""
    if len(result.series) < 2:
        return None
    rows = [dict(headline(one)) for one in result.series]
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(
        SERIES,
        ("checkpoint", *columns),
        tuple(
            (name, *(row.get(column) for column in columns))
            for name, row in zip(labels(result.series), rows, strict=True)
        ),
    )


def _at(value: Any, path: str) -> Any:
    """Return what stands at a dotted path of fields and positions; None where there is nothing."""
    for step in path.split("."):
        if isinstance(value, tuple):
            value = value[int(step)] if int(step) < len(value) else None
        else:
            value = getattr(value, step, None)
    return value
