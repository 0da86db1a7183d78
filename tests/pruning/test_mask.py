"""Masks: ties, nesting, allocation, controls, overlaps, files, and weights that stay zero."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from landscape.errors import InputError, ModelError, SettingError
from landscape.pruning.allocation import in_proportion, kept_of, kernel_shares, schedule
from landscape.pruning.controls import inverted, scattered, shuffled
from landscape.pruning.files import load, save
from landscape.pruning.hold import held, prune
from landscape.pruning.mask import Mask, highest, highest_each
from landscape.pruning.overlap import overlaps


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_mask(density, shapes, seed=0):
    scores = {
        n: torch.rand(s, generator=generator(seed + k)) for k, (n, s) in enumerate(shapes.items())
    }
    return highest(scores, round(density * sum(s.numel() for s in scores.values())))


SHAPES = {"a": (40, 30), "b": (30, 20), "c": (10, 2, 3, 3)}


def test_ties_go_to_the_earlier_weight():
    scores = {"a": torch.tensor([1.0, 2.0, 1.0]), "b": torch.tensor([1.0, 2.0])}
    found = highest(scores, 3)
    assert found.kept["a"].tolist() == [True, True, False]
    assert found.kept["b"].tolist() == [False, True]


def test_scores_that_are_not_finite_go_first():
    found = highest({"a": torch.tensor([math.nan, 1.0, -math.inf, 0.5])}, 2)
    assert found.kept["a"].tolist() == [False, True, False, True]


@pytest.mark.parametrize("keep", [1, 7, 100, 1499, 1500])
def test_counts_are_exact_and_masks_nested(keep):
    scores = {n: torch.randn(s, generator=generator(5)) for n, s in SHAPES.items()}
    outer = highest(scores, 1500)
    inner = highest({n: -s for n, s in scores.items()}, keep, among=outer)
    assert outer.total == 1500
    assert inner.total == keep
    assert inner.within(outer)
    assert max(s[~outer.kept[n]].max() for n, s in scores.items() if (~outer.kept[n]).any()) <= min(
        s[outer.kept[n]].min() for n, s in scores.items() if outer.kept[n].any()
    )


def test_levels_keep_the_same_share_of_what_is_left():
    assert schedule(0.8**5, 5) == pytest.approx([0.8, 0.64, 0.512, 0.4096, 0.32768])


@pytest.mark.parametrize("density", [0.0, -0.1, 1.5, math.nan])
def test_a_density_that_is_none_is_refused(density):
    with pytest.raises(SettingError, match="density"):
        kept_of(100, density)


def test_what_a_full_layer_cannot_take_goes_to_the_others():
    """Evci 2020 without redistribution falls short of the total."""
    shapes = [(10, 10), (200, 10), (200, 200)]
    sizes = [100, 2000, 40000]
    found = in_proportion(sizes, kernel_shares(shapes), 21050)
    assert sum(found) == 21050
    assert found[:2] == [100, 2000]
    assert in_proportion([4, 4], np.array([0.0, 1.0]), 6) == [2, 4]
    assert in_proportion([3, 3, 3], np.ones(3), 4) == [2, 1, 1]


def test_shuffles_keep_counts_and_do_shuffle():
    mask = random_mask(0.2, SHAPES)
    moved = shuffled(mask, generator())
    assert moved.counts == mask.counts
    assert all(not torch.equal(moved.kept[name], mask.kept[name]) for name in SHAPES)
    spread = scattered(mask, generator())
    assert spread.total == mask.total
    assert spread.counts != mask.counts


def test_inverted_masks_keep_the_lowest():
    scores = {n: torch.randn(s, generator=generator(2)) for n, s in SHAPES.items()}
    mask = highest_each(scores, [100, 60, 20])
    low = inverted(mask, scores)
    assert low.counts == mask.counts
    for name, score in scores.items():
        assert score[low.kept[name]].max() <= score[~low.kept[name]].min()


def test_independent_masks_overlap_by_chance():
    """E Jaccard is about d / (2 − d), and z is standard normal."""
    z, jaccard = [], []
    for seed in range(0, 400, 2):
        first, second = (random_mask(0.2, {"a": (50, 40)}, seed=seed + k * 10_000) for k in (0, 1))
        whole = overlaps(first, second)[-1]
        z.append(whole.z)
        jaccard.append(whole.jaccard)
        assert whole.chance == pytest.approx(0.2 / 1.8)
    assert np.mean(jaccard) == pytest.approx(0.2 / 1.8, abs=0.003)
    assert abs(np.mean(z)) < 4 / math.sqrt(len(z))
    assert np.std(z) == pytest.approx(1.0, abs=0.2)


def test_the_overlap_of_a_mask_with_itself():
    mask = random_mask(0.3, SHAPES)
    *parts, whole = overlaps(mask, mask)
    assert all(one.jaccard == 1.0 and one.z > 10 for one in (*parts, whole))
    assert whole.both == mask.total
    with pytest.raises(ModelError, match="different networks"):
        overlaps(mask, random_mask(0.3, {"a": (4, 3)}))


def test_files_hold_one_bit_a_weight(tmp_path):
    mask = Mask(
        kept=random_mask(0.3, {**SHAPES, "odd": (3, 5)}).kept,
        provenance={"method": "snip", "seed": 3},
    )
    save(mask, tmp_path / "m.safetensors")
    found = load(tmp_path / "m.safetensors")
    assert found.provenance == {"method": "snip", "seed": 3}
    assert set(found.kept) == set(mask.kept)
    assert all(torch.equal(found.kept[n], mask.kept[n]) for n in mask.kept)
    assert (tmp_path / "m.safetensors").stat().st_size < sum(mask.sizes.values()) / 8 + 700


def test_booleans_of_other_tools_are_read_and_other_files_refused(tmp_path):
    save_file({"w": torch.tensor([[True, False]])}, tmp_path / "plain.safetensors")
    assert load(tmp_path / "plain.safetensors").kept["w"].tolist() == [[True, False]]
    save_file({"w": torch.randn(2)}, tmp_path / "weights.safetensors")
    (tmp_path / "text.safetensors").write_text("no")
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "absent.safetensors")
    for name in ("weights.safetensors", "text.safetensors"):
        with pytest.raises(InputError, match="not a mask"):
            load(tmp_path / name)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3, momentum=0.9),
}


def network() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))


def step(model, optimizer, k):
    source = generator(k)
    inputs, labels = torch.randn(16, 6, generator=source), torch.randint(3, (16,), generator=source)
    optimizer.zero_grad()
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_pruned_weights_stay_zero_whatever_the_optimizer_remembers(name):
    model = network()
    optimizer = OPTIMIZERS[name](model.parameters())
    for k in range(5):
        step(model, optimizer, k)  # leaves momentum
    mask = random_mask(0.3, {"0.weight": (8, 6), "3.weight": (3, 8)})
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    with held(model, mask, optimizer):
        for k in range(100):
            step(model, optimizer, k)
    for n, parameter in model.named_parameters():
        if n in mask.kept:
            assert bool((parameter[~mask.kept[n]] == 0).all())
            assert bool((parameter[mask.kept[n]] != before[n][mask.kept[n]]).any())
    step(model, optimizer, 0)
    assert bool((model[0].weight[~mask.kept["0.weight"]] != 0).any())  # let go of


def test_a_mask_that_does_not_fit_is_refused():
    with pytest.raises(ModelError, match="which the network does not have"):
        prune(network(), Mask(kept={"9.weight": torch.ones(2, 2, dtype=torch.bool)}))
    with pytest.raises(ModelError, match="has shape"):
        prune(network(), Mask(kept={"0.weight": torch.ones(2, 2, dtype=torch.bool)}))


def test_pruning_for_good():
    model = network()
    mask = random_mask(0.5, {"0.weight": (8, 6)})
    weight = model[0].weight.detach().clone()
    prune(model, mask)
    assert torch.equal(model[0].weight, weight * mask.kept["0.weight"])
    applied = mask.applied({"0.weight": torch.full((8, 6), math.nan)})["0.weight"]
    assert bool((applied[~mask.kept["0.weight"]] == 0).all())  # not NaN times zero
