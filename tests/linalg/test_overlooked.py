from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.linalg.operator import MatrixOperator
from landscape.linalg.overlooked import least_sight, sight
from landscape.linalg.probes import spherical
from landscape.linalg.recurrence import Recurrence
from tests.oracles import F64, generator, symmetric

VALUES = np.concatenate([[3.0, 2.5, 2.4, -2.2], np.linspace(-1, 1, 396)])


def started(block: int, seed: int, *, hidden: int = 2, dtype: torch.dtype = F64):
    """Return a run whose start has little of the largest eigenvectors, and those."""
    matrix = symmetric(VALUES, seed=seed)
    vectors = torch.linalg.eigh(matrix).eigenvectors.T.flip(0)[:hidden]
    start = spherical(block, len(matrix), like=matrix, generator=generator(seed))
    start = start - (1 - 1e-6) * (start @ vectors.T) @ vectors
    run = Recurrence(
        MatrixOperator(matrix.to(dtype)),
        start.to(dtype),
        capacity=40,
        generator=generator(1),
    )
    return run, vectors


def stepped(run: Recurrence, steps: int) -> None:
    for _ in range(steps):
        run.step()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("block", [1, 3])
def test_no_start_has_more_of_an_eigenvector_than_its_run_allows(block, seed):
    """The inequality itself, for eigenvectors that are there and not met yet."""
    run, vectors = started(block, seed)
    first, allowed = run._next.double(), 1.0
    for _ in range(10):
        run.step()
        if float(run.ritz().values[-1]) > 2.49:
            break
        allowed = run.sight(2.499, 2.0, top=True)
        assert float(torch.linalg.vector_norm(first @ vectors.T, dim=0).max()) <= allowed
    assert allowed < 1e-3


def test_a_single_vector_is_allowed_the_couplings_over_the_distances():
    run, _ = started(1, seed=0)
    stepped(run, 12)
    size = run.basis.size
    couplings = torch.cat([run.projected.diagonal(1), run.coupling[0]])
    limit = 4.0
    distances = limit - torch.linalg.eigvalsh(run.projected)
    expected = math.exp(float(couplings.log().sum() - distances.log().sum()))
    assert run.sight(limit, 1.0, top=True) == pytest.approx(expected, rel=1e-6)
    assert size == 12


@pytest.mark.parametrize("block", [1, 3])
def test_a_restart_loses_little(block):
    """What the start sees of the next block, times what that sees, bounds what is there."""
    run, vectors = started(block, seed=3)
    first = run._next
    stepped(run, 2)
    before = run.sight(2.999, 3.0, top=True)
    ritz = run.ritz()
    run.restart(ritz, ritz.values > ritz.values[len(ritz.values) // 2])
    run.step()
    allowed = before * run.sight(2.999, 3.0, top=True)
    assert float(torch.linalg.vector_norm(first @ vectors[0])) <= allowed < before


@pytest.mark.parametrize("block", [1, 3])
def test_after_a_restart_the_bound_is_of_the_block_that_came_next(block):
    run, _ = started(block, seed=4)
    stepped(run, 6)
    ritz = run.ritz()
    keep = ritz.values > ritz.values[len(ritz.values) // 2]
    run.restart(ritz, keep)
    stepped(run, 2)
    kept, size = int(keep.sum()), run.basis.size
    resolvent = torch.linalg.inv(3.4 * torch.eye(size, dtype=F64) - run.projected)
    part = resolvent[kept : kept + block, -block:] @ run.coupling
    expected = float(torch.linalg.matrix_norm(part, ord=2))
    assert run.sight(3.4, 1e-9, top=True) == pytest.approx(expected, rel=1e-6)


def test_the_lower_end_is_the_upper_end_of_the_mirrored_operator():
    matrix = symmetric(VALUES)
    start = spherical(1, len(matrix), like=matrix, generator=generator(0))
    both = []
    for sign in (1, -1):
        run = Recurrence(MatrixOperator(sign * matrix), start, capacity=20, generator=generator(0))
        stepped(run, 8)
        both.append(run.sight(3.5, 2.0, top=sign == 1))
    assert both[0] == pytest.approx(both[1], rel=1e-9)


def test_rounding_does_not_hide_how_little_a_start_may_have():
    """In float32 what is zero is known to be zero: the bound falls far below the rounding."""
    run, _ = started(1, seed=2, dtype=torch.float32)
    stepped(run, 30)
    assert run.sight(6.0, 3.0, top=True) < 1e-12


def test_an_invariant_subspace_is_not_taken_for_the_whole():
    """A start inside one leaves what was cut off as rounding."""
    matrix = torch.diag(torch.tensor([3.0] + [1.0] * 99))
    start = torch.zeros(1, 100)
    start[0, 1:] = 1.0
    run = Recurrence(MatrixOperator(matrix), start, capacity=20, generator=generator(0))
    run.step()
    assert 0 < run.sight(1.5, 1.0, top=True) < 1e-5


@pytest.mark.parametrize("starts", [1, 2, 8])
@pytest.mark.parametrize("size", [20, 2000])
def test_a_random_block_sees_less_once_in_a_hundred_times(starts, size):
    draw = np.random.default_rng(0)
    inside, outside = draw.chisquare(starts, 20_000), draw.chisquare(size - starts, 20_000)
    share = np.sqrt(inside / (inside + outside))
    rarely = float(np.mean(share < least_sight(size, starts)))
    assert rarely == pytest.approx(0.01, abs=0.003)


def test_a_block_that_spans_the_space_sees_everything():
    assert least_sight(5, 5) == 1.0


def test_sight_of_a_chain_is_that_of_its_resolvent():
    chain = symmetric(np.linspace(-1, 1, 6), seed=4)
    coupling = torch.tensor([[0.5, 0.1], [0.0, 0.3]], dtype=F64)
    resolvent = torch.linalg.inv(1.7 * torch.eye(6, dtype=F64) - chain)
    expected = torch.linalg.matrix_norm(resolvent[:2, -2:] @ coupling, ord=2)
    found = sight(chain, coupling, slice(0, 2), 1.7, 1e-9)
    assert found == pytest.approx(float(expected), rel=1e-6)
