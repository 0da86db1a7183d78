from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.errors import (
    CheckpointError,
    DataError,
    DeviceError,
    ModelError,
    NumericalError,
    SettingError,
)
from landscape.operators.hessian import HessianOperator
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.cases import CASES, Transformer, labels, mlp, normal, reference, seeded


def pairs() -> list[tuple[Tensor, Tensor]]:
    return [(normal(n, 5, seed=n), labels(n, classes=3, seed=n)) for n in (6, 3)]


# --- pure functions of a point -----------------------------------------------------------------


def test_outputs_are_those_of_the_module_in_eval_mode():
    problem = CASES["cnn"]()
    subject = problem.subject()
    (batch, _) = subject.device_batches()
    with torch.no_grad():
        expected = problem.model.eval()(problem.data[0][0])
    torch.testing.assert_close(subject.outputs(subject.point, batch), expected)


class Masked(nn.Module):
    """Attention under a mask that its forward makes in the default precision."""

    def __init__(self) -> None:
        super().__init__()
        self.into, self.out = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q = self.into(x).unflatten(2, (2, 4)).transpose(1, 2)
        mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)
        seen = F.scaled_dot_product_attention(q, q, q, attn_mask=mask)
        return self.out(seen.transpose(1, 2).flatten(2).mean(1))


def test_a_mask_in_float32_means_the_same_in_float64():
    """PyTorch 2.15 reads it in the wrong precision, without an error, from 16 places on."""
    model = seeded(Masked, 0)
    data = [(normal(5, 16, 4, seed=1), labels(5, classes=3, seed=2))]
    single, double = (Subject(model, "ce", data, dtype=dtype) for dtype in ("float32", "float64"))
    assert double.loss(double.point) == pytest.approx(single.loss(single.point), rel=1e-5)
    slope = single.gradient(single.point).double()
    torch.testing.assert_close(double.gradient(double.point), slope, rtol=1e-4, atol=1e-6)


def test_another_point_gives_the_loss_of_a_module_with_those_weights():
    subject = CASES["mlp"]().subject()
    theta = subject.point.theta + 0.1 * normal(123, seed=0)
    other = seeded(mlp, 0)
    nn.utils.vector_to_parameters(theta, other.parameters())
    expected = Subject(other, "ce", CASES["mlp"]().data)
    assert subject.loss(subject.point.moved(theta)) == expected.loss(expected.point)


def test_gradient_is_the_slope_of_the_loss():
    subject = CASES["tied"]().subject(dtype="float64")
    theta, gradient = subject.point.theta, subject.gradient(subject.point)
    direction = normal(len(theta), seed=1).double()
    direction /= direction.norm()
    step = 1e-5
    ahead, behind = (
        subject.loss(subject.point.moved(theta + s * direction)) for s in (step, -step)
    )
    assert float(gradient @ direction) == pytest.approx((ahead - behind) / (2 * step), rel=1e-6)


def test_max_samples_is_the_problem_of_the_first_samples():
    problem = CASES["ragged"]()
    x, y = problem.data[0]
    cut = problem.subject(max_samples=10)
    whole = Subject(problem.model, "ce", (x[:10], y[:10]))
    assert cut.loss(cut.point) == whole.loss(whole.point)
    assert cut.count == 10


def test_a_stack_of_wrappers_is_looked_through():
    model = seeded(mlp, 0)
    wrapped = nn.DataParallel(model) if not torch.cuda.is_available() else model
    subject, plain = Subject(wrapped, "ce", pairs()), Subject(model, "ce", pairs())
    assert subject.parameters.names == plain.parameters.names
    assert subject.loss(subject.point) == plain.loss(plain.point)


def test_held_out_data_are_kept_apart():
    train, held_out = pairs()[:1], pairs()[1:]
    subject = Subject(seeded(mlp, 0), "ce", {"train": train, "held_out": held_out})
    assert subject.batches is not None
    assert subject.held_out is not None
    assert (subject.batches.samples, subject.held_out.samples) == (6, 3)
    assert subject.count == 6


# --- precision ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "asked", "expected"),
    [
        (torch.float32, "auto", torch.float32),
        (torch.float64, "auto", torch.float64),
        (torch.float16, "auto", torch.float32),
        (torch.bfloat16, "auto", torch.float32),
        (torch.float32, "float64", torch.float64),
        (torch.float64, "float32", torch.float32),
    ],
)
def test_precision_is_that_of_the_weights_unless_asked(weights, asked, expected):
    subject = Subject(seeded(mlp, 0).to(weights), "ce", pairs(), dtype=asked)
    assert subject.dtype == subject.point.theta.dtype == expected
    assert subject.gradient(subject.point).dtype == expected


def test_half_precision_for_curvature_is_refused():
    with pytest.raises(SettingError, match="dtype must be one of"):
        Subject(seeded(mlp, 0), "ce", pairs(), dtype="bfloat16")


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(DeviceError, match="not available"):
        Subject(seeded(mlp, 0), "ce", pairs(), device="cuda:93")


# --- checkpoints -------------------------------------------------------------------------------


def test_the_model_itself_is_the_checkpoint_when_none_is_given():
    model = seeded(mlp, 0)
    subject = Subject(model, "ce", pairs())
    before = subject.point.theta.clone()
    with torch.no_grad():
        model[0].weight.add_(1)  # training goes on; the subject is frozen
    assert torch.equal(subject.point.theta, before)
    now = Subject(model, "ce", pairs())
    assert now.loss(now.point) != subject.loss(subject.point)


def test_a_point_is_not_changed_by_training_that_goes_on():
    """Buffers that no file holds come from the module, and must be copied when it is attached."""

    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.scale: Tensor
            self.register_buffer("scale", torch.ones(()), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale

    model = seeded(Scaled, 0)
    subject = Subject(model, "ce", pairs())
    before = subject.loss(subject.point)
    model.scale.mul_(3)
    assert subject.loss(subject.point) == before


def test_each_point_holds_the_rest_of_its_own_checkpoint():
    one, two = CASES["cnn"]().model, CASES["cnn"]().model
    two[1].running_mean.add_(5)
    checkpoints = [Checkpoint.of_model(one, "one"), Checkpoint.of_model(two, "two")]
    subject = CASES["cnn"]().subject(checkpoints=checkpoints)
    points = [subject.point_of(checkpoint) for checkpoint in checkpoints]
    assert torch.equal(points[0].theta, points[1].theta)
    difference = points[1].rest["1.running_mean"] - points[0].rest["1.running_mean"]
    torch.testing.assert_close(difference, torch.full((4,), 5.0))
    assert subject.point is points[1]


def test_at_studies_one_checkpoint_and_shares_the_data():
    checkpoints = [Checkpoint.of_model(seeded(mlp, seed), str(seed)) for seed in (1, 2)]
    subject = Subject(seeded(mlp, 0), "ce", pairs(), checkpoints)
    first = subject.at(checkpoints[0])
    assert first.checkpoint.label == "1"
    assert subject.checkpoint.label == "2"
    assert first.batches is subject.batches
    alone = Subject(seeded(mlp, 1), "ce", pairs())
    assert first.loss(first.point) == alone.loss(alone.point)


def test_a_checkpoint_of_another_network_is_refused():
    with pytest.raises(CheckpointError):
        Subject(seeded(mlp, 0), "ce", pairs(), [Checkpoint.of_model(nn.Linear(2, 2))])


def test_weights_that_are_not_finite_are_located():
    model = seeded(mlp, 0)
    model[2].weight.data[3, 1] = math.nan
    subject = Subject(model, "ce", pairs())
    with pytest.raises(NumericalError, match=r"1 non-finite values in 2\.weight .*\[3, 1\]"):
        subject.loss(subject.point)


def test_fingerprint_depends_on_the_weights_alone():
    one = Subject(seeded(mlp, 0), "ce", pairs())
    same = Subject(nn.DataParallel(seeded(mlp, 0)), "mse", None)
    other = Subject(seeded(mlp, 1), "ce", pairs())
    prints = [s.weights_fingerprint(s.checkpoint) for s in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


# --- the loss ----------------------------------------------------------------------------------


def test_auto_chooses_and_says_so():
    subject = Subject(seeded(mlp, 0), "auto", pairs())
    named = Subject(seeded(mlp, 0), "ce", pairs())
    assert subject.loss(subject.point) == named.loss(named.point)
    assert any("loss ce chosen" in note for note in subject.provenance()["notes"])


def test_a_loss_that_is_not_finite_names_batch_and_module():
    model: Any = nn.Sequential(nn.Linear(5, 3, bias=False), nn.Linear(3, 3))
    model[0].weight.data.fill_(1)
    model[1].weight.data.fill_(3e38)
    data = pairs()
    data[0][0].zero_()
    data[1][0].fill_(1)
    subject = Subject(model, "ce", data)
    with pytest.raises(NumericalError, match="not finite in batch 1") as raised:
        subject.loss(subject.point)
    assert raised.value.where.endswith(": 1")


def test_data_in_which_every_target_is_ignored_are_refused():
    x, y = pairs()[0]
    subject = Subject(seeded(mlp, 0), "ce", (x, torch.full_like(y, -100)))
    with pytest.raises(DataError, match="nothing counts"):
        subject.loss(subject.point)


def test_a_batch_in_which_every_target_is_ignored_counts_nowhere():
    x, y = pairs()[0]
    ignored = (x + 1, torch.full_like(y, -100))
    one, two = (
        Subject(seeded(mlp, 0), "ce", [(x, y)]),
        Subject(seeded(mlp, 0), "ce", [ignored, (x, y), ignored]),
    )
    assert one.loss(one.point) == two.loss(two.point)
    dense = HessianOperator(one).to_dense()
    torch.testing.assert_close(HessianOperator(two).to_dense(), dense, rtol=1e-5, atol=1e-7)


def test_a_model_with_its_own_shifted_loss_is_weighted_by_its_labels():
    exact = reference("self-scored")
    subject = CASES["self-scored"]().subject(dtype="float64")
    expected = float(exact.loss(exact.theta))
    assert subject.loss(subject.point) == pytest.approx(expected, rel=1e-12)


def test_a_model_that_returns_its_loss_is_told_by_auto():
    """Called with its labels; plain cross-entropy on unshifted labels would be another loss."""
    problem = CASES["self-scored"]()
    subject = Subject(problem.model, "auto", problem.data, dtype="float64")
    exact = reference("self-scored")
    expected = float(exact.loss(exact.theta))
    assert subject.loss(subject.point) == pytest.approx(expected, rel=1e-12)


def test_a_custom_mean_over_named_inputs_without_labels_is_counted_by_samples():
    class Coder(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) - x

    def size(outputs: Any, _targets: Any) -> Tensor:
        return outputs.square().sum(1).mean()

    model = seeded(lambda: Coder(4, 4), 0)
    data = [{"x": normal(n, 4, seed=n)} for n in (6, 2)]
    subject = Subject(model, size, data)
    whole = torch.cat([item["x"] for item in data])
    with torch.no_grad():
        expected = float(size(model(whole), None))
    assert subject.loss(subject.point) == pytest.approx(expected, rel=1e-6)


# --- mistakes of the caller --------------------------------------------------------------------


def test_a_forward_that_does_not_fit_the_data_shows_both():
    subject = Subject(seeded(mlp, 0), "ce", (normal(4, 6, seed=0), labels(4, classes=3, seed=0)))
    with pytest.raises(DataError, match="could not be called") as raised:
        subject.loss(subject.point)
    assert "float32 4×6" in raised.value.why


def test_real_numbers_for_tokens_show_what_data_fit():
    subject = Subject(
        seeded(Transformer, 0), "ce", (normal(4, 6, seed=0), labels(4, classes=3, seed=0))
    )
    with pytest.raises(DataError, match="could not be called") as raised:
        subject.loss(subject.point)
    assert "--data random:shape=…,tokens=7" in raised.value.hint


def test_an_unknown_keyword_shows_what_the_batch_holds():
    data = {"pixels": normal(4, 5, seed=0), "labels": labels(4, classes=3, seed=0)}
    subject = Subject(seeded(mlp, 0), "ce", data)
    with pytest.raises(DataError, match="pixels"):
        subject.loss(subject.point)


@pytest.mark.parametrize("model", [5, object(), nn.Linear], ids=["int", "object", "class"])
def test_something_that_is_no_module_is_refused(model):
    with pytest.raises(ModelError, match="must be a torch"):
        Subject(model, "ce", pairs())


@pytest.mark.parametrize("loss", [5, None], ids=["int", "none"])
def test_something_that_is_no_loss_is_refused(loss):
    with pytest.raises(ModelError, match="loss"):
        Subject(seeded(mlp, 0), loss, pairs())


def test_a_lazy_module_is_refused():
    with pytest.raises(ModelError, match="no values yet"):
        Subject(nn.LazyLinear(3), "ce", pairs())


def test_without_data_there_is_no_loss():
    subject = Subject(seeded(mlp, 0), "ce")
    with pytest.raises(SettingError, match="no data"):
        subject.loss(subject.point)


def test_without_a_model_there_is_no_network():
    subject = Subject(checkpoints=[Checkpoint(label="w", tensors={"w": torch.ones(2)})])
    with pytest.raises(SettingError, match="no model"):
        _ = subject.network


# --- shared work -------------------------------------------------------------------------------

calls: list[float] = []


def counted_loss(subject: Subject, factor: float = 1.0) -> float:
    calls.append(factor)
    return factor * subject.loss(subject.point)


def spectrum_like(subject: Subject) -> np.ndarray:
    calls.append(0)
    return subject.gradient(subject.point).numpy()


@pytest.fixture(autouse=True)
def forget():
    calls.clear()


def test_shared_work_is_done_once_for_each_setting():
    subject = Subject(seeded(mlp, 0), "ce", pairs())
    values = [subject.once(counted_loss, factor=f) for f in (1.0, 2.0, 1.0, 2.0)]
    assert calls == [1.0, 2.0]
    assert values[0] == values[2] == values[1] / 2


def test_shared_work_is_found_again_in_the_folder(tmp_path):
    def subject() -> Subject:
        return Subject(seeded(mlp, 0), "ce", pairs(), folder=tmp_path)

    one = [subject().once(counted_loss), subject().once(counted_loss)]
    two = [subject().once(spectrum_like), subject().once(spectrum_like)]
    assert one[0] == one[1]
    assert np.array_equal(two[0], two[1])
    assert calls == [1.0, 0]


def test_a_torn_file_is_computed_again(tmp_path):
    def value() -> float:
        return Subject(seeded(mlp, 0), "ce", pairs(), folder=tmp_path).once(counted_loss)

    first = value()
    (stored,) = tmp_path.iterdir()
    for content in (b"", stored.read_bytes()[:50], b"PK\x03\x04 garbage"):
        stored.write_bytes(content)
        assert value() == first


def _other_activation() -> nn.Module:
    return nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 6), nn.Sigmoid(), nn.Linear(6, 3))


def first_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none")


def second_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return 3 * F.cross_entropy(outputs, targets, reduction="none")


def buffered(value: float) -> nn.Module:
    class Buffered(nn.Linear):
        def __init__(self) -> None:
            super().__init__(5, 3)
            self.scale: Tensor
            self.register_buffer("scale", torch.tensor(value), persistent=False)

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * self.scale

    return seeded(Buffered, 0)


DIFFERENT: dict[str, list[dict[str, Any]]] = {
    "weights": [{"model": seeded(mlp, 0)}, {"model": seeded(mlp, 1)}],
    "architecture": [{"model": seeded(mlp, 0)}, {"model": seeded(_other_activation, 0)}],
    "data": [{"data": pairs()}, {"data": pairs()[:1]}],
    "loss": [{"loss": first_loss}, {"loss": second_loss}],
    "precision": [{"dtype": "float32"}, {"dtype": "float64"}],
    "transient buffer": [{"model": buffered(1.0)}, {"model": buffered(2.0)}],
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_shared_work_is_never_that_of_another_subject(name, tmp_path):
    """One folder serves many runs: whatever changes the number must change the key."""
    for part in DIFFERENT[name]:
        settings = {"model": seeded(mlp, 0), "loss": "ce", "data": pairs(), **part}
        alone = counted_loss(Subject(**settings))
        shared = Subject(**settings, folder=tmp_path).once(counted_loss)
        assert shared == alone


@pytest.mark.parametrize("choice", [{"params": "2"}, {"mask": {"0.bias": torch.arange(8) < 3}}])
def test_shared_work_depends_on_what_is_studied(choice, tmp_path):
    sizes = [
        len(Subject(seeded(mlp, 0), "ce", pairs(), folder=tmp_path, **c).once(spectrum_like))
        for c in ({}, choice)
    ]
    assert sizes[0] != sizes[1]


def test_provenance_is_plain_and_names_what_the_numbers_rest_on():
    import json

    subject = Subject(seeded(mlp, 0), "ce", pairs(), params="2")
    found = subject.provenance()
    json.dumps(found, allow_nan=False)
    assert found["loss"] == "ce"
    assert found["parameters"]["studied"] == 54
    assert found["dtype"] == "float32"
    assert found["weights_fingerprint"] == subject.weights_fingerprint(subject.checkpoint)


def test_provenance_holds_the_hash_of_the_factory_file(tmp_path):
    import hashlib

    code = "from torch import nn\n\n\ndef build():\n    return nn.Linear(2, 1)\n"
    path = tmp_path / "nets.py"
    path.write_text(code, "utf-8")
    sources = Subject(f"{path}:build").provenance()["sources"]
    digest = hashlib.sha256(code.encode()).hexdigest()
    assert sources == {"model": {"file": "nets.py", "sha256": digest}, "data": None}
    assert Subject(seeded(mlp, 0)).provenance()["sources"]["model"] is None
