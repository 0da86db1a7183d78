"""What the user knows better: places frozen, tied and released, and where a file is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import InputError, ModelError, SettingError
from landscape.subject.subject import Subject
from landscape.symmetry.groups import infer
from landscape.symmetry.override import Override, from_mapping, read
from landscape.symmetry.proof import prove
from tests.cases import labels, normal, seeded
from tests.oracles import generator
from tests.symmetry.networks import CASES


def test_frozen_axes_stay() -> None:
    subject = CASES["mlp"].subject()
    symmetry = infer(subject, override=Override(freeze=("0.*:0",)))
    assert [group.name for group in symmetry.groups] == ["2.weight:0"]
    assert {each.reason for each in symmetry.frozen if each.tensor == "0.bias"} == {"override"}


class Sines(nn.Module):
    """Two hidden layers of one width, the second one through an operation that is unknown."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 6), nn.Linear(4, 6)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.first(x) + torch.special.bessel_j0(self.second(x)))


def sines() -> Subject:
    data = [(normal(5, 4, seed=1), labels(5, classes=3, seed=1))]
    return Subject(seeded(Sines, 1), "ce", data, device="cpu")


def test_an_operation_is_declared_to_be_like_another() -> None:
    subject = sines()
    before = infer(subject)
    assert before.groups == ()
    assert list(before.unknown) == ["special_bessel_j0"]
    symmetry = infer(subject, override=Override(like={"special_bessel_j0": "elementwise"}))
    assert len(symmetry.groups) == 1
    assert not symmetry.unknown
    assert prove(subject, symmetry, generator(1)).error < 1e-13


def test_groups_are_released_and_proved() -> None:
    subject = sines()
    places = ("first.weight:0", "first.bias:0", "second.weight:0", "second.bias:0")
    symmetry = infer(subject, override=Override(groups=((*places, "last.weight:1"),)))
    assert [group.ties for group in symmetry.groups] == [("override",)]
    assert prove(subject, symmetry, generator(1)).error < 1e-13
    short = infer(subject, override=Override(groups=((*places[:2], "last.weight:1"),)))
    with pytest.raises(ModelError, match="changes the network's function"):
        prove(subject, short, generator(1))


def test_tied_axes_are_one_group() -> None:
    def build() -> nn.Module:
        layers = [nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3)]
        return nn.Sequential(*layers)

    data = [(normal(5, 4, seed=1), labels(5, classes=3, seed=1))]
    subject = Subject(seeded(build, 1), "ce", data, device="cpu")
    symmetry = infer(subject, override=Override(tie=(("0.weight:0", "2.weight:0"),)))
    assert len(symmetry.groups) == 1
    assert prove(subject, symmetry, generator(1)).error < 1e-13


@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_files_are_read(tmp_path: Path, suffix: str) -> None:
    toml = 'freeze = ["a:0"]\ntie = [["a:0", "b:1"]]\nlike = { mine = "relu" }\n'
    as_json = '{"freeze": ["a:0"], "tie": [["a:0", "b:1"]], "like": {"mine": "relu"}}'
    file = tmp_path / f"groups{suffix}"
    file.write_text(toml if suffix == ".toml" else as_json)
    assert read(file) == Override(freeze=("a:0",), tie=(("a:0", "b:1"),), like={"mine": "relu"})


@pytest.mark.parametrize(
    "wrong",
    [{"frieze": []}, {"freeze": "a:0"}, {"tie": ["a:0"]}, {"like": {"mine": "magic"}}, ["a:0"]],
)
def test_what_is_no_override_is_refused(wrong: object) -> None:
    with pytest.raises(SettingError, match="not understood"):
        from_mapping(wrong)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text("freeze = [")
    with pytest.raises(InputError, match="cannot be read"):
        read(broken)


def test_places_that_are_not_there_are_refused() -> None:
    subject = CASES["mlp"].subject()
    with pytest.raises(ModelError, match="no axis matches"):
        infer(subject, override=Override(freeze=("0.weight:2",)))
    with pytest.raises(ModelError, match="different lengths"):
        infer(subject, override=Override(tie=(("0.weight:0", "2.weight:0"),)))
