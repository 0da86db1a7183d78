"""What a block Lanczos run from a random start can have overlooked.

Let x be a unit eigenvector of A whose eigenvalue μ is above all Ritz values. As A V = V T + Q B Eᵀ,
its coordinates z in the basis V obey (μ − T) z = E Bᵀ y, with those in the next block Q in y, so

    ‖z₁‖ ≤ ‖E₁ᵀ (μ − T)⁻¹ E Bᵀ‖

in the start block, which is the first of the basis. For a single vector this is the product of the
couplings over Π(μ − θ), the most that these products tell, whatever the spectrum between. A random
start of which x has so little is improbable.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from scipy.stats import beta
from torch import Tensor

if TYPE_CHECKING:
    from landscape.linalg.recurrence import Recurrence, Ritz

SURE = 0.99  # probability of the statement
FURTHER = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)  # of the range, beyond the limit


def sight(chain: Tensor, coupling: Tensor, first: slice, limit: float, extent: float) -> float:
    """Return the most that the start block sees of an eigenvector with μ ≥ limit.

    Args:
        chain: T (m, m), as the couplings of the blocks tell it: exact zeros where there is none.
        coupling: How the last block is coupled to the next one (b, b').
        first: Where in the basis the start block is.
        limit: Above all eigenvalues of T.
        extent: Length of the range beyond, in which a block is asked at several places; what a
            single vector sees only falls.
    """
    steps = FURTHER if first.stop - first.start > 1 else FURTHER[:1]
    places = limit + extent * torch.tensor(steps, dtype=chain.dtype)
    shifted = places[:, None, None] * torch.eye(len(chain), dtype=chain.dtype) - chain
    entering = chain.new_zeros(len(chain), coupling.shape[1])
    entering[-len(coupling) :] = coupling
    seen = torch.linalg.solve(shifted, entering.expand(len(steps), -1, -1))[:, first]
    return min(1.0, float(torch.linalg.matrix_norm(seen, ord=2).max()))


def least_sight(size: int, starts: int) -> float:
    """Return what a random orthonormal block sees of a unit vector at least, with probability 0.99.

    Args:
        size: Dimension of the space.
        starts: Rows of the block.
    """
    if starts >= size:
        return 1.0
    return math.sqrt(float(beta.ppf(1 - SURE, starts / 2, (size - starts) / 2)))


@dataclass
class Outlook:
    """Whether anything lies beyond a threshold at one end, as a search goes on."""

    top: bool
    threshold: float
    least: float  # what the start sees at least of anything
    passed: float = 1.0  # what it sees at most of the first block since the last restart

    def decided(self, recurrence: Recurrence, ritz: Ritz, slack: float) -> bool:
        """Return whether something is beyond by more than the slack, or plainly nothing."""
        return self._end(ritz) > self._limit(slack) or (
            self._seen(recurrence, ritz, slack) < self.least
        )

    def restart(self, recurrence: Recurrence, ritz: Ritz, slack: float) -> None:
        """Keep what is known; to be called before every restart."""
        self.passed = self._seen(recurrence, ritz, slack)

    def _seen(self, recurrence: Recurrence, ritz: Ritz, slack: float) -> float:
        """Return what the start sees at most of anything beyond the threshold and the slack."""
        end, limit = self._end(ritz), self._limit(slack)
        if end >= limit:
            return self.passed
        opposite = float(ritz.values[0]) if self.top else -float(ritz.values[-1])
        return self.passed * recurrence.sight(limit, limit - opposite, top=self.top)

    def _limit(self, slack: float) -> float:
        """Return what lies above the threshold, also where nothing has any size."""
        return (self.threshold if self.top else -self.threshold) + max(slack, sys.float_info.min)

    def _end(self, ritz: Ritz) -> float:
        """Return the extreme Ritz value; the lower end mirrored."""
        return float(ritz.values[-1]) if self.top else -float(ritz.values[0])
