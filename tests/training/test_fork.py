"""Forks of one run against runs written out by hand, and against what is known of quadratics."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import SettingError
from landscape.estimate import Estimate
from landscape.training.fork import Barrier, Instability, Recipe, Run, forks, instability
from tests.cases import normal
from tests.oracles import generator

STEPS = 30
RATE = 0.1


def noisy_bowl() -> Recipe:
    """½‖w − noise‖²: one step of SGD is w ← (1 − η) w + η noise, whatever the order."""

    def start() -> Run:
        model = nn.Linear(3, 1, bias=False, dtype=torch.float64)
        nn.init.ones_(model.weight)
        return Run(model=model, optimizer=torch.optim.SGD(model.parameters(), lr=RATE))

    def loss(model: nn.Module, step: int, order: int) -> Tensor:
        assert isinstance(model, nn.Linear)
        return 0.5 * (model.weight - noise(step, order)).square().sum()

    return Recipe(start=start, loss=loss, steps=STEPS)


def noise(step: int, order: int) -> Tensor:
    return normal(1, 3, seed=1000 * order + step).double()


def digit_like(dropout: float = 0.0) -> Recipe:
    """A network with everything that has a state: momentum, a schedule, BatchNorm, dropout."""
    inputs, labels = normal(64, 5, seed=1), torch.arange(64) % 3

    def start() -> Run:
        layers = [nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(dropout)]
        model = nn.Sequential(*layers, nn.Linear(8, 3))
        optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.1, total_iters=STEPS)
        return Run(model=model, optimizer=optimizer, schedule=schedule)

    def loss(model: nn.Module, step: int, order: int) -> Tensor:
        rows = torch.randperm(64, generator=generator(1000 * order + step))[:16]
        return F.cross_entropy(model(inputs[rows]), labels[rows])

    return Recipe(start=start, loss=loss, steps=STEPS)


def distance(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> Estimate:
    return Estimate.exact(float(sum((a[n] - b[n]).square().sum() for n in a)))


def test_children_of_a_noisy_bowl_are_its_closed_form():
    step, order = 12, 2
    (fork,) = forks(noisy_bowl(), at=[step])
    weights = torch.ones(1, 3, dtype=torch.float64) * (1 - RATE) ** STEPS
    for i in range(STEPS):
        seen = noise(i, 0 if i < step else order)
        weights += RATE * (1 - RATE) ** (STEPS - 1 - i) * seen
    torch.testing.assert_close(fork.children[1]["weight"], weights, rtol=1e-12, atol=0)


def test_children_come_closer_the_later_the_fork():
    """In the bowl the distance is that of what the noise of the last steps adds."""
    found = instability(noisy_bowl(), distance, at=[STEPS, 0, 10, 25])
    assert [one.step for one in found.barriers] == [0, 10, 25, STEPS]
    for one in found.barriers:
        apart = sum(
            RATE * (1 - RATE) ** (STEPS - 1 - i) * (noise(i, 1) - noise(i, 2))
            for i in range(one.step, STEPS)
        )
        assert one.barrier.value == pytest.approx(float(torch.as_tensor(apart).square().sum()))
    assert found.barriers[-1].barrier.value == 0


@pytest.mark.parametrize("step", [0, 7, STEPS])
def test_a_child_with_the_order_of_the_trunk_is_the_uninterrupted_run(step: int):
    """Weights, momentum, schedule and BatchNorm statistics are all taken over."""
    (whole,) = forks(digit_like(), at=[STEPS])
    (fork,) = forks(digit_like(), at=[step], orders=[(0, 1)])
    for name, expected in whole.children[0].items():
        assert torch.equal(fork.children[0][name], expected), name
    if step < STEPS:
        assert not torch.equal(fork.children[1]["0.weight"], whole.children[0]["0.weight"])


def test_repetitions_are_pairs_of_orders():
    pairs = [(1, 2), (3, 4)]
    found = [(one.step, one.orders) for one in forks(noisy_bowl(), at=[5, 3, 5], orders=pairs)]
    assert found == [(3, (1, 2)), (3, (3, 4)), (5, (1, 2)), (5, (3, 4))]


def test_the_same_seed_gives_the_same_children_and_the_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state(legacy=False)
    first, second = (list(forks(digit_like(dropout=0.5), at=[4], seed=3)) for _ in range(2))
    (other,) = forks(digit_like(dropout=0.5), at=[4], seed=4)
    for name, tensor in first[0].children[0].items():
        assert torch.equal(tensor, second[0].children[0][name])
    assert not torch.equal(first[0].children[0]["0.weight"], other.children[0]["0.weight"])
    assert torch.equal(before[0], torch.get_rng_state())
    assert str(np.random.get_state(legacy=False)) == str(before[1])


@pytest.mark.parametrize(
    ("barriers", "onset"),
    [
        ([(0, 9.0), (10, 3.0), (20, 0.5), (30, 0.1)], 20),
        ([(0, 0.5), (10, 3.0), (20, 0.5)], 20),  # stable, then not: the onset is after that
        ([(0, 0.5), (10, 0.1)], 0),
        ([(0, 9.0), (10, 3.0)], None),
        ([(10, 0.5), (10, 3.0), (20, 0.1)], 20),  # one repetition of two
        ([(0, float("nan")), (10, 0.1)], 10),
    ],
)
def test_onset_is_the_first_step_from_which_all_are_stable(
    barriers: list[tuple[int, float]], onset: int | None
):
    found = [
        Barrier(step=step, orders=(1, 2), barrier=Estimate.exact(value)) for step, value in barriers
    ]
    assert Instability(barriers=tuple(found)).onset(1.0) == onset


@pytest.mark.parametrize("at", [[], [-1], [3, STEPS + 1]])
def test_forks_outside_the_run_are_refused(at: list[int]):
    with pytest.raises(SettingError, match="forks at steps"):
        next(forks(noisy_bowl(), at=at))
