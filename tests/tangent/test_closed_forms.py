"""Kernels whose value is known: wide networks, deep linear ones, homogeneous ones."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.tangent.blocks import block_of
from landscape.tangent.kernel import cross_kernel, kernel
from tests.tangent.test_blocks import subject_of


class Scaled(nn.Module):
    """A bias-free layer √(2/d) W x with standard normal weights (NTK parametrisation)."""

    def __init__(self, inward: int, outward: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outward, inward, generator=generator).double())

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x * math.sqrt(2 / x.shape[-1]), self.weight)


def wide(width: int, depth: int, seed: int) -> nn.Module:
    source = torch.Generator().manual_seed(seed)
    sizes = [5, *[width] * depth]
    layers: list[nn.Module] = []
    for inward, outward in pairwise(sizes):
        layers += [Scaled(inward, outward, source), nn.ReLU()]
    return nn.Sequential(*layers, Scaled(width, 1, source))


def arc_cosine(x: np.ndarray, depth: int) -> np.ndarray:
    """Return the tangent kernel of infinite width (Cho & Saul 2009; Jacot et al. 2018)."""
    covariance = 2 * x @ x.T / x.shape[1]
    theta = covariance
    for _ in range(depth):
        length = np.sqrt(np.diagonal(covariance))
        outer = np.outer(length, length)
        angle = np.arccos(np.clip(covariance / outer, -1, 1))
        covariance = outer * (np.sin(angle) + (math.pi - angle) * np.cos(angle)) / math.pi
        theta = covariance + theta * (math.pi - angle) / math.pi
    return theta


@pytest.mark.parametrize(("depth", "seeds"), [(1, 40), (2, 16)])
def test_wide_networks_tend_to_the_arc_cosine_kernel(depth, seeds):
    """The root mean square error over seeds falls as 1/√width."""
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(9)).double()
    expected = arc_cosine(inputs.numpy(), depth)
    widths, errors = (64, 256, 1024), []
    for width in widths:
        found = [kernel(subject_of(wide(width, depth, s), inputs)).values for s in range(seeds)]
        gaps = [np.linalg.norm(one - expected) / np.linalg.norm(expected) for one in found]
        errors.append(np.sqrt(np.mean(np.square(gaps))))
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert -0.6 <= slope <= -0.4
    assert errors[-1] * math.sqrt(1024) < 4


def trained_gap(width: int, seed: int) -> float:
    """Return how far gradient descent is from its linearisation, in units of the first loss."""
    source = torch.Generator().manual_seed(100)
    inputs = torch.randn(8, 5, generator=source).double()
    targets = torch.randn(8, 1, generator=source).double()
    model = wide(width, 1, seed)
    found = kernel(subject_of(model, inputs), kind="full")
    values, vectors = np.linalg.eigh(found.values)
    rate = 0.3 * 8 / (2 * values[-1])  # the mean of (f − y)² over eight samples
    residual = vectors.T @ (found.outputs - targets.numpy())
    optimizer = torch.optim.SGD(model.parameters(), rate)
    gaps = []
    for step in range(60):
        loss = nn.functional.mse_loss(model(inputs), targets)
        told = np.square(residual[:, 0] * (1 - rate * 2 / 8 * values) ** step).mean()
        gaps.append(abs(loss.item() - told))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return max(gaps) / float(np.square(residual).mean())


def test_wide_networks_train_as_the_kernel_says():
    """The modes' losses are those of real training, ever better with the width."""
    widths = (64, 256, 1024, 4096)
    gaps = [np.mean([trained_gap(width, seed) for seed in range(6)]) for width in widths]
    assert all(after < before for before, after in pairwise(gaps))
    slope = np.polyfit(np.log(widths), np.log(gaps), 1)[0]
    assert -0.8 < slope < -0.3
    assert gaps[-1] < 0.02


def test_turned_outputs_leave_the_trace_kernel():
    torch.manual_seed(1)
    last = nn.Linear(6, 4, bias=False)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), last).double()
    inputs = torch.randn(7, 5).double()
    before = kernel(subject_of(model, inputs)).values
    turn = torch.linalg.qr(torch.randn(4, 4).double())[0]
    with torch.no_grad():
        last.weight.copy_(turn @ last.weight)
    np.testing.assert_allclose(kernel(subject_of(model, inputs)).values, before, rtol=1e-11)


def test_deep_linear_networks():
    """K = Σ_l (W_{>l} W_{>l}ᵀ) ⊗ (X W_{<l}ᵀ W_{<l} Xᵀ)."""
    torch.manual_seed(2)
    model = nn.Sequential(*[nn.Linear(a, b, bias=False) for a, b in ((5, 7), (7, 6), (6, 3))])
    inputs = torch.randn(9, 5).double()
    found = kernel(subject_of(model, inputs), kind="full").values
    weights = [one.detach().double().numpy() for one in model.parameters()]
    expected = np.zeros((27, 27))
    for number in range(3):
        before, after = inputs.numpy(), np.eye(3)
        for weight in weights[:number]:
            before = before @ weight.T
        for weight in reversed(weights[number + 1 :]):
            after = after @ weight
        expected += np.kron(before @ before.T, after @ after.T)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_homogeneous_networks():
    """A bias-free ReLU network of L layers has J_l θ_l = f for every layer."""
    model = wide(12, 2, 0)
    inputs = torch.randn(6, 5).double()
    subject = subject_of(model, inputs)
    block = block_of(subject, subject.point, next(iter(subject.device_batches())))
    u = torch.randn(6, 1).double()
    weights = dict(model.named_parameters())
    for name, factors in block.factors.items():
        along = factors.pulled(u) @ weights[name].detach().flatten()
        torch.testing.assert_close(along, (u * block.outputs).sum(), rtol=1e-12, atol=0)


def test_the_order_of_samples_is_that_of_the_kernel():
    model = wide(10, 1, 1)
    inputs = torch.randn(7, 5).double()
    order = torch.randperm(7)
    first = kernel(subject_of(model, inputs)).values
    second = kernel(subject_of(model, inputs[order])).values
    np.testing.assert_allclose(second, first[order][:, order], rtol=1e-12)


@pytest.mark.parametrize("kind", ["full", "trace", "classes"])
def test_kernels_across_two_sets_are_blocks_of_the_whole(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    inputs = torch.randn(9, 5).double()
    subject = subject_of(model, inputs)
    (batch,) = subject.device_batches()
    first, second = (batch.mapped(lambda t, s=s: t[s]) for s in (slice(0, 5), slice(5, 9)))
    found, outputs = cross_kernel(subject, [second], [first], kind=kind, block=2)
    whole = kernel(subject, kind=kind).values
    rows = 3 if kind == "full" else 1
    np.testing.assert_allclose(found, whole[..., 5 * rows :, : 5 * rows], rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(outputs, model.double()(inputs[5:]).detach(), rtol=1e-12)


def test_chosen_batches_alone():
    model = wide(10, 1, 1)
    inputs = torch.randn(7, 5).double()
    subject = subject_of(model, inputs)
    (batch,) = subject.device_batches()
    part = batch.mapped(lambda t: t[2:5])
    found = kernel(subject, batches=[part]).values
    np.testing.assert_allclose(found, kernel(subject).values[2:5, 2:5], rtol=1e-12)


def test_other_samples_are_other_tiles(tmp_path):
    """Remembered tiles are told apart by what is in the samples."""
    model = wide(10, 1, 1)
    inputs = torch.randn(6, 5).double()
    subject = ls.Subject(
        model,
        loss="mse",
        data=[(inputs, torch.zeros(6, 1).double())],
        dtype="float64",
        folder=tmp_path,
    )
    (batch,) = subject.device_batches()
    parts = [batch.mapped(lambda t, s=s: t[s]) for s in (slice(0, 3), slice(3, 6))]
    first, second = (kernel(subject, batches=[part]).values for part in parts)
    assert not np.allclose(first, second)
