"""One network followed through its first steps: how large activations are, how much they move."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.coordinates.weights import is_weighted, own_change, weight_of
from landscape.errors import LandscapeError, ModelError, out_of_memory
from landscape.subject.activations import observing
from landscape.subject.batch import Batch
from landscape.subject.losses import Loss
from landscape.subject.subject import Subject
from landscape.subject.traces import user_position, user_traceback
from landscape.subject.undisturbed import seeded
from landscape.training.plain import mean_loss

Sums = tuple[Tensor, Tensor, Tensor, int]  # of one call: |x|, |Δx|, |ΔW z|; of how many

ROUNDING = 2.0  # units of rounding of the activation, below which a change is none


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Mean absolute coordinates of the activations of one network, t = 0 … steps.

    Args:
        names: Of the modules, in the order of their first calls; "" is the whole network.
        kinds: Their classes.
        size: E|x(t)| (steps + 1, modules).
        change: E|x(t) − x(0)| (steps + 1, modules); NaN where the shape is another one.
        learnt: E|(W(t) − W(0)) z(t)| (steps + 1, modules), by `weights.own_change`; 0 where there
            is no such weight.
        weighted: Names of the modules that have one.
        loss: Of the batch (steps + 1,).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    size: np.ndarray
    change: np.ndarray
    learnt: np.ndarray
    weighted: frozenset[str]
    loss: np.ndarray


def followed(
    model: nn.Module, batch: Batch, criterion: Loss, optimizer: Optimizer, *, steps: int, seed: int
) -> Trace:
    """Train a network in place on one batch, and return what its activations did.

    Every step uses the same batch and the same random numbers (dropout), so that what differs from
    the first pass is what training did. The modules are in the mode that the network was made in.

    Args:
        model: A network of its own, that nobody else uses.
        batch: On the network's device.
        criterion: The loss.
        optimizer: Of the network's parameters.
        steps: How many.
        seed: Of what forward draws.

    Raises:
        ModelError: The network or its optimizer fails.

    Cost: steps + 1 forward and steps backward passes, and as many of the layers with weights.
    """
    subject, seen = Subject(model), _Seen()
    losses, means = list[float](), list[np.ndarray]()
    try:
        with observing(subject, seen.entered, seen.left):
            for step in range(steps + 1):
                seen.begin()
                with seeded(seed), torch.set_grad_enabled(step < steps):
                    loss = mean_loss(subject.network.model, batch, criterion)
                losses.append(float(loss.detach()))
                means.append(seen.means())
                if step < steps:
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
    except LandscapeError:
        raise
    except Exception as failure:
        if out_of_memory(failure) is not None:
            raise
        raise ModelError(
            f"the network could not be trained: {type(failure).__name__}: {failure}",
            where=user_position(failure) or type(model).__name__,
            why=user_traceback(failure),
            hint="mend the factory, the optimizer or the loss; --debug shows the whole traceback",
        ) from failure
    size, change, learnt = np.stack(means, axis=1)
    return Trace(
        names=tuple(seen.kinds),
        kinds=tuple(seen.kinds.values()),
        size=size,
        change=change,
        learnt=learnt,
        weighted=frozenset(seen.weights),
        loss=np.array(losses),
    )


@dataclass
class _Seen:
    """The activations of every module, pass after pass; those of the first are kept."""

    kinds: dict[str, str] = field(default_factory=dict[str, str])
    weights: dict[str, Tensor] = field(default_factory=dict[str, Tensor])  # before training
    _given: dict[str, Tensor] = field(default_factory=dict[str, Tensor])
    _first: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    _now: dict[str, list[Sums]] = field(default_factory=dict[str, list[Sums]])
    _last: Tensor | None = None
    _passes: int = 0

    def begin(self) -> None:
        """Begin a pass."""
        self._now, self._last = {}, None
        self._passes += 1

    def entered(self, name: str, module: nn.Module, given: Tensor | None) -> None:
        """See what a layer with a weight is given."""
        if given is not None and is_weighted(module):
            self._given[name] = given.detach()

    def left(self, name: str, module: nn.Module, output: Tensor | None) -> None:
        """See a module's output; one that only hands on what a module inside it gave is left out.

        What is in place is written over by later modules: the sums are taken, and the first
        activations copied, at once.
        """
        if output is None or not output.is_floating_point() or output.dim() == 0:
            return
        if output is self._last and any(module.children()):
            return
        self._last, shown = output, output.detach()
        calls = self._now.setdefault(name, [])
        if self._passes == 1:
            self.kinds.setdefault(name, type(module).__name__)
            self._first.setdefault(name, []).append(shown.clone())
        total = shown.abs().sum(dtype=torch.float64)
        moved, learnt = self._moved(name, len(calls), shown, total), self._learnt(name, module)
        calls.append((total, moved, torch.zeros_like(total) + learnt, shown.numel()))

    def means(self) -> np.ndarray:  # (3, modules)
        """Return E|x|, E|x − x(0)| and E|(W − W(0)) z| of the modules of the first pass."""
        return np.array([self._means(name) for name in self.kinds]).reshape(-1, 3).T

    def _means(self, name: str) -> tuple[float, float, float]:
        calls = self._now.get(name, [])
        if len(calls) != len(self._first[name]):
            return float("nan"), float("nan"), float("nan")
        count = max(sum(call[-1] for call in calls), 1)
        size, change, learnt = (
            sum(float(call[part]) for call in calls) / count for part in (0, 1, 2)
        )
        return size, change, learnt

    def _learnt(self, name: str, module: nn.Module) -> Tensor | float:
        """Return the sum of |(W − W(0)) z| at the input z of this call; 0 without a weight."""
        given = self._given.pop(name, None)
        if given is None:
            return 0.0
        if self._passes == 1:
            self.weights.setdefault(name, weight_of(module).clone())
        if name not in self.weights:
            return 0.0
        return own_change(module, self.weights[name], given).abs().sum(dtype=torch.float64)

    def _moved(self, name: str, call: int, shown: Tensor, total: Tensor) -> Tensor:
        """Return the summed distance from the same call of the first pass."""
        first = self._first.get(name, [])
        if call >= len(first) or first[call].shape != shown.shape:
            return torch.full_like(total, torch.nan)
        change = (shown - first[call]).abs().sum(dtype=torch.float64)
        floor = ROUNDING * torch.finfo(shown.dtype).eps * total
        return torch.where(change <= floor, torch.zeros_like(change), change)
