"""One small loop that minimises any objective."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.optim import Optimizer


def minimise(
    objective: Callable[[int], Tensor],
    optimizer: Optimizer,
    *,
    steps: int,
    after: Callable[[int], None] | None = None,
) -> None:
    """Take optimizer steps on an objective.

    Args:
        objective: The scalar loss at a step, differentiable in what the optimizer holds.
        optimizer: Holds what is moved.
        steps: How many.
        after: Called with the number of steps taken so far, after each.
    """
    for step in range(steps):
        optimizer.zero_grad()
        objective(step).backward()
        optimizer.step()
        if after is not None:
            after(step + 1)
