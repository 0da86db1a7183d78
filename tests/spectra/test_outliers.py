from __future__ import annotations

import numpy as np
import pytest

from landscape.spectra.outliers import classes_of, count_outliers
from tests.cases import CASES


def test_the_largest_gap_counts():
    found = count_outliers(np.array([100, 90, 80, 4, 3, 2.5]))
    assert found.count == 3
    assert found.gap_ratio == pytest.approx(20)
    assert not found.comparison


@pytest.mark.parametrize("values", [[], [1.0], [0.0, 0.0], [-1.0, -2.0], [10, 9, 8, 7.0]])
def test_no_clear_gap_is_an_answer(values):
    assert count_outliers(np.array(values)).count == 0


@pytest.mark.parametrize(
    ("count", "told"), [(3, "C − 1"), (4, "to C"), (2, "neither"), (0, "no clear gap")]
)
def test_the_classes_are_compared(count, told):
    values = np.array([10.0] * count + [1.0] * (8 - count))
    found = count_outliers(values, classes=4)
    assert found.count == count
    assert told in found.comparison


def test_a_gap_beyond_twice_the_classes_is_not_looked_at():
    values = np.array([10.0, 10, 5, 5, 5, 5, 0.01])
    assert count_outliers(values).count == 6
    assert count_outliers(values, classes=2).count == 2


def test_too_few_eigenvalues_are_not_compared():
    assert count_outliers(np.array([5.0, 1.0]), classes=10).classes is None


@pytest.mark.parametrize(("name", "classes"), [("mlp", 3), ("regression", None)])
def test_classes_are_those_of_the_outputs(name, classes):
    subject = CASES[name]().subject()
    if classes is not None:
        classes = list(subject.network.model.parameters())[-1].numel()
    assert classes_of(subject) == classes
