"""Dead units of layers against the layers themselves: outputs that no input moves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn

from landscape.pruning.dead import dead_units

LAYERS = {
    "linear": (lambda: nn.Linear(6, 4), (1, 6)),
    "conv": (lambda: nn.Conv2d(6, 4, 3, padding=1), (1, 6, 5, 5)),
    "grouped": (lambda: nn.Conv2d(6, 4, 3, padding=1, groups=2), (1, 6, 5, 5)),
    "depthwise": (lambda: nn.Conv1d(4, 8, 3, padding=1, groups=4), (1, 4, 5)),
    "transposed": (lambda: nn.ConvTranspose2d(6, 4, 3), (1, 6, 5, 5)),
    "transposed in groups": (lambda: nn.ConvTranspose1d(6, 4, 3, groups=2), (1, 6, 5)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_dead_units_are_those_of_the_jacobian(name):
    make, shape = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    seen = set()
    for share in (0.02, 0.1, 0.25):
        layer: Any = make()
        kept = torch.rand(layer.weight.shape, generator=generator) < share
        layer.weight.data = kept.float()
        slopes: Any = torch.autograd.functional.jacobian(layer, torch.ones(shape))
        places = math.prod(shape[2:])
        reads = slopes.reshape(slopes.shape[1], -1, shape[1], places).any(3).any(1)  # (out, in)
        expected = (int((~reads.any(1)).sum()), int((~reads.any(0)).sum()))
        assert dead_units(kept, layer) == expected
        seen.add(expected)
    assert len(seen) > 1


def test_an_embedding_reads_tokens():
    layer = nn.Embedding(5, 3)
    kept = torch.ones(5, 3) > 0
    kept[1:3] = False
    assert dead_units(kept, layer) == (0, 2)
    assert dead_units(kept, None) == (2, 0)
