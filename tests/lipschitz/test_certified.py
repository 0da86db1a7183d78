"""Certified bounds against the exact constant, an SDP solver, and published values."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import cvxpy
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landscape import budget
from landscape.budget import Budget
from landscape.errors import NumericalError
from landscape.estimate import Status
from landscape.lipschitz.attained import attained
from landscape.lipschitz.certified import Certified, certify
from landscape.lipschitz.chain import Chain
from landscape.subject.subject import Subject
from tests.cases import normal
from tests.lipschitz.chains import ABSOLUTE, GELU, LEAKY, RELU, chain_of, lmi, module_of
from tests.lipschitz.exact import Relu, gaussian, over_all_patterns, over_reached_regions

Activation = Callable[[torch.Tensor], torch.Tensor]

ORDER = ("lipsdp-neuron", "lipsdp-layer", "eclipse-fast", "product")


def assert_ordered(net: Relu, found: Certified) -> None:
    (exact, _), patterns = over_reached_regions(net), over_all_patterns(net)
    bounds = [found.bounds[name] for name in ORDER]
    assert exact <= patterns * (1 + 1e-12) <= found.upper * (1 + 2e-12)
    assert found.upper <= bounds[0]
    assert bounds == sorted(bounds)
    assert all(np.diff([moment.upper for moment in found.history]) < 0)


# --- the exact constant ------------------------------------------------------------------------

ENUMERATED = [  # dims, seed; exact, regions, all patterns, neuron, layer, fast, product
    ((2, 5, 1), 0, 1.00527900, 16, 1.054034, 1.054034, 1.172858, 1.361984, 1.771542),
    ((2, 5, 5, 1), 0, 0.95441317, 64, 1.006728, 1.024818, 1.239881, 1.554960, 2.631708),
    ((2, 5, 5, 1), 1, 0.85364278, 41, 0.853643, 0.863195, 1.090855, 1.185432, 1.716028),
    ((3, 6, 4, 2), 0, 1.05671800, 163, 1.090167, 1.090167, 1.237710, 1.290887, 1.682866),
    ((2, 4, 4, 4, 1), 3, 0.22279741, 69, 0.419584, 0.452987, 0.623795, 1.012273, 2.313149),
]


@pytest.mark.parametrize("row", ENUMERATED, ids=[f"{row[0]}-{row[1]}" for row in ENUMERATED])
def test_the_order_of_the_bounds_on_enumerated_networks(row: tuple) -> None:
    dims, seed, exact, regions, patterns, neuron, layer, fast, product = row
    net = gaussian(dims, seed)
    found = certify(chain_of(net), seconds=None)
    assert_ordered(net, found)
    assert over_reached_regions(net) == (pytest.approx(exact, abs=1e-8), regions)
    assert over_all_patterns(net) == pytest.approx(patterns, abs=1e-6)
    values = dict(zip(ORDER, (neuron, layer, fast, product), strict=True))
    for name, value in values.items():
        assert found.bounds[name] == pytest.approx(value, rel=2e-4)
    assert found.status is Status.CONVERGED


@pytest.mark.full
@settings(
    max_examples=200, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    hidden=st.lists(st.integers(1, 5), min_size=1, max_size=3).filter(lambda h: sum(h) <= 9),
    ends=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
)
def test_the_order_of_the_bounds_on_random_networks(
    hidden: list[int], ends: tuple[int, int], seed: int, sizes: list[int]
) -> None:
    net = gaussian((ends[0], *hidden, ends[1]), seed)
    weights = tuple(10.0**size * w for size, w in zip(sizes, net.weights, strict=False))
    net = Relu(weights, net.biases)
    assert_ordered(net, certify(chain_of(net), seconds=None))
    x = normal(8, ends[0], seed=seed).double()
    data = [(x, torch.zeros(8, ends[1]))]
    subject = Subject(module_of(net), "mse", data, device="cpu", dtype="float64")
    try:
        lower = attained(
            subject, subject.point, starts=4, steps=30, generator=torch.Generator().manual_seed(0)
        ).value
    except NumericalError:  # every neuron of a layer is off where the inputs lie
        return
    assert lower <= over_reached_regions(net)[0]


# --- an SDP solver -----------------------------------------------------------------------------


def by_scs(chain: Chain, *, per_layer: bool) -> float:
    """LipSDP by cvxpy and SCS, from the dense matrix."""
    scaled = chain.scaled(chain.exponents())
    square = cvxpy.Variable()
    hidden = scaled.widths[1:-1]
    multipliers = [cvxpy.Variable(() if per_layer else n, nonneg=True) for n in hidden]
    zero = [np.zeros(n) for n in hidden]
    matrix = lmi(scaled, zero, 0.0) + square * (lmi(scaled, zero, 1.0) - lmi(scaled, zero, 0.0))
    for layer, width in enumerate(hidden):
        for neuron in range(width):
            unit = [one.copy() for one in zero]
            unit[layer][neuron] = 1.0
            term = lmi(scaled, unit, 0.0) - lmi(scaled, zero, 0.0)
            one = multipliers[layer] if per_layer else multipliers[layer][neuron]
            matrix = matrix + one * term
    problem = cvxpy.Problem(cvxpy.Minimize(square), [(matrix + matrix.T) / 2 >> 0])
    problem.solve(solver=cvxpy.SCS, eps_abs=1e-8, eps_rel=1e-8, max_iters=100_000)
    assert square.value is not None
    return float(square.value) ** 0.5 * 2.0 ** sum(chain.exponents())


SOLVED = {
    "relu": ((3, 8, 6, 2), RELU),
    "deep": ((2, 4, 4, 4, 1), RELU),
    "gelu": ((4, 7, 5, 3), GELU),
    "leaky": ((4, 7, 5, 3), LEAKY),
    "abs": ((3, 6, 4, 2), ABSOLUTE),
}


@pytest.mark.parametrize(("dims", "slopes"), SOLVED.values(), ids=SOLVED)
def test_the_bounds_are_those_of_an_sdp_solver(
    dims: Sequence[int], slopes: tuple[float, float]
) -> None:
    chain = chain_of(gaussian(dims, 0), slopes)
    found = certify(chain, seconds=None)
    assert found.bounds["lipsdp-neuron"] == pytest.approx(by_scs(chain, per_layer=False), rel=1e-3)
    assert found.bounds["lipsdp-layer"] == pytest.approx(by_scs(chain, per_layer=True), rel=1e-3)


# --- soundness ---------------------------------------------------------------------------------


def steepest_seen(chain: Chain, activation: Activation, samples: int = 5_000) -> float:
    """The largest Jacobian norm at random inputs, for any activation."""
    draws = torch.Generator().manual_seed(1)
    weights = [torch.from_numpy(w) for w in chain.weights]
    x = 3 * torch.randn(samples, chain.widths[0], generator=draws, dtype=torch.float64)
    jacobian = torch.eye(chain.widths[0], dtype=torch.float64).expand(samples, -1, -1)
    for weight in weights[:-1]:
        z = (x @ weight.T).requires_grad_()
        y = activation(z)
        slope = torch.autograd.grad(y.sum(), z)[0]
        x, jacobian = y.detach(), slope[:, :, None] * (weight @ jacobian)
    return float(torch.linalg.matrix_norm(weights[-1] @ jacobian, 2).max())


ACTIVATIONS = {
    "relu": (RELU, torch.nn.ReLU()),
    "tanh": (RELU, torch.nn.Tanh()),
    "leaky": (LEAKY, torch.nn.LeakyReLU(0.1)),
    "gelu": (GELU, torch.nn.GELU()),
    "abs": (ABSOLUTE, torch.abs),
}


@pytest.mark.parametrize(("slopes", "activation"), ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_no_jacobian_exceeds_the_bound(slopes: tuple[float, float], activation: Activation) -> None:
    for seed in range(3):
        chain = chain_of(gaussian((3, 6, 5, 2), seed), slopes)
        found = certify(chain, seconds=None)
        seen = steepest_seen(chain, activation)
        assert 0.3 * found.upper < seen <= found.upper


def test_a_gelu_between_numbers_has_its_own_slope() -> None:
    chain = Chain(weights=(np.ones((1, 1)),) * 2, slopes=(GELU,))
    assert certify(chain).upper == pytest.approx(1.1290, abs=1e-6)


def test_the_first_layer_enters() -> None:
    """ECLipsE-Fast forgot it in eclipse-nn 0.1.5: 43.9 was told where 5143 is attained."""
    net = gaussian((10, 20, 20, 20, 5), 0)
    large = Relu((100 * net.weights[0], *net.weights[1:]), net.biases)
    small, found = certify(chain_of(net), seconds=None), certify(chain_of(large), seconds=None)
    assert steepest_seen(chain_of(large), torch.nn.ReLU()) <= found.upper
    for name, bound in small.bounds.items():
        assert found.bounds[name] == pytest.approx(100 * bound, rel=1e-3)


def test_the_absolute_value_by_two_relus() -> None:
    """|x| = relu(x) + relu(−x): (1, 1) D (1, −1)ᵀ = d₁ − d₂ is at most 1 over all patterns."""
    chain = Chain(weights=(np.array([[1.0], [-1.0]]), np.array([[1.0, 1.0]])), slopes=(RELU,))
    found = certify(chain, seconds=None)
    assert found.bounds["product"] == pytest.approx(2.0, rel=1e-9)
    assert 1 <= found.upper <= 1 + 1e-3


@pytest.mark.parametrize("slopes", [(1.0, 1.0), (0.5, 0.5), (-2.0, -2.0)])
def test_a_linear_activation_gives_the_norm_of_the_product(slopes: tuple[float, float]) -> None:
    net = gaussian((5, 7, 6, 3), 0)
    chain = chain_of(net, slopes)
    whole = float(np.linalg.norm(net.weights[2] @ net.weights[1] @ net.weights[0], 2))
    truth = slopes[0] ** 2 * whole
    assert truth <= certify(chain, seconds=None).upper <= truth * 1.02


def test_neurons_that_are_off_do_not_count() -> None:
    net = gaussian((4, 6, 3), 0)
    on = np.array([1.0, 1, 1, 0, 0, 0])
    chain = Chain(weights=net.weights, slopes=((0 * on, on),))
    kept = Chain(weights=(net.weights[0][:3], net.weights[1][:, :3]), slopes=(RELU,))
    whole, part = certify(chain, seconds=None), certify(kept, seconds=None)
    assert part.upper * (1 - 1e-6) <= whole.upper <= part.upper * 1.01


def test_each_layer_scales_the_bound() -> None:
    net = gaussian((6, 8, 8, 3), 0)
    base = certify(chain_of(net), seconds=None).upper
    for sizes in ((1e-6, 1.0, 1e5), (1e30, 1e-30, 1e30), (7.0, 1.0, 1.0)):
        scaled = Relu(tuple(s * w for s, w in zip(sizes, net.weights, strict=True)), net.biases)
        found = certify(chain_of(scaled), seconds=None)
        assert found.upper == pytest.approx(np.prod(sizes) * base, rel=1e-3)


# --- what is degenerate ------------------------------------------------------------------------


def test_one_matrix_has_its_norm() -> None:
    net = gaussian((7, 4), 0)
    found = certify(chain_of(net))
    norm = float(np.linalg.norm(net.weights[0], 2))
    assert found.certificate is None
    assert norm <= found.upper <= norm * (1 + 1e-12)


def test_a_layer_of_zeros_makes_the_constant_zero() -> None:
    chain = Chain(weights=(np.ones((3, 2)), np.zeros((2, 3)), np.ones((1, 2))), slopes=(RELU,) * 2)
    assert certify(chain).upper == 0


def test_layers_of_low_rank_and_dead_neurons_are_bounded() -> None:
    net = gaussian((6, 8, 8, 3), 0)
    weights = [w.copy() for w in net.weights]
    weights[0][2] = 0  # no input
    weights[1][:, 5] = 0  # no output
    weights[2][:] = np.outer(np.ones(3), np.ones(8))  # rank one
    chain = Chain(weights=tuple(weights), slopes=(RELU,) * 2)
    found = certify(chain, seconds=None)
    assert found.method == "lipsdp-neuron"
    assert steepest_seen(chain, torch.nn.ReLU()) <= found.upper < 0.8 * found.bounds["product"]


def test_fifty_layers_are_bounded() -> None:
    chain = chain_of(gaussian((5, *[12] * 50, 2), 0))
    found = certify(chain, seconds=None, steps=60)
    assert found.certificate is not None
    assert steepest_seen(chain, torch.nn.ReLU()) <= found.upper
    assert found.upper < 1e-3 * found.bounds["product"]


def test_a_product_that_overflows_is_told() -> None:
    chain = Chain(weights=(np.full((1, 1), 1e200),) * 2, slopes=(RELU,))
    with pytest.raises(NumericalError, match="overflows"):
        certify(chain)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_bound() -> None:
    chain = chain_of(gaussian((50, 80, 80, 10), 0), GELU)
    here, there = (certify(chain, seconds=None, device=device) for device in ("cpu", "cuda"))
    assert there.upper == pytest.approx(here.upper, rel=1e-3)
    assert there.certificate is not None
    assert there.certificate.verify(chain).upper == there.upper


# --- budgets and warm starts -------------------------------------------------------------------


def test_any_budget_gives_a_bound_and_more_never_a_worse_one() -> None:
    chain = chain_of(gaussian((10, 20, 20, 5), 0))
    whole = certify(chain, seconds=None)
    bounds = []
    for steps in (0, 1, 5, 20, 60):
        found = certify(chain, seconds=None, steps=steps)
        assert found.status is Status.BUDGET_SPENT
        assert found.certificate is not None
        assert found.certificate.verify(chain).upper == found.upper
        bounds.append(found.upper)
    assert bounds == sorted(bounds, reverse=True)
    assert whole.upper <= bounds[-1]


def test_a_budget_of_time_is_kept() -> None:
    chain = chain_of(gaussian((60, 120, 120, 120, 10), 0))
    begun = time.monotonic()
    found = certify(chain, seconds=0.2)
    assert found.status is Status.BUDGET_SPENT
    assert time.monotonic() - begun < 5
    with budget.spending(Budget(seconds=0.2)):
        assert certify(chain, seconds=None).status is Status.BUDGET_SPENT


def test_where_the_closed_form_takes_too_long_there_is_the_product() -> None:
    chain = chain_of(gaussian((60, 120, 120, 10), 0))
    found = certify(chain, seconds=1e-4)
    assert (found.method, found.status) == ("product", Status.BUDGET_SPENT)
    assert found.upper == chain.product()


def test_a_network_for_mnist_is_a_third_below_eclipse_fast_after_a_few_steps() -> None:
    chain = chain_of(gaussian((784, 256, 256, 256, 10), 0))
    found = certify(chain, seconds=None, steps=20)
    assert found.bounds["product"] == pytest.approx(7.2022, abs=1e-3)
    assert found.bounds["eclipse-fast"] == pytest.approx(3.4951, abs=1e-3)
    assert found.upper <= 0.67 * found.bounds["eclipse-fast"]


def test_the_same_chain_gives_the_same_bound() -> None:
    chain = chain_of(gaussian((6, 9, 4), 0))
    assert certify(chain, seconds=None).upper == certify(chain, seconds=None).upper


def test_a_warm_start_saves_steps_on_weights_that_moved_a_little() -> None:
    net = gaussian((20, 40, 40, 5), 0)
    before = certify(chain_of(net), seconds=None).certificate
    draw = np.random.default_rng(0)
    moved = tuple(w + 0.01 * w.std() * draw.standard_normal(w.shape) for w in net.weights)
    chain = chain_of(Relu(moved, net.biases))
    cold = certify(chain, seconds=None)
    warm = certify(chain, seconds=None, start=before)
    assert warm.history[-1].steps < cold.history[-1].steps
    assert warm.upper == pytest.approx(cold.upper, rel=1e-3)
    assert certify(chain, seconds=None, steps=1, start=before).upper < 1.02 * cold.upper
