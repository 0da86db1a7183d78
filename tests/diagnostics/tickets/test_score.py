"""Scores against what the numerics say of the same mask; the subject survives errors inside."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

import landscape as ls
from landscape.errors import LandscapeError
from landscape.pruning.live import lived
from tests.cases import CASES
from tests.lipschitz.networks import Mixer
from tests.test_contracts import everything, subject, witness


@pytest.mark.parametrize("network", ["cnn", "tied", "residual"])
def test_the_answer_is_that_of_its_mask(network):
    studied = CASES[network]().subject()
    question = ls.TicketsScore(method="synflow", rounds=3, density=0.2)
    answer, mask = question.run(studied), question.mask(studied)
    left, pathless = lived(studied, mask)
    assert answer.pathless == pathless
    assert (left is None) == ("matmul multiplies two branches" in pathless) == (network == "tied")
    lives = [None] * len(mask.kept) if left is None else [one.live for one in left.layers]
    assert {one.name: one.kept for one in answer.layers} == mask.counts
    assert [one.live for one in answer.layers] == lives
    assert answer.kept == mask.total
    tensors = studied.network.tensors(studied.point)
    pruned = studied.network.point(mask.applied(tensors))
    assert answer.loss is not None
    assert answer.loss.value == studied.loss(pruned)
    assert mask.provenance["method"] == "synflow"
    assert mask.provenance["batches_hash"]


def test_without_data_paths_are_followed_at_inputs_found_by_trial():
    problem = CASES["cnn"]()
    answer = ls.TicketsScore(density=0.3).run(ls.Subject(problem.model, device="cpu"))
    given = ls.TicketsScore(density=0.3).run(problem.subject())  # of that very shape
    assert answer.loss is None
    assert answer.paths == given.paths
    assert answer.effective_density == given.effective_density
    assert any("found by trial" in note for note in answer.provenance["notes"])


def test_without_data_and_a_shape_that_fits_there_is_a_mask_but_no_path():
    answer = ls.TicketsScore(density=0.3).run(ls.Subject(Mixer(), device="cpu"))
    assert answer.paths is None
    assert "no inputs were found by trial" in answer.pathless


def test_an_empty_layer_is_told():
    model = CASES["mlp"]().model
    with torch.no_grad():
        model[2].weight.mul_(1e-6)
    data = [(torch.randn(4, 5, generator=torch.Generator().manual_seed(0)), torch.arange(4) % 3)]
    answer = ls.TicketsScore(density=0.3).run(ls.Subject(model, "ce", data, device="cpu"))
    assert answer.empty == ("2.weight",)
    assert answer.severed
    assert answer.findings()[0].severity == "critical"


@pytest.mark.parametrize("when", [1, 2, 3, 4])
def test_the_subject_is_untouched_when_the_network_fails(when):
    """In the paths it is told, elsewhere it is raised."""
    model = witness()
    model.raises_at, model.error = when, RuntimeError("x")
    before = everything(model)
    told = None
    with suppress(LandscapeError):
        told = ls.TicketsScore().run(subject(model))
    assert told is None or told.pathless or model.calls < when
    assert everything(model) == before
