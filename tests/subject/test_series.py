from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from landscape.subject.subject import Subject

NAMES = ("step0.pt", "step100.pt", "step1000.pt", "step50.pt")


def written(folder: Path, **known) -> list[Path]:
    """Write a run as a shell would list it; `known` makes content of the number in a name."""
    folder.mkdir(exist_ok=True)
    for name in NAMES:
        number = int(name.removeprefix("step").removesuffix(".pt"))
        more = {key: place(number) for key, place in known.items()}
        torch.save({"model": nn.Linear(2, 1).state_dict(), **more}, folder / name)
    return [folder / name for name in NAMES]


def labels(paths: list[Path]) -> tuple[list[str], list[str]]:
    subject = Subject(nn.Linear(2, 1), checkpoints=paths)
    notes = [note for note in subject.provenance()["notes"] if "order of training" in note]
    return [one.label for one in subject.checkpoints], notes


@pytest.mark.parametrize("key", ["step", "epoch"])
def test_a_series_is_in_the_order_of_training(tmp_path, key):
    found, notes = labels(written(tmp_path, **{key: int}))
    assert found == ["step0.pt", "step50.pt", "step100.pt", "step1000.pt"]
    assert len(notes) == 1


def test_a_pair_stays_as_given(tmp_path):
    paths = written(tmp_path, step=int)[::-1][:2]
    assert labels(paths) == (["step50.pt", "step1000.pt"], [])


def test_without_steps_of_their_own_checkpoints_stay_as_given(tmp_path):
    assert labels(written(tmp_path / "none")) == (list(NAMES), [])
    assert labels(written(tmp_path / "same", step=lambda number: number // 200)) == (
        list(NAMES),
        [],
    )


def test_several_runs_stay_as_given(tmp_path):
    paths = written(tmp_path / "a", step=int)[1:3] + written(tmp_path / "b", step=int)[:1]
    assert labels(paths) == (["step100.pt", "step1000.pt", "step0.pt"], [])
