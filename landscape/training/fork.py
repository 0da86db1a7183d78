"""Instability to the noise of SGD: one run is forked at step k, and two data orders finish it.

A network is stable from step k on when the two children, trained alike but for the order of the
data, end linearly connected. The barrier between them falls with k: early in training for large
networks, from the first step on for small ones.

Source: Frankle, Dziugaite, Roy & Carbin 2020, arXiv 1912.05671, section 2.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from landscape.errors import SettingError
from landscape.estimate import Estimate
from landscape.subject.undisturbed import RandomState, seeded
from landscape.training.loop import minimise

Tensors = Mapping[str, Tensor]

TRUNK = 0  # the data order of the steps that are shared


@dataclass(frozen=True, kw_only=True)
class Run:
    """A network in training.

    Args:
        model: The network.
        optimizer: Holds its parameters.
        schedule: Of the learning rate, stepped after every step; None: it is constant.
    """

    model: nn.Module
    optimizer: Optimizer
    schedule: LRScheduler | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained.

    Args:
        start: Makes a run at its first step; called once for the trunk and once for every child.
        loss: The mean loss of a network on the minibatch of a step under a data order, so
            `loss(model, step, order)`; orders are numbers, such as seeds.
        steps: How many steps a run takes.
    """

    start: Callable[[], Run]
    loss: Callable[[nn.Module, int, int], Tensor]
    steps: int


@dataclass(frozen=True, kw_only=True)
class Fork:
    """Two ends of training that share its first steps.

    Args:
        step: How many steps they share.
        orders: The data orders of the rest.
        children: The weights at the end, by name as in `state_dict`.
    """

    step: int
    orders: tuple[int, int]
    children: tuple[Tensors, Tensors]


@dataclass(frozen=True, kw_only=True)
class Barrier:
    """The barrier between the children of one fork."""

    step: int
    orders: tuple[int, int]
    barrier: Estimate


@dataclass(frozen=True, kw_only=True)
class Instability:
    """The barrier against the step of the fork.

    Args:
        barriers: By increasing step.
    """

    barriers: tuple[Barrier, ...]

    def onset(self, tolerance: float) -> int | None:
        """Return the first step from which on every barrier is surely below a tolerance.

        It is one of the steps that were forked, so the true onset may be earlier; None: training
        was stable from none of them on.
        """
        unstable = [one.step for one in self.barriers if not one.barrier.interval[1] < tolerance]
        last = max(unstable, default=-1)
        return min((one.step for one in self.barriers if one.step > last), default=None)


def instability(
    recipe: Recipe,
    barrier: Callable[[Tensors, Tensors], Estimate],
    *,
    at: Sequence[int],
    orders: Sequence[tuple[int, int]] = ((1, 2),),
    seed: int = 0,
) -> Instability:
    """Measure the barrier between the children of forks at several steps.

    Args:
        recipe: How the network is trained.
        barrier: Of two sets of weights, on the linear path between them.
        at: The steps after which the run is forked, 0 … `recipe.steps`.
        orders: The data orders of the children, a pair for each repetition. The trunk is trained
            under order `TRUNK`, 0.
        seed: Of what training draws besides, such as initial weights and dropout.

    Raises:
        SettingError: A step lies outside the run.

    Cost: max(at) steps, and 2 (steps − k) for each fork.
    """
    found = [
        Barrier(step=one.step, orders=one.orders, barrier=barrier(*one.children))
        for one in forks(recipe, at=at, orders=orders, seed=seed)
    ]
    return Instability(barriers=tuple(found))


def forks(
    recipe: Recipe,
    *,
    at: Sequence[int],
    orders: Sequence[tuple[int, int]] = ((1, 2),),
    seed: int = 0,
) -> Iterator[Fork]:
    """Yield the children of forks at several steps, as `instability` takes them.

    The weights, the optimizer's state and the schedule are those of the trunk at the fork.
    """
    steps = sorted(set(at))
    if not steps or steps[0] < 0 or steps[-1] > recipe.steps:
        raise SettingError(
            f"forks at steps {list(at)}",
            where="forks: at",
            why=f"a run takes {recipe.steps} steps, and forks lie between 0 and that",
            hint="give one step or more inside the run",
        )
    state = RandomState(seed)
    with state.active():
        trunk = recipe.start()
    done = 0
    for step in steps:
        with state.active():
            _train(recipe, trunk, order=TRUNK, start=done, stop=step)
        done = step
        saved = _saved(trunk)
        for pair in orders:
            first, second = (_child(recipe, saved, step, order) for order in pair)
            yield Fork(step=step, orders=pair, children=(first, second))


def _child(recipe: Recipe, saved: Mapping[str, Any], step: int, order: int) -> Tensors:
    with seeded(order):
        run = recipe.start()
        for name, state in saved.items():
            getattr(run, name).load_state_dict(copy.deepcopy(state))
        _train(recipe, run, order=order, start=step, stop=recipe.steps)
    return {name: tensor.detach() for name, tensor in run.model.state_dict().items()}


def _saved(run: Run) -> dict[str, Any]:
    parts = {"model": run.model, "optimizer": run.optimizer, "schedule": run.schedule}
    kept = {name: part.state_dict() for name, part in parts.items() if part is not None}
    return copy.deepcopy(kept)


def _train(recipe: Recipe, run: Run, *, order: int, start: int, stop: int) -> None:
    def loss(step: int) -> Tensor:
        return recipe.loss(run.model, start + step, order)

    def after(step: int) -> None:
        del step
        if run.schedule is not None:
            run.schedule.step()

    minimise(loss, run.optimizer, steps=stop - start, after=after)
