"""What Lanczos from a random start cannot overlook."""

from __future__ import annotations

import math


def excess(size: int, steps: int, *, starts: int = 1, level: float = 0.95) -> float:
    """Return ε such that λ_max − θ_max ≤ ε (λ_max − λ_min) with the given probability.

    θ_max is the largest Ritz value after some steps from a start that is uniform on the sphere; ε
    solves (1.648 √m e^{−√ε (2s−1)})^b = 1 − level. A block of b independent starts sees at least
    what the best of them sees. At most 1.

    Args:
        size: Dimension m of the space.
        steps: Lanczos steps s, in blocks.
        starts: Width b of the block.
        level: Probability of the statement.

    Source: Kuczyński & Woźniakowski 1992, theorem 4.2.
    """
    doubt = math.log(1.648 * math.sqrt(size)) - math.log(1 - level) / starts
    return min(1.0, (doubt / max(2 * steps - 1, 1)) ** 2)
