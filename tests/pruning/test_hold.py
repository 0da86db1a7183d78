"""Pruned weights that stay zero though training knows nothing of the mask."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from landscape.errors import ModelError
from landscape.pruning.controls import opposite, redrawn
from landscape.pruning.hold import held_throughout
from landscape.pruning.mask import Mask

KEPT = torch.arange(48).view(8, 6) % 3 == 0
OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network() -> Any:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))


def trained(model, optimizer, steps):
    for k in range(steps):
        inputs = torch.randn(16, 6, generator=generator(k))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), torch.arange(16) % 3).backward()
        optimizer.step()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_holds_them(name):
    """A hundred steps, the optimizer made before the mask came, with momentum."""
    model, mask = network(), Mask(kept={"0.weight": KEPT})
    optimizer = OPTIMIZERS[name](model.parameters())
    trained(model, optimizer, 5)
    before = model[0].weight.detach().clone()
    with held_throughout(model, mask):
        trained(model, optimizer, 100)
        assert bool((model[0].weight[~KEPT] == 0).all())
        for state in optimizer.state[model[0].weight].values():
            assert state.dim() == 0 or bool((state[~KEPT] == 0).all())
    assert not torch.equal(model[0].weight[KEPT], before[KEPT])
    trained(model, optimizer, 1)
    assert bool((model[0].weight[~KEPT] != 0).any())  # let go of


def test_other_networks_are_left_alone():
    model, other = network(), network()
    optimizer = torch.optim.SGD(other.parameters(), lr=0.1)
    twin = network()
    with held_throughout(model, Mask(kept={"0.weight": KEPT})):
        trained(other, optimizer, 3)
    trained(twin, torch.optim.SGD(twin.parameters(), lr=0.1), 3)
    assert all(
        torch.equal(a, b) for a, b in zip(other.parameters(), twin.parameters(), strict=True)
    )


def test_weights_that_something_else_moves_are_found():
    model = network()
    told = pytest.raises(ModelError, match=r"moved pruned weights of 0\.weight")
    with told, held_throughout(model, Mask(kept={"0.weight": KEPT})), torch.no_grad():
        model[0].weight -= 0.1


def test_an_error_of_training_is_not_covered_up_and_the_hook_goes():
    model = network()
    with pytest.raises(KeyError), held_throughout(model, Mask(kept={"0.weight": KEPT})):
        raise KeyError("x")
    trained(model, torch.optim.SGD(model.parameters(), lr=0.1), 1)
    assert bool((model[0].weight[~KEPT] != 0).any())


def test_compiled_networks_hold_too():
    model = network()
    compiled: Any = torch.compile(model, backend="eager")
    with held_throughout(compiled, Mask(kept={"0.weight": KEPT})):
        trained(model, torch.optim.Adam(model.parameters()), 3)
    assert bool((model[0].weight[~KEPT] == 0).all())


def test_the_opposite_keeps_what_is_pruned_first():
    mask = Mask(kept={"a": KEPT, "b": torch.arange(10) < 8})
    found = opposite(mask, generator())
    assert found.counts == mask.counts
    assert not bool((found.kept["a"] & KEPT).any())
    assert bool(found.kept["b"][8:].all())
    assert not torch.equal(found.kept["a"], opposite(mask, generator(1)).kept["a"])


def test_weights_drawn_anew_are_the_same_numbers_elsewhere():
    tensors = {"w": torch.randn(30, 20, generator=generator()), "b": torch.arange(5.0)}
    found = redrawn(tensors, ["w"], generator(1))
    assert found["b"] is tensors["b"]
    assert not torch.equal(found["w"], tensors["w"])
    assert torch.equal(found["w"].flatten().sort().values, tensors["w"].flatten().sort().values)
    assert torch.equal(redrawn(tensors, ["w"], generator(1))["w"], found["w"])
