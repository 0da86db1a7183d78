"""Scores against their closed forms: conservation of the flow, Euler's theorem, differences."""

from itertools import pairwise

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.pruning import scores
from landscape.pruning.flow import flow
from landscape.pruning.live import life
from landscape.pruning.mask import Mask, highest
from landscape.pruning.methods import find_mask
from landscape.pruning.prunable import prunable


def mlp(*widths, bias=False, dtype=torch.float64):
    layers = []
    for inward, outward in pairwise(widths):
        layers += [nn.Linear(inward, outward, bias=bias), nn.ReLU()]
    model = nn.Sequential(*layers[:-1]).to(dtype)
    for layer in model:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
    return model


def subject_of(model, inputs, targets, loss="ce", **more):
    dtype = "float64" if next(model.parameters()).dtype is torch.float64 else "auto"
    return ls.Subject(model, loss=loss, data=[(inputs, targets)], dtype=dtype, **more)


@pytest.fixture
def chain():
    torch.manual_seed(0)
    model = mlp(12, 16, 14, 5)
    return subject_of(model, torch.randn(9, 12).double(), torch.randint(5, (9,)))


def tensors_of(subject):
    return subject.network.tensors(subject.point)


def names_of(subject):
    return tuple(one.name for one in prunable(subject))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_flow_through_every_layer_sums_to_the_whole(chain):
    found = flow(chain, tensors_of(chain), names_of(chain))
    for through in found.through.values():
        assert float(through.sum()) == pytest.approx(found.total, rel=1e-12)


def test_a_hidden_unit_lets_out_what_comes_in(chain):
    found = list(flow(chain, tensors_of(chain), names_of(chain)).through.values())
    for inward, outward in pairwise(found):
        torch.testing.assert_close(inward.sum(1), outward.sum(0), rtol=1e-12, atol=0)


def test_the_flow_is_the_product_of_the_absolute_weights(chain):
    weights = [t.abs() for n, t in tensors_of(chain).items() if n.endswith("weight")]
    vector = torch.ones(12, dtype=torch.float64)
    for weight in weights:
        vector = weight @ vector
    found = flow(chain, tensors_of(chain), names_of(chain))
    assert found.total == pytest.approx(float(vector.sum()), rel=1e-12)


def test_rescaling_a_layer_and_signs_leave_the_ranking_of_the_flow(chain):
    names = names_of(chain)
    tensors = tensors_of(chain)
    moved = {**tensors, names[0]: -7.0 * tensors[names[0]], names[2]: tensors[names[2]] / 7.0}
    before, after = (highest(scores.synflow(chain, t, names), 60) for t in (tensors, moved))
    assert all(torch.equal(before.kept[name], after.kept[name]) for name in names)


def test_signed_saliency_sums_alike_over_the_layers_of_a_homogeneous_network(chain):
    """Euler: Σ w ∂L/∂w is the same for every layer of a bias-free ReLU network."""
    parts = chain.parameters.split(chain.gradient(chain.point))
    weights = chain.parameters.split(chain.point.theta)
    sums = [float((weights[name] * parts[name]).sum()) for name in parts]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-9)
    found = scores.snip(chain, tensors_of(chain), names_of(chain))
    for name, score in found.items():
        torch.testing.assert_close(score.flatten(), (weights[name] * parts[name]).abs())


def test_snip_on_linear_regression():
    """L = mean (Xw − y)² has the gradient 2 Xᵀ(Xw − y) / N."""
    torch.manual_seed(1)
    model = nn.Linear(6, 1, bias=False).double()
    inputs, targets = torch.randn(20, 6).double(), torch.randn(20, 1).double()
    subject = subject_of(model, inputs, targets, loss="mse")
    weight = model.weight.detach()
    slope = 2 * (inputs @ weight.T - targets).T @ inputs / 20
    found = scores.snip(subject, tensors_of(subject), ("weight",))
    torch.testing.assert_close(found["weight"], (slope * weight).abs())


def test_grasp_is_the_first_order_change_of_the_squared_gradient(chain):
    """w ⊙ Hg = w ∂(½‖g‖²)/∂w, by central differences."""
    names = names_of(chain)
    found = scores.grasp(chain, tensors_of(chain), names)
    theta = chain.point.theta
    whole = torch.cat([found[name].flatten() for name in names])
    step = 1e-6
    for place in (3, 100, 300, len(theta) - 1):
        moved = [theta.clone(), theta.clone()]
        moved[0][place] += step
        moved[1][place] -= step
        up, down = (float(chain.gradient(chain.point.moved(t)).square().sum()) / 2 for t in moved)
        slope = (up - down) / (2 * step)
        assert float(whole[place]) == pytest.approx(float(theta[place]) * slope, rel=1e-4, abs=1e-9)


def test_grasp_of_a_quadratic():
    """L = mean (w·x − y)² has a constant H: w ⊙ H (Hw − b)."""
    torch.manual_seed(2)
    model = nn.Linear(5, 1, bias=False).double()
    inputs, targets = torch.randn(30, 5).double(), torch.randn(30, 1).double()
    subject = subject_of(model, inputs, targets, loss="mse")
    hessian = 2 * inputs.T @ inputs / 30
    weight = model.weight.detach()[0]
    gradient = hessian @ weight - 2 * inputs.T @ targets[:, 0] / 30
    found = scores.grasp(subject, tensors_of(subject), ("weight",))["weight"][0]
    torch.testing.assert_close(found, weight * (hessian @ gradient))


def test_scores_of_a_pair_of_checkpoints():
    first = {"w": torch.tensor([[1.0, -2.0, 3.0, -4.0]])}
    last = {"w": torch.tensor([[2.0, 1.0, -1.0, -4.5]])}
    values = {
        scores.movement: [1.0, 3.0, 4.0, 0.5],
        scores.magnitude_increase: [1.0, -1.0, -2.0, 0.5],
        scores.large_final_same_sign: [2.0, -1.0, 1.0 * -1.0, 4.5],
    }
    for score, expected in values.items():
        assert score(first, last, ("w",))["w"][0].tolist() == expected


@pytest.fixture(scope="module")
def deep():
    torch.manual_seed(0)
    model = mlp(64, *[100] * 6, 10, dtype=torch.float32)
    return subject_of(model, torch.randn(40, 64), torch.randint(10, (40,)))


def test_flow_in_rounds_leaves_no_layer_empty_where_the_others_do(deep):
    """Tanaka 2020: a tenth of a per cent, 57 weights of a network of seven layers."""
    total = sum(one.size for one in prunable(deep))
    flowing = find_mask(deep, "synflow", 1e-3, rounds=100, generator=generator()).mask
    assert flowing.total == round(1e-3 * total)
    assert min(flowing.counts.values()) >= 1
    assert life(deep, flowing).connected
    for method in ("magnitude", "snip", "synflow"):
        once = find_mask(deep, method, 1e-3, generator=generator()).mask
        assert once.total == flowing.total
        assert not life(deep, once).connected


def test_paths_are_counted(chain):
    """In a chain of layers the paths are the product of the masks."""
    names = names_of(chain)
    kept = {n: torch.rand(tensors_of(chain)[n].shape, generator=generator(3)) < 0.2 for n in names}
    mask = Mask(kept=kept)
    vector = torch.ones(12, dtype=torch.float64)
    for name in names:
        vector = kept[name].double() @ vector
    found = life(chain, mask)
    assert found.paths == float(vector.sum())
    backward = torch.ones(5, dtype=torch.float64) @ kept[names[2]].double()
    forward = (kept[names[0]].double() @ torch.ones(12, dtype=torch.float64)) > 0
    middle = kept[names[1]] & (backward > 0)[:, None] & forward[None, :]
    assert found.layers[1].live == int(middle.sum())
    assert found.layers[1].dead_outputs == int((~kept[names[1]].any(1)).sum())
