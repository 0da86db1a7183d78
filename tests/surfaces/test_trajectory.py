from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from landscape.errors import SettingError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from landscape.surfaces import trajectory
from landscape.surfaces.trajectory import components
from tests.cases import labels, normal


def run(rows: torch.Tensor) -> Subject:
    """A linear network whose weights are the rows, one checkpoint each."""
    model = nn.Linear(6, 5, bias=False, dtype=torch.float64)
    ends = [
        Checkpoint(label=f"{number}", tensors={"weight": row.view(5, 6)}, step=number)
        for number, row in enumerate(rows)
    ]
    data = [(normal(4, 6, seed=0).double(), labels(4, classes=5, seed=0))]
    return Subject(model, "ce", data, ends, device="cpu", dtype="float64")


def walk(steps: int = 12) -> torch.Tensor:
    return normal(steps, 30, seed=1).double().cumsum(0)


@pytest.mark.parametrize("held", [1, 700, 2**26])
def test_components_are_those_of_the_whole_matrix(held, monkeypatch):
    """Against the SVD of all differences; however few checkpoints are held at a time."""
    monkeypatch.setattr(trajectory, "HELD_BYTES", held)
    rows = walk()
    found = components(run(rows), count=2)
    apart = (rows - rows[-1])[:-1]
    left, singular, right = torch.linalg.svd(apart, full_matrices=False)
    shares = singular.square() / singular.square().sum()
    assert found.explained == pytest.approx(shares[:2].numpy(), rel=1e-10)
    for number, direction in enumerate(found.directions):
        sign = torch.sign(left[0, number])
        assert torch.allclose(direction, sign * right[number], atol=1e-10)
        along = (apart @ direction).numpy()
        assert found.positions[:-1, number] == pytest.approx(along, abs=1e-9)
    assert found.positions[-1].tolist() == [0, 0]
    inside = np.square(found.positions[:-1]).sum(1)
    outside = np.sqrt(apart.square().sum(1).numpy() - inside)
    assert found.apart[:-1] == pytest.approx(outside, abs=1e-7)
    assert found.distance[:-1] == pytest.approx(apart.norm(dim=1).numpy())


def test_a_run_in_a_plane_is_held_whole():
    basis = normal(2, 30, seed=2).double()
    rows = normal(7, 2, seed=3).double() @ basis
    found = components(run(rows), count=2)
    assert found.explained.sum() == pytest.approx(1)
    assert found.apart.max() < 1e-6
    gram = torch.stack(found.directions) @ torch.stack(found.directions).T
    assert torch.allclose(gram, torch.eye(2, dtype=torch.float64), atol=1e-12)


def test_a_run_on_a_line_spans_no_plane():
    line = torch.arange(5, dtype=torch.float64)[:, None] * normal(1, 30, seed=2).double()
    with pytest.raises(SettingError, match="fewer than 2 directions"):
        components(run(line), count=2)
    assert components(run(line), count=1).explained == pytest.approx([1.0])


def test_checkpoints_that_are_the_same_span_nothing():
    same = normal(1, 30, seed=2).double().expand(4, 30)
    with pytest.raises(SettingError, match="fewer than 1 directions"):
        components(run(same), count=1)


def test_too_few_checkpoints():
    with pytest.raises(SettingError, match="3 checkpoints are needed, 2 given"):
        components(run(walk(2)), count=2)


def test_checkpoints_of_the_run_are_not_kept():
    subject = run(walk())
    components(subject, count=2)
    assert len(subject._points) == 1, "only the last is"
