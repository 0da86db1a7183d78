from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import stdtr
from torch.nn import functional

from landscape.budget import Budget, spending
from landscape.estimate import Status
from landscape.linalg.eigenpairs import Pairs
from landscape.linalg.operator import MatrixOperator
from landscape.linalg.trace import Traces, estimate_traces, expected_probes
from landscape.subject.cost import count_products
from tests.oracles import F64, generator, orthogonal, symmetric

VALUES = np.concatenate([[12.0, 5.0, -3.0], np.linspace(-0.5, 1, 37)])
MATRIX = symmetric(VALUES, seed=2)
BLOCKS = [(0, 10), (10, 11), (11, 40)]
FULL_SEEDS = 2000


class Recorded(MatrixOperator):
    """A matrix that keeps zᵀAz and ‖Az‖² of every probe."""

    def __init__(self, matrix: torch.Tensor) -> None:
        super().__init__(matrix)
        self.draws: list[float] = []
        self.squares: list[float] = []
        self.probes: list[torch.Tensor] = []

    def _products(self, rows: torch.Tensor) -> torch.Tensor:
        count_products(len(rows))
        images = super()._products(rows)
        self.draws += (rows * images).sum(1).tolist()
        self.squares += images.square().sum(1).tolist()
        self.probes += list(rows)
        return images


def padded(matrix: torch.Tensor, max_probes: int) -> torch.Tensor:
    """The matrix among zeros, its columns more than the probes: it is estimated, never exact."""
    more = max(0, max_probes + 1 - len(matrix))
    return functional.pad(matrix, (0, more, 0, more))


def traces(
    matrix: torch.Tensor | MatrixOperator,
    seed: int = 0,
    known: Pairs | None = None,
    max_probes: int = 128,
    tolerance: float = 0.05,
) -> Traces:
    if isinstance(matrix, torch.Tensor):
        matrix = MatrixOperator(padded(matrix, max_probes))
    if known is not None:
        vectors = functional.pad(known.vectors, (0, matrix.shape[0] - known.vectors.shape[1]))
        known = Pairs(known.values, known.residuals, vectors)
    return estimate_traces(
        matrix,
        blocks=BLOCKS,
        generator=generator(seed),
        known=known,
        tolerance=tolerance,
        max_probes=max_probes,
    )


def truth(matrix: torch.Tensor) -> list[float]:
    diagonal = matrix.diagonal()
    return [
        float(diagonal.sum()),
        float(matrix.square().sum()),
        *(float(diagonal[start:stop].sum()) for start, stop in BLOCKS),
    ]


def estimates(found: Traces) -> list:
    return [found.trace, found.frobenius_squared, *found.blocks]


def test_a_diagonal_matrix_has_no_variance():
    matrix = torch.diag(torch.from_numpy(VALUES))
    found = traces(matrix, tolerance=1e-12)
    for estimate, exact in zip(estimates(found), truth(matrix), strict=True):
        assert estimate.value == pytest.approx(exact, rel=1e-12)
        assert estimate.half_width <= 1e-10
    assert found.trace.samples == 32
    assert found.trace.status is Status.CONVERGED


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_estimates_are_within_four_standard_errors(dtype):
    matrix = MATRIX.to(dtype)
    found = traces(matrix, max_probes=256, tolerance=1e-9)
    for estimate, exact in zip(estimates(found), truth(matrix.double()), strict=True):
        low, high = estimate.interval
        # the interval is wider than two standard errors
        assert abs(estimate.value - exact) <= 4 * (high - low) / 4


def test_estimates_are_the_means_over_the_probes():
    operator = Recorded(padded(MATRIX, 64))
    found = traces(operator, max_probes=64, tolerance=1e-9)
    assert found.trace.samples == len(operator.draws) == 64
    assert found.trace.value == pytest.approx(np.mean(operator.draws))
    assert found.frobenius_squared.value == pytest.approx(np.mean(operator.squares))


def test_probes_are_signs_and_independent():
    operator = Recorded(padded(MATRIX, 512))
    traces(operator, max_probes=512, tolerance=1e-9)
    probes = torch.stack(operator.probes)
    assert set(probes.unique().tolist()) == {-1.0, 1.0}
    assert len(probes.unique(dim=0)) == 512
    correlation = probes.T @ probes / 512 - torch.eye(513, dtype=F64)
    assert float(correlation.abs().max()) < 5 / math.sqrt(512)


def test_blocks_that_cover_everything_add_up_to_the_trace():
    found = traces(MATRIX)
    assert sum(block.value for block in found.blocks) == pytest.approx(found.trace.value)


@pytest.mark.parametrize("tolerance", [1e-9, 0.05, 0.1, 0.2, 0.5, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(4))
def test_it_stops_only_where_the_number_of_probes_has_doubled(tolerance, seed):
    found = traces(MATRIX, seed=seed, tolerance=tolerance, max_probes=512)
    assert found.trace.samples in {32, 64, 128, 256, 512}
    settled = found.trace.half_width <= tolerance * abs(found.trace.value)
    assert (found.trace.status is Status.CONVERGED) == settled
    assert settled or found.trace.samples == 512


def test_it_stops_as_soon_as_it_may():
    """The samples taken decrease with the tolerance, and both ends of the range are reached."""
    counts = [
        traces(MATRIX, tolerance=t, max_probes=512).trace.samples for t in (1e-9, 0.3, 0.6, 30)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] == 512
    assert counts[-1] == 32


@pytest.mark.parametrize("max_probes", [2, 10, 32, 33, 50, 100, 128, 200, 512, 700])
def test_levels_of_all_looks_add_up_to_at_most_five_percent(max_probes):
    """Stopping early must not cost coverage: each look may spend its share of 5 % only."""
    operator = Recorded(padded(MATRIX, max_probes))
    found = traces(operator, max_probes=max_probes, tolerance=1e-12)
    count = len(operator.draws)
    assert count == max_probes
    looks = 1 + math.ceil(math.log2(max(max_probes, 32) / 32))  # at 32, 64, … and at the last
    error = np.std(operator.draws, ddof=1) / math.sqrt(count)
    spent = 2 * (1 - stdtr(count - 1, found.trace.half_width / error))
    assert looks * spent <= 0.05 + 1e-9


def test_one_coordinate_is_exact():
    found = estimate_traces(
        MatrixOperator(torch.tensor([[3.5]], dtype=F64)),
        blocks=[(0, 1)],
        generator=generator(0),
    )
    assert found.trace.value == found.blocks[0].value == 3.5
    assert found.frobenius_squared.value == 3.5**2


def test_a_zero_matrix_has_trace_zero_and_converges():
    found = traces(torch.zeros(40, 40))
    assert found.trace.value == found.frobenius_squared.value == 0
    assert found.trace.status is Status.CONVERGED


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_estimates_scale_with_the_matrix(scale):
    plain, scaled = traces(MATRIX.float()), traces(MATRIX.float() * scale)
    assert scaled.trace.value == pytest.approx(scale * plain.trace.value, rel=1e-5)
    square = scale**2 * plain.frobenius_squared.value
    assert scaled.frobenius_squared.value == pytest.approx(square, rel=1e-5)


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    assert traces(MATRIX, seed=4).trace == traces(MATRIX, seed=4).trace
    assert traces(MATRIX, seed=4).trace.value != traces(MATRIX, seed=5).trace.value


# --- with what known pairs contribute taken out -------------------------------------------------


def ritz(matrix: torch.Tensor, basis: torch.Tensor) -> Pairs:
    """The Ritz pairs of a matrix in the span of orthonormal rows (k, n)."""
    values, turn = torch.linalg.eigh(basis @ matrix @ basis.T)
    vectors = turn.T.flip(0) @ basis
    values = values.flip(0)
    residuals = torch.linalg.vector_norm(vectors @ matrix - values[:, None] * vectors, dim=1)
    return Pairs(values.numpy(), residuals.numpy(), vectors)


def test_what_the_pairs_explain_has_no_variance():
    values = [9.0, -4.0, 2.0] + [0.0] * 37
    matrix = symmetric(values, seed=5)
    vectors = torch.linalg.eigh(matrix).eigenvectors.T
    found = traces(matrix, known=ritz(matrix, vectors[[0, 38, 39]]), tolerance=1e-9)
    for estimate, exact in zip(estimates(found), truth(matrix), strict=True):
        assert estimate.value == pytest.approx(exact, rel=1e-9, abs=1e-12)
        assert estimate.half_width <= 1e-9
    assert found.trace.samples == 32


@pytest.mark.parametrize("span", ["eigenvectors", "random"])
def test_pairs_do_not_shift_the_estimates(span):
    """Also Ritz pairs that are far from converged: trace and Frobenius norm stay unbiased."""
    rows = (
        torch.linalg.eigh(MATRIX).eigenvectors.T[-3:]
        if span == "eigenvectors"
        else (orthogonal(40, seed=9)[:3])
    )
    known = ritz(MATRIX, rows)
    found = traces(MATRIX, known=known, max_probes=1024, tolerance=1e-9)
    for estimate, exact in zip(estimates(found), truth(MATRIX), strict=True):
        low, high = estimate.interval
        assert abs(estimate.value - exact) <= high - low + 1e-9
    assert (span == "random") == (known.residuals.max() > 0.1)


def test_pairs_make_the_same_probes_tell_more():
    rows = torch.linalg.eigh(MATRIX).eigenvectors.T[-3:]
    plain = traces(MATRIX, tolerance=1e-9)
    deflated = traces(MATRIX, known=ritz(MATRIX, rows), tolerance=1e-9)
    assert deflated.trace.half_width < plain.trace.half_width / 2
    assert deflated.frobenius_squared.half_width < plain.frobenius_squared.half_width / 2


@pytest.mark.full
@pytest.mark.parametrize("span", ["eigenvectors", "random"])
def test_deflated_intervals_cover(span):
    rows = (
        torch.linalg.eigh(MATRIX).eigenvectors.T[-2:]
        if span == "eigenvectors"
        else (orthogonal(40, seed=9)[:3])
    )
    known, exact = ritz(MATRIX, rows), truth(MATRIX)
    covered = np.zeros(len(exact))
    for seed in range(FULL_SEEDS):
        found = traces(MATRIX, seed=seed, known=known, tolerance=0.1, max_probes=128)
        covered += [
            low <= value <= high
            for (low, high), value in zip(
                (e.interval for e in estimates(found)), exact, strict=True
            )
        ]
    assert (covered / FULL_SEEDS >= 0.93).all(), covered / FULL_SEEDS


@pytest.mark.full
@pytest.mark.parametrize("tolerance", [0.2, 1e-9], ids=["stopping early", "to the end"])
@pytest.mark.parametrize("max_probes", [32, 100, 128])
def test_intervals_cover(tolerance, max_probes):
    exact = truth(MATRIX)
    covered = np.zeros(len(exact))
    for seed in range(FULL_SEEDS):
        found = traces(MATRIX, seed=seed, tolerance=tolerance, max_probes=max_probes)
        covered += [
            low <= value <= high
            for (low, high), value in zip(
                (e.interval for e in estimates(found)), exact, strict=True
            )
        ]
    assert (covered / FULL_SEEDS >= 0.93).all(), covered / FULL_SEEDS


# --- the columns themselves --------------------------------------------------------------------


@pytest.mark.parametrize("size", [20, 321])
def test_a_small_matrix_that_probes_tell_badly_is_exact(size):
    """Off-diagonal entries give a trace near 0 the scatter that probes cannot overcome."""
    drawn = torch.randn(size, size, generator=generator(5), dtype=F64)
    matrix = drawn + drawn.T
    operator = Recorded(matrix)
    blocks = [(0, 7), (7, size)]
    found = estimate_traces(operator, blocks=blocks, generator=generator(0), max_probes=512)
    assert found.trace.kind == found.frobenius_squared.kind == "exact"
    assert found.trace.status is Status.CONVERGED
    assert found.trace.value == pytest.approx(float(matrix.trace()), rel=1e-12)
    assert found.frobenius_squared.value == pytest.approx(float(matrix.square().sum()), rel=1e-12)
    parts = [float(matrix.diagonal()[a:b].sum()) for a, b in blocks]
    assert [one.value for one in found.blocks] == pytest.approx(parts, rel=1e-12)
    assert torch.equal(found.diagonal.mean, matrix.diagonal())
    assert found.diagonal.error_norm == 0
    assert len(operator.draws) <= size + 32


def test_columns_are_not_asked_for_where_probes_are_enough_or_the_budget_is_not():
    drawn = torch.randn(100, 100, generator=generator(5), dtype=F64)
    blocks = [(0, 100)]
    good = estimate_traces(
        MatrixOperator(drawn @ drawn.T), blocks=blocks, generator=generator(0), tolerance=0.3
    )
    assert (good.trace.kind, good.trace.samples) == ("estimate", 32)
    with spending(Budget(products=90)):
        cut = estimate_traces(
            Recorded(drawn + drawn.T), blocks=blocks, generator=generator(0), max_probes=512
        )
    assert (cut.trace.status, cut.trace.samples) == (Status.BUDGET_SPENT, 90)
    few = estimate_traces(
        Recorded(drawn + drawn.T), blocks=blocks, generator=generator(0), max_probes=64
    )
    assert (few.trace.status, few.trace.samples) == (Status.NOT_CONVERGED, 64)


@pytest.mark.parametrize(("products", "taken"), [(1, 2), (2, 2), (5, 5), (20, 20)])
def test_a_budget_is_kept_down_to_two_probes(products, taken):
    operator = Recorded(symmetric(np.linspace(-1, 1, 40)))
    with spending(Budget(products=products)):
        estimate_traces(operator, blocks=[], generator=generator(0))
    assert len(operator.draws) == taken


def test_the_probes_expected_are_bounded_and_grow_as_the_tolerance_shrinks():
    assert expected_probes(tolerance=0.1, most=512) == 128  # √(32 · 512)
    assert expected_probes(tolerance=0.2, most=512) == 32
    assert expected_probes(tolerance=0.05, most=2048) == 4 * 256
    assert expected_probes(tolerance=0.01, most=512) == 512
    assert expected_probes(tolerance=1.0, most=8) == 32
