"""Each network beside the first, number by number."""

from __future__ import annotations

from collections.abc import Sequence

from landscape.difference import Direction, difference, doubts, verdict
from landscape.estimate import Estimate
from landscape.solutions.quality import paired
from landscape.solutions.result import Beside, Solution
from landscape.solutions.seen import Seen

ROUNDING = 1e-5  # relative, of exact numbers from float32 products

# which way is better; of the others neither: flat, far and certain are not good in themselves
BETTER: dict[str, Direction] = {"judged_loss": "lower", "judged_error": "lower"}
NUMBERS = ("loss", "sharpness", "trace", "margin", "noise_scale", "norm")  # beside those


def beside(
    solutions: Sequence[Solution], judging: Seen, judged_on: str, *, given: bool
) -> tuple[Beside, ...]:
    """Return each network but the first beside it.

    Args:
        solutions: All networks.
        judging: What they do on the samples that judge.
        judged_on: Which these are, in words.
        given: Whether they are the given data, whose loss is then told once.
    """
    found = []
    first, *others = solutions
    for place, other in enumerate(others, start=1):
        names = first.name, other.name
        found += [_beside(names[1], *one) for one in _judged(judging, place, judged_on)]
        for number in NUMBERS:
            a, b = getattr(first, number), getattr(other, number)
            if number == "loss" and given:  # it judges
                continue
            if a is not None and b is not None:
                apart = difference(a, b, rounding=ROUNDING)
                found.append(_beside(names[1], number, apart, doubts(a, b, names)))
    return tuple(found)


def _judged(seen: Seen, number: int, told: str) -> list[tuple[str, Estimate]]:
    """Return loss and error on what judges less those of the first, sample by sample."""
    found = [
        ("judged_loss", paired(seen.losses[0], seen.losses[number], seen.weights, told)),
    ]
    if seen.errors is not None:
        one = paired(seen.errors[0], seen.errors[number], seen.weights, told)
        found.append(("judged_error", one))
    return found


def _beside(name: str, number: str, apart: Estimate, why: str = "") -> Beside:
    better = BETTER.get(number)
    word = verdict(apart, better)
    reason = (why or apart.reason or "") if word == "undecided" else ""
    return Beside(
        name=name, number=number, difference=apart, better=better, verdict=word, reason=reason
    )
