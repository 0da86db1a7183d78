"""One network followed through its first steps: how large activations are, how much they move."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.errors import LandscapeError, ModelError, out_of_memory
from landscape.subject.activations import observing
from landscape.subject.batch import Batch
from landscape.subject.losses import Loss
from landscape.subject.subject import Subject
from landscape.subject.traces import user_position, user_traceback
from landscape.subject.undisturbed import seeded
from landscape.training.plain import mean_loss

ROUNDING = 2.0  # units of rounding of the activation, below which a change is none


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Mean absolute coordinates of the activations of one network, t = 0 … steps.

    Args:
        names: Of the modules, in the order of their first calls; "" is the whole network.
        kinds: Their classes.
        size: E|x(t)| (steps + 1, modules).
        change: E|x(t) − x(0)| (steps + 1, modules); NaN where the shape is another one.
        loss: Of the batch (steps + 1,).
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    size: np.ndarray
    change: np.ndarray
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

    Cost: steps + 1 forward and steps backward passes.
    """
    subject, seen = Subject(model), _Seen()
    losses, sizes, changes = list[float](), list[np.ndarray](), list[np.ndarray]()
    try:
        with observing(subject, seen.entered, seen.left):
            for step in range(steps + 1):
                seen.begin()
                with seeded(seed), torch.set_grad_enabled(step < steps):
                    loss = mean_loss(subject.network.model, batch, criterion)
                losses.append(float(loss.detach()))
                size, change = seen.means()
                sizes.append(size)
                changes.append(change)
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
    return Trace(
        names=tuple(seen.kinds),
        kinds=tuple(seen.kinds.values()),
        size=np.stack(sizes),
        change=np.stack(changes),
        loss=np.array(losses),
    )


@dataclass
class _Seen:
    """The activations of every module, pass after pass; those of the first are kept."""

    kinds: dict[str, str] = field(default_factory=dict[str, str])
    _first: dict[str, list[Tensor]] = field(default_factory=dict[str, list[Tensor]])
    _now: dict[str, list[tuple[Tensor, Tensor, int]]] = field(default_factory=dict[str, Any])
    _last: Tensor | None = None
    _passes: int = 0

    def begin(self) -> None:
        """Begin a pass."""
        self._now, self._last = {}, None
        self._passes += 1

    def entered(self, name: str, module: nn.Module, given: Tensor | None) -> None:
        """See nothing: outputs alone count."""

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
        calls.append((total, self._moved(name, len(calls), shown, total), shown.numel()))

    def means(self) -> tuple[np.ndarray, np.ndarray]:  # (modules,), (modules,)
        """Return E|x| and E|x − x(0)| of the modules of the first pass, over all calls."""
        found = [self._means(name) for name in self.kinds]
        sizes, changes = np.array(found).reshape(-1, 2).T
        return sizes, changes

    def _means(self, name: str) -> tuple[float, float]:
        calls = self._now.get(name, [])
        if len(calls) != len(self._first[name]):
            return float("nan"), float("nan")
        count = max(sum(number for _, _, number in calls), 1)
        size, change = (sum(float(call[part]) for call in calls) / count for part in (0, 1))
        return size, change

    def _moved(self, name: str, call: int, shown: Tensor, total: Tensor) -> Tensor:
        """Return the summed distance from the same call of the first pass."""
        first = self._first.get(name, [])
        if call >= len(first) or first[call].shape != shown.shape:
            return torch.full_like(total, torch.nan)
        change = (shown - first[call]).abs().sum(dtype=torch.float64)
        floor = ROUNDING * torch.finfo(shown.dtype).eps * total
        return torch.where(change <= floor, torch.zeros_like(change), change)
