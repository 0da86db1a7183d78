from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from landscape.errors import ModelError
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.losses import (
    BinaryCrossEntropy,
    CrossEntropy,
    Loss,
    MeanSquaredError,
    ModelLoss,
)
from landscape.subject.per_sample import per_sample
from tests.cases import CASES, labels, log_cosh, mean_log_cosh, normal

WITHOUT = ("custom-mean",)


@pytest.mark.parametrize("name", [name for name in CASES if name not in WITHOUT])
def test_samples_add_up_to_the_loss_of_the_data(name):
    subject = CASES[name]().subject(dtype="float64")
    total = count = 0.0
    with torch.no_grad(), subject.undisturbed(0):
        for batch in subject.device_batches():
            found = per_sample(
                subject.criterion, subject.outputs(subject.point, batch), batch.targets
            )
            assert len(found.losses) == len(found.counts) == batch.samples
            total, count = total + float(found.losses.sum()), count + float(found.counts.sum())
    assert count == subject.count
    assert total / count == pytest.approx(subject.loss(subject.point), rel=1e-9)


def soft(*shape: int, seed: int) -> Tensor:
    return normal(*shape, seed=seed).softmax(1)


def ignored(targets: Tensor) -> Tensor:
    targets[0] = -100
    targets.view(-1)[-1] = -100
    return targets


SHAPES: dict[str, tuple[Loss, Tensor, Tensor]] = {
    "labels": (CrossEntropy(), normal(7, 4, seed=0), labels(7, classes=4, seed=1)),
    "tokens": (CrossEntropy(), normal(3, 5, 4, seed=0), labels(3, 5, classes=4, seed=1)),
    "ignored": (CrossEntropy(), normal(3, 5, 4, seed=0), ignored(labels(3, 5, classes=4, seed=1))),
    "pixels": (CrossEntropy(), normal(2, 4, 3, 5, seed=0), labels(2, 3, 5, classes=4, seed=1)),
    "soft": (CrossEntropy(), normal(7, 4, seed=0), soft(7, 4, seed=1)),
    "soft pixels": (CrossEntropy(), normal(2, 4, 3, 5, seed=0), soft(2, 4, 3, 5, seed=1)),
    "squares": (MeanSquaredError(), normal(5, 3, seed=0), normal(5, 3, seed=1)),
    "squares of a column": (MeanSquaredError(), normal(5, 1, seed=0), normal(5, seed=1)),
    "binary": (BinaryCrossEntropy(), normal(6, 1, seed=0), labels(6, classes=2, seed=1)),
    "many binary": (BinaryCrossEntropy(), normal(6, 3, seed=0), labels(6, 3, classes=2, seed=1)),
    "custom": (CustomLoss(log_cosh), normal(6, 1, seed=0), normal(6, seed=1)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_sample_adds_what_it_adds_alone(name):
    loss, outputs, targets = SHAPES[name]
    found = per_sample(loss, outputs, targets)
    for i in range(len(targets)):
        alone = outputs[i : i + 1], targets[i : i + 1]
        assert float(found.losses[i]) == pytest.approx(
            float(loss.total(*alone)), rel=1e-5, abs=1e-6
        )
        assert int(found.counts[i]) == loss.count(*alone)


def test_errors_are_counted_where_there_are_any():
    logits, targets = normal(3, 5, 4, seed=0), ignored(labels(3, 5, classes=4, seed=1))
    found = per_sample(CrossEntropy(), logits, targets)
    wrong = (logits.argmax(-1) != targets) & (targets != -100)
    assert found.errors is not None
    assert found.errors.tolist() == wrong.sum(1).tolist()
    assert found.counts.tolist() == [0, 5, 4]
    z, y = SHAPES["many binary"][1:]
    binary = per_sample(BinaryCrossEntropy(), z, y).errors
    assert binary is not None
    assert binary.tolist() == ((z > 0).long() != y).sum(1).tolist()
    assert per_sample(MeanSquaredError(), z, z).errors is None
    assert per_sample(CustomLoss(log_cosh), z[:, :1], z[:, 0]).errors is None


def test_a_function_of_the_users_on_labels_has_errors_too():
    def focal(outputs: Tensor, targets: Tensor) -> Tensor:
        p = outputs.softmax(1).gather(1, targets[:, None])[:, 0]
        return -((1 - p) ** 2) * p.log()

    z, y = normal(9, 4, seed=0), labels(9, classes=4, seed=1)
    found = per_sample(CustomLoss(focal), z, y)
    assert found.errors is not None
    assert found.errors.tolist() == (z.argmax(1) != y).long().tolist()
    torch.testing.assert_close(found.losses, focal(z, y).double())


# --- models that compute their own loss --------------------------------------------------------


def scored(logits: Tensor, targets: Tensor | None, loss: Tensor) -> tuple[Any, Any]:
    return SimpleNamespace(logits=logits, loss=loss), targets


def test_the_models_own_loss_is_taken_apart():
    z, y = normal(3, 6, 4, seed=0), ignored(labels(3, 6, classes=4, seed=1))
    shifted = F.cross_entropy(z[:, :-1].flatten(0, 1), y[:, 1:].flatten())
    plain = F.cross_entropy(z.flatten(0, 1), y.flatten())
    for mean in (shifted, plain):
        outputs, targets = scored(z, y, mean)
        found = per_sample(ModelLoss(), outputs, targets)
        assert float(found.losses.sum() / found.counts.sum()) == pytest.approx(float(mean))
        assert int(found.counts.sum()) == ModelLoss().count(outputs, targets)
    labelled, real = labels(3, classes=4, seed=2), normal(3, 1, seed=2)
    one = per_sample(ModelLoss(), *scored(z[:, 0], labelled, F.cross_entropy(z[:, 0], labelled)))
    assert one.errors is not None
    other = per_sample(ModelLoss(), *scored(z[:, 0, :1], real, F.mse_loss(z[:, 0, :1], real)))
    assert other.errors is None


@pytest.mark.parametrize("case", ["penalised", "without labels", "mean", "wrong length"])
def test_a_loss_that_gives_nothing_for_single_samples_is_refused_with_the_remedy(case):
    z, y = normal(6, 4, seed=0), labels(6, classes=4, seed=1)
    first, last = z[:, :1], z[:, 1]
    given: dict[str, tuple[Loss, Any, Any]] = {
        "penalised": (ModelLoss(), *scored(z, y, F.cross_entropy(z, y) + 1)),
        "without labels": (ModelLoss(), *scored(z, None, z.square().mean())),
        "mean": (CustomLoss(mean_log_cosh), first, last),
        "wrong length": (CustomLoss(lambda z, y: (z[:, 0] - y)[:3]), z, y),
    }
    with pytest.raises(ModelError, match="no loss for single samples") as raised:
        per_sample(*given[case])
    assert "one loss per sample" in raised.value.hint
