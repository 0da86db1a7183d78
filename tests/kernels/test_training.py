"""Training of the linearised network under a cross-entropy, against what it must be."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.special import lambertw
from torch import nn

import landscape as ls
from landscape.diagnostics.ntk import Ntk
from landscape.kernels.decomposition import decomposition
from landscape.kernels.likelihood import Likelihood
from landscape.kernels.linearised import Linearised
from landscape.kernels.training import LEFT, training
from landscape.tangent.kernel import cross_kernel, kernel


def problem(loss="ce", *, samples=24, held=16, classes=3, seed=0):
    torch.manual_seed(seed)
    inputs = torch.randn(samples + held, 4).double()
    labels = (inputs @ torch.randn(4, classes).double()).argmax(1)
    targets = labels if loss == "ce" else nn.functional.one_hot(labels, classes).double()
    rows = (slice(None, samples), slice(samples, None))
    train, held_out = ([(inputs[one], targets[one])] for one in rows)
    return {"train": train, "held_out": held_out}, inputs, targets


def dense(whole, cross):
    """The full kernel, and that with held-out samples, both as they are."""

    def held_out(v):
        return np.stack([(cross @ one.ravel()).reshape(-1, v.shape[2]) for one in v])

    return Linearised(
        kernel="its full kernel",
        modes=decomposition(whole, precision=1e-16),
        held_out=held_out,
    )


def test_one_sample_of_two_classes():
    """With K = k I the margin has m' = 2 k / (1 + eᵐ), so that m + eᵐ grows by 2 k t."""
    k, f = 0.7, np.array([[0.3, -0.1]])
    at = Likelihood(values=np.array([[1.0, 0.0]]), layout=(1, 2, 1), count=1)
    found = training(dense(k * np.eye(2), k * np.eye(2)), at, f, at, f)
    assert found.learned
    start = f[0, 0] - f[0, 1]
    for one in found.path:
        c = start + np.exp(start) + 2 * k * one.time
        margin = c - lambertw(np.exp(c)).real
        exact = np.log1p(np.exp(-margin))
        assert one.training_loss.value == pytest.approx(exact, abs=1e-4)
        assert one.loss.value == pytest.approx(exact, abs=1e-4)
    losses = [one.training_loss.value for one in found.path]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] <= LEFT * losses[0] < losses[-2]


@pytest.mark.parametrize("loss", ["ce", "bce"])
def test_a_network_that_is_linear_trains_as_its_linearisation(loss):
    """Small steps of gradient descent on the network itself, with float64 and autograd."""
    data, inputs, targets = problem(loss)
    model = nn.Linear(4, 3).double()
    told = Ntk(kind="full").run(ls.Subject(model, loss, data, dtype="float64", device="cpu"))
    assert told.prediction is not None
    found = told.prediction.training
    assert found is not None
    function = {
        "ce": nn.functional.cross_entropy,
        "bce": nn.functional.binary_cross_entropy_with_logits,
    }[loss]
    near = found.path[:5]
    now, rate = 0.0, near[-1].time / 1500
    for one in near:
        count = max(1, round((one.time - now) / rate)) if one.time else 0
        for _ in range(count):
            weights = list(model.parameters())
            slopes = torch.autograd.grad(function(model(inputs[:24]), targets[:24]), weights)
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    weight.sub_(slope, alpha=(one.time - now) / count)
        now = one.time
        with torch.no_grad():
            outputs = model(inputs)
            expected = [function(outputs[p], targets[p]) for p in (slice(24), slice(24, None))]
        assert one.training_loss.value == pytest.approx(float(expected[0]), rel=3e-3)
        assert one.loss.value == pytest.approx(float(expected[1]), rel=3e-3)
        if loss == "ce":
            right = (outputs[24:].argmax(1) == targets[24:]).double().mean()
        else:
            right = ((outputs[24:] > 0) == (targets[24:] > 0.5)).double().mean()
        assert one.accuracy.value == pytest.approx(float(right))


@pytest.mark.parametrize("trained", [0, 60])
def test_against_an_implicit_method(trained):
    """The outputs of a small network's kernel, by Radau with tolerances of 1e-10."""
    data, inputs, targets = problem(samples=12, held=7)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for _ in range(trained):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(inputs[:12]), targets[:12]).backward()
        optimizer.step()
    subject = ls.Subject(model, "ce", data, dtype="float64", device="cpu")
    told = Ntk(kind="full").run(subject)
    assert told.prediction is not None
    found = told.prediction.training
    assert found is not None
    assert subject.held_out is not None
    train, held = list(subject.device_batches()), list(subject.held_out)
    whole = kernel(subject, kind="full").values
    cross, held_outputs = cross_kernel(subject, held, train, kind="full")
    start = kernel(subject).outputs.ravel()
    hot = np.eye(3)[targets.numpy()]

    def slope(_, state):
        f = start - whole @ state
        p = np.exp(f.reshape(-1, 3))
        return ((p / p.sum(1, keepdims=True) - hot[:12]) / 12).ravel()

    times = [one.time for one in found.path]
    exact = solve_ivp(
        slope, (0, times[-1]), np.zeros(36), "Radau", t_eval=times, rtol=1e-10, atol=1e-12
    )
    for one, dual in zip(found.path, exact.y.T, strict=True):
        for f, y, got in (
            (start - whole @ dual, hot[:12], one.training_loss),
            (held_outputs.ravel() - cross @ dual, hot[12:], one.loss),
        ):
            f = f.reshape(-1, 3)
            losses = np.log(np.exp(f).sum(1)) - (f * y).sum(1)
            assert got.value == pytest.approx(losses.mean(), rel=2e-3)
            assert abs(got.value - losses.mean()) <= found.error + 1e-6
        right = (f.argmax(1) == y.argmax(1)).mean()
        assert one.accuracy.value == pytest.approx(right)


@pytest.mark.parametrize("layout", [(1, 4, 1), (2, 3, 1), (1, 3, 2), (4, 1, 1)])
def test_the_likelihood_is_that_of_torch(layout):
    """Classes in the middle, at the end, and logits each by itself; slope and curvature alike."""
    before, classes, after = layout
    source = torch.Generator().manual_seed(1)
    outputs = torch.randn(5, before, classes, after, generator=source).double()
    outputs.requires_grad_()
    if classes == 1:
        y = torch.rand(5, before, 1, after, generator=source).double()
        each = nn.functional.binary_cross_entropy_with_logits(outputs, y, reduction="none")
    else:
        y = torch.rand(5, before, classes, after, generator=source).double().softmax(2)
        each = -(y * outputs.log_softmax(2)).sum(2)
    count = each.numel()
    at = Likelihood(values=y.reshape(5, -1).numpy(), layout=layout, count=count)
    flat = outputs.detach().reshape(5, -1).numpy()
    np.testing.assert_allclose(at.losses(flat).mean(), each.sum().item() / count)
    (slope,) = torch.autograd.grad(each.sum() / count, outputs, create_graph=True)
    np.testing.assert_allclose(at.slopes(flat), slope.detach().reshape(5, -1), atol=1e-14)
    v = torch.randn(outputs.shape, generator=source).double()
    (bent,) = torch.autograd.grad(slope, outputs, v)
    found = at.curvature(flat)(v.reshape(5, -1).numpy())
    np.testing.assert_allclose(found, bent.reshape(5, -1), atol=1e-14)
    assert float((v * bent).sum()) <= at.bend * float(v.square().sum())


def networks():
    yield nn.Linear(4, 3), (4,)
    yield nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)), (4,)
    yield (
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(27, 3)),
        (1, 5, 5),
    )


@pytest.mark.parametrize("number", [0, 1, 2])
def test_single_precision_says_how_far_it_may_be_off(number):
    """Labels by chance, so that a linear network is trained until rounding is all that moves."""
    torch.manual_seed(0)
    model, shape = list(networks())[number]
    inputs, targets = torch.randn(30, *shape), torch.randint(0, 3, (30,))
    told = {}
    for dtype in (torch.float32, torch.float64):
        x = inputs.to(dtype)
        data = {"train": [(x[:20], targets[:20])], "held_out": [(x[20:], targets[20:])]}
        name = str(dtype).removeprefix("torch.")
        subject = ls.Subject(deepcopy(model).to(dtype), "ce", data, dtype=name, device="cpu")
        found = Ntk(kind="full").run(subject).prediction
        assert found is not None
        assert found.training is not None
        told[dtype] = found.training
    single, double = told[torch.float32], told[torch.float64]
    assert double.rounded is None
    assert single.rounded is not None or number
    assert bool(single.doubted) == (single.rounded is not None)
    assert np.diff(single.training_loss.value).max() <= 1e-9
    for one, exact in zip(single.path, double.path, strict=True):
        assert one.time == pytest.approx(exact.time, rel=1e-5)
        for left, right in ((one.training_loss, exact.training_loss), (one.loss, exact.loss)):
            low, high = left.interval
            assert low <= right.value <= high
    assert single.start.training_loss.half_width < 1e-5
    assert single.end.training_loss.half_width < 0.1
