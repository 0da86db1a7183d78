"""Slopes of activations against central differences, and the table of the literature."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from landscape.lipschitz.slopes import Slopes, slopes_of

NAMES = """
    relu relu6 hardtanh tanh sigmoid hardsigmoid hardswish selu celu softplus logsigmoid softsign
    tanhshrink softshrink gelu silu mish leaky_relu elu
"""
FUNCTIONS = {
    {"logsigmoid": "log_sigmoid"}.get(name, name): getattr(F, name) for name in NAMES.split()
} | {name: getattr(torch, name) for name in ("abs", "sin", "cos", "atan", "asinh", "erf")}


def slopes(name: str, reach: float = math.inf, **arguments: object) -> Slopes:
    found = slopes_of(name, arguments.get, reach)
    assert found is not None
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_against_differences(name):
    """Difference quotients lie between the slopes, and come near the steeper one."""
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    quotients = FUNCTIONS[name](x).diff() / x.diff()
    found = slopes(name)
    assert found.lower <= quotients.min() + 1e-9
    assert quotients.max() <= found.upper + 1e-9
    assert quotients.abs().max() == pytest.approx(found.steepest, rel=1e-3)
    if math.isfinite(found.peak):
        assert FUNCTIONS[name](x).abs().max() <= found.peak


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("gelu", -0.128904, 1.128904),
        ("silu", -0.099839, 1.099839),
        ("mish", -0.112527, 1.088498),
        ("selu", 0, 1.758099),
        ("hardswish", -0.5, 1.5),
    ],
)
def test_published_slopes(name, low, high):
    found = slopes(name)
    assert found.lower == pytest.approx(low, abs=2e-5)
    assert found.upper == pytest.approx(high, abs=2e-6)


def test_gelu_in_closed_form():
    """Its slope is steepest where x = √2: Φ(√2) + √2 φ(√2)."""
    root = math.sqrt(2)
    exact = 0.5 * (1 + math.erf(1)) + root * math.exp(-1) / math.sqrt(2 * math.pi)
    assert exact <= slopes("gelu").upper <= exact + 2e-9
    assert slopes("gelu", approximate="tanh").upper == pytest.approx(1.128993, abs=1e-6)


def test_arguments():
    assert slopes("leaky_relu", negative_slope=2.0).upper == 2
    assert slopes("leaky_relu", negative_slope=-0.5).lower == -0.5
    assert slopes("elu", alpha=3.0, scale=1, input_scale=1).upper == 3
    assert slopes("square", 2.0).steepest == 4
    assert slopes("pow", 2.0, exponent=3).steepest == 12
    assert slopes_of("square", {}.get) is None
    assert slopes_of("pow", {"exponent": 0.5}.get, 2.0) is None
