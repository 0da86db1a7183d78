"""Networks side by side as tables, findings, and what the numbers rest on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from landscape.answer import Finding, Table
from landscape.difference import shown

if TYPE_CHECKING:
    from landscape.solutions.result import Beside, SolutionsResult

COLUMNS = (
    ("loss", "loss"),
    ("error", "error"),
    ("held_out_loss", "held-out loss"),
    ("held_out_error", "held-out error"),
    ("gap", "gap in loss"),
    ("error_gap", "gap in error"),
    ("sharpness", "λ₁"),
    ("trace", "trace"),
    ("margin", "margin, median"),
    ("noise_scale", "noise scale"),
    ("norm", "‖θ‖"),
    ("from_initial", "‖θ − θ₀‖"),
)
PAIRS = (
    ("distance", "distance"),
    ("cosine", "cosine"),
    ("disagreement", "disagreement"),
    ("similarity", "CKA"),
    ("barrier_loss", "loss barrier"),
    ("barrier_error", "error barrier"),
    ("verdict", "line"),
)
JUDGED = {"judged_loss": "loss", "judged_error": "error"}
WAYS = {"better": "lower", "worse": "higher"}


def summary_of(result: SolutionsResult) -> str:
    """Return the networks in one line."""
    count = len(result.solutions)
    alike: dict[str, list[str]] = {}
    for name, judged in _told_apart(result).items():
        alike.setdefault(_stands(result, judged), []).append(name)
    told = [f"{', '.join(names)} {words}" for words, names in alike.items()]
    verdict = "; ".join(told) or "none told from the first by loss or error"
    return f"{count} networks judged on {result.samples:,} samples ({result.judged_on}): {verdict}"


def judged_name(result: SolutionsResult, number: str) -> str:
    """Return what the loss or the error that judges is called: `held-out loss`, or `loss`."""
    held_out = result.solutions[0].held_out_loss is not None
    return f"held-out {JUDGED[number]}" if held_out else JUDGED[number]


def _told_apart(result: SolutionsResult) -> dict[str, list[Beside]]:
    """Return what loss and error say of every network that they tell from the first."""
    found: dict[str, list[Beside]] = {}
    for one in result.beside:
        if one.number in JUDGED and one.verdict in WAYS:
            found.setdefault(one.name, []).append(one)
    return found


def _stands(result: SolutionsResult, judged: list[Beside]) -> str:
    """Return in which numbers a network is better or worse; one word where all say the same."""
    numbers = [f"{WAYS[one.verdict]} {judged_name(result, one.number)}" for one in judged]
    words, first = {one.verdict for one in judged}, result.solutions[0].name
    if len(words) == 1:
        return f"{words.pop()} than {first} ({', '.join(numbers)})"
    return f"beside {first}: {', '.join(numbers)}"


def tables_of(result: SolutionsResult) -> tuple[Table, ...]:
    """Return the networks, the pairs, and each network beside the first."""
    made = [
        _table("Networks", ("name",), COLUMNS, result.solutions),
        _table("Pairs", ("a", "b"), PAIRS, result.pairs),
    ]
    names = _names(result)
    rows = tuple(
        (one.name, names[one.number], shown(one.difference), one.verdict, one.reason)
        for one in result.beside
    )
    title = f"Beside {result.solutions[0].name}"
    columns = ("network", "number", "difference", "it is", "why undecided")
    if not any(one.reason for one in result.beside):
        rows, columns = tuple(row[:-1] for row in rows), columns[:-1]
    made.append(Table(title, columns, rows))
    if result.left_out:
        missing = tuple((one.part, one.reason) for one in result.left_out)
        made.append(Table("Left out", ("number", "why"), missing))
    return tuple(made)


def _names(result: SolutionsResult) -> dict[str, str]:
    """Return what the numbers beside the first are called."""
    judged = {number: judged_name(result, number) for number in JUDGED}
    return {**dict(COLUMNS), "loss": "loss on the given data", **judged}


def _table(
    title: str, ends: tuple[str, ...], columns: tuple[tuple[str, str], ...], rows: tuple[Any, ...]
) -> Table:
    """Return a table without the columns that are empty."""
    kept = [(key, name) for key, name in columns if any(getattr(one, key) for one in rows)]
    names = ("network",) if len(ends) == 1 else ends
    return Table(
        title,
        (*names, *(name for _, name in kept)),
        tuple(
            tuple(getattr(one, key) for key in (*ends, *(key for key, _ in kept))) for one in rows
        ),
    )


def findings_of(result: SolutionsResult) -> tuple[Finding, ...]:
    """Return pairs that are one network in two files, and what judges the networks."""
    found = [
        Finding(
            severity="notable",
            sentence=f"{pair.a} and {pair.b} have the same weights.",
            evidence="Their distance is zero.",
            advice="Compare checkpoints of different runs.",
        )
        for pair in result.pairs
        if pair.distance.value == 0
    ]
    return (*found, *_judgements(result))


def _judgements(result: SolutionsResult) -> Iterator[Finding]:
    """Yield the networks that are worse than the first, and those that loss and error part."""
    first, worse = result.solutions[0].name, list[str]()
    for name, judged in _told_apart(result).items():
        numbers = [f"{judged_name(result, one.number)} {one.difference:+.3g}" for one in judged]
        words = {one.verdict for one in judged}
        if words == {"worse"}:
            worse.append(f"{name} ({', '.join(numbers)})")
        elif len(words) > 1:
            yield Finding(
                severity="notable",
                sentence=f"{name} {_stands(result, judged)}.",
                evidence=f"{', '.join(numbers)}; {_how(result)}",
                advice="Say which of the two decides: the loss counts how sure a wrong answer is.",
            )
    if worse:
        yield Finding(
            severity="notable",
            sentence=f"Worse than {first}: {', '.join(worse)}.",
            evidence=_how(result).capitalize(),
            advice="Other seeds of one recipe may differ by more: compare several.",
        )


def _how(result: SolutionsResult) -> str:
    return f"every sample compared with itself, {result.judged_on}."


def trust_of(result: SolutionsResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    return (
        ("judged on", f"{result.judged_on}, {result.samples:,} samples"),
        ("intervals", "for other samples of the same kind; other runs may differ by more"),
        ("differences in loss and error", "paired: every sample compared with itself"),
        ("other differences", "ends of the intervals subtracted"),
        ("likeness of outputs", "linear CKA, unbiased HSIC, jackknife over groups"),
    )
