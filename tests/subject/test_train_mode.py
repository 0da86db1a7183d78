"""Train mode: one fixed batch, its statistics, nothing random, nothing changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from landscape.diagnostics import DIAGNOSTICS
from landscape.errors import DataError, LandscapeError, ModelError, SettingError
from landscape.operators.hessian import HessianOperator
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.mode import DEPENDENT, check_mode
from landscape.subject.normalisation import refreshed
from landscape.subject.subject import Subject
from tests.cases import labels, normal, seeded, with_statistics
from tests.subject.test_undisturbed import assert_same, global_state, state_of
from tests.test_contracts import QUICK


def network(classes: int = 3) -> Any:
    """Two kinds of BatchNorm, in mixed modes, one of them with a cumulative average."""

    def build() -> nn.Module:
        first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.Linear(64, 5)]
        norm = nn.BatchNorm1d(5, momentum=None)
        return nn.Sequential(*first, norm, nn.Tanh(), nn.Dropout(0.0), nn.Linear(5, classes))

    model: Any = with_statistics(seeded(build, 0))
    model.train()
    model[1].eval()
    return model


def data(*sizes: int) -> list[tuple[Tensor, Tensor]]:
    return [(normal(n, 1, 6, 6, seed=n), labels(n, classes=3, seed=n + 1)) for n in sizes]


def studied(model: Any = None, source: Any = None, **settings: Any) -> Subject:
    source = data(9) if source is None else source
    settings = {"mode": "train", "device": "cpu", **settings}
    return Subject(model or network(), "ce", source, **settings)


def notes(subject: Subject) -> str:
    return "; ".join(subject.provenance()["notes"])


def only(subject: Subject) -> tuple[Tensor, Tensor]:
    """The one batch."""
    assert subject.batches is not None
    (batch,) = subject.batches
    return batch.args[0], batch.targets


# --- the function ------------------------------------------------------------------------------


def test_outputs_loss_and_gradient_are_those_of_the_module_in_train_mode():
    model, (x, y) = network(), data(9)[0]
    subject, own = studied(model, [(x, y)]), copy.deepcopy(model).train()
    outputs = own(x)
    with subject.undisturbed(0):
        (batch,) = subject.device_batches()
        assert torch.equal(subject.outputs(subject.point, batch), outputs)
    loss = F.cross_entropy(outputs, y)
    loss.backward()
    assert subject.loss(subject.point) == pytest.approx(loss.item(), rel=1e-6)
    gradient = torch.cat([one.grad.flatten() for one in own.parameters() if one.grad is not None])
    torch.testing.assert_close(subject.gradient(subject.point), gradient)


def test_running_statistics_do_not_enter():
    model, other = network(), network()
    for name, buffer in other.named_buffers():
        if "running" in name:
            buffer.add_(3.0)
    losses = [studied(one).loss(studied(one).point) for one in (model, other)]
    assert losses[0] == losses[1]
    evaluated = [studied(one, mode="eval").loss(studied(one).point) for one in (model, other)]
    assert evaluated[0] != evaluated[1]


def test_a_network_that_keeps_parts_in_eval_mode_is_taken_at_its_word():
    class Frozen(nn.Sequential):
        def train(self, mode: bool = True) -> Frozen:
            super().train(mode)
            self[1].eval()
            return self

    model = Frozen(*network())
    subject = studied(model)
    x, y = only(subject)
    expected = F.cross_entropy(copy.deepcopy(model).train()(x), y)
    assert subject.loss(subject.point) == pytest.approx(expected.item(), rel=1e-6)
    assert subject.loss(subject.point) != pytest.approx(studied(network()).loss(subject.point))


def test_statistics_that_are_not_tracked_are_those_of_the_batch_in_both_modes():
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3, track_running_stats=False))
    one = [(normal(8, 4, seed=1), labels(8, classes=3, seed=2))]
    losses = [
        studied(model, one, mode=mode).loss(studied(model, one).point) for mode in ("eval", "train")
    ]
    assert losses[0] == losses[1]


# --- the one batch -----------------------------------------------------------------------------


def test_all_samples_of_one_batch_are_taken():
    subject = studied(source=data(9))
    assert len(only(subject)[0]) == 9
    assert "train mode: one fixed batch of all 9 samples" in notes(subject)


def test_of_several_batches_the_first_is_taken_and_it_is_said():
    source = data(7, 9, 3)
    subject = studied(source=source)
    assert torch.equal(only(subject)[0], source[0][0])
    assert "one fixed batch of the first 7 samples" in notes(subject)
    assert subject.count == 7


@pytest.mark.parametrize("size", [3, 7, 12, 19])
def test_the_batch_size_that_is_asked_for_is_taken_from_the_first_sample_on(size):
    source = data(7, 9, 3)
    subject = studied(source=source, batch_size=size)
    x, y = only(subject)
    assert torch.equal(x, torch.cat([one for one, _ in source])[:size])
    assert torch.equal(y, torch.cat([one for _, one in source])[:size])
    assert f"the first {size} samples" in notes(subject)


def test_a_loader_is_read_no_further_than_the_first_batch():
    class Counted(Dataset):
        asked: set[int]

        def __init__(self) -> None:
            self.asked = set()

        def __len__(self) -> int:
            return 10**6

        def __getitem__(self, place: int) -> tuple[Tensor, int]:
            self.asked.add(place)
            return normal(1, 6, 6, seed=place), place % 3

    source = Counted()
    assert len(only(studied(source=DataLoader(source, batch_size=5)))[0]) == 5
    assert len(source.asked) <= 10  # the loader looks a batch ahead


def test_a_shuffled_loader_gives_the_same_batch_every_time_and_stays_as_it_was():
    generator = torch.Generator().manual_seed(3)
    x, y = data(20)[0]
    loader = DataLoader(TensorDataset(x, y), batch_size=6, shuffle=True, generator=generator)
    before = generator.get_state().clone()
    batches = [only(studied(source=loader))[0] for _ in range(2)]
    assert torch.equal(*batches)
    assert not torch.equal(batches[0], x[:6])
    assert torch.equal(generator.get_state(), before)


def test_mappings_keep_their_keys():
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = network()

        def forward(self, pixels: Tensor) -> Tensor:
            return self.body(pixels)

    source = [{"pixels": x, "labels": y} for x, y in data(4, 5)]
    named, plain = studied(Named(), source, batch_size=8), studied(None, data(4, 5), batch_size=8)
    assert named.loss(named.point) == plain.loss(plain.point)


def test_more_samples_than_there_are_is_refused():
    with pytest.raises(SettingError, match="20 samples was asked for, and there are 12") as caught:
        _ = studied(source=data(7, 5), batch_size=20).batches
    assert "one batch" in caught.value.why
    with pytest.raises(SettingError, match="there are 6"):
        _ = studied(source=data(7, 5), batch_size=8, max_samples=6).batches


def test_batches_that_cannot_be_joined_are_refused():
    source = [(normal(4, size, seed=1), labels(4, classes=3, seed=2)) for size in (5, 6)]
    with pytest.raises(DataError, match="no batch of 8"):
        _ = studied(source=source, batch_size=8).batches


def test_max_samples_cuts_the_batch():
    assert len(only(studied(source=data(9), max_samples=5))[0]) == 5


def test_a_single_sample_has_no_statistics():
    with pytest.raises(DataError, match="more than 1 value") as caught:
        _ = studied(source=data(1)).count
    assert "two samples" in caught.value.hint


# --- random layers -----------------------------------------------------------------------------


class Dropping(nn.Module):
    """Drops without a module of its own, as long as it trains."""

    def __init__(self, p: float = 0.4) -> None:
        super().__init__()
        self.p = p
        self.inner = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(F.dropout(x, self.p, self.training))


RANDOM = {
    "Dropout": lambda: nn.Dropout(0.1),
    "AlphaDropout": lambda: nn.AlphaDropout(0.1),
    "RReLU": lambda: nn.RReLU(),
    "TransformerEncoderLayer": lambda: nn.TransformerEncoderLayer(64, 2, 8, batch_first=True),
}


@pytest.mark.parametrize("name", RANDOM)
def test_random_layers_are_refused_by_name_before_anything_is_computed(name):
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), RANDOM[name](), nn.Linear(64, 3))
    with pytest.raises(ModelError, match="random numbers in train mode") as caught:
        studied(model)
    assert "2" in caught.value.where
    assert "--mode eval" in caught.value.hint
    _ = studied(model, mode="eval").count


def test_layers_of_an_lstm_that_drop_are_refused():
    class Read(nn.Module):
        def __init__(self, dropout: float) -> None:
            super().__init__()
            self.cell = nn.LSTM(6, 4, 2, batch_first=True, dropout=dropout)
            self.head = nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cell(x[:, 0])[0][:, -1])

    with pytest.raises(ModelError, match="random numbers") as caught:
        studied(Read(0.2))
    assert "cell (LSTM)" in caught.value.where
    _ = studied(Read(0.0)).count


def test_random_numbers_that_no_list_knows_are_traced_to_their_module():
    body = nn.Sequential(nn.Linear(36, 64), nn.Sequential(Dropping(), nn.Tanh()), nn.Linear(64, 3))
    subject = studied(nn.Sequential(nn.Flatten(), body))
    with pytest.raises(ModelError, match="random numbers in train mode") as caught:
        _ = subject.count
    assert caught.value.where == "1.1.0 (Dropping)"
    _ = studied(nn.Sequential(nn.Flatten(), body), mode="eval").count


class Rarely(nn.Module):
    """Skips its branch now and then, which the loss hardly shows."""

    def __init__(self, p: float, scale: float) -> None:
        super().__init__()
        self.p, self.scale = p, scale
        self.branch = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        skipped = self.training and float(torch.rand(())) < self.p
        return x if skipped else x + self.scale * self.branch(x)


def test_random_numbers_that_one_loss_does_not_show_are_found():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), Rarely(0.5, 1e-4), nn.Linear(64, 3))
    with pytest.raises(ModelError, match="random numbers in train mode") as caught:
        _ = studied(model).count
    assert caught.value.where == "2 (Rarely)"


def test_random_numbers_that_are_drawn_and_not_used_are_no_matter():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), Rarely(0.0, 1.0), nn.Linear(64, 3))
    assert studied(model).count == 9


def test_a_probability_of_zero_is_no_dropout():
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 64), Dropping(0.0), nn.Dropout(0.0))
    assert studied(nn.Sequential(*model, nn.Linear(64, 3))).count == 9


# --- what is left behind -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [k for k in DIAGNOSTICS if k.needs.data], ids=lambda k: k.name)
def test_everything_is_left_as_it_was(kind):
    model, other = network(), network()
    model[0].register_forward_hook(lambda *_: None)
    model_before, global_before = state_of(model), global_state()
    ends = [Checkpoint.of_model(one, name) for one, name in ((other, "a"), (model, "b"))]
    subject = studied(model, data(9, 4), checkpoints=ends[-kind.needs.checkpoints[0] :])
    try:
        told = kind.preset("quick", **QUICK.get(kind.name, {})).run(subject).provenance["mode"]
    except SettingError as refused:
        told = str(refused)
    assert told == "train" or DEPENDENT in told
    assert_same(model_before, state_of(model))
    assert_same(global_before, global_state())


def test_everything_is_left_as_it_was_after_an_error():
    class Failing(nn.Sequential):
        left = 4

        def forward(self, x: Tensor) -> Tensor:
            Failing.left -= 1
            if Failing.left == 0:
                raise KeyboardInterrupt
            return super().forward(x)

    model = Failing(*network())
    before = state_of(model)
    with pytest.raises(KeyboardInterrupt):
        HessianOperator(studied(model)).to_dense()
    assert_same(before, state_of(model))


def test_buffers_of_the_point_are_not_moved():
    subject = studied()
    before = {name: tensor.clone() for name, tensor in subject.point.rest.items()}
    HessianOperator(subject).to_dense()
    assert all(torch.equal(before[name], tensor) for name, tensor in subject.point.rest.items())


# --- identity and provenance -------------------------------------------------------------------


def test_answers_of_both_modes_are_never_taken_for_one_another():
    model, source = network(), data(9)
    one, same, other = (studied(model, source, mode=m) for m in ("train", "train", "eval"))
    assert one.identity() == same.identity()
    assert one.identity()["mode"] != other.identity()["mode"]
    smaller = studied(model, source, batch_size=5)
    assert smaller.identity()["batches"] != one.identity()["batches"]


def test_the_digest_of_the_network_is_that_of_the_modules_as_they_are():
    model = network()
    subject = studied(model)
    with subject.undisturbed(0):
        inside = subject.identity()["model"]
    assert inside == studied(model, mode="eval").identity()["model"]


def test_the_provenance_tells_the_mode():
    told = studied().provenance()
    assert told["mode"] == "train"
    assert told["switches"][0].startswith("train mode")
    assert studied(mode="eval").provenance()["switches"][0] == "eval mode"


def test_copies_of_a_subject_keep_the_mode():
    subject = studied(checkpoints=[Checkpoint.of_model(network(), name) for name in ("a", "b")])
    kept = torch.tensor([1, 4])
    for one in (
        subject.at(subject.checkpoints[0]),
        subject.in_precision(torch.float64),
        subject.narrowed(kept),
        subject.without_data(),
    ):
        assert one.mode == "train"


# --- what cannot be ----------------------------------------------------------------------------


def test_there_is_no_other_mode():
    with pytest.raises(SettingError, match="eval, train"):
        studied(mode="test")


def test_several_processes_cannot_share_a_batch():
    with pytest.raises(SettingError, match="several processes"):
        check_mode("train", processes=2)
    assert check_mode("eval", processes=2) == "eval"


def test_what_needs_independent_samples_is_refused():
    with pytest.raises(SettingError, match="per-sample gradients") as caught:
        studied().refuse_dependent("per-sample gradients")
    assert "depend on one another" in caught.value.why
    studied(mode="eval").refuse_dependent("per-sample gradients")


def test_a_loss_that_is_not_a_mean_over_samples_is_fine_for_one_batch():
    def worst(outputs: Tensor, targets: Tensor) -> Tensor:
        return F.cross_entropy(outputs, targets, reduction="none").max()

    subject = Subject(network(), worst, data(9, 4), device="cpu", mode="train")
    assert subject.loss(subject.point) > 0
    with pytest.raises(LandscapeError):
        _ = Subject(network(), worst, data(9, 4), device="cpu").count


def test_statistics_are_not_refreshed_as_they_do_not_enter():
    subject = studied()
    point = subject.point
    assert refreshed(subject, point, subject.device_batches()) is point
    evaluated = studied(mode="eval")
    assert refreshed(evaluated, evaluated.point, evaluated.device_batches()) is not evaluated.point
