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
