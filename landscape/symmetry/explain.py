"""Why a network's units move as they do: what tied each group, and what froze the rest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from landscape.symmetry.groups import FrozenAxis, Symmetry
from landscape.symmetry.permutation import Group

SHOWN = 6  # operations of a group, and axes of a reason


def explained(symmetry: Symmetry) -> str:
    """Return, in lines of text, the groups, the operations behind them, and what is frozen.

    The share is of the parameters' numbers that some permutation moves.
    """
    return "\n".join(_lines(symmetry))


def _lines(symmetry: Symmetry) -> Iterator[str]:
    share, route = f"{100 * symmetry.moved_share:.1f} %", symmetry.route
    yield f"{len(symmetry.groups)} groups; {share} of the weights can move; graph by {route}"
    for name, where in symmetry.unknown.items():
        yield f"no rule for {name}, so what it touches is frozen: {_some(where)}"
    for group in symmetry.groups:
        yield from _of_group(group)
    yield from _of_frozen(symmetry.frozen)


def _of_group(group: Group) -> Iterator[str]:
    kind = {"plain": "units", "heads": "blocks of units", "inner": "units"}[group.kind]
    within = f" within each of {' × '.join(group.outers)}" if group.outers else ""
    yield f"{group.name}: {group.size} {kind}{within}"
    yield f"    axes: {_some([f'{name}:{axis}' for name, axis in group.places])}"
    if group.ties:
        yield f"    tied by: {_some(group.ties)}"


def _of_frozen(frozen: Iterable[FrozenAxis]) -> Iterator[str]:
    reasons: dict[str, list[str]] = {}
    for each in frozen:
        reasons.setdefault(each.reason, []).append(f"{each.tensor}:{each.axis}")
    for reason, axes in reasons.items():
        yield f"frozen by {reason}: {_some(axes)}"


def _some(names: Iterable[str]) -> str:
    found = list(dict.fromkeys(names))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return ", ".join(found[:SHOWN]) + more
