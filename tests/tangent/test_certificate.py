"""Factors that are broken on purpose: replaced by the Jacobian itself, or refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.errors import NumericalError
from landscape.tangent import blocks, capture
from landscape.tangent.factors import Factors, Flat, Lookup, Outer
from landscape.tangent.kernel import kernel


class Everything(nn.Module):
    """Table, convolution, norm and heads, so that every kind of factor has a parameter."""

    def __init__(self):
        super().__init__()
        self.table, self.conv = nn.Embedding(9, 4), nn.Conv1d(4, 6, 3, padding=1, groups=2)
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 8)
        self.last = nn.Linear(8, 3)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.norm(torch.tanh(self.conv(self.table(ids).mT)).mT)
        return self.last(torch.tanh(self.head(x)).mean(1))


def subject_of(dtype: str) -> ls.Subject:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Everything().double()
        ids = torch.randint(9, (6, 5))
    data = [(ids, torch.arange(6) % 3)]
    return ls.Subject(model, "ce", data, dtype=dtype, device="cpu")


def scaled(factors: Factors) -> Factors:
    """Return factors of which one sample is one per cent too large."""
    if isinstance(factors, Flat):
        return replace(factors, j=more(factors.j))
    return replace(factors, d=more(factors.d))


def more(tensor: Tensor) -> Tensor:
    tensor = tensor.clone()
    tensor[1] *= 1.01
    return tensor


def swapped(factors: Factors) -> Factors:
    """Return factors of which two samples are exchanged."""
    first = factors.j if isinstance(factors, Flat) else factors.d
    order = torch.tensor([1, 0, *range(2, len(first))])
    if isinstance(factors, Flat):
        return replace(factors, j=factors.j[order])
    if isinstance(factors, Lookup):
        return replace(factors, d=factors.d[order], ids=factors.ids[order])
    return replace(factors, d=factors.d[order], x=factors.x[order])


def shorter(factors: Factors) -> Factors:
    """Return factors that lack one use, or one output where there is one use only."""
    if isinstance(factors, Flat):
        return Flat(j=factors.j * (torch.arange(factors.j.shape[1]) > 0)[:, None])
    keep = (torch.arange(factors.d.shape[2]) > 0).to(factors.d)
    if isinstance(factors, Outer):
        return replace(factors, d=factors.d * keep[:, None, None])
    return replace(factors, d=factors.d * keep[:, None])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "broken"),
    [
        (name, broken)
        for name, _ in Everything().named_parameters()
        for broken in (scaled, swapped, shorter)
        if name != "last.bias" or broken is not swapped  # it is the same for all samples
    ],
)
def test_broken_factors_are_not_used(
    name: str, broken: Callable[[Factors], Factors], dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Jacobian takes their place, and is named; where it is broken too, there is no answer."""
    subject = subject_of(dtype)
    expected = kernel(subject, kind="full")
    assert not expected.unfactored
    real = capture.factors_of

    def bad(*args) -> dict[str, Factors]:
        found = real(*args)
        return {key: broken(one) if key == name else one for key, one in found.items()}

    monkeypatch.setattr(blocks, "factors_of", bad)
    found = kernel(subject, kind="full")
    assert set(found.unfactored) == {name}
    tolerance = (1e-12 if dtype == "float64" else 1e-5) * np.abs(expected.values).max()
    np.testing.assert_allclose(found.values, expected.values, atol=tolerance)

    jacobians = blocks.jacobians

    def bad_too(*args):
        for made in jacobians(*args):
            yield {key: broken(one) for key, one in made.items()}

    monkeypatch.setattr(blocks, "jacobians", bad_too)
    with pytest.raises(NumericalError, match=name):
        kernel(subject, kind="full")


def test_a_lost_use_is_seen(monkeypatch):
    """A layer that is called twice, of which the capture sees the second call only."""

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(torch.tanh(self.layer(torch.tanh(self.layer(x)))))

    torch.manual_seed(0)
    inputs = torch.randn(5, 4).double()
    data = [(inputs, torch.zeros(5, 2).double())]
    subject = ls.Subject(Twice().double(), "mse", data, dtype="float64", device="cpu")
    expected = kernel(subject, kind="full")
    assert not expected.unfactored
    real = capture.factors_of
    monkeypatch.setattr(blocks, "factors_of", lambda uses, outputs: real(uses[2:], outputs))
    found = kernel(subject, kind="full")
    assert set(found.unfactored) == {"layer.weight", "layer.bias"}
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-11, atol=1e-12)


def test_single_precision_is_that_of_single_precision():
    """Against float64, for every kind of factor: 1e-6 of the largest entry."""
    double, single = (
        kernel(subject_of(dtype), kind="full").values for dtype in ("float64", "float32")
    )
    assert np.abs(single - double).max() < 1e-6 * np.abs(double).max()


class Keys(nn.Module):
    """Attention whose keys have a bias: it moves nothing, and autograd gives its rounding."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(9, 8)
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))
        self.last = nn.Linear(8, 9)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.table(ids)
        scores = self.query(x) @ self.key(x).mT / 8**0.5
        return self.last(scores.softmax(-1) @ self.value(x))


def test_rounding_of_what_moves_nothing_is_no_disagreement():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model, ids = Keys(), torch.randint(9, (8, 12))
    found = kernel(ls.Subject(model, "ce", [(ids, ids)], device="cpu"))
    exact = kernel(ls.Subject(model, "ce", [(ids, ids)], dtype="float64", device="cpu"))
    assert not found.unfactored
    assert found.shares["key.bias"] < 1e-10 * found.trace
    np.testing.assert_allclose(found.values, exact.values, rtol=1e-4)
