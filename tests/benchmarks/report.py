"""The results as tables in the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmarks.accuracy import TASKS
from tests.benchmarks.results import AnswerRow, ProductRow, Results, Timing

CAPTION = (
    "× gradient: seconds of one product (of a block: per vector) over those of one eager "
    "autograd.grad of the same data with the default attention kernel, timed in the same process "
    "and turn; median over turns [least, most]. Set-up: construction + what the warm-up took "
    "beyond steady calls. Memory: peak above the problem itself (resident on the CPU, allocated on "
    "CUDA). Error: relative, against float64."
)


def show(results: Results, console: Console) -> None:
    """Print every table."""
    console.print(" · ".join(f"{key} {value}" for key, value in results.machine.items() if value))
    console.print(" · ".join(f"{key} {value}" for key, value in results.versions.items()))
    for problem, rows in groupby(results.products, key=lambda row: row.problem):
        console.print(_products(problem, list(rows)))
    if results.products:
        console.print(CAPTION, style="dim", markup=False)
    for (task, problem), rows in groupby(results.answers, key=lambda row: (row.task, row.problem)):
        console.print(_answers(task, problem, list(rows)))


def _products(problem: str, rows: list[ProductRow]) -> Table:
    gradients = [row.gradient_seconds for row in rows if row.gradient_seconds]
    usual = f"{1e3 * statistics.median(gradients):.3g} ms" if gradients else "?"
    table = Table(
        "contender",
        "set-up s",
        "single × gradient",
        f"block of {rows[0].vectors} × gradient",
        "MiB gradient / single / block",
        "error",
        "by",
        title=f"{problem}: n = {rows[0].parameters:,}, gradient {usual}",
        title_justify="left",
    )
    for row in rows:
        memory = (row.gradient_mebibytes, row.single.mebibytes, row.block.mebibytes)
        wrong = [t.relative_error for t in (row.single, row.block) if t.relative_error is not None]
        table.add_row(
            row.contender,
            _set_up(row),
            _ratio(row.single),
            _ratio(row.block),
            " / ".join("–" if one is None else f"{one:.0f}" for one in memory),
            f"{max(wrong):.1g}" if wrong else "–",
            row.told,
        )
    return table


def _set_up(row: ProductRow) -> str:
    warm = [t.warm_up_seconds for t in (row.single, row.block) if t.warm_up_seconds is not None]
    return "–" if row.setup_seconds is None else f"{row.setup_seconds:.2f} + {sum(warm):.2f}"


def _ratio(timing: Timing) -> str:
    if timing.ratio is None:
        return escape(f"{timing.status}: {timing.reason}")
    return escape(f"{timing.ratio:.2f} [{timing.low:.2f}, {timing.high:.2f}]")


def _answers(task: str, problem: str, rows: list[AnswerRow]) -> Table:
    ours = next((_median(row.seconds) for row in rows if row.contender == "landscape"), None)
    table = Table(
        "contender",
        "seconds",
        "× landscape",
        "accurate",
        "largest deviation",
        "effort",
        "remark",
        title=f"{TASKS[task]}; {problem}, n = {rows[0].parameters:,}",
        title_justify="left",
    )
    for row in rows:
        taken = _median(row.seconds)
        relative = f"{taken / ours:.1f}" if taken and ours else "–"
        table.add_row(
            row.contender,
            escape(f"{taken:.2f} [{min(row.seconds):.2f}, {max(row.seconds):.2f}]")
            if taken
            else "–",
            relative,
            f"{row.accurate} of {len(row.seconds)}",
            f"{max(row.deviations):.2g}" if row.deviations else "–",
            "–" if row.effort is None else f"{row.effort:g}",
            escape("; ".join(_remarks(row))),
        )
    return table


def _remarks(row: AnswerRow) -> Iterable[str]:
    if row.reason:
        yield row.reason
    if row.details:
        yield row.details[-1]


def _median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None
