"""That the factors of a parameter hold all of its Jacobian: Jᵀu against autograd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import inf, isnan

import torch
from torch import Tensor

from landscape.tangent.factors import Factors, Flat, Outer

AGREEMENT = {torch.float32: 1e-3, torch.float64: 1e-8}  # relative, of factors with autograd
ROUNDINGS = 10  # of the longest Jᵀu
SKETCH = 8  # random directions on either side of a weight


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """Jᵀu of every parameter by autograd, at a random u.

    A sum of outer products is compared through A (Jᵀu) Bᵀ with Gaussian A and B of eight rows. For
    a difference E the mean of ‖A E Bᵀ‖² is 64 ‖E‖²; where E has rank one, which is the worst, it is
    a product of two χ²₈, and ‖E‖ is taken for less than a tenth of what it is with probability
    2·10⁻⁵, for less than a hundredth with 4·10⁻⁹. The rest is compared entry by entry.

    Args:
        u: (n, O).
        truth: By name, in the shapes of the parameters.
        generator: Draws A and B.
    """

    u: Tensor
    truth: Mapping[str, Tensor]
    generator: torch.Generator

    @property
    def limit(self) -> float:
        """Return the largest error with which factors are taken."""
        return AGREEMENT[self.u.dtype]

    def zero(self, name: str) -> bool:
        """Return whether a parameter moves no output."""
        return self._lengths[name] == 0

    def error(self, name: str, factors: Factors | None) -> float:
        """Return how far factors are from autograd, relative to Jᵀu of the parameter."""
        if factors is None or _samples(factors) != len(self.u):
            return inf
        truth = self.truth[name]
        if isinstance(factors, Outer):
            gap = self._sketched(factors, truth)
        else:
            gap = float(torch.linalg.vector_norm(factors.pulled(self.u) - truth.flatten()))
        if gap == 0:
            return 0.0
        found = gap / max(self._lengths[name], self._least)
        return inf if isnan(found) else found

    @cached_property
    def _least(self) -> float:
        """Return the length below which a gap of `ROUNDINGS` ε of the longest is rounding.

        The bias of attention's keys, for one, moves nothing, and autograd gives its rounding.
        """
        eps = torch.finfo(self.u.dtype).eps
        return max(1e-6, ROUNDINGS * eps / self.limit) * max(self._lengths.values())

    @cached_property
    def _lengths(self) -> dict[str, float]:
        return {name: float(torch.linalg.vector_norm(one)) for name, one in self.truth.items()}

    def _sketched(self, factors: Outer, truth: Tensor) -> float:
        groups, inward, outward = *factors.x.shape[2:], factors.d.shape[-1]
        left, right = self._drawn(outward), self._drawn(inward)
        if factors.inward_first:
            whole = truth.reshape(groups, inward, outward).mT
        else:
            whole = truth.reshape(groups, outward, inward)
        gap = factors.projected(self.u, left, right) - left @ whole @ right.T
        return float(torch.linalg.vector_norm(gap)) / SKETCH

    def _drawn(self, size: int) -> Tensor:  # (SKETCH, size)
        drawn = torch.randn(SKETCH, size, generator=self.generator, dtype=torch.float64)
        return drawn.to(self.u)


def _samples(factors: Factors) -> int:
    return len(factors.j if isinstance(factors, Flat) else factors.d)
