"""Rounds of iterative pruning: exact numbers, pools that do not mix."""

import pytest
import torch

from landscape.pruning.mask import dense_mask
from landscape.pruning.prunable import Prunable
from landscape.pruning.rounds import pools, pruned_further

SHAPES = {"a": (40, 25), "b": (10, 40), "c": (3, 10)}


def weights():
    found, start = [], 0
    for name, shape in SHAPES.items():
        found.append(Prunable(name=name, shape=shape, start=start))
        start += found[-1].size
    return found


def scores(seed):
    source = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=source).abs() for name, shape in SHAPES.items()}


def test_all_weights_compete_or_those_of_a_layer_or_the_last_stands_apart():
    assert [one.names for one in pools(weights(), rate=0.2)] == [("a", "b", "c")]
    assert [one.size for one in pools(weights(), rate=0.2, shared="layer")] == [1000, 400, 30]
    apart = pools(weights(), rate=0.2, last_rate=0.1)
    assert [(one.names, one.rate) for one in apart] == [(("a", "b"), 0.2), (("c",), 0.1)]
    assert len(pools(weights()[:1], rate=0.2, last_rate=0.1)) == 1


@pytest.mark.parametrize("shared", ["global", "layer"])
@pytest.mark.parametrize("last_rate", [None, 0.1])
def test_every_round_leaves_exactly_its_share(shared, last_rate):
    parts = pools(weights(), rate=0.2, last_rate=last_rate, shared=shared)
    mask = dense_mask(scores(0))
    for number in range(1, 30):
        before, score = mask, scores(number)
        mask = pruned_further(score, parts, number, among=before)
        assert mask.within(before)
        assert list(mask.kept) == list(SHAPES)
        for part in parts:
            left = sum(mask.counts[name] for name in part.names)
            assert left == max(1, round(part.size * (1 - part.rate) ** number))
            gone = torch.cat([score[n][before.kept[n] & ~mask.kept[n]] for n in part.names])
            kept = torch.cat([score[n][mask.kept[n]] for n in part.names])
            assert not len(gone) or gone.max() <= kept.min()
