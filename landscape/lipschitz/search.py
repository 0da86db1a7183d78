"""The search for multipliers: from the closed form to one for each layer to one for each neuron."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from landscape import budget, progress
from landscape.estimate import Status
from landscape.lipschitz.certificate import Certificate
from landscape.lipschitz.chain import Chain
from landscape.lipschitz.descent import descend
from landscape.lipschitz.eclipse import fast_multipliers
from landscape.lipschitz.recursion import Recursion, Value

Method = Literal["product", "eclipse-fast", "lipsdp-layer", "lipsdp-neuron"]

TOLERANCE = 1e-5  # relative progress of six steps that is not worth another
MARGINS = (0.0, 0.01, 0.1, 0.3)  # share of the closed form's multipliers in those of a start
LAYER_SHARE = 0.2  # of the budget, that one multiplier for each layer may take


@dataclass(frozen=True)
class Moment:
    """The bound when it was last lowered; rounding is accounted for at the end only."""

    seconds: float
    steps: int
    method: Method
    upper: float


class Search:
    """The best multipliers so far, and what is left of the budget.

    Args:
        chain: With two layers or more.
        product: Its product of norms.
        seconds: Of wall-clock time; None: no bound.
        steps: Of the descent; None: no bound.
        device: Where to compute.
    """

    def __init__(
        self,
        chain: Chain,
        *,
        product: float,
        seconds: float | None,
        steps: int | None,
        device: torch.device,
    ) -> None:
        self.exponents = chain.exponents()
        self.history = [Moment(0.0, 0, "product", product)]
        self.bounds: dict[Method, float] = {"product": product}
        self.status = Status.CONVERGED
        self._started = time.monotonic()
        self._seconds = math.inf if seconds is None else seconds
        self._steps = math.inf if steps is None else steps
        self._taken = 0
        self._recursion = Recursion(chain.scaled(self.exponents), device)
        self._fast: list[Tensor] = []  # log λ_l of the closed form
        self._best: list[Tensor] = []  # log λ_l of the best point; empty: the product

    @property
    def upper(self) -> float:
        """Return the best bound so far."""
        return self.history[-1].upper

    @property
    def method(self) -> Method:
        """Return what gave it."""
        return self.history[-1].method

    def affords(self, seconds: float) -> bool:
        """Return whether the budget leaves some time; what it does not is told by the status."""
        if seconds <= self._seconds and not budget.spent():
            return True
        self.status = Status.BUDGET_SPENT
        return False

    def run(self, start: Certificate | None, task: progress.Task) -> None:
        """Lower the bound until it converges or the budget is spent.

        Args:
            start: The certificate of a similar chain, taken instead of a multiplier for each layer
                where it is better than the closed form.
            task: Advances with every step.
        """
        fast = fast_multipliers(self._recursion)
        value = self._value([one.log() for one in fast]) if fast is not None else None
        if fast is None or value is None:
            return
        self._fast = [one.log() for one in fast]
        self._keep("eclipse-fast", value.square, self._fast)
        if start is None or not self._warm(start):
            self._lower("lipsdp-layer", self._by_layer(), LAYER_SHARE, task)
        self._lower("lipsdp-neuron", self._by_neuron(), 1.0, task)

    def mixed(self, share: float) -> tuple[list[np.ndarray], float] | None:
        """Return the best multipliers with a share of the closed form's, and their bound.

        The LMI is convex: what lies between two feasible points is feasible.
        """
        if not self._best:
            return None
        best, fast = ([one.exp() for one in each] for each in (self._best, self._fast))
        mixed = _mixed(best, fast, share)
        if (value := self._value(mixed)) is None:
            return None
        return [one.exp().cpu().numpy() for one in mixed], self._bound(value.square)

    def _keep(self, method: Method, square: float, logarithms: list[Tensor]) -> None:
        """Keep a point if it is the best so far."""
        upper = self._bound(square)
        if upper < self.upper:
            elapsed = time.monotonic() - self._started
            self.history.append(Moment(elapsed, self._taken, method, upper))
            self._best = logarithms
        self.bounds[method] = self.upper

    def _lower(self, method: Method, way: _Way, share: float, task: progress.Task) -> None:
        """Follow a descent until it converges or its share of the budget is spent."""

        def objective(point: Tensor, temperature: float) -> tuple[Value, Tensor] | None:
            value = self._recursion.value(way.logarithms(point), temperature)
            return None if value is None else (value, way.gradient(value.gradients))

        self.bounds[method] = self.upper
        for found in descend(objective, way.start, tolerance=TOLERANCE):
            self._taken += 1
            task.advance()
            self._keep(method, found.square, way.logarithms(found.point))
            if self._spent(share):
                self.status = Status.BUDGET_SPENT if share == 1 else self.status
                return

    def _spent(self, share: float) -> bool:
        elapsed = time.monotonic() - self._started
        late = elapsed > share * self._seconds or self._taken >= share * self._steps
        return late or budget.spent()

    def _warm(self, start: Certificate) -> bool:
        """Take the multipliers of another chain's certificate where they are better."""
        if [len(one) for one in start.multipliers] != [len(one) for one in self._fast]:
            return False
        scales = np.exp2(2.0 * np.cumsum(np.subtract(self.exponents, start.exponents))[:-1])
        known = zip(start.multipliers, scales, self._fast, strict=True)
        theirs = [torch.from_numpy(one * scale).to(fast) for one, scale, fast in known]
        for share in MARGINS:
            mixed = _mixed(theirs, [one.exp() for one in self._fast], share)
            if (value := self._value(mixed)) is not None:
                self._keep("lipsdp-neuron", value.square, mixed)
        return self.method == "lipsdp-neuron"

    def _by_layer(self) -> _Way:
        base = self._fast

        def logarithms(point: Tensor) -> list[Tensor]:
            return [one + shift for one, shift in zip(base, point, strict=True)]

        def gradient(parts: Sequence[Tensor]) -> Tensor:
            return torch.stack([part.sum() for part in parts])

        return _Way(base[0].new_zeros(len(base)), logarithms, gradient)

    def _by_neuron(self) -> _Way:
        begin = self._best or self._fast
        widths = [len(one) for one in begin]

        def logarithms(point: Tensor) -> list[Tensor]:
            return list(point.split(widths))

        def gradient(parts: Sequence[Tensor]) -> Tensor:
            return torch.cat(list(parts))

        return _Way(torch.cat(begin), logarithms, gradient)

    def _value(self, logarithms: list[Tensor]) -> Value | None:
        return self._recursion.value(logarithms, 1.0)

    def _bound(self, square: float) -> float:
        return math.sqrt(square) * 2.0 ** sum(self.exponents)


def _mixed(ours: Sequence[Tensor], theirs: Sequence[Tensor], share: float) -> list[Tensor]:
    """Return the logarithms of multipliers with a share of others."""
    pairs = zip(ours, theirs, strict=True)
    return [((1 - share) * one + share * other).log() for one, other in pairs]


@dataclass(frozen=True)
class _Way:
    """Coordinates of a descent: where it starts, and what a point and a gradient are in them."""

    start: Tensor  # (N,)
    logarithms: Callable[[Tensor], list[Tensor]]
    gradient: Callable[[Sequence[Tensor]], Tensor]
