"""Paths of networks that have more of them than float64 can count."""

import math
from itertools import pairwise

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


def test_paths_and_what_lies_on_them_by_products_of_the_masks():
    sizes = (5, 6, 6, 3)
    pairs = [nn.Linear(*pair) for pair in pairwise(sizes)]
    model = nn.Sequential(pairs[0], nn.ReLU(), pairs[1], nn.ReLU(), pairs[2])
    subject = ls.Subject(model, "ce", [(torch.ones(2, 5), torch.tensor([0, 1]))], device="cpu")
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        kept = [torch.rand(b, a, generator=generator) > 0.75 for a, b in pairwise(sizes)]
        mask = Mask(kept={f"{2 * i}.weight": one for i, one in enumerate(kept)})
        matrices = [one.double() for one in kept]
        found = life(subject, mask)
        assert found.paths == float((matrices[2] @ matrices[1] @ matrices[0]).sum())
        reached, reaching = [torch.ones(5).double()], [torch.ones(3).double()]
        for i in range(3):
            reached.append(matrices[i] @ reached[-1])
            reaching.append(matrices[2 - i].T @ reaching[-1])
        through = [
            int((matrices[i] * reached[i] * reaching[2 - i][:, None] > 0).sum()) for i in range(3)
        ]
        assert [layer.live for layer in found.layers] == through
        assert [layer.dead_outputs for layer in found.layers] == [
            int((one.sum(1) == 0).sum()) for one in matrices
        ]
        assert found.effective_density == sum(through) / sum(one.numel() for one in kept)
