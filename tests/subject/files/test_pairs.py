"""Pruned modules of torch.nn.utils.prune: their checkpoints load into networks without pruning."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import prune

import landscape as ls
from landscape.diagnostics.weights import WeightsResult
from tests.cases import mlp, seeded


def pruned() -> nn.Module:
    model = seeded(mlp, 0)
    for layer in model:
        if isinstance(layer, nn.Linear):
            prune.l1_unstructured(layer, "weight", 0.5)
    return model


def test_they_are_the_weights_that_the_pruned_network_computes_with():
    model, x = pruned(), torch.randn(4, 5, generator=torch.Generator().manual_seed(0))
    checkpoint = ls.Checkpoint.of_model(model, "pruned")
    assert "0.weight_orig" in checkpoint.tensors
    data = [(x, torch.arange(4) % 3)]
    subject = ls.Subject(seeded(mlp, 1), "ce", data, checkpoint, device="cpu")
    loss = nn.functional.cross_entropy(model(x), data[0][1])
    assert abs(subject.loss(subject.point) - float(loss.detach())) < 1e-6
    assert any("_orig times _mask" in note for note in subject.provenance()["notes"])
    for result in (ls.Weights().run(subject), ls.Weights().run(ls.Subject(checkpoints=checkpoint))):
        assert isinstance(result, WeightsResult)
        assert result.thinned is not None
        assert abs(result.thinned.density.value - 0.5) < 0.02
        assert [one.name for one in result.tensors if "mask" in one.name] == []
    assert "0.weight_orig" in checkpoint.tensors, "what was given is left as it was"


def test_a_network_that_is_pruned_itself_takes_them_as_they_are():
    model = pruned()
    subject = ls.Subject(model, checkpoints=ls.Checkpoint.of_model(model, "pruned"), device="cpu")
    assert "0.weight_orig" in subject.network.tensors(subject.point)
