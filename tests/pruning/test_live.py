"""Paths of networks that have more of them than float64 can count."""

import math

import torch
from torch import nn

import landscape as ls
from landscape.pruning.live import life
from landscape.pruning.mask import Mask, dense_mask
from landscape.pruning.prunable import prunable


def deep():
    layers = [layer for _ in range(160) for layer in (nn.Linear(120, 120, bias=False), nn.ReLU())]
    model = nn.Sequential(*layers, nn.Linear(120, 2, bias=False))
    return ls.Subject(model, "ce", [(torch.ones(2, 120), torch.tensor([0, 1]))], device="cpu")


def test_more_paths_than_can_be_counted_are_infinitely_many():
    subject = deep()
    tensors = subject.network.tensors(subject.point)
    whole = dense_mask({one.name: tensors[one.name] for one in prunable(subject)})
    found = life(subject, whole)  # 120^161 paths, about 10^335
    assert found.paths == found.of_dense == math.inf
    assert found.connected
    assert found.effective_density == 1
    first = next(iter(whole.kept))
    cut = life(subject, Mask(kept={**whole.kept, first: torch.zeros(120, 120, dtype=torch.bool)}))
    assert cut.paths == 0
    assert not cut.connected
