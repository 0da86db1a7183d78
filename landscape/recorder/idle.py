"""Layers and units that training does not reach."""

from __future__ import annotations

import numpy as np

from landscape.recorder.history import History
from landscape.recorder.verdict import RECENT, Verdict, counted, listed

DEAD = 0.5  # share of the units


def _unmoved(updates: np.ndarray) -> bool:
    known = updates[np.isfinite(updates)]
    return bool(len(known)) and not known.any()


def states(history: History) -> tuple[str, ...]:
    """Return what happens to each tensor over the last steps.

    It trains, is unused, has a gradient of zero, is not held by the optimizer, or is not moved.
    """
    kept = np.flatnonzero(~history.skipped)[-RECENT:]
    update = history.update[-RECENT:]
    found = []
    for place in range(len(history.names)):
        gradients = history.before[kept, place]
        state = "trains"
        if not len(kept):
            state = "not seen"
        elif history.missing[kept, place].all():
            state = "unused"
        elif not gradients.any():
            state = "zero gradient"
        elif not history.held[place]:
            state = "not held"
        elif _unmoved(update[:, place]) and history.rate[kept].any():
            state = "unmoved"
        found.append(state)
    return tuple(found)


_IDLE = {
    "unused": (
        "had no gradient",
        "They are detached from the loss, or their module is not called.",
    ),
    "zero gradient": (
        "had a gradient of exactly zero",
        "What stands behind them does not react: dead units, or a multiplication by zero.",
    ),
    "not held": (
        "had a gradient, but the optimizer does not hold them",
        "Give them to the optimizer, or set requires_grad=False and save their gradients.",
    ),
    "unmoved": (
        "had a gradient, but no step changed them",
        "Their learning rate is zero, or the update is below the precision of the weights: keep "
        "them in float32.",
    ),
}


def idle_layers(history: History) -> list[Verdict]:
    """Return layers that training does not reach."""
    found = []
    recent = min(int((~history.skipped).sum()), RECENT)
    by_state = dict(zip(history.names, states(history), strict=True))
    for state, (told, advice) in _IDLE.items():
        names = tuple(name for name, one in by_state.items() if one == state)
        if names:
            found.append(
                Verdict(
                    kind=state,
                    severity="warning",
                    sentence=f"{counted(len(names), 'tensor')} {told}.",
                    evidence=f"{listed(names)}; at each of the last {recent:,} recorded steps.",
                    advice=advice,
                    layers=names,
                )
            )
    if history.frozen:
        found.append(
            Verdict(
                kind="frozen",
                severity="notable",
                sentence=f"{counted(len(history.frozen), 'tensor')} did not train "
                "(requires_grad is off).",
                evidence=listed(history.frozen) + ".",
                advice="Nothing, if that is meant.",
                layers=history.frozen,
            )
        )
    return found


def dead_units(history: History) -> list[Verdict]:
    """Return the layers that most units feed nothing into."""
    dead = history.signals["dead"]
    if not len(dead) or not dead.shape[1]:
        return []
    last = dead[-1]
    rows = np.flatnonzero(last > DEAD)
    if not len(rows):
        return []
    names = tuple(history.modules[row] for row in rows)
    return [
        Verdict(
            kind="dead units",
            severity="warning",
            sentence=f"Most units that feed {counted(len(rows), 'layer')} are dead: zero on every "
            "sample of the batch.",
            evidence="; ".join(
                f"inputs of {name}: {last[row]:.0%}"
                for name, row in zip(names[:5], rows[:5], strict=True)
            )
            + f" (step {int(history.detailed[-1])}).",
            advice="Lower the learning rate, or take an activation function that is never flat.",
            step=int(history.detailed[-1]),
            layers=names,
        )
    ]
