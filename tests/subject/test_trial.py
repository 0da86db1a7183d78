"""Inputs by trial: the shape that a network takes, by its layers, or why there is none."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.errors import SettingError
from landscape.subject.network import Network
from landscape.subject.trial import Trial
from tests.cases import Multihead, Recurrent, Residual, SelfScored, Transformer, cnn, mlp, seeded
from tests.lipschitz.networks import Encoder, Mixer

Shape = tuple[int, ...]


class HeadFirst(nn.Module):
    """Its layers are not in the order in which they are used."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.stem = nn.Conv2d(2, 6, 5, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.stem(x).mean((2, 3)))


class Mixing(nn.Module):
    """Normalises by the batch at hand."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inner(x)
        return x - x.mean(0)


class Flattened(nn.Sequential):
    """A linear layer behind flattened features says which sides fit: 20 and 21."""

    def __init__(self) -> None:
        pooled = nn.Conv2d(3, 2, 3, padding=1), nn.MaxPool2d(2)
        super().__init__(*pooled, nn.Flatten(), nn.Linear(2 * 10 * 10, 4))


class Viewed(nn.Module):
    """Two poolings, and a view that takes another side for another number of samples."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.head = nn.Conv2d(1, 2, 5), nn.Linear(2 * 9 * 9, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.max_pool2d(self.stem(x), 4)
        return self.head(x.view(-1, 2 * 9 * 9))


class NotFinite(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * torch.nan


FITS: list[tuple[Callable[[], nn.Module], Shape, int | None]] = [
    (mlp, (5,), None),
    (cnn, (1, 8, 8), None),
    (Residual, (1, 32, 32), None),
    (HeadFirst, (2, 32, 32), None),
    (Flattened, (3, 20, 20), None),
    (Viewed, (1, 40, 40), None),
    (Recurrent, (32, 3), None),
    (Encoder, (32, 4), None),
    (Transformer, (4,), 7),
    (SelfScored, (4,), 7),
    (Multihead, (32,), 6),
    (lambda: nn.Conv1d(3, 2, 9), (3, 32), None),
    (lambda: nn.Conv3d(1, 2, 9), (1, 16, 16, 16), None),
]


@pytest.mark.parametrize(("build", "shape", "tokens"), FITS)
def test_the_first_shape_that_fits(build, shape, tokens):
    trial = Network(seeded(build, 0)).trial
    assert isinstance(trial, Trial)
    assert (trial.shape, trial.tokens) == (shape, tokens)
    assert "×".join(map(str, shape)) in trial.told
    subject = ls.Subject(seeded(build, 0), data=trial.spec, max_samples=2, device="cpu")
    assert subject.batches is not None
    (batch,) = subject.batches
    assert batch.args[0].shape == (2, *shape)
    assert (batch.args[0].dtype == torch.int64) is (tokens is not None)


def test_other_shapes_that_fit_are_told():
    alone, several = Network(seeded(cnn, 0)).trial, Network(seeded(Residual, 0)).trial
    assert isinstance(alone, Trial)
    assert isinstance(several, Trial)
    assert not alone.others
    assert "no other that was tried fits" in alone.told
    assert [shape[1:] for shape in several.others] == [(n, n) for n in (28, 64, 224, 16, 8)]
    assert "1×28×28, 1×64×64, 1×224×224 and 2 more would fit too" in several.told


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (Mixer, "missing 2 required positional arguments"),
        (Mixing, "depend on the others in the batch"),
        (nn.PReLU, "no layer suggests a shape"),
        (NotFinite, "the outputs are not finite"),
    ],
)
def test_where_none_fits_the_reason_is_told(build, reason):
    model = seeded(build, 0)
    trial = Network(model).trial
    assert isinstance(trial, str)
    assert reason in trial
    with pytest.raises(SettingError, match="no inputs were found by trial"):
        ls.Subject(model, device="cpu").tried()


def test_the_network_is_left_as_it_was():
    model = seeded(Residual, 0).train()
    before, random = {n: t.clone() for n, t in model.state_dict().items()}, torch.get_rng_state()
    _ = Network(model).trial
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert model.training


def test_a_subject_that_is_tried_says_so_and_its_data_stay_none():
    subject = ls.Subject(seeded(mlp, 0), "ce", device="cpu")
    tried = subject.tried()
    assert tried.batches is not None
    assert subject.batches is None
    assert tried.count == tried.batches.samples
    told = subject.provenance()
    assert (told["data"], told["batches_hash"], told["synthetic"]) == (None, None, False)
    assert any("found by trial" in note for note in told["notes"])
