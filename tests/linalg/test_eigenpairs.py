from __future__ import annotations

import numpy as np
import pytest
import torch

from landscape.errors import LandscapeError, SettingError
from landscape.estimate import Status
from landscape.linalg import eigenpairs as module
from landscape.linalg.eigenpairs import Eigenpairs, Pairs, eigenpairs
from landscape.linalg.operator import LinearOperator, MatrixOperator
from tests.oracles import F64, generator, spectrum_of, symmetric
from tests.selection import full

PRECISIONS = [torch.float32, torch.float64]
RELATIVE = 1e-4  # the default tolerance: residual over the largest |λ|


def found(matrix: torch.Tensor, top: int, bottom: int = 0, seed: int = 0, **settings) -> Eigenpairs:
    return eigenpairs(
        MatrixOperator(matrix), top=top, bottom=bottom, generator=generator(seed), **settings
    )


@pytest.fixture(params=["searched", "multiplied out"])
def way(request, monkeypatch):
    if request.param == "searched":
        monkeypatch.setattr(module, "DENSE_BELOW", 0)
    return request.param


@pytest.fixture
def searched(monkeypatch):
    monkeypatch.setattr(module, "DENSE_BELOW", 0)


def random_normal(size: int, seed: int) -> np.ndarray:
    return torch.randn(size, generator=generator(seed), dtype=F64).numpy()


SPECTRA: dict[str, tuple[np.ndarray, int, int]] = {
    "decaying": (1.0 / np.arange(1, 121) ** 2, 6, 2),
    "geometric": (2.0 ** -np.arange(60.0), 8, 3),
    "clustered": (np.concatenate([10 + 0.05 * np.arange(5), random_normal(150, 1)]), 6, 3),
    "repeated": (np.array([5.0] * 4 + [3.0] * 3 + [-2.0] * 3 + [0.1] * 100), 9, 4),
    "all equal": (np.full(80, 2.5), 5, 2),
    "indefinite": (random_normal(200, 2), 10, 10),
    "negative definite": (-1 - np.abs(random_normal(90, 3)), 4, 4),
    "rank-deficient": (np.array([4.0, 2.0, 1.0] + [0.0] * 97), 6, 3),
    "rank one": (np.array([1.0] + [0.0] * 50), 5, 3),
    "zero": (np.zeros(60), 5, 3),
    "1x1": (np.array([-3.0]), 1, 1),
    "1x1 zero": (np.array([0.0]), 1, 0),
    "2x2": (np.array([2.0, -1.0]), 2, 2),
    "2x2 equal": (np.array([2.0, 2.0]), 1, 1),
    "every pair": (np.linspace(-1, 2, 12), 12, 12),
    "huge": (1e12 * random_normal(100, 4), 5, 3),
    "tiny": (1e-12 * random_normal(100, 5), 5, 3),
    "opposite": (np.concatenate([[7.0, -7.0], random_normal(100, 6)]), 3, 3),
    "nearly tied": (np.concatenate([[5 + 1e-6, 5.0, 5 - 1e-6, 4], random_normal(100, 7)]), 4, 2),
    "only bottom": (random_normal(80, 8), 0, 4),
    "one outlier": (np.concatenate([[1e3], 1e-3 * random_normal(200, 9)]), 3, 2),
}


def both_ends(pairs: Eigenpairs) -> tuple[Pairs, Pairs]:
    return pairs.top, pairs.bottom


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("block", [None, *full(2, 4)])
@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.usefixtures("way")
def test_prescribed_spectrum_is_found_at_both_ends(name, block, dtype):
    values, top, bottom = SPECTRA[name]
    matrix = symmetric(values, seed=11, dtype=dtype)
    exact = spectrum_of(matrix)
    scale = max(np.abs(exact).max(), 1e-300)
    pairs = found(matrix, top, bottom, block=block)

    assert pairs.complete
    assert pairs.status.settled
    assert pairs.top.values.shape == (top,)
    assert pairs.bottom.values.shape == (bottom,)
    slack = 2 * RELATIVE * scale
    np.testing.assert_allclose(pairs.top.values, exact[::-1][:top], rtol=0, atol=slack)
    np.testing.assert_allclose(pairs.bottom.values, exact[:bottom], rtol=0, atol=slack)
    assert (np.diff(pairs.top.values) <= 0).all()
    assert (np.diff(pairs.bottom.values) >= 0).all()
    # a residual is what it says, not what the recurrence believes
    eps = torch.finfo(dtype).eps
    for end in both_ends(pairs):
        assert end.vectors.dtype == dtype
        vectors = end.vectors.double()
        true = torch.linalg.vector_norm(
            vectors @ matrix.double() - torch.from_numpy(end.values)[:, None] * vectors, dim=1
        )
        np.testing.assert_allclose(end.residuals, true, rtol=0.01, atol=50 * eps * scale)
        assert (end.residuals <= 2 * pairs.tolerance).all()
        gram = vectors @ vectors.T
        torch.testing.assert_close(gram, torch.eye(len(gram), dtype=F64), rtol=0, atol=100 * eps)
    assert pairs.orthogonality <= 100 * eps


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.usefixtures("way")
def test_an_eigenvalue_lies_within_every_residual(dtype):
    values, top, bottom = SPECTRA["indefinite"]
    matrix = symmetric(values, seed=12, dtype=dtype)
    exact = spectrum_of(matrix)
    pairs = found(matrix, top, bottom)
    for end in both_ends(pairs):
        nearest = np.abs(end.values[:, None] - exact[None, :]).min(axis=1)
        assert (nearest <= end.residuals + 10 * torch.finfo(dtype).eps * 4).all()


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
@pytest.mark.parametrize("block", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_no_ghosts_beside_separated_eigenvalues(dtype, seed, block):
    bulk = torch.linspace(-0.1, 0.1, 497, dtype=F64)
    matrix = torch.diag(torch.cat([torch.tensor([100.0, 50.0, 25.0], dtype=F64), bulk])).to(dtype)
    pairs = found(matrix, 5, seed=seed, basis_size=60, block=block)
    np.testing.assert_allclose(pairs.top.values[:3], [100, 50, 25], rtol=1e-6)
    assert (np.abs(pairs.top.values[3:]) <= 0.1 + 2e-2).all()
    assert pairs.complete


@pytest.mark.parametrize("seed", [0, 1, *full(*range(2, 8))])
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("size", [30, 400])
@pytest.mark.usefixtures("way")
def test_repeated_eigenvalues_are_found_as_often_as_they_occur(seed, size, block):
    ends = [9.0] * 5 + [6.0] * 2 + [-4.0] * 3
    rest = np.linspace(-1, 1, size - len(ends))
    matrix = symmetric(np.concatenate([ends, rest]), seed=seed)
    pairs = found(matrix, 7, 3, seed=seed, block=block)
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, [9] * 5 + [6] * 2, atol=2e-3)
    np.testing.assert_allclose(pairs.bottom.values, [-4] * 3, atol=2e-3)


@pytest.mark.usefixtures("searched")
def test_a_tighter_tolerance_gives_smaller_residuals():
    values, top, bottom = SPECTRA["indefinite"]
    matrix = symmetric(values, seed=13)
    loose = found(matrix, top, bottom, tolerance=1e-2)
    tight = found(matrix, top, bottom, tolerance=1e-9)
    scale = np.abs(values).max()
    assert tight.top.residuals.max() <= 2e-9 * scale
    assert loose.top.residuals.max() > tight.top.residuals.max()
    np.testing.assert_allclose(tight.top.values, np.sort(values)[::-1][:top], atol=1e-12)
    assert loose.products < tight.products


@pytest.mark.parametrize("budget", [1, 12, 20, 40])
def test_a_budget_that_is_too_small_is_reported_never_hidden(budget):
    values = np.linspace(0, 1, 500)  # crowded: hard to tell apart
    pairs = found(symmetric(values), 3, 1, max_products=budget, tolerance=1e-8)
    assert pairs.status is Status.NOT_CONVERGED
    assert not pairs.complete
    # what is returned is still true: an eigenvalue lies within each residual
    for end in both_ends(pairs):
        nearest = np.abs(end.values[:, None] - values[None, :]).min(axis=1)
        assert (nearest <= end.residuals + 1e-12).all()


def test_completeness_is_not_claimed_when_the_budget_ends_before_the_second_search():
    matrix = symmetric(np.concatenate([[5.0, 5.0], np.linspace(0, 1, 300)]))
    complete = found(matrix, 1)
    short = found(matrix, 1, max_products=complete.products // 2)
    assert complete.complete
    assert complete.searches >= 2
    assert not short.complete
    assert short.status is Status.NOT_CONVERGED


@pytest.mark.parametrize("budget", [60, 200, 2000])
def test_the_budget_is_kept_and_products_are_counted_truly(budget):
    class Counted(MatrixOperator):
        count = 0

        def _products(self, rows: torch.Tensor) -> torch.Tensor:
            self.count += len(rows)
            return super()._products(rows)

    operator = Counted(symmetric(np.linspace(0, 1, 400)))
    pairs = eigenpairs(
        operator, top=4, bottom=2, generator=generator(0), max_products=budget, tolerance=1e-10
    )
    assert operator.count <= budget
    assert pairs.products == operator.count


@pytest.mark.usefixtures("way")
def test_what_spans_the_whole_space_is_exact():
    pairs = found(symmetric(np.arange(15.0)), 4, 2)
    assert pairs.status is Status.INVARIANT_SUBSPACE
    np.testing.assert_allclose(pairs.top.values, [14, 13, 12, 11], atol=1e-12)


@pytest.mark.parametrize(("top", "bottom"), [(6, 0), (1, 6)])
def test_more_pairs_than_coordinates_are_refused(top, bottom):
    with pytest.raises(SettingError, match=r"6 eigenpairs .* 5 parameters"):
        found(symmetric(np.arange(5.0)), top, bottom)


@pytest.mark.usefixtures("way")
def test_the_same_seed_gives_the_same_pairs():
    matrix = symmetric(SPECTRA["clustered"][0])
    one, two = found(matrix, 5, 2, seed=3), found(matrix, 5, 2, seed=3)
    assert np.array_equal(one.top.values, two.top.values)
    assert torch.equal(one.top.vectors, two.top.vectors)
    assert one.products == two.products


@pytest.mark.usefixtures("way")
def test_noise_in_the_products_sets_the_tolerance():
    class Noisy(LinearOperator):
        """An operator that is off by a fixed antisymmetric matrix."""

        def __init__(self, matrix: torch.Tensor, noise: torch.Tensor) -> None:
            super().__init__((len(matrix), len(matrix)), dtype=F64, device=matrix.device)
            self.matrix = matrix + noise - noise.T

        def _products(self, rows: torch.Tensor) -> torch.Tensor:
            return rows @ self.matrix.T

    values = np.concatenate([[10.0, 5.0], np.linspace(-1, 1, 98)])
    noise = 1e-4 * torch.randn(100, 100, generator=generator(5), dtype=F64)
    operator = Noisy(symmetric(values), noise)
    pairs = eigenpairs(operator, top=2, generator=generator(0), tolerance=1e-10)
    assert pairs.symmetry_defect > 1e-8
    assert pairs.tolerance >= pairs.symmetry_defect


@pytest.mark.usefixtures("way")
def test_products_that_are_not_finite_end_in_a_status_or_an_error_that_says_so():
    matrix = symmetric(np.linspace(0, 1, 60))
    matrix[3, 3] = float("nan")
    try:
        outcome: object = found(matrix, 2).status
    except LandscapeError as error:
        outcome = str(error)
    assert outcome is Status.NOT_FINITE or "finite" in str(outcome)


@pytest.mark.parametrize("seed", [506, *full(902, 728, 962)])
@pytest.mark.usefixtures("way")
def test_values_are_within_the_default_tolerance_of_the_largest(seed):
    """A crowded end: neither convergence nor the look for missed pairs may use up more than it."""
    size = 60
    values = np.exp(-12 * torch.rand(size, generator=generator(seed), dtype=F64).numpy())
    worst = 0.0
    for start in range(20):
        pairs = found(torch.diag(torch.from_numpy(values)), 10, 3, seed=seed + start)
        expected = np.sort(values)
        worst = max(
            worst,
            np.abs(pairs.top.values - expected[::-1][:10]).max(),
            np.abs(pairs.bottom.values - expected[:3]).max(),
        )
    assert worst <= RELATIVE * values.max()


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.full) for seed in range(2, 10))]
)
@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("times", [2, 9])
def test_multiplicity_above_the_block_is_found(seed, block, times):
    rest = np.concatenate([[3.0, 2.9], np.linspace(-1, 2, 600)])
    matrix = symmetric(np.concatenate([[5.0] * times, rest]), seed=seed)
    pairs = found(matrix, times + 2, 2, seed=seed, block=block)
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, [5] * times + [3, 2.9], atol=2e-3)


@pytest.mark.full
@pytest.mark.parametrize("gap", [0.3, 0.03, 0.01])
@pytest.mark.parametrize("block", [1, 3])
def test_complete_is_hardly_ever_said_wrongly(gap, block):
    """A second copy of an eigenvalue that stands out by little from the rest."""
    values = np.concatenate([[1 + gap] * (block + 1), np.linspace(-1, 1, 796 - block)])

    class Diagonal(MatrixOperator):
        def _products(self, rows: torch.Tensor) -> torch.Tensor:
            return rows * self.matrix

    class Column(Diagonal):
        def __init__(self) -> None:
            super().__init__(torch.empty(len(values), len(values)).double())
            self.matrix = torch.from_numpy(values)

    wrong, seeds = 0, 100
    for seed in range(seeds):
        pairs = eigenpairs(
            Column(), top=block + 1, generator=generator(seed), block=block, max_products=8000
        )
        exact = np.abs(pairs.top.values - values[: block + 1]).max() <= 2 * pairs.tolerance
        wrong += pairs.complete and not exact
    assert wrong <= 0.01 * seeds


class Diagonal(LinearOperator):
    """diag(λ), counting products and passes."""

    def __init__(self, values: np.ndarray, dtype: torch.dtype = F64) -> None:
        super().__init__((len(values), len(values)), dtype=dtype, device=torch.device("cpu"))
        self.values = torch.from_numpy(values).to(dtype)
        self.products = self.passes = 0

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        self.products += len(rows)
        self.passes += 1
        return rows * self.values


HESSIAN_LIKE = np.concatenate([np.arange(10.0, 0, -1), np.linspace(-0.2, 0.8, 4990)])


@pytest.mark.parametrize("drift", [0.01, 0.2])
def test_a_warm_start_takes_fewer_products_and_gives_the_same_values(drift):
    cold = eigenpairs(Diagonal(HESSIAN_LIKE), top=6, bottom=2, generator=generator(0))
    near = torch.randn(8, 5000, generator=generator(3), dtype=F64)
    near = cold.known.vectors + drift * near / near.norm(dim=1, keepdim=True)
    warm = eigenpairs(Diagonal(HESSIAN_LIKE), top=6, bottom=2, generator=generator(0), start=near)
    assert warm.complete
    assert warm.products < cold.products
    np.testing.assert_allclose(warm.top.values, cold.top.values, atol=2 * cold.tolerance)
    np.testing.assert_allclose(warm.bottom.values, cold.bottom.values, atol=2 * cold.tolerance)


def test_a_warm_start_that_is_blind_to_a_pair_finds_it():
    """Start vectors that are exact, but lack the largest eigenvector."""
    near = torch.eye(5000, dtype=F64)[1:5]
    pairs = eigenpairs(Diagonal(HESSIAN_LIKE), top=4, generator=generator(0), start=near)
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, [10, 9, 8, 7], atol=2e-3)


def test_a_block_takes_fewer_passes():
    passes = []
    for block in (1, 4):
        operator = Diagonal(HESSIAN_LIKE, torch.float32)
        eigenpairs(operator, top=8, generator=generator(0), block=block, tolerance=1e-3)
        passes.append(operator.passes)
    assert passes[1] < 0.7 * passes[0]


def test_block_follows_the_hint_of_the_operator():
    operator = Diagonal(HESSIAN_LIKE)
    operator.preferred_block = 64
    eigenpairs(operator, top=4, generator=generator(0))
    assert operator.products > 5 * operator.passes


@pytest.mark.parametrize("rows", [1, 20, 30, 60])
def test_little_memory_gives_the_same_pairs(rows):
    memory = rows * 5000 * 8
    pairs = eigenpairs(
        Diagonal(HESSIAN_LIKE), top=6, generator=generator(0), memory_bytes=memory, tolerance=1e-6
    )
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values, HESSIAN_LIKE[:6], atol=2e-5)


def test_what_is_small_is_multiplied_out_in_blocks():
    operator = Diagonal(HESSIAN_LIKE[:200])
    pairs = eigenpairs(operator, top=3, bottom=2, generator=generator(0))
    assert pairs.products == operator.products == 200
    assert operator.passes <= 1 + 200 / 8
    np.testing.assert_allclose(pairs.top.values, [10, 9, 8], atol=1e-13)


@pytest.mark.parametrize("dtype", PRECISIONS, ids=["float32", "float64"])
def test_an_operator_of_zeros_is_told_at_once(dtype):
    operator = Diagonal(np.zeros(1000), dtype)
    pairs = eigenpairs(operator, top=2, bottom=1, generator=generator(0))
    assert pairs.complete
    assert pairs.status.settled
    assert not pairs.top.values.any()
    assert operator.products < 50


@pytest.mark.parametrize("scale", [1e-30, 1e-22, 1e22, 1e30])
def test_values_whose_squares_float32_cannot_hold(scale):
    values = np.concatenate([[2.0, 1.9, -1.0], np.ones(997)])
    pairs = eigenpairs(
        Diagonal(scale * values, torch.float32), top=3, bottom=1, generator=generator(0)
    )
    assert pairs.complete
    np.testing.assert_allclose(pairs.top.values / scale, [2, 1.9, 1], atol=1e-3)
    np.testing.assert_allclose(pairs.bottom.values / scale, [-1], atol=1e-3)
