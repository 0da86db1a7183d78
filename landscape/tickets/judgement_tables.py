"""A trial in words and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from landscape.answer import Finding, Severity, Table
from landscape.pruning.layers import layers_table
from landscape.tickets.arms import SAID

if TYPE_CHECKING:
    from landscape.tickets.judgement import EvalResult, TicketAnswer

SEVERITY: dict[str, Severity] = {
    "winning": "notable",
    "not better": "notable",
    "not resolved": "warning",
}
ADVICE = {
    "winning": "Train it from these weights; another initialisation loses what it has.",
    "not better": "Only its layer densities matter, if anything: any mask of them will do.",
}


def summary_of(result: EvalResult) -> str:
    """Return the verdict on the sparsest ticket, its accuracy and the best control."""
    one = result.sparsest
    ticket = result.arm("ticket", one.mask).quality
    told = f"{one.mask}, {one.density:.2%} of the weights: {one.verdict} ({one.reason})"
    return (
        f"{told}; {result.quantity} {ticket:.3g}, dense {result.dense.quality:.3g}, "
        f"{_seeds(result)}"
    )


def caption_of(result: EvalResult) -> str:
    """Return method and cost."""
    doubt = "samples alone" if result.seeds == 1 else "seeds and of samples"
    cost = f" {result.cost.seconds:.1f} s, seed {result.seed}." if result.cost.seconds else ""
    return (
        f"{result.stamp}Mean over {_seeds(result)} ({result.training}), judged on "
        f"{result.samples:,} samples ({result.judged_on}); intervals {result.level:.0%}, "
        f"doubt of {doubt}.{cost}"
    )


def _seeds(result: EvalResult) -> str:
    return f"{result.seeds} seed{'s' * (result.seeds != 1)}"


def tables_of(result: EvalResult) -> tuple[Table, ...]:
    """Return the tables."""
    return (
        _verdicts(result),
        _arms(result),
        _comparisons(result),
        layers_table(f"Layers of {result.sparsest.mask}", result.sparsest.layers),
    )


def _verdicts(result: EvalResult) -> Table:
    rows = tuple(
        (
            one.mask,
            one.method or None,
            one.kept,
            100 * one.density,
            one.verdict,
            one.reason,
            one.more_seeds,
            one.dense_gap,
            one.matching,
        )
        for one in result.tickets
    )
    columns = ("mask", "method", "kept", "density, %", "verdict", "reason", "more seeds")
    return Table("Verdicts", (*columns, "ticket − dense", "as good as dense"), rows)


def _arms(result: EvalResult) -> Table:
    rows = tuple(
        (
            one.arm,
            one.mask,
            100 * one.density,
            one.accuracy,
            one.loss,
            " ".join(f"{value:.4g}" for value in one.runs),
            None if one.effective_density is None else 100 * one.effective_density,
            one.warning or None,
        )
        for one in result.arms
    )
    columns = ("arm", "mask", "density, %", "accuracy", "loss", f"{result.quantity} by seed")
    return Table("Arms", (*columns, "effective, %", "warning"), rows)


def _comparisons(result: EvalResult) -> Table:
    rows = tuple(
        (ticket.mask, one.control, one.difference, one.verdict, one.more_seeds, one.reason)
        for ticket in result.tickets
        for one in ticket.comparisons
    )
    columns = ("mask", "control", "ticket − control", "ticket is", "more seeds", "reason")
    return Table("Ticket against each control", columns, rows)


def findings_of(result: EvalResult) -> tuple[Finding, ...]:
    """Return the verdict on the sparsest ticket first, then what could mislead."""
    found = [_verdict(result, result.sparsest)]
    won = [one for one in result.tickets[:-1] if one.verdict == "winning"]
    if won and result.verdict != "winning":
        found.append(_verdict(result, won[-1]))
    if not result.fresh:
        found.append(
            Finding(
                severity="warning",
                sentence="What judges may have been trained on.",
                evidence=f"The arms are judged on {result.judged_on}, and the training function "
                "reads data of its own.",
                advice="Give data that training has not seen (--held-out).",
            )
        )
    ticket = result.arm("ticket", result.sparsest.mask)
    if ticket.warning:
        found.append(
            Finding(
                severity="notable",
                sentence="The mask keeps weights that do nothing.",
                evidence=f"{ticket.warning[0].upper()}{ticket.warning[1:]}.",
                advice="Read the effective density beside the density.",
            )
        )
    return tuple(found)


def _verdict(result: EvalResult, one: TicketAnswer) -> Finding:
    ticket = result.arm("ticket", one.mask).quality
    words = {
        "winning": "is a winning ticket",
        "not better": "is not better than its controls",
        "not resolved": "may or may not be a winning ticket",
    }
    unit = 100 if result.quantity == "accuracy" else 1
    told = ", ".join(
        f"{comparison.control} {unit * comparison.difference.value:+.3g} "
        f"[{unit * comparison.difference.interval[0]:.3g}, "
        f"{unit * comparison.difference.interval[1]:.3g}]"
        for comparison in one.comparisons
    )
    points = "in points" if unit == 100 else "in loss"
    return Finding(
        severity="notable" if result.seeds == 1 else SEVERITY[one.verdict],
        sentence=f"Mask {one.mask} ({one.density:.2%} of the weights) {words[one.verdict]}: "
        f"{one.reason}.",
        evidence=f"Ticket {ticket:.3g}, dense {result.dense.quality:.3g}; ticket less control, "
        f"{points}: {told}.",
        advice=ADVICE.get(one.verdict) or _what_helps(result, one),
    )


def _what_helps(result: EvalResult, one: TicketAnswer) -> str:
    """Return what would settle a verdict that is not resolved."""
    if result.seeds < 2:
        return "Train from more seeds (--seeds): one cannot tell how far seeds differ."
    if one.more_seeds is not None:
        return f"Train from more seeds: --seeds {result.seeds + one.more_seeds}."
    open_ = [other for other in one.comparisons if other.verdict == "not resolved"]
    if all(other.more_seeds or other.samples_needed for other in open_):
        needed = max(other.samples_needed or 0 for other in open_)
        return (
            f"Judge by more samples, about {needed:,} in place of {result.samples:,} (--held-out); "
            "seeds alone do not settle it."
        )
    if not all(math.isfinite(other.difference.value) for other in open_):
        return "Let every run stay finite: a smaller --learning-rate, for one."
    return "Take it for a tie: no number of seeds or samples within reach settles it."


def trust_of(result: EvalResult) -> tuple[tuple[str, str], ...]:
    """Return what the verdict rests on, as rows (name, value)."""
    controls = [one.control for one in result.sparsest.comparisons]
    begins = f"step {result.rewind_step}" if result.rewind_step else "the weights given"
    return (
        ("judged on", f"{result.judged_on}, {result.samples:,} samples"),
        ("training", result.training),
        ("every arm starts from", begins),
        ("seeds", f"{result.seeds}; arms are paired: one seed, one order of the data"),
        (
            "level",
            f"{result.level:.0%} for all masks together; to win, each control must be beaten at "
            "it (an intersection–union test needs no correction); 'not better' shares it among "
            "the controls",
        ),
        ("which doubt", "of training this mask; another search would give another mask"),
        *((f"control: {name}", SAID[name]) for name in controls),
    )
