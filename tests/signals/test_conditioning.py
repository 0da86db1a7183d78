from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.signals.activity import activity
from landscape.signals.conditioning import conditioning, spread
from landscape.subject.subject import Subject
from tests.oracles import F64, generator, orthogonal
from tests.signals.problems import samples_of


def test_whitened_rows_have_condition_one():
    rows = torch.randn(200, 6, generator=generator(0), dtype=F64)
    rows -= rows.mean(0)
    white = rows @ torch.linalg.inv(torch.linalg.cholesky(rows.T @ rows / 200)).T
    found = spread(white[:, None], "rows")
    assert found.condition is not None
    assert found.condition.value == pytest.approx(1, abs=1e-9)
    assert found.stable_rank.value == pytest.approx(6)
    assert found.mean_share.value == pytest.approx(0, abs=1e-12)


def test_numbers_are_those_of_the_dense_matrix():
    rows = torch.randn(60, 3, 5, generator=generator(1), dtype=F64) * torch.arange(1, 6) + 0.5
    flat = rows.reshape(-1, 5)
    values = np.linalg.eigvalsh((flat.T @ flat / len(flat)).numpy())
    found = spread(rows, "rows")
    assert found.condition is not None
    assert found.condition.value == pytest.approx(values[-1] / values[0])
    assert found.stable_rank.value == pytest.approx(values.sum() / values[-1])
    mean = float(flat.mean(0).square().sum() / flat.square().sum(1).mean())
    assert found.mean_share.value == pytest.approx(mean)


def test_a_unit_that_never_varies_is_told():
    rows = torch.randn(30, 1, 4, generator=generator(2), dtype=F64)
    rows[..., 2] = 0
    condition = spread(rows, "rows").condition
    assert condition is not None
    assert condition.kind == "lower_bound"
    assert condition.interval == (1e12, math.inf)
    assert "never varies" in condition.method
    assert spread(rows[:3], "rows").condition is None  # fewer rows than columns


@pytest.mark.full
def test_coverage_of_stable_rank_and_mean():
    scales = torch.tensor([3.0, 1.5, 1.0, 0.5], dtype=F64)
    shift = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=F64)
    matrix = torch.diag(scales.square()) + torch.outer(shift, shift)
    exact = float(matrix.trace() / torch.linalg.eigvalsh(matrix)[-1])
    share = 1 / float(matrix.trace())
    hits = np.zeros(2)
    for seed in range(2000):
        rows = torch.randn(256, 1, 4, generator=generator(seed), dtype=F64) * scales + shift
        found = spread(rows, "rows")
        for place, (one, truth) in enumerate(
            ((found.stable_rank, exact), (found.mean_share, share))
        ):
            hits[place] += one.interval[0] <= truth <= one.interval[1]
    assert (hits >= 0.93 * 2000).all()


def test_the_nuclear_rank_of_known_gradients():
    rows = torch.randn(50, 1, 8, generator=generator(3), dtype=F64)
    model = nn.Linear(8, 8, bias=False, dtype=F64)
    subject = Subject(model, "mse", (rows[:, 0], rows[:, 0]))
    kept = activity(samples_of(subject), width=8).rows
    for gradient, exact in (
        (torch.eye(8, dtype=F64), 8.0),
        (orthogonal(8), 8.0),
        (torch.outer(torch.arange(1.0, 9), torch.ones(8)).double(), 1.0),
    ):
        (found,) = conditioning(kept, {"": gradient})
        assert found.nuclear_rank is not None
        assert found.nuclear_rank.value == pytest.approx(exact)
    (best,) = conditioning(kept, {"": torch.eye(8, dtype=F64)})
    assert best.spectral_wins is True
    low = torch.outer(torch.arange(1.0, 9), torch.ones(8)).double()
    (worst,) = conditioning(kept, {"": low})
    assert worst.spectral_wins is False
    (unknown,) = conditioning(kept, {})
    assert unknown.spectral_wins is None


def test_inputs_and_signals_are_those_that_give_the_gradient():
    """The gradient of a linear layer is Σ δ aᵀ: the kept rows make it up again."""
    model = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 3)).double()
    x = torch.randn(40, 5, generator=generator(4), dtype=F64)
    y = torch.randn(40, 3, generator=generator(5), dtype=F64)
    subject = Subject(model, "mse", [(x[:25], y[:25]), (x[25:], y[25:])])
    kept = activity(samples_of(subject), width=16).rows
    gradient = subject.parameters.split(subject.gradient(subject.point))
    for name in ("0", "2"):
        a, d = (torch.cat(part)[:, 0] for part in (kept[name].incoming, kept[name].outgoing))
        exact = gradient[f"{name}.weight"].view(d.shape[1], -1)
        torch.testing.assert_close(d.T @ a / 40, exact, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("padding", [0, 1, "same"])
def test_patches_of_a_convolution_make_up_its_gradient(padding):
    conv = nn.Conv2d(2, 3, 3, padding=padding, bias=False, dtype=F64)
    model = nn.Sequential(conv, nn.Tanh(), nn.Flatten())
    x = torch.randn(11, 2, 5, 5, generator=generator(6), dtype=F64)
    y = torch.zeros_like(model(x)).detach()
    subject = Subject(model, "mse", (x, y))
    kept = activity(samples_of(subject), width=64).rows["0"]
    a, d = (torch.cat(part).flatten(0, 1) for part in (kept.incoming, kept.outgoing))
    exact = subject.gradient(subject.point).view(3, -1)
    torch.testing.assert_close(d.T @ a / 11, exact, rtol=1e-9, atol=1e-12)


def test_layers_that_are_too_wide_are_left_out_with_the_reason():
    model = nn.Linear(20, 3)
    x = torch.randn(9, 20, generator=generator(7))
    kept = activity(samples_of(Subject(model, "mse", (x, x[:, :3]))), width=10).rows
    assert kept[""].reason == "it is wider than 10"
    assert conditioning(kept, {}) == ()
