"""The pace of a network is measured on the first batches and holds for all of the data."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.operators import pace
from landscape.operators.hessian import HessianOperator
from landscape.operators.pace import FirstBatches, pace_of
from landscape.subject.batch import Batch


def subject(batches: int, samples: int = 4) -> ls.Subject:
    drawn = torch.Generator().manual_seed(0)
    data = [
        (torch.randn(samples, 5, generator=drawn), torch.randn(samples, 2, generator=drawn))
        for _ in range(batches)
    ]
    model = nn.Sequential(nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 2))
    for one in model.parameters():
        one.data = torch.randn(one.shape, generator=drawn)
    return ls.Subject(model, "mse", data, device="cpu")


def test_what_is_timed_on_the_first_batches_is_told_of_all(monkeypatch):
    monkeypatch.setattr(pace, "_clocked", lambda trial, _: trial() is None or 1.0)
    found = pace_of(subject(batches=6))
    assert found.forward == found.gradient == 3.0
    assert found.product == pytest.approx(3.0 / pace.BLOCK)
    assert found.step == 1.0
    assert found.call == 1.0 - 2 / 8  # beyond the share of two samples of the eight timed
    assert found.operation == pytest.approx(1 / pace.SIDE**3)


def test_a_trial_takes_time():
    found = pace_of(subject(batches=1))
    assert min(value for name, value in vars(found).items() if name != "call") > 0
    assert found.call >= 0
    assert found.product > found.forward / pace.BLOCK


def test_products_of_the_first_batches_are_of_these_alone():
    whole = subject(batches=4)
    rows = torch.eye(3, whole.parameters.size)
    alone = ls.Subject(whole.model, "mse", [_pair(one) for one in whole.batches or ()][:2])
    first = FirstBatches(whole, 2).engine.products(rows)  # a share of the mean over all
    torch.testing.assert_close(2 * first, HessianOperator(alone).matmat(rows.T).T)


def _pair(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    return batch.args[0], batch.targets
