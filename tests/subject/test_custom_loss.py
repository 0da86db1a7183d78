from __future__ import annotations

import pytest

from landscape.errors import ModelError
from landscape.subject.custom_loss import CustomLoss
from tests.cases import log_cosh, mean_log_cosh, normal


def test_a_custom_loss_per_sample_and_its_mean_are_one():
    z, y = normal(6, 1, seed=0), normal(6, seed=1)
    per_sample, scalar = CustomLoss(log_cosh), CustomLoss(mean_log_cosh)
    assert per_sample.count(z, y) == scalar.count(z, y) == 6
    assert float(scalar.total(z, y)) == pytest.approx(float(per_sample.total(z, y)), rel=1e-6)


def test_a_custom_loss_that_returns_no_tensor_is_refused():
    with pytest.raises(ModelError, match="returned float"):
        CustomLoss(lambda *_: 1.0).total(normal(2, 1, seed=0), normal(2, seed=1))
