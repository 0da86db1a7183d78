"""How many points a budget of time lasts for, from the time that one of them takes."""

from __future__ import annotations

import math
import time

from landscape import budget
from landscape.progress import task
from landscape.surfaces.evaluation import Evaluator
from landscape.surfaces.plan import Plan

PART = 0.6  # of the time left; the rest is for directions and checks
FEWEST = 5  # points along an axis, below which nothing is shown
TRIALS = 2  # of which the first is slower


def affordable_points(evaluator: Evaluator, plan: Plan, sheets: int) -> tuple[int, str]:
    """Return how many points along each axis are evaluated, and why fewer than asked for.

    Args:
        evaluator: Of one checkpoint.
        plan: What is asked for.
        sheets: How many such surfaces there are.

    Returns:
        An odd number; no reason where it is that of the plan, as always without a bound on time.

    Raises:
        BudgetError: The budget does not last for the fewest.

    Cost: two points, where time is bounded.
    """
    if budget.left_seconds() is None:
        return plan.points, ""
    each, (left, told) = sheets * _seconds(evaluator), (budget.left_seconds() or 0.0, budget.told())
    fewest = min(FEWEST, plan.points)
    rows = fewest if plan.plane else plan.draws
    budget.require(f"a surface of {fewest} points along each axis", each * fewest * rows / PART)
    room = PART * left / each
    count = int(math.sqrt(room) if plan.plane else room / plan.draws)
    count = min(count - 1 + count % 2, plan.points)
    if count == plan.points:
        return count, ""
    return count, (
        f"The budget of {told} lasted for {count} of {plan.points} points along each axis, as one "
        f"takes {each:.2g} s."
    )


def _seconds(evaluator: Evaluator) -> float:
    """Return how long a point takes."""
    here, taken = evaluator.subject.point, list[float]()
    with task("how long a point takes", TRIALS * evaluator.steps) as follower:
        for _ in range(TRIALS):
            began = time.perf_counter()
            evaluator.values(lambda _: here, 1, follower)
            taken.append(time.perf_counter() - began)
    return min(taken)
