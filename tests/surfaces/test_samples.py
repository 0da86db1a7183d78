"""The samples of a surface, alone, and what its checks take on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.diagnostics.surface import Surface
from landscape.subject.subject import Subject
from landscape.surfaces import checked
from landscape.surfaces.curvature import loss_difference, slope_differences
from landscape.surfaces.samples import Samples


def subject(samples: int = 60, *, mapping: bool = False) -> Subject:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(samples, 4, generator=generator)
    labels = torch.arange(samples) % 3
    pieces = [(inputs[i : i + 20], labels[i : i + 20]) for i in range(0, samples, 20)]
    data: list[Any] = [{"input": x, "labels": y} for x, y in pieces] if mapping else [*pieces]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    return Subject(model, "ce", data, device="cpu")


@pytest.mark.parametrize("mapping", [False, True])
def test_a_subject_of_the_samples_alone(mapping: bool):
    """Its loss is the mean over the very samples that a surface is evaluated on."""
    whole = subject(mapping=mapping)
    chosen = Samples(whole, 15)
    alone = chosen.alone()
    losses = [
        whole.criterion.total(whole.outputs(whole.point, batch), batch.targets).item()
        for batch in chosen
    ]
    assert alone.batches is not None
    assert alone.batches.samples == alone.count == 15
    assert alone.loss(alone.point) == pytest.approx(sum(losses) / 15, rel=1e-6)
    assert whole.count == 60
    assert alone.identity()["batches"] != whole.identity()["batches"]
    assert Samples(whole, 60).alone() is whole
    assert Samples(whole).alone() is whole


def test_the_curvature_is_that_of_the_samples():
    """The product is that of the Hessian of the samples alone, by double differences of it."""
    whole = subject()
    found = Surface(points=3, samples=15).run(whole)
    alone = Samples(whole, 15).alone()
    same = Surface(points=3).run(alone)
    assert [one.product for one in found.checks] == [one.product for one in same.checks]
    assert all(one.agrees for one in found.checks)
    assert found.checks[0].product != Surface(points=3).run(whole).checks[0].product
    assert "on 15 of 60 samples" in found.summary()
    assert "on 60 samples" in Surface(points=3).run(whole).summary()


def test_checks_take_no_more_than_the_surface(monkeypatch: pytest.MonkeyPatch):
    """Passes are counted; the last direction that is begun is finished."""
    monkeypatch.setattr(checked, "FREE", 0)
    passes, largest = 0, 0
    loss, gradient = Subject.loss, Subject.gradient

    def counted(self: Subject, point: Any) -> float:
        nonlocal passes
        passes += self.dtype == torch.float64
        return loss(self, point)

    def counted_gradient(self: Subject, point: Any) -> Any:
        nonlocal passes
        passes += 3 * (self.dtype == torch.float64)
        return gradient(self, point)

    exact = subject().in_precision(torch.float64)
    unit = torch.nn.functional.normalize(torch.ones_like(exact.point.theta), dim=0)
    largest = loss_difference(exact, unit).passes + slope_differences(exact, unit).passes
    monkeypatch.setattr(Subject, "loss", counted)
    monkeypatch.setattr(Subject, "gradient", counted_gradient)
    found = Surface(points=9, dimensions=1, draws=7).run(subject())
    left = [one for one in found.checks if one.left_out]
    assert 0 < len(left) < 7
    assert passes <= 63 + 2 * largest
    assert all(one.product is not None and np.isnan(one.difference.value) for one in left)
    assert f"along {7 - len(left)} of 7 directions" in found.summary()
    assert f"{len(left)} others would cost more" in dict(found.trust())["curvature"]
    assert type(found).from_json(found.to_json()).tables()[1].rows == found.tables()[1].rows
    small = Surface(points=3, dimensions=1, draws=1).run(subject())
    assert not small.checks[0].left_out, "the first is always checked"
