"""The gradient noise scale, from micro-batches, against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.recorder.reading import noise_scale
from landscape.recorder.recorder import Recorder
from landscape.signals.two_batch import signal_and_noise
from tests.cases import normal
from tests.oracles import generator
from tests.recorder.runs import flat_loss, history, mlp, sgd, train

WIDTH, RESIDUAL = 10, 0.5


def regression(
    steps: int, passes: int, *, scale: float = 1.0, seed: int = 0
) -> tuple[Recorder, float]:
    """Return the record of a linear regression held in place, and its noise scale.

    With x ~ N(0, I_D), residuals of variance s² and δ = w − w*, the gradient x (xᵀδ − ε) has
    |G|² = |δ|² and tr Σ = s² D + (D + 1) |δ|².
    """
    model = nn.Linear(WIDTH, 1, bias=False)
    delta = normal(WIDTH, seed=77) / 3
    with torch.no_grad():
        model.weight.copy_(delta[None])
    optimizer = sgd(model, lr=0.0)
    draws = generator(seed)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for _ in range(steps):
            optimizer.zero_grad()
            for _ in range(passes):
                x = torch.randn(16, WIDTH, generator=draws)
                y = RESIDUAL * torch.randn(16, 1, generator=draws)
                (scale * (model(x) - y).square().mean() / 2).backward()
            optimizer.step()
    square = float(delta.square().sum())
    return recorder, (RESIDUAL**2 * WIDTH + (WIDTH + 1) * square) / square


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_the_closed_form_of_linear_regression(scale):
    recorder, expected = regression(300, 4, scale=scale)
    found, reason = noise_scale(history(recorder), last=1000)
    assert found is not None
    assert reason == ""
    assert found.interval[0] < expected < found.interval[1]
    assert found.value == pytest.approx(expected, rel=0.15)
    assert recorder.result().noise_unit == "samples"


def test_the_parts_are_unbiased():
    recorder, _ = regression(400, 2)
    small, big, inverse, pieces = history(recorder).pieces.T
    signal, noise = signal_and_noise(small, big, inverse_size=inverse, pieces=pieces)
    square = float(normal(WIDTH, seed=77).square().sum()) / 9
    for values, expected in (
        (signal, 4 * square),  # the gradients of two passes are summed; scale free in the ratio
        (noise, 4 * (RESIDUAL**2 * WIDTH + (WIDTH + 1) * square)),
    ):
        mean, error = values.mean(), values.std(ddof=1) / len(values) ** 0.5
        assert abs(mean - expected / 4) < 4 * error


def test_two_batch_sizes_exactly():
    """On expectations the formula is an identity."""
    signal, noise = 2.0, 30.0
    for pieces, sizes in ((2, (8, 8)), (3, (4, 8, 16)), (8, (1,) * 8)):
        inverse = np.mean([1 / size for size in sizes])
        small, big = signal + inverse * noise, signal + inverse * noise / pieces
        found = signal_and_noise(
            np.array([small]),
            np.array([big]),
            inverse_size=np.array([inverse]),
            pieces=np.array([pieces]),
        )
        assert found[0][0] == pytest.approx(signal)
        assert found[1][0] == pytest.approx(noise)


def test_one_batch_a_step_tells_nothing_and_says_so():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder)
    result = recorder.result()
    assert result.noise_scale is None
    assert "two micro-batches" in result.noise_reason


@pytest.mark.full
def test_the_interval_covers():
    covered = 0
    for seed in range(200):
        recorder, expected = regression(60, 2, seed=seed)
        found, _ = noise_scale(history(recorder))
        covered += found is not None and found.interval[0] <= expected <= found.interval[1]
    assert covered >= 0.93 * 200


# --- backward passes that are no micro-batches ---------------------------------------------


def two_losses(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    optimizer.zero_grad()
    out = model(normal(64, 5, seed=step))
    out.square().mean().backward(retain_graph=True)
    (0.1 * out.abs().mean()).backward()
    optimizer.step()


def closure_steps(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    del step

    def closure() -> float:
        optimizer.zero_grad()
        loss = flat_loss(model, 0)
        loss.backward()
        return float(loss.detach())

    optimizer.step(closure)


def perturbed(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """Sharpness-aware: the gradient at θ + ε g, of the same batch, from θ."""
    del step
    optimizer.zero_grad(set_to_none=False)
    flat_loss(model, 0).backward()
    moves = [0.01 * one.grad.clone() for one in model.parameters() if one.grad is not None]
    with torch.no_grad():
        for one, move in zip(model.parameters(), moves, strict=True):
            one += move
    optimizer.zero_grad(set_to_none=False)
    flat_loss(model, 0).backward()
    with torch.no_grad():
        for one, move in zip(model.parameters(), moves, strict=True):
            one -= move
    optimizer.step()


def adversary(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    """The gradient of another player's loss is let go before the step."""
    del step
    model(normal(8, 5, seed=50)).mean().backward()
    optimizer.zero_grad()
    flat_loss(model, 0).backward()
    optimizer.step()


def clipped_between(model: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> None:
    optimizer.zero_grad()
    for number in range(2):
        flat_loss(model, 2 * step + number).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1e-3)
    optimizer.step()


@pytest.mark.parametrize(
    ("one_step", "why"),
    [
        (two_losses, "several losses"),
        (closure_steps, "were changed"),
        (perturbed, "were changed"),
        (adversary, "were changed"),
        (clipped_between, "were changed"),
    ],
)
def test_what_is_no_micro_batch_gives_no_noise_scale(one_step, why):
    model = mlp()
    lbfgs = one_step is closure_steps
    optimizer = (
        torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3) if lbfgs else sgd(model, lr=0.01)
    )
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(8):
            one_step(model, optimizer, step)
    result = recorder.result()
    assert not recorder.log().of("failed")
    assert not any("pieces" in one for one in recorder.log().of("detail"))
    assert result.noise_scale is None
    assert why in result.noise_reason


def test_a_loop_that_calls_what_is_inside_the_network():
    """As a LightningModule is trained, whose own forward is not called."""
    model = nn.ModuleDict({"net": mlp()})
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        train(model, optimizer, lambda one, seed: flat_loss(one["net"], seed), steps=4, passes=3)  # type: ignore[index]
    pieces = [one["pieces"]["pieces"] for one in recorder.log().of("detail")[1:]]
    assert pieces == [3] * 3
    assert recorder.result().noise_unit == "micro-batches"


def test_gradients_taken_by_hand_are_no_pieces():
    """What `autograd.grad` takes of the weights does not reach the optimizer."""
    found = []
    for by_hand in (False, True):
        model = mlp()
        optimizer = sgd(model)
        with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
            for step in range(3):
                optimizer.zero_grad()
                for number in range(2):
                    loss = flat_loss(model, 2 * step + number)
                    if by_hand:
                        torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
                    loss.backward()
                optimizer.step()
        found.append([one["pieces"]["small"] for one in recorder.log().of("detail")[1:]])
    assert found[0] == found[1]


def test_an_axis_of_time_is_not_counted_as_samples():
    model = nn.GRU(3, 5)  # (time, samples, inputs)
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            for number in range(2):
                model(normal(7, 16, 3, seed=2 * step + number))[0].square().mean().backward()
            optimizer.step()
    assert not any("samples" in one for one in recorder.log().of("step"))
    assert recorder.result().noise_unit == "micro-batches"
    assert recorder.result().noise_scale is not None
