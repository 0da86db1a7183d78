"""The recursion against the dense LMI and central differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from landscape.lipschitz.chain import Chain
from landscape.lipschitz.eclipse import fast_multipliers
from landscape.lipschitz.recursion import Recursion
from tests.lipschitz.chains import ABSOLUTE, GELU, LEAKY, RELU, chain_of, lmi
from tests.lipschitz.exact import gaussian

CPU = torch.device("cpu")
SLOPES = {"relu": RELU, "leaky": LEAKY, "gelu": GELU, "abs": ABSOLUTE, "falling": (-1.5, 0.2)}
DIMS = {"narrow ends": (3, 6, 5, 2), "wide ends": (9, 4, 6, 11), "one hidden": (7, 5, 3)}


def inside(recursion: Recursion) -> list[Tensor]:
    """Multipliers in the interior: each layer's are well below what the closed form gives."""
    fast = fast_multipliers(recursion)
    assert fast is not None
    jitter = torch.linspace(-0.05, 0.05, max(len(one) for one in fast), dtype=torch.float64)
    return [one.log() - 0.3 * (n + 1) + jitter[: len(one)] for n, one in enumerate(fast)]


@pytest.mark.parametrize("dims", DIMS.values(), ids=DIMS)
@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_the_value_is_where_the_dense_matrix_turns_indefinite(
    dims: tuple[int, ...], slopes: tuple[float, float]
) -> None:
    chain = chain_of(gaussian(dims, 0), slopes)
    recursion = Recursion(chain, CPU)
    logarithms = inside(recursion)
    value = recursion.value(logarithms, 0.1)
    assert value is not None
    scaled = [one.exp().numpy() * value.square for one in logarithms]  # Fazlyab's Λ is ρ times ours
    least = [
        np.linalg.eigvalsh(lmi(chain, [m * f for m in scaled], value.square * f))[0]
        for f in (1 - 1e-6, 1 + 1e-6)
    ]
    assert least[0] < 0 < least[1]


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_the_gradient_is_that_of_central_differences(slopes: tuple[float, float]) -> None:
    recursion = Recursion(chain_of(gaussian((3, 6, 5, 4), 0), slopes), CPU)
    logarithms = inside(recursion)

    def smooth(moved: list[Tensor]) -> float:
        value = recursion.value(moved, 0.1)
        assert value is not None
        return value.smooth

    value = recursion.value(logarithms, 0.1)
    assert value is not None
    for layer, gradient in enumerate(value.gradients):
        for neuron in range(len(gradient)):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [one.clone() for one in logarithms]
                moved[layer][neuron] += step
                ends.append(smooth(moved))
            assert float(gradient[neuron]) == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-7)


def test_multipliers_that_are_too_large_are_not_feasible() -> None:
    recursion = Recursion(chain_of(gaussian((3, 6, 5, 2), 0)), CPU)
    assert recursion.value([one + 5 for one in inside(recursion)], 0.1) is None


def test_slopes_may_differ_between_the_neurons_of_a_layer() -> None:
    net = gaussian((3, 4, 5, 2), 0)
    low, high = np.array([0.0, 0.1, -0.1, -1.0]), np.array([1.0, 1.0, 1.1, 1.0])
    chain = Chain(weights=net.weights, slopes=((low, high), RELU))
    recursion = Recursion(chain, CPU)
    logarithms = inside(recursion)
    value = recursion.value(logarithms, 0.1)
    assert value is not None
    scaled = [one.exp().numpy() * value.square for one in logarithms]
    least = np.linalg.eigvalsh(lmi(chain, scaled, value.square))[0]
    assert abs(least) <= 1e-9 * value.square


# --- the closed form ---------------------------------------------------------------------------


def eclipse_fast(weights: tuple[np.ndarray, ...]) -> float:
    """ECLipsE-Fast as its paper states it, for slopes between 0 and 1."""
    x = np.eye(weights[0].shape[1])
    for weight in weights[:-1]:
        through = weight @ np.linalg.inv(x) @ weight.T
        multiplier = 2 / np.linalg.eigvalsh(through)[-1]
        x = multiplier * np.eye(len(weight)) - multiplier**2 / 4 * through
    return float(np.sqrt(np.linalg.eigvalsh(weights[-1] @ np.linalg.inv(x) @ weights[-1].T)[-1]))


@pytest.mark.parametrize("dims", [(2, 5, 5, 1), (20, 30, 25, 5), (9, 4, 6, 11)])
def test_the_closed_form_is_eclipse_fast(dims: tuple[int, ...]) -> None:
    chain = chain_of(gaussian(dims, 0))
    recursion = Recursion(chain, CPU)
    multipliers = fast_multipliers(recursion)
    assert multipliers is not None
    value = recursion.value([one.log() for one in multipliers], 0.1)
    assert value is not None
    assert np.sqrt(value.square) == pytest.approx(eclipse_fast(chain.weights), rel=1e-5)


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_the_closed_form_is_at_most_the_product(slopes: tuple[float, float]) -> None:
    for seed in range(5):
        chain = chain_of(gaussian((4, 7, 6, 3), seed), slopes)
        recursion = Recursion(chain, CPU)
        multipliers = fast_multipliers(recursion)
        assert multipliers is not None
        value = recursion.value([one.log() for one in multipliers], 0.1)
        assert value is not None
        assert np.sqrt(value.square) <= chain.product() * (1 + 1e-5)
