"""Alignments and distances against their definitions."""

import numpy as np
import pytest

from landscape.kernels.alignment import (
    alignment,
    alignments_by_output,
    centre,
    distance,
    over_groups,
    target_power,
)
from landscape.kernels.decomposition import decomposition


@pytest.fixture
def made():
    source = np.random.default_rng(0)
    features = source.normal(size=(30, 6)) + 1
    return features @ features.T, source.normal(size=(30, 3)) + 0.5


@pytest.mark.parametrize("centred", [False, True])
def test_by_the_definition(made, centred):
    k, y = made
    found = alignment(k, y, centred=centred)
    h = np.eye(30) - centred * np.ones((30, 30)) / 30
    first, second = h @ k @ h, h @ y @ y.T @ h
    expected = np.sum(first * second) / np.linalg.norm(first) / np.linalg.norm(second)
    assert found.value == pytest.approx(expected, rel=1e-12)
    low, high = found.interval
    assert low < found.value < high


@pytest.mark.parametrize("centred", [False, True])
def test_the_kernel_of_the_targets_is_aligned(made, centred):
    _, y = made
    assert alignment(y @ y.T, y, centred=centred).value == pytest.approx(1)


def test_raw_alignment_rewards_a_common_sign():
    """A constant kernel tells nothing, and only the centred alignment says so."""
    y = np.eye(2)[np.arange(20) % 2]
    k = np.ones((20, 20))
    assert alignment(k, y, centred=False).value > 0.7
    assert alignment(k, y, centred=True).value == 0


def test_centring(made):
    k, _ = made
    h = np.eye(30) - np.ones((30, 30)) / 30
    np.testing.assert_allclose(centre(k), h @ k @ h, atol=1e-12)


def test_by_output(made):
    k, y = made
    kernels = np.stack([k, 2 * k, k + np.eye(30)])
    found = alignments_by_output(kernels, y)
    assert found[1].value == pytest.approx(alignment(k, y[:, 1:2], centred=True).value)
    assert alignments_by_output(k, y)[0].value == pytest.approx(found[0].value)


def test_jackknife_by_hand(made):
    k, _ = made
    found = over_groups(lambda kept: float(np.diagonal(k)[kept].mean()), 20, "mean")
    each = np.diagonal(k)[:20]
    assert found.value == pytest.approx(each.mean())
    error = each.std(ddof=1) / np.sqrt(20)  # 20 groups of one: the usual standard error
    assert found.half_width == pytest.approx(2.0930240544 * error, rel=1e-6)


def test_distance_of_kernels(made):
    k, y = made
    other = y @ y.T
    assert distance(k, k, 1).value == pytest.approx(0, abs=1e-12)
    assert distance(k, 3 * k, 1).value == pytest.approx(0, abs=1e-12)
    expected = 1 - np.sum(k * other) / np.linalg.norm(k) / np.linalg.norm(other)
    assert distance(k, other, 1).value == pytest.approx(expected)
    turn, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(30, 30)))
    turned = distance(turn @ k @ turn.T, turn @ other @ turn.T, 1)
    assert turned.value == pytest.approx(expected)
    assert distance(k, other, 3).value == pytest.approx(expected)  # ten samples of three outputs


def test_target_power(made):
    k, y = made
    found = decomposition(k, precision=1e-16)
    assert found.vectors is not None
    power = target_power(found.vectors, y)
    assert power[-1] == pytest.approx(1)
    assert (np.diff(power) >= -1e-12).all()
    within = found.vectors[:, :6] @ found.vectors[:, :6].T @ y
    assert power[5] == pytest.approx(np.sum(within**2) / np.sum(y**2))
