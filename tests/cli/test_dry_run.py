"""What a dry run refuses, and that it is what the run refuses before anything is computed."""

from __future__ import annotations

import pytest
import torch

from landscape.base import Diagnostic
from tests.cli.command import SUBJECT, contents, run
from tests.cli.networks import mlp


@pytest.mark.parametrize("flags", ["--dry-run", ""])
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (f"spectrum final.pt {SUBJECT} --top 5000", 2, "5000 eigenpairs"),
        (f"spectrum final.pt {SUBJECT} --precondition optimizer", 2, "preconditioner is not known"),
        (f"spectrum final.pt {SUBJECT} --precondition absent.npy", 2, "no preconditioner"),
        (f"ntk final.pt {SUBJECT} --kernel-file absent/k.npz", 3, "the kernel cannot be written"),
        (f"ntk final.pt {SUBJECT} --max-memory 1e-7", 6, "does not fit"),
        (f"ntk final.pt {SUBJECT} --kind products --plan", 2, "forms no kernel"),
        (f"lipschitz final.pt {SUBJECT} --verify final.pt", 3, "certificate"),
        (f"lipschitz final.pt {SUBJECT} --verify finl.pt", 3, "next: did you mean final.pt?"),
        (f"lipschitz final.pt {SUBJECT} --witness absent/pair", 3, "the pair cannot be written"),
        (f"connect initial.pt final.pt {SUBJECT} --override absent.toml", 3, "override file"),
        (f"surface final.pt {SUBJECT} --directions curve", 2, "two checkpoints are needed"),
        (f"surface final.pt {SUBJECT} --directions trajectory", 2, "3 checkpoints are needed"),
        (f"solutions initial.pt final.pt {SUBJECT} --initial", 2, "beside the initial one"),
        (f"tickets eval final.pt {SUBJECT} --mask final.pt", 3, "mask"),
        (f"tickets eval final.pt {SUBJECT} --controls luck", 2, "no control 'luck'"),
        (f"tickets find final.pt {SUBJECT} --dense *", 3, "prune"),
        ("tickets compare final.pt other.pt", 3, "different networks"),
        (f"tickets score final.pt {SUBJECT} --method movement", 2, "compares two checkpoints"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_computed(
    folder, monkeypatch, command, code, says, flags
):
    def fail(*_: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(Diagnostic, "_sealed", fail)
    torch.save(mlp(width=8).state_dict(), folder / "other.pt")
    before = contents(folder)
    outcome = run(f"{command} -o out {flags}")
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert outcome.stdout == ""
    assert contents(folder) == before
