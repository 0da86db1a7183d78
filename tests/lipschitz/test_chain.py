from __future__ import annotations

import math

import numpy as np
import pytest

from landscape.errors import ModelError, NumericalError
from landscape.lipschitz.chain import Chain, layer_norms
from tests.lipschitz.chains import GELU, LEAKY, RELU, chain_of
from tests.lipschitz.exact import gaussian


def test_the_product_is_that_of_the_spectral_norms_and_never_below() -> None:
    for dims, seed in (((784, 30, 40, 10), 0), ((3, 9), 1), ((5, 1, 5), 2)):
        chain = chain_of(gaussian(dims, seed))
        truth = math.prod(float(np.linalg.svd(w)[1][0]) for w in chain.weights)
        assert truth <= chain.product() <= truth * (1 + 1e-11)


def test_slopes_scale_the_rows_of_the_layer_before() -> None:
    weights = tuple(np.diag([d, 1.0]) for d in (3.0, 1.0))
    each = Chain(weights=weights, slopes=((np.array([0.0, 0.0]), np.array([0.5, 2.0])),))
    assert layer_norms(each) == pytest.approx((2.0, 1.0))
    steep = Chain(weights=weights, slopes=((-2.0, 1.0),))
    assert layer_norms(steep) == pytest.approx((6.0, 1.0))


def test_weights_of_any_size_have_a_product() -> None:
    chain = chain_of(gaussian((4, 4, 4), 0))
    for scale in (1e-200, 1e-30, 1e30, 1e140):
        scaled = Chain(weights=(chain.weights[0] * scale, chain.weights[1]), slopes=chain.slopes)
        assert scaled.product() == pytest.approx(scale * chain.product(), rel=1e-12)


def test_powers_of_two_are_taken_out_exactly() -> None:
    chain = chain_of(gaussian((5, 6, 7, 2), 0))
    exponents = (3, -40, 7)
    back = chain.scaled(exponents).scaled(tuple(-one for one in exponents))
    assert back.digest == chain.digest
    norms = [np.linalg.norm(w) for w in chain.scaled(chain.exponents()).weights]
    assert all(0.5 <= norm <= 2 for norm in norms)


def test_the_digest_tells_weights_and_slopes() -> None:
    net = gaussian((3, 4, 2), 0)
    chains = [
        chain_of(net),
        chain_of(net, GELU),
        chain_of(net, LEAKY),
        chain_of(gaussian((3, 4, 2), 1)),
    ]
    assert len({chain.digest for chain in chains}) == 4
    assert chain_of(net).digest == chains[0].digest


@pytest.mark.parametrize(
    ("weights", "slopes", "told"),
    [
        ((np.ones((2, 3)), np.ones((4, 5))), (RELU,), "2 outputs are followed by 5 inputs"),
        ((np.ones((2, 3)), np.ones((4, 2))), (), "1 activations, not with 0"),
        ((), (), "rows and columns"),
        ((np.ones((2, 3)), np.ones((4, 2))), ((1.0, 0.0),), "exceeds the upper"),
        ((np.ones((2, 3)), np.ones((4, 2))), ((0.0, np.ones(3)),), "2 neurons have one slope"),
    ],
)
def test_what_is_no_chain_is_refused(weights: tuple, slopes: tuple, told: str) -> None:
    with pytest.raises(ModelError, match=told):
        Chain(weights=weights, slopes=slopes)


def test_weights_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NumericalError, match="layer 1"):
        Chain(weights=(np.array([[np.nan]]),), slopes=())
