from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from landscape.answer import Cost
from landscape.diagnostics import Gradients, Spectrum, Weights
from landscape.reports.report import Failure, Report, Section, Skipped
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject

PAYLOAD = (
    "<img src=x onerror=alert(1)></script>[/red]\x1b[31m\x9b31m\"'|`${a}$\u202e\u2028@everyone"
)

# strings that have a fixed set of values; everything else may come from a file
FIXED = ("schema", "status", "kind", "operator", "severity")


@pytest.fixture(scope="session")
def subject() -> Subject:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    first = Checkpoint.of_model(model, "first.pt")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    x = torch.randn(24, 6, generator=generator)
    y = torch.randint(0, 3, (24,), generator=generator)
    last = Checkpoint.of_model(model, "last.pt")
    return Subject(model, "ce", [(x[:16], y[:16]), (x[16:], y[16:])], [first, last])


def _bound(subject: Subject, **parts: Any) -> Report:
    questions = (Gradients(), Spectrum(top=3, bottom=2, probes=3, max_probes=32), Weights())
    results = [question.run(subject) for question in questions]
    return Report(
        sections=tuple(Section.of(result) for result in results),
        cost=Cost(seconds=1.5, products=120, peak_memory_bytes=10**8, samples=24),
        settings={"preset": "quick"},
        provenance={
            **subject.provenance(),
            "command": ["landscape", "report", "last.pt"],
            "date": "2025-01-31",
        },
        **parts,
    )


@pytest.fixture(scope="session")
def one(subject: Subject) -> Report:
    return _bound(subject.at(subject.checkpoint))


@pytest.fixture(scope="session")
def several(subject: Subject) -> Report:
    error = {
        "schema": "landscape/error/1",
        "code": "L600",
        "exit": 6,
        "what": "memory ran out",
        "where": "cpu",
        "why": "4 GiB were asked for",
        "next": "give --max-samples",
    }
    return _bound(
        subject,
        skipped=(Skipped("surface", "one checkpoint was given", "another checkpoint"),),
        failures=(Failure("lipschitz", error),),
    )


@pytest.fixture(scope="session")
def hostile(several: Report) -> dict[str, Any]:
    """A document in which every string that could come from a file is an attack."""

    def poisoned(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            renamed = _keys(key)
            return {renamed(name): poisoned(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [poisoned(item, key) for item in value]
        return PAYLOAD if isinstance(value, str) and key not in FIXED else value

    document = several.to_json()
    document["provenance"]["parameters"] |= {"extra": "tensor"}
    document["provenance"]["notes"] = ["a note"]
    return poisoned(document)


def _keys(owner: str) -> Callable[[str], str]:
    """Settings and sections may have any name."""
    return (lambda name: PAYLOAD + name) if owner in ("settings", "sections") else str
