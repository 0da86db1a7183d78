"""The kernel and the Gauss-Newton matrix tell one spectrum; and gradient descent obeys it."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.kernels.asked import chosen
from landscape.kernels.dynamics import (
    LEFT,
    SomeGaussNewton,
    dual_modes,
    dynamics_of,
    learning_steps,
)
from landscape.kernels.targets import targets_of
from landscape.tangent.kernel import kernel


def subject_of(loss, outputs=3, samples=6):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs)).double()
    inputs = torch.randn(samples, 5).double()
    targets = {
        "ce": torch.randint(outputs, (samples,)),
        "mse": torch.randn(samples, outputs).double(),
        "bce": torch.rand(samples, outputs).double(),
    }[loss]
    batches = [(inputs[:4], targets[:4]), (inputs[4:], targets[4:])]
    return ls.Subject(model, loss, batches, dtype="float64", device="cpu")


def modes_of(subject):
    batches = chosen(subject, subject.batches, 1000)
    targets = targets_of(subject, batches, curved=True)
    whole = kernel(subject, kind="full", batches=batches).values
    assert targets.roots is not None
    return dual_modes(whole, targets.roots, targets.count), batches, targets


@pytest.mark.parametrize("loss", ["ce", "mse", "bce"])
def test_duality(loss):
    """The eigenvalues of Sᵀ K S / count are those of G, to 1e-12 in float64."""
    subject = subject_of(loss)
    modes, _, _ = modes_of(subject)
    dense = np.linalg.eigvalsh(ls.GaussNewtonOperator(subject).to_dense())[::-1]
    np.testing.assert_allclose(modes, dense[: len(modes)], atol=1e-12 * dense[0], rtol=0)
    if loss == "ce":  # shifting all logits of a sample changes nothing
        assert (np.abs(modes) < 1e-12 * modes[0]).sum() == 6


def test_the_gauss_newton_matrix_of_some_samples():
    subject = subject_of("ce", samples=9)
    some = chosen(subject, subject.batches, 4)
    assert sum(one.samples for one in some) == 4
    alone = ls.Subject(
        subject.model,
        "ce",
        [(one.args[0], one.targets) for one in some],
        dtype="float64",
        device="cpu",
    )
    found = SomeGaussNewton(subject, some, 4).to_dense()
    expected = ls.GaussNewtonOperator(alone).to_dense()
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)


def linear():
    source = torch.Generator().manual_seed(4)
    inputs = torch.randn(12, 4, generator=source).double()
    targets = torch.randn(12, 2, generator=source).double()
    model = nn.Linear(4, 2, bias=False).double()
    subject = ls.Subject(model, "mse", [(inputs, targets)], dtype="float64")
    return subject, model, inputs, targets


def test_gradient_descent_diverges_beyond_the_largest_rate():
    subject, model, inputs, targets = linear()
    modes, batches, found = modes_of(subject)
    told = dynamics_of(subject, batches, found.count, modes[modes > 1e-9], seed=0)
    assert told.largest_rate.value == pytest.approx(24 / np.linalg.eigvalsh(inputs.T @ inputs)[-1])
    assert told.rule == "gradient descent"
    assert told.duality is not None
    assert told.duality < 1e-12

    def after(rate, steps):
        weight = model.weight.detach().clone().requires_grad_()
        for _ in range(steps):
            loss = nn.functional.mse_loss(inputs @ weight.T, targets)
            weight = (weight - rate * torch.autograd.grad(loss, weight)[0]).detach()
            weight.requires_grad_()
        return nn.functional.mse_loss(inputs @ weight.T, targets).item()

    start = after(0.0, 0)
    assert after(0.99 * told.largest_rate.value, 2000) < start
    assert after(1.01 * told.largest_rate.value, 2000) > 1e6 * start


def test_modes_decay_as_told():
    """The residual in the k-th eigenvector is (1 − η μ_k)^t of what it was, exactly."""
    subject, model, inputs, targets = linear()
    modes, _, _ = modes_of(subject)
    rate = 0.5 / modes[0]
    values, vectors = np.linalg.eigh(kernel(subject).values / 2)
    weight = model.weight.detach().numpy().copy()
    x, y = inputs.numpy(), targets.numpy()
    start = vectors.T @ (x @ weight.T - y)
    for _ in range(7):
        weight = weight - rate * 2 / 24 * (x @ weight.T - y).T @ x
    end = vectors.T @ (x @ weight.T - y)
    expected = start * (1 - rate * 2 / 24 * values[:, None]) ** 7
    np.testing.assert_allclose(end, expected, atol=1e-12)


def test_steps_to_learn():
    steps = learning_steps(np.array([1.0, 0.1, 3.0, 0.0]), 0.5)
    np.testing.assert_allclose(0.5 ** steps[0], LEFT)
    np.testing.assert_allclose(0.95 ** steps[1], LEFT)
    np.testing.assert_allclose(0.5 ** steps[2], LEFT)
    assert steps[3] == np.inf
    assert learning_steps(np.array([5.0]), 0.5)[0] == np.inf


@pytest.mark.parametrize(
    ("made", "rule", "factor", "rate"),
    [
        (lambda p: torch.optim.SGD(p, 0.05, momentum=0.9), "heavy ball", 3.8, 0.05),
        (lambda p: torch.optim.SGD(p, 0.05), "gradient descent", 2.0, 0.05),
        (lambda p: torch.optim.Adam(p, 0.05), "gradient descent", 2.0, None),
    ],
)
def test_the_optimizers_rule(made, rule, factor, rate):
    """Adam's learning rate is not one of plain descent, and is not held against its limit."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    optimizer = made(model.parameters())
    inputs, labels = torch.randn(6, 5).double(), torch.arange(6) % 3
    nn.functional.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
    state = ls.Checkpoint(label="one", tensors=model.state_dict(), optimizer=optimizer.state_dict())
    subject = ls.Subject(model, "ce", [(inputs, labels)], state, dtype="float64", device="cpu")
    told = dynamics_of(subject, chosen(subject, subject.batches, 9), 6, None, seed=0)
    sharpness = np.linalg.eigvalsh(ls.GaussNewtonOperator(subject).to_dense())[-1]
    assert told.rule == rule
    assert told.largest_rate.value == pytest.approx(factor / sharpness)
    assert told.rate == pytest.approx(rate if rate is not None else 1 / sharpness)
