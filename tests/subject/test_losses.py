from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import DataError, ModelError
from landscape.subject.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    ModelLoss,
)
from landscape.subject.subject import Subject
from tests.cases import CASES, labels, normal, reference


def mean(loss: Loss, outputs: Any, targets: Any) -> float:
    return float(loss.total(outputs, targets)) / loss.count(outputs, targets)


# --- sums and counts ---------------------------------------------------------------------------


def shaped(name: str) -> tuple[Tensor, Tensor, float]:
    """Outputs, targets, and the mean cross-entropy with classes on the axis that is meant."""
    if name == "samples":
        z, y = normal(7, 4, seed=0), labels(7, classes=4, seed=1)
        return z, y, float(F.cross_entropy(z, y))
    if name == "sequences":
        z, y = normal(3, 5, 4, seed=0), labels(3, 5, classes=4, seed=1)
        return z, y, float(F.cross_entropy(z.flatten(0, 1), y.flatten()))
    if name == "pixels":
        z, y = normal(2, 4, 3, 5, seed=0), labels(2, 3, 5, classes=4, seed=1)
        return z, y, float(F.cross_entropy(z, y))
    if name == "soft":
        z, y = normal(7, 4, seed=0), normal(7, 4, seed=1).softmax(1)
        return z, y, float(F.cross_entropy(z, y))
    z, y = normal(2, 4, 3, 5, seed=0), normal(2, 4, 3, 5, seed=1).softmax(1)
    return z, y, float(F.cross_entropy(z, y)) * 2 / (2 * 3 * 5)  # torch divides by the batch


@pytest.mark.parametrize("name", ["samples", "sequences", "pixels", "soft", "soft pixels"])
def test_cross_entropy_is_the_mean_over_labels(name):
    outputs, targets, expected = shaped(name)
    loss = CrossEntropy()
    loss.check(outputs, targets)
    if name == "soft pixels":
        expected = float(F.cross_entropy(outputs, targets, reduction="sum")) / 30
    assert mean(loss, outputs, targets) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_of_any_integer_type_are_classes(dtype):
    z, y, expected = shaped("samples")
    loss = CrossEntropy()
    loss.check(z, y.to(dtype))
    assert mean(loss, z, y.to(dtype)) == pytest.approx(expected, rel=1e-6)


def test_ignored_labels_count_nowhere():
    z, y, _ = shaped("sequences")
    y[0] = -100
    y[2, 1:] = -100
    kept = y != -100
    loss = CrossEntropy()
    loss.check(z, y)
    assert loss.count(z, y) == int(kept.sum()) == 6
    assert mean(loss, z, y) == pytest.approx(float(F.cross_entropy(z[kept], y[kept])), rel=1e-6)
    other = z.clone()
    other[~kept] += 100
    assert float(loss.total(other, y)) == float(loss.total(z, y))


def test_squared_error_is_the_mean_over_elements():
    z, y = normal(5, 3, seed=0), normal(5, 3, seed=1)
    assert mean(MeanSquaredError(), z, y) == pytest.approx(float(F.mse_loss(z, y)))


def test_binary_cross_entropy_is_the_mean_over_elements():
    z, y = normal(5, 3, seed=0), torch.rand(5, 3, generator=torch.Generator().manual_seed(1))
    expected = float(F.binary_cross_entropy_with_logits(z, y))
    assert mean(BinaryCrossEntropy(), z, y) == pytest.approx(expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_soft_and_smoothed_labels_are_class_probabilities(dtype):
    smooth = 0.9 * F.one_hot(labels(50, classes=7, seed=0), 7) + 0.1 / 7
    soft = normal(50, 1000, seed=1).softmax(1)
    for targets in (smooth, soft, F.one_hot(labels(50, classes=7, seed=0), 7)):
        CrossEntropy().check(torch.zeros(targets.shape), targets.to(dtype))


@pytest.mark.parametrize("shape", [(442, 3), (442, 1)])
def test_regression_under_ce_is_told_to_use_mse(shape):
    data = normal(442, 10, seed=0), normal(*shape, seed=1)
    subject = Subject(nn.Linear(10, shape[1]), "ce", data)
    with pytest.raises(DataError) as raised:
        subject.loss(subject.point)
    assert "--loss mse" in raised.value.hint


@pytest.mark.parametrize("loss", [MeanSquaredError(), BinaryCrossEntropy()])
@pytest.mark.parametrize("outputs", [(5, 1), (5,)])
@pytest.mark.parametrize("targets", [(5, 1), (5,)])
def test_an_axis_of_length_one_never_broadcasts(loss, outputs, targets):
    """(b, 1) against (b,) would broadcast to (b, b) and silently train on the wrong pairs."""
    z, y = normal(5, seed=0), (normal(5, seed=1) > 0).float()
    loss.check(z.view(outputs), y.view(targets))
    assert mean(loss, z.view(outputs), y.view(targets)) == pytest.approx(mean(loss, z, y))
    assert loss.count(z.view(outputs), y.view(targets)) == 5


# --- ragged batches ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_ragged_batches_add_up_to_the_loss_of_the_whole(name):
    exact = reference(name)
    subject = CASES[name]().subject(dtype="float64")
    assert subject.count == exact.count
    expected = float(exact.loss(exact.theta))
    assert subject.loss(subject.point) == pytest.approx(expected, rel=1e-13)


def test_sixty_four_and_two_are_not_weighted_alike():
    problem = CASES["ragged"]()
    model = problem.model.double()
    means = [float(F.cross_entropy(model(x.double()), y).detach()) for x, y in problem.data]
    subject = problem.subject(dtype="float64")
    found = subject.loss(subject.point)
    assert found == pytest.approx((64 * means[0] + 2 * means[1]) / 66, rel=1e-13)
    assert abs(found - sum(means) / 2) > 0.01


# --- what does not fit -------------------------------------------------------------------------


def test_a_label_that_no_output_stands_for_is_named():
    model = nn.Linear(3, 10)
    x, y = normal(4, 3, seed=0), torch.tensor([0, 9, 12, 3])
    subject = Subject(model, "ce", (x, y))
    with pytest.raises(DataError, match="label 12 but the model has 10 outputs"):
        subject.loss(subject.point)


@pytest.mark.parametrize(
    ("outputs", "targets", "match"),
    [
        ((4, 3), torch.tensor([0, -1, 2, 1]), "label -1 but the model has 3 outputs"),
        ((2, 5, 3), torch.full((2, 5), 3), "label 3 but the model has 3 outputs"),
        ((2, 3, 4, 4), torch.full((2, 4, 4), 3), "label 3 but the model has 3 outputs"),
        ((4, 3), torch.zeros(5, dtype=torch.long), "do not fit the loss ce"),
        ((4,), torch.zeros(4, dtype=torch.long), "do not fit the loss ce"),
        ((4, 3), torch.zeros(4, dtype=torch.bool), "do not fit the loss ce"),
        ((4, 3), torch.zeros(4), "do not fit the loss ce"),
        ((4, 3), torch.zeros(4, 1, dtype=torch.long), "do not fit the loss ce"),
        ((2, 5, 3), torch.zeros(2, 4, dtype=torch.long), "do not fit the loss ce"),
        ((442, 3), normal(442, 3, seed=0), "no class probabilities"),
        ((4, 3), torch.full((4, 3), 0.5), "no class probabilities"),
        ((4, 3), torch.full((4, 3), torch.nan), "no class probabilities"),
        ((4, 3), torch.tensor([[1.5, -0.5, 0.0]]).repeat(4, 1), "no class probabilities"),
        ((442, 1), normal(442, 1, seed=0), "single output"),
        ((4, 1), torch.ones(4, 1), "single output"),
        ((4, 1), torch.zeros(4, dtype=torch.long), "single output"),
        ((5,), torch.ones(5), "do not fit the loss ce"),
    ],
)
def test_labels_that_do_not_fit_are_refused(outputs, targets, match):
    with pytest.raises(DataError, match=match):
        CrossEntropy().check(torch.zeros(outputs), targets)


@pytest.mark.parametrize("loss", [MeanSquaredError(), BinaryCrossEntropy()])
@pytest.mark.parametrize(
    ("outputs", "targets"), [((4, 3), (4,)), ((4, 3), (3, 4)), ((4,), (5,)), ((4, 3), (4, 3, 2))]
)
def test_shapes_that_do_not_fit_are_refused(loss, outputs, targets):
    with pytest.raises(DataError, match="do not fit"):
        loss.check(torch.zeros(outputs), torch.zeros(targets))


def test_labels_outside_the_unit_interval_are_refused():
    with pytest.raises(DataError, match=r"\[0, 1\], got 0 … 2"):
        BinaryCrossEntropy().check(torch.zeros(3), torch.tensor([0.0, 2, 1]))


def test_a_sequence_whose_length_is_the_number_of_classes_has_its_classes_last():
    z, y = normal(2, 4, 4, seed=0), labels(2, 4, classes=4, seed=1)
    expected = float(F.cross_entropy(z.flatten(0, 1), y.flatten()))
    assert mean(CrossEntropy(), z, y) == pytest.approx(expected, rel=1e-6)


# --- a loss inside the model -------------------------------------------------------------------


@pytest.mark.parametrize("shift", [True, False])
def test_the_count_behind_a_model_s_own_mean_is_found(shift):
    z, y = normal(3, 6, 5, seed=0), labels(3, 6, classes=5, seed=1)
    y[0, 2:] = -100
    y[1, 0] = -100
    cut, right = (z[:, :-1], y[:, 1:]) if shift else (z, y)
    inside = F.cross_entropy(cut.flatten(0, 1), right.flatten(), ignore_index=-100)
    outputs = SimpleNamespace(loss=inside, logits=z)
    count = int((right != -100).sum())
    assert ModelLoss().count(outputs, y) == count
    assert float(ModelLoss().total(outputs, y)) == pytest.approx(count * float(inside))


def test_a_batch_of_ignored_labels_does_not_spoil_the_loss_inside_the_model():
    """The mean over nothing is NaN there; such a batch counts nowhere instead."""
    problem = CASES["self-scored"]()
    tokens = problem.data[0]["input_ids"]
    padding = {"input_ids": tokens, "labels": torch.full_like(tokens, -100)}
    plain = problem.subject()
    padded = Subject(problem.model, "hf", [*problem.data, padding], device="cpu")
    assert padded.loss(padded.point) == pytest.approx(plain.loss(plain.point), rel=1e-6)


def test_a_model_without_a_loss_of_its_own_is_refused():
    with pytest.raises(ModelError, match="returned no loss"):
        ModelLoss().check(SimpleNamespace(logits=torch.ones(2, 2)), torch.zeros(2))
