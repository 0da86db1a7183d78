from __future__ import annotations

import pytest
import torch

from landscape.connectivity.labels import distinct
from landscape.subject.files.checkpoint import Checkpoint


def checkpoint(path: str | None, label: str = "model") -> Checkpoint:
    return Checkpoint(label=label, tensors={"w": torch.zeros(1)}, path=path)


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["a.pt", "b.pt"], ("a.pt", "b.pt")),
        (["runs/0/final.pt", "runs/1/final.pt"], ("0/final.pt", "1/final.pt")),
        (["x/0/final.pt", "y/0/final.pt", "y/1/final.pt"],
         ("x/0/final.pt", "y/0/final.pt", "y/1/final.pt")),
        (["/final.pt", "/a/final.pt"], ("/final.pt", "a/final.pt")),
        (["a.pt", "a.pt"], ("a.pt (1)", "a.pt (2)")),
        ([None, None], ("model (1)", "model (2)")),
        ([None, "a/model"], ("model", "a/model")),
    ],
)  # fmt: skip
def test_names_are_short_and_different(paths, names):
    found = distinct([checkpoint(path) for path in paths])
    assert len(set(found)) == len(found)
    assert found == names
