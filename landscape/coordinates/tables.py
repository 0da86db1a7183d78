"""A coordinate check in words and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape.answer import Table
from landscape.coordinates.slopes import METHOD
from landscape.estimate import Estimate

if TYPE_CHECKING:
    from landscape.coordinates.result import CoordcheckResult, ModuleScaling

WORDS = {"pass": "passes", "fail": "fails", "undecided": "is undecided"}


def summary_of(result: CoordcheckResult) -> str:
    """Return the verdict, how many modules it is of, and the steepest change."""
    count = len(result.modules)
    told = ", ".join(
        f"{number} {outcome}"
        for outcome in ("fail", "undecided", "pass")
        if (number := sum(one.outcome == outcome for one in result.modules))
    )
    first = (
        f"{result.model} with {result.optimizer}: the coordinate check {WORDS[result.verdict]} "
        f"at widths {result.widths[0]:,} … {result.widths[-1]:,} ({count} modules: {told})"
    )
    return "; ".join([first, *(f"{name}: {value}" for name, value in headline_of(result))])


def headline_of(result: CoordcheckResult) -> tuple[tuple[str, Estimate], ...]:
    """Return the slope of change that is farthest from zero, and where."""
    found = [
        (module, *steepest)
        for module in result.modules
        if (steepest := module.steepest_change) is not None
    ]
    if not found:
        return ()
    module, step, slope = max(found, key=lambda one: abs(one[2].value))
    return ((f"steepest slope of ln E|Δx|, {module.shown} at t = {step}", slope),)


def message_of(result: CoordcheckResult) -> str:
    """Return how the check ended, in a sentence."""
    if result.verdict == "pass":
        own = f"; of what weights do, within {2 * result.tolerance:g}" if _weighted(result) else ""
        return f"Every slope is zero within {result.tolerance:g}{own}."
    if result.verdict == "fail":
        return f"A slope is farther from zero than {result.tolerance:g}."
    return f"No slope is surely farther from zero than {result.tolerance:g}, but not all are near."


def _weighted(result: CoordcheckResult) -> bool:
    return any(module.own for module in result.modules)


def caption_of(result: CoordcheckResult) -> str:
    """Return method and cost of the figure."""
    own = ", of ln E|(W(t) − W(0)) z(t)| at a layer's input z (ΔW z)" if _weighted(result) else ""
    widths = ", ".join(f"{width:,}" for width in result.widths)
    return (
        f"Slopes of ln E|x(t) − x(0)|{own} (dots: t = 1 … {len(result.loss) - 1}, the later the "
        "darker, with the 95 % interval of the one farthest from zero) and of ln E|x| before "
        f"training (diamonds) in ln(width), widths {widths}, {result.settings['seeds']} seeds, "
        f"one batch of {result.cost.samples:,} samples; grey: within {result.tolerance:g} of zero. "
        f"{result.optimizer}. {result.cost.seconds:.1f} s, seed {result.seed}."
    )


def tables_of(result: CoordcheckResult) -> tuple[Table, ...]:
    """Return exponents by module, and parameters and loss by width."""
    last = len(result.loss) - 1
    columns = ["module", "kind", "size, t = 0", f"size, t = {last}", "change, t = 1"]
    columns += [f"change, t = {last}"] if last > 1 else []
    columns += ["steepest change", "at t", "steepest by its weight", "outcome"]
    rows = tuple(_row(module, last) for module in result.modules)
    exponents = Table(
        "Exponents of the width, of E|x| (size), E|Δx| (change) and E|ΔW z| (by its weight)",
        tuple(columns),
        rows,
    )
    return exponents, _losses(result, last)


def _row(module: ModuleScaling, last: int) -> tuple[object, ...]:
    steepest = module.steepest_change
    changes = [module.changes[0]] + ([module.changes[-1]] if last > 1 else [])
    return (
        module.name or "(the network)",
        module.kind,
        module.sizes[0],
        module.sizes[-1],
        *changes,
        steepest[1] if steepest else None,
        steepest[0] if steepest else None,
        module.steepest_own[1] if module.steepest_own else None,
        module.outcome,
    )


def _losses(result: CoordcheckResult, last: int) -> Table:
    columns = ("width", "parameters", "loss, t = 0", f"loss, t = {last}")
    rows = tuple(
        (width, count, float(result.loss[0, i]), float(result.loss[-1, i]))
        for i, (width, count) in enumerate(zip(result.widths, result.parameters, strict=True))
    )
    return Table("Loss of the batch, mean over seeds", columns, rows)


def trust_of(result: CoordcheckResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    return (
        ("exponents", METHOD),
        (
            "outcome",
            f"fail: an interval outside ±{result.tolerance:g}; pass: all inside, by its weight "
            f"±{2 * result.tolerance:g}; sizes may fall",
        ),
        (
            "by its weight",
            "(W(t) − W(0)) z(t) at the input z(t), of linear layers, convolutions and embeddings; "
            "not of transposed convolutions, recurrent layers, the projections within "
            "MultiheadAttention, or layers of your own",
        ),
        ("seen", "outputs of modules; not what is computed between them, as attention scores"),
    )
