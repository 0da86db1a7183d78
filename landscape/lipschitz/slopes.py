"""Between which slopes activation functions run: computed from their derivatives, not copied."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional

SPAN, POINTS = 40.0, 40_001  # of the grid on which extremal slopes are looked for
ZOOMS = 6
SMOOTH = 16.0  # of softplus's threshold t: its jump there is e⁻ᵗ, below the rounding of float32
SAFETY = 1e-9  # added outwards to slopes that were found on a grid

Arguments = Callable[[str], Any]


@dataclass(frozen=True)
class Slopes:
    """α ≤ (φ(x) − φ(y)) / (x − y) ≤ β, and a bound of |φ|."""

    lower: float | Tensor  # one for all, or one per channel
    upper: float | Tensor
    peak: float = math.inf

    @property
    def steepest(self) -> float:
        """Return the Lipschitz constant."""
        sizes = [torch.as_tensor(one).abs().max() for one in (self.lower, self.upper)]
        return float(max(sizes))


def slopes_of(name: str, argument: Arguments, reach: float = math.inf) -> Slopes | None:
    """Return the slopes of an elementwise function; None where it has no rule or no bound.

    Args:
        name: Of the operation in ATen.
        argument: Gives the value of an argument of the operation by name.
        reach: Bound of |x|; functions such as x² have slopes only where that is finite.
    """
    if name in _FIXED:
        return _FIXED[name]
    if name in _CURVED:
        return curved(name, _variant(name, argument))
    if name in _SETTABLE:
        return _SETTABLE[name](argument)
    if name in LOCAL and math.isfinite(reach):
        return LOCAL[name](argument, reach)
    return None


@cache
def curved(name: str, variant: str = "") -> Slopes:
    """Return the extremal slopes of a smooth activation, bracketed on a grid and zoomed in on.

    The extremum of a smooth function is flat, so that the last grid misses it by less than the
    margin added outwards.
    """
    function = _CURVED[name]
    slope = vmap(grad(lambda x: function(x, variant)))
    grid = torch.linspace(-SPAN, SPAN, POINTS, dtype=torch.float64)
    found = []
    for sign in (-1.0, 1.0):
        points = grid
        for _ in range(ZOOMS):
            best = points[(sign * slope(points)).argmax()]
            step = points[1] - points[0]
            points = torch.linspace(float(best - step), float(best + step), 201).double()
        found.append(float((sign * slope(points)).max()) * sign + sign * SAFETY)
    low, high = found
    return Slopes(min(low, 0.0) if low < -1e-6 else 0.0, high)


def _variant(name: str, argument: Arguments) -> str:
    return str(argument("approximate") or "none") if name == "gelu" else ""


def _gelu(x: Tensor, variant: str) -> Tensor:
    return functional.gelu(x, approximate=variant)


_CURVED: Mapping[str, Callable[[Tensor, str], Tensor]] = {
    "gelu": _gelu,
    "silu": lambda x, _: functional.silu(x),
    "mish": lambda x, _: functional.mish(x),
}

_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

_FIXED: Mapping[str, Slopes] = {
    "relu": Slopes(0.0, 1.0),
    "relu6": Slopes(0.0, 1.0, 6.0),
    "hardtanh": Slopes(0.0, 1.0),
    "clamp": Slopes(0.0, 1.0),
    "clamp_min": Slopes(0.0, 1.0),
    "clamp_max": Slopes(0.0, 1.0),
    "tanh": Slopes(0.0, 1.0, 1.0),
    "sigmoid": Slopes(0.0, 0.25, 1.0),
    "special_expit": Slopes(0.0, 0.25, 1.0),
    "hardsigmoid": Slopes(0.0, 1 / 6 * (1 + 1e-15), 1.0),
    "hardswish": Slopes(-0.5, 1.5),
    "selu": Slopes(0.0, _SELU_SCALE * _SELU_ALPHA * (1 + 1e-15)),
    "celu": Slopes(0.0, 1.0),
    "log_sigmoid": Slopes(0.0, 1.0),
    "softsign": Slopes(0.0, 1.0, 1.0),
    "tanhshrink": Slopes(0.0, 1.0),
    "softshrink": Slopes(0.0, 1.0),
    "abs": Slopes(-1.0, 1.0),
    "sin": Slopes(-1.0, 1.0, 1.0),
    "cos": Slopes(-1.0, 1.0, 1.0),
    "atan": Slopes(0.0, 1.0, math.pi / 2),
    "asinh": Slopes(0.0, 1.0),
    "erf": Slopes(0.0, 2 / math.sqrt(math.pi) * (1 + 1e-15), 1.0),
}


def _leaky(argument: Arguments) -> Slopes:
    slope = argument("negative_slope")
    slope = 0.01 if slope is None else float(slope)
    return Slopes(min(slope, 1.0), max(slope, 1.0))


def _elu(argument: Arguments) -> Slopes | None:
    """Slope α c e^{c x} below 0 and `scale` above, where c is the input's scale."""
    alpha, scale, inner = (float(argument(n) or 1) for n in ("alpha", "scale", "input_scale"))
    if min(alpha, scale, inner) < 0:
        return None
    return Slopes(0.0, scale * max(1.0, alpha * inner))


def _softplus(argument: Arguments) -> Slopes | None:
    """None where the threshold, from which it is x itself, cuts off so soon that it jumps."""
    threshold = argument("threshold")
    return Slopes(0.0, 1.0) if threshold is None or float(threshold) >= SMOOTH else None


_SETTABLE: Mapping[str, Callable[[Arguments], Slopes | None]] = {
    "leaky_relu": _leaky,
    "elu": _elu,
    "softplus": _softplus,
}


def _square(_: Arguments, reach: float) -> Slopes:
    return Slopes(-2 * reach, 2 * reach, reach * reach)


def _exp(_: Arguments, reach: float) -> Slopes:
    steepest = math.exp(reach) if reach < 700 else math.inf
    return Slopes(0.0, steepest, steepest)


def _power(argument: Arguments, reach: float) -> Slopes | None:
    exponent = argument("exponent")
    if not isinstance(exponent, int | float) or exponent != int(exponent) or exponent < 1:
        return None
    steepest = exponent * reach ** (int(exponent) - 1)
    return Slopes(0.0 if exponent % 2 else -steepest, steepest, reach ** int(exponent))


LOCAL: Mapping[str, Callable[[Arguments, float], Slopes | None]] = {
    "square": _square,
    "exp": _exp,
    "pow": _power,
}
