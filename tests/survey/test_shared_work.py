"""What several sections of a report need is computed as seldom as can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.survey import survey
from landscape.tickets.data import Split
from tests.test_survey import FAST, asked, subject

EACH = 2  # gradients and spectrum compute loss and gradient; no other section does


@pytest.fixture
def counts(monkeypatch) -> Counter[tuple[str, bytes]]:
    """How often the loss, or the gradient, over all data was computed at a point."""
    found: Counter[tuple[str, bytes]] = Counter()

    def watch(name: str) -> None:
        original: Callable[..., Any] = getattr(Subject, name)

        def counted(self: Subject, point: Point) -> Any:
            found[name, point.theta.detach().numpy().tobytes()] += 1
            return original(self, point)

        monkeypatch.setattr(Subject, name, counted)

    watch("loss")
    watch("gradient")
    return found


def test_loss_and_gradient_of_the_checkpoint(counts):
    studied = subject()
    asked(studied)
    here = studied.point.theta.numpy().tobytes()
    assert counts["gradient", here] == EACH
    assert counts["loss", here] == EACH


def test_a_search_for_tickets_is_the_first_seed_of_their_trial(monkeypatch):
    """Every run is judged once: 1 dense network, 2 levels, and a control of each."""
    judged = []
    original = Split.judged

    def counted(self: Split, given: Subject, tensors: dict[str, Tensor]) -> Any:
        judged.append(torch.cat([one.flatten() for one in tensors.values()]))
        return original(self, given, tensors)

    monkeypatch.setattr(Split, "judged", counted)
    quick = {"rounds": 2, "controls": "random", "steps": 3, "seeds": 1}
    survey(subject(), preset="quick", settings={**FAST, "tickets-eval": quick}, train="plain")
    assert len(judged) == 5
    assert len({one.numpy().tobytes() for one in judged}) == 5
