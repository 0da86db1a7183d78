"""A bracket in words and tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from landscape.answer import Table

if TYPE_CHECKING:
    from landscape.bracket.result import LipschitzResult

LISTED = 3  # refused operations that a summary names


def summary_of(result: LipschitzResult) -> str:
    """Return both sides, their ratio and the domain; what is refused by name."""
    network = result.network
    told = f"{result.checkpoint}: Lipschitz constant {where(result)} "
    lower = f"{network.lower}" if math.isfinite(network.lower.value) else "nothing attained"
    if math.isfinite(network.upper.value):
        ratio = f", ratio {network.ratio:.3g}" if network.ratio is not None else ""
        told += f"{lower}, {network.upper}{ratio}"
    else:
        told += f"{lower}; no upper bound: {network.upper.reason}"
    more = [result.inputs]
    if result.refused and math.isfinite(network.upper.value):
        more.insert(0, f"no bound everywhere: {listed(result.refused)}")
    beside = "; ".join(one for one in more if one)
    return f"{told}\n({beside})" if beside else told


def where(result: LipschitzResult) -> str:
    """Return the domain in words."""
    if result.domain == "global":
        return "everywhere"
    return f"for ‖x‖ ≤ {result.radius:.4g}" if result.radius is not None else "on the ball"


def listed(names: tuple[str, ...]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(names[:LISTED]) + more


def caption_of(result: LipschitzResult) -> str:
    """Return method and cost of the figure."""
    inputs = f"{result.inputs[:1].upper()}{result.inputs[1:]}. " if result.inputs else ""
    return (
        f"ℓ₂ Lipschitz constant of one sample's outputs in its inputs, {where(result)}, eval mode: "
        f"attained by a pair of inputs (left), proved over the graph (right). {inputs}"
        f"{result.cost.seconds:.1f} s, seed {result.seed}."
    )


def tables_of(result: LipschitzResult) -> tuple[Table, ...]:
    """Return the tables, those with nothing in them left out."""
    made = (_network(result), _chains(result), _refused(result), _layers(result))
    return tuple(table for table in made if table.rows)


def _network(result: LipschitzResult) -> Table:
    network = result.network
    columns = ("domain", "at least", "lower side", "at most", "upper side", "ratio")
    row = (
        where(result),
        network.lower,
        network.lower.method.split(":")[0],
        network.upper,
        network.upper.method.split(":")[0],
        network.ratio,
    )
    return Table("Lipschitz bracket", columns, (row,))


def _layers(result: LipschitzResult) -> Table:
    columns = ("layer", "operation", "at least", "at most", "label")
    rows = tuple(
        (
            one.name,
            one.operation,
            one.lower if math.isfinite(one.lower.value) else None,
            one.upper,
            one.label,
        )
        for one in result.layers
    )
    return Table("Lipschitz constants of layers", columns, rows)


def _chains(result: LipschitzResult) -> Table:
    columns = ("chain", "starts from", "widths", "product of norms", "certified", "method")
    rows = tuple(
        (
            one.name,
            listed(one.base),
            "–".join(map(str, one.widths)),
            one.product,
            one.upper,
            one.method,
        )
        for one in result.chains
    )
    return Table("Feed-forward parts, certified as a whole", columns, rows)


def _refused(result: LipschitzResult) -> Table:
    rows = tuple(zip(result.refused, result.reasons, strict=True))
    return Table("No global bound for", ("operation", "reason"), rows)


def trust_of(result: LipschitzResult) -> tuple[tuple[str, str], ...]:
    """Return what the numbers rest on."""
    rows = [("Lipschitz, from below", result.network.lower.method)]
    if math.isfinite(result.network.upper.value):
        rows.append(("Lipschitz, from above", result.network.upper.method))
    else:
        rows.append(("Lipschitz, from above", f"refused: {result.network.upper.reason}"))
    if result.inputs:
        rows.append(("inputs", result.inputs))
    if result.verified:
        rows.append(("certificates", "proved again from the file and the network's weights"))
    return tuple(rows)
