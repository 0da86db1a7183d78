"""Leave-one-out and cross-validation against refits."""

import numpy as np
import pytest

from landscape.kernels.decomposition import decomposition
from landscape.kernels.influence import nearest, suspects, suspicion
from landscape.kernels.regression import fitted, ridge_path


@pytest.fixture
def made():
    source = np.random.default_rng(3)
    features = source.normal(size=(15, 20))
    return features @ features.T, source.normal(size=(15, 2))


@pytest.mark.parametrize("ridge", [0.1, 3.0, 100.0])
def test_leaving_out_is_refitting(made, ridge):
    k, y = made
    fit = fitted(decomposition(k, precision=1e-16), y, ridge)
    for i in range(15):
        rest = np.delete(np.arange(15), i)
        a = k[np.ix_(rest, rest)] + ridge * np.eye(14)
        told = k[i, rest] @ np.linalg.solve(a, y[rest])
        np.testing.assert_allclose(fit.left_out[i], told, rtol=1e-8, atol=1e-9)
    hat = k @ np.linalg.inv(k + ridge * np.eye(15))
    np.testing.assert_allclose(fit.leverage, np.diagonal(hat), rtol=1e-9)
    np.testing.assert_allclose(k @ fit.weights, hat @ y, rtol=1e-9, atol=1e-10)


def test_the_path(made):
    k, y = made
    path = ridge_path(decomposition(k, precision=1e-16), y)
    for i in (0, 7, 20):
        ridge = path.ridge[i]
        inverse = np.linalg.inv(k + ridge * np.eye(15))
        hat = k @ inverse
        residual = y - hat @ y
        gcv = np.square(residual).sum(1).mean() / (1 - np.trace(hat) / 15) ** 2
        assert path.generalised[i] == pytest.approx(gcv, rel=1e-8)
        # KARE: [yᵀ(K/N+λ)⁻²y / N] / [tr(K/N+λ)⁻¹ / N]² with λ = ridge / N
        scaled = np.linalg.inv(k / 15 + ridge / 15 * np.eye(15))
        above = sum(one @ scaled @ scaled @ one for one in y.T) / 15
        assert path.generalised[i] == pytest.approx(above / (np.trace(scaled) / 15) ** 2, rel=1e-8)
        left = np.square((inverse @ y) / np.diagonal(inverse)[:, None]).sum(1).mean()
        assert path.left_out[i] == pytest.approx(left, rel=1e-8)
        assert path.dimension[i] == pytest.approx(np.trace(hat), rel=1e-8)
    assert path.best == int(np.argmin(path.left_out))


def test_a_flipped_label_is_suspected_most():
    source = np.random.default_rng(0)
    labels = np.arange(40) % 2
    features = source.normal(size=(40, 3)) + 6 * labels[:, None]
    given = labels.copy()
    given[12] = 1
    centred = features - features.mean(0)
    k = centred @ centred.T
    fit = fitted(decomposition(k, precision=1e-12), np.eye(2)[given] - 0.5, 1.0)
    assert int(np.argmax(suspicion(fit, given))) == 12
    first = suspects(k, fit, given, 3 * np.arange(40))[0]
    assert (first.sample, first.label, first.predicted) == (36, 1, 0)
    assert all(one % 3 == 0 for one in first.neighbours)
    assert first.margin > 0


def test_neighbours(made):
    k, _ = made
    length = np.sqrt(np.diagonal(k))
    cosines = k / np.outer(length, length)
    for row, found in zip((0, 4), nearest(k, np.array([0, 4])), strict=True):
        others = np.argsort(-cosines[row])
        assert list(found) == [i for i in others if i != row][:3]
