from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from playwright.sync_api import Browser
from torch import nn

from landscape.answer import Cost
from landscape.diagnostics import (
    Connect,
    Gradients,
    Lipschitz,
    Ntk,
    Spectrum,
    Surface,
    TicketsScore,
    Weights,
)
from landscape.reports.agreement import Agreement
from landscape.reports.report import Failure, Report, Section, Skipped
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.reports.chromium import launched

PAYLOAD = (
    "<img src=x onerror=alert(1)></script><style>body{background:red}</style>"
    "[/red]\x1b[31m\x9b31m\"'|`${a}$\u202e\u2028@everyone"
)

# strings that have a fixed set of values; everything else may come from a file
FIXED = ("schema", "status", "kind", "operator", "severity", "normalise", "verdict", "by")


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
def whole() -> Report:
    """A report of two trained networks in which every section has numbers."""
    generator = torch.Generator().manual_seed(1)
    y = torch.arange(96) % 3
    x = torch.randn(96, 6, generator=generator) + 2 * nn.functional.one_hot(y, 6)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    ends = [_trained(model, x, y, generator, name) for name in ("left.pt", "right.pt")]
    subject = Subject(model, "ce", [(x[:48], y[:48]), (x[48:], y[48:])], ends)
    questions = (
        Gradients(samples=32, jacobian=2),
        Lipschitz(seconds=1.0, starts=2, steps=10),
        Spectrum(top=3, bottom=2, probes=3, max_probes=32),
        Surface(points=9),
        Connect(points=11, curve_steps=50, restarts=1),
        Ntk(samples=32),
        TicketsScore(),
        Weights(),
    )
    return Report(
        sections=tuple(Section.of(question.run(subject)) for question in questions),
        skipped=(Skipped("tickets-eval", "no training is given", "--train"),),
        agreements=(
            Agreement(
                claim="trace: random vectors and density",
                sections=("spectrum",),
                agrees=True,
                evidence="1.2 ± 0.1 and 1.22 ± 0.08",
            ),
            Agreement(
                claim="Gauss-Newton matrix: spectrum and kernel",
                sections=("spectrum", "ntk"),
                agrees=False,
                evidence="λ_max 3.1 ± 0.1 and 2.2 ± 0.1",
                advice="Run landscape doctor.",
            ),
        ),
        cost=Cost(seconds=9.0, products=500, peak_memory_bytes=10**8, samples=96),
        settings={"preset": "quick"},
        provenance={**subject.provenance(), "command": "landscape report left.pt right.pt"},
    )


def _trained(
    model: nn.Sequential,
    x: torch.Tensor,
    y: torch.Tensor,
    generator: torch.Generator,
    name: str,
) -> Checkpoint:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    model.zero_grad()
    return Checkpoint.of_model(model, name)


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def hostile(several: Report) -> dict[str, Any]:
    return poisoned(several)


def poisoned(report: Report) -> dict[str, Any]:
    """Return a document in which every string that could come from a file is an attack."""

    def attacked(value: Any, key: str = "") -> Any:
        if isinstance(value, dict):
            renamed = _keys(key)
            return {renamed(name): attacked(item, name) for name, item in value.items()}
        if isinstance(value, list):
            return [attacked(item, key) for item in value]
        return PAYLOAD if isinstance(value, str) and key not in FIXED else value

    document = report.to_json()
    document["provenance"]["parameters"] |= {"extra": "tensor"}
    document["provenance"]["notes"] = ["a note"]
    return attacked(document)


def _keys(owner: str) -> Callable[[str], str]:
    """Settings and sections may have any name."""
    return (lambda name: PAYLOAD + name) if owner in ("settings", "sections") else str
