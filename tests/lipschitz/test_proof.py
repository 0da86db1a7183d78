"""Proofs against the dense LMI, and at the edge where they must fail."""

from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.lipschitz.certified import certify
from landscape.lipschitz.chain import Chain
from landscape.lipschitz.proof import prove
from tests.lipschitz.chains import ABSOLUTE, GELU, LEAKY, RELU, chain_of, lmi
from tests.lipschitz.exact import gaussian

SLOPES = {"relu": RELU, "leaky": LEAKY, "gelu": GELU, "abs": ABSOLUTE}


@pytest.mark.parametrize("slopes", SLOPES.values(), ids=SLOPES)
def test_what_is_proved_holds_for_the_dense_matrix_and_a_little_less_does_not(
    slopes: tuple[float, float],
) -> None:
    chain = chain_of(gaussian((6, 9, 7, 4), 0), slopes)
    found = certify(chain, seconds=None).certificate
    assert found is not None
    proof = found.verify(chain)
    assert 0 < proof.rounding < proof.shift < proof.pivot
    factors = np.ldexp(1.0, -np.cumsum(found.exponents))[:-1]  # back to the unscaled chain
    square = proof.upper**2
    multipliers = [m * f**2 * square for m, f in zip(found.multipliers, factors, strict=True)]
    assert np.linalg.eigvalsh(lmi(chain, multipliers, square))[0] >= 0
    for less in (1e-6, 1e-3, 0.5):
        lower = proof.upper * (1 - less)
        assert prove(chain, found.multipliers, lower, exponents=found.exponents) is None


def test_one_matrix_is_proved_down_to_its_norm() -> None:
    weight = gaussian((30, 20), 0).weights[0]
    chain = Chain(weights=(weight,), slopes=())
    norm = float(np.linalg.norm(weight, 2))
    assert prove(chain, (), norm * (1 + 1e-10), exponents=(0,)) is not None
    assert prove(chain, (), norm * (1 - 1e-10), exponents=(0,)) is None


def test_rounding_does_not_prove_what_is_false() -> None:
    """‖W‖ = 1 exactly: no bound below is proved, however near."""
    signs = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    chain = Chain(weights=(signs,), slopes=())
    for steps in (1, 10, 1000):
        below = 1 - steps * 2.0**-53
        assert prove(chain, (), below, exponents=(0,)) is None


def test_multipliers_below_zero_prove_nothing() -> None:
    """For leaky ReLU the matrix may be positive with them, and the inequality is not sound."""
    chain = chain_of(gaussian((3, 4, 2), 0), (0.9, 1.0))
    multipliers = (np.array([1.0, 1.0, 1.0, -1e-3]),)
    assert prove(chain, multipliers, 100.0, exponents=(0, 0)) is None


@pytest.mark.parametrize("upper", [0.0, -1.0, math.inf, math.nan])
def test_what_is_no_bound_is_not_proved(upper: float) -> None:
    chain = chain_of(gaussian((3, 4, 2), 0))
    assert prove(chain, (np.ones(4),), upper, exponents=(0, 0)) is None


def test_multipliers_that_are_not_finite_prove_nothing() -> None:
    chain = chain_of(gaussian((3, 4, 2), 0))
    for bad in (np.inf, np.nan):
        multipliers = (np.array([1.0, 1.0, 1.0, bad]) * 1e-3,)
        assert prove(chain, multipliers, 100.0, exponents=(0, 0)) is None
