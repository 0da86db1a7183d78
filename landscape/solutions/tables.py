"""Networks side by side as tables, findings, and what the numbers rest on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landscape.answer import Finding, Table

if TYPE_CHECKING:
    from landscape.solutions.result import SolutionsResult

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
NAMES = {**dict(COLUMNS), "judged_loss": "loss that judges", "judged_error": "error that judges"}


def summary_of(result: SolutionsResult) -> str:
    """Return the networks in one line."""
    count = len(result.solutions)
    told = []
    for word in ("better", "worse"):
        names = dict.fromkeys(
            one.name
            for one in result.beside
            if one.verdict == word and one.number.startswith("judged")
        )
        if names:
            told.append(f"{', '.join(names)} {word} than {result.solutions[0].name}")
    verdict = "; ".join(told) or "none told from the first by loss or error"
    return f"{count} networks judged on {result.samples:,} samples ({result.judged_on}): {verdict}"


def tables_of(result: SolutionsResult) -> tuple[Table, ...]:
    """Return the networks, the pairs, and each network beside the first."""
    made = [
        _table("Networks", ("name",), COLUMNS, result.solutions),
        _table("Pairs", ("a", "b"), PAIRS, result.pairs),
    ]
    rows = tuple(
        (one.name, NAMES[one.number], one.difference, one.verdict) for one in result.beside
    )
    title = f"Beside {result.solutions[0].name}"
    made.append(Table(title, ("network", "number", "difference", "it is"), rows))
    if result.left_out:
        missing = tuple((one.part, one.reason) for one in result.left_out)
        made.append(Table("Left out", ("number", "why"), missing))
    return tuple(made)


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
    """Return pairs that are one network in two files, and networks that are worse."""
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
    worse = [
        f"{one.name} ({NAMES[one.number]} {one.difference:+.3g})"
        for one in result.beside
        if one.verdict == "worse" and one.number.startswith("judged")
    ]
    if worse:
        first = result.solutions[0].name
        found.append(
            Finding(
                severity="notable",
                sentence=f"Worse than {first}: {', '.join(worse)}.",
                evidence=f"Every sample compared with itself, {result.judged_on}.",
                advice="Other seeds of one recipe may differ by more: compare several.",
            )
        )
    return tuple(found)


def trust_of(result: SolutionsResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    return (
        ("judged on", f"{result.judged_on}, {result.samples:,} samples"),
        ("intervals", "for other samples of the same kind; other runs may differ by more"),
        ("differences in loss and error", "paired: every sample compared with itself"),
        ("other differences", "ends of the intervals subtracted"),
        ("likeness of outputs", "linear CKA, unbiased HSIC, jackknife over groups"),
    )
