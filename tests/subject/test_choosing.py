from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from landscape.errors import DataError
from landscape.subject.choosing import choose_loss
from landscape.subject.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    MeanSquaredError,
    ModelLoss,
)
from landscape.subject.subject import Subject
from tests.cases import labels, normal


@pytest.mark.parametrize(
    ("outputs", "targets", "expected"),
    [
        (normal(4, 3, seed=0), labels(4, classes=3, seed=1), CrossEntropy),
        (normal(4, 6, 3, seed=0), labels(4, 6, classes=3, seed=1), CrossEntropy),
        (normal(4, 3, seed=0), normal(4, 3, seed=1), MeanSquaredError),
        (normal(4, 1, seed=0), normal(4, seed=1), MeanSquaredError),
        (normal(4, 1, seed=0), labels(4, classes=2, seed=1), BinaryCrossEntropy),
        (SimpleNamespace(loss=torch.ones(()), logits=None), None, ModelLoss),
        ({"loss": torch.ones(()), "logits": None}, None, ModelLoss),
    ],
)
def test_loss_follows_from_outputs_and_targets(outputs, targets, expected):
    loss, reason = choose_loss(outputs, targets)
    assert isinstance(loss, expected)
    assert reason


def test_the_note_on_mse_tells_the_shapes_that_differ():
    _, reason = choose_loss(normal(442, 1, seed=0), normal(442, seed=1))
    assert reason == (
        "the targets are real numbers, one for each output: 442 torch.float32 beside "
        "442×1 torch.float32"
    )


def test_a_loss_that_cannot_be_told_must_be_named():
    with pytest.raises(DataError, match="no loss fits") as raised:
        choose_loss(normal(4, 3, seed=0), normal(4, 2, seed=1))
    assert "--loss" in raised.value.hint


@pytest.mark.parametrize("loss", ["auto", "ce"])
def test_a_mapping_without_labels_names_its_keys(loss):
    class Net(nn.Linear):
        def forward(self, pixels, flags):
            return super().forward(pixels) + 0 * flags

    data = [{"pixels": normal(4, 3, seed=0), "flags": normal(4, 2, seed=1)}]
    subject = Subject(Net(3, 2), loss, data)
    with pytest.raises(DataError) as raised:
        subject.loss(subject.point)
    assert raised.value.what == "the mapping has no `labels`; its keys are pixels, flags"
