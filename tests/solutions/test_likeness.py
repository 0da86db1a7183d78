"""CKA: an independent formula, invariances, a population value that is known, coverage."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.solutions.likeness import centred_kernel, cka, similarity


def hsic(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimate as Song et al. 2012 write it (equation 5), not as it is computed."""
    k, l = x @ x.T, y @ y.T  # noqa: E741
    n = len(k)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    one = np.ones(n)
    middle = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ l) + middle - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def pair(seed: int, number: int = 60, mixed: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(seed)
    x = source.normal(size=(number, 3)) * np.array([2.0, 1.0, 0.5])
    return x, mixed * x + (1 - mixed) * source.normal(size=(number, 3))


def test_against_the_formula_of_song():
    x, y = pair(0)
    expected = hsic(x, y) / np.sqrt(hsic(x, x) * hsic(y, y))
    assert cka(x, y).value == pytest.approx(expected)


def test_rows_of_a_centred_kernel_add_up_to_zero():
    assert np.allclose(centred_kernel(pair(0)[0]).sum(1), 0)


def test_rotation_scale_and_shift_change_nothing():
    x, y = pair(1)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    assert cka(x, 7 * y @ turn + 100).value == pytest.approx(cka(x, y).value)
    assert cka(x, x @ turn).value == pytest.approx(1)


def test_what_has_nothing_in_common_is_near_zero():
    source = np.random.default_rng(0)
    values = [
        cka(source.normal(size=(80, 3)), source.normal(size=(80, 3))).value for _ in range(40)
    ]
    assert abs(np.mean(values)) < 4 * np.std(values, ddof=1) / np.sqrt(40)  # unbiased: not 3/80


def test_outputs_that_do_not_vary():
    found = cka(np.ones((30, 3)), pair(0, 30)[1])
    assert not np.isfinite(found.value)
    assert found.reason == "the outputs of one network do not vary"


@pytest.mark.full
def test_coverage():
    """Of the population's CKA of two linear maps of one normal vector, which is in closed form."""
    a, b = np.diag([2.0, 1.0, 0.5]), np.array([[1.0, 0.4, 0], [0, 1, 0], [0.3, 0, 1]])
    # HSIC of linear kernels is ‖cov(x, y)‖²_F
    truth = np.sum((a @ b) ** 2) / (np.linalg.norm(a @ a) * np.linalg.norm(b.T @ b))
    source, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        z = source.normal(size=(80, 3))
        low, high = cka(z @ a, z @ b).interval
        covered += low <= truth <= high
    assert covered >= 0.93 * 2000, covered


def test_similarity_is_a_cosine():
    kernel = centred_kernel(pair(0)[0])
    assert similarity(kernel, -kernel) == pytest.approx(-1)
