"""Slices of output units, against a perturbation of one output at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.subject.layout import VECTOR, WHOLE, layouts
from tests.cases import Transformer, normal, seeded


def slices(weight: Tensor, layer: nn.Module, x: Tensor) -> list[Tensor]:
    """The squared weights that each output channel depends on, by automatic differentiation."""
    found = []
    for channel in range(layer(x).shape[1]):
        parameter = weight.detach().clone().requires_grad_()
        outputs = torch.func.functional_call(layer, {"weight": parameter}, (x,))
        (slope,) = torch.autograd.grad(outputs[:, channel].square().sum(), parameter)
        found.append(weight.detach()[slope != 0].double().square().sum().sqrt())
    return found


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(4, 5, bias=False), (3, 4)),
        (nn.Conv2d(4, 6, 2, bias=False), (3, 4, 5, 5)),
        (nn.Conv2d(4, 6, 2, groups=2, bias=False), (3, 4, 5, 5)),
        (nn.Conv1d(4, 4, 3, groups=4, bias=False), (3, 4, 5)),
        (nn.ConvTranspose1d(4, 6, 2, bias=False), (3, 4, 5)),
        (nn.ConvTranspose2d(4, 6, 3, bias=False), (3, 4, 5, 5)),
        (nn.ConvTranspose2d(4, 6, 3, groups=2, bias=False), (3, 4, 5, 5)),
        (nn.ConvTranspose3d(4, 4, 2, groups=4, bias=False), (3, 4, 3, 3, 3)),
    ],
    ids=str,
)
def test_units_are_what_an_output_depends_on(layer, shape):
    layer = layer.double()
    layer.weight.data = normal(*layer.weight.shape, seed=0).double()
    layout = layouts(layer)["weight"]
    assert layout.kind == "units"
    own = slices(layer.weight, layer, normal(*shape, seed=1).double())
    assert layout.lengths(layer.weight).flatten().tolist() == pytest.approx([float(v) for v in own])


def test_a_direction_becomes_as_long_as_the_weights():
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    layout = layouts(layer)["weight"]
    direction = normal(4, 3, 3, 3, seed=2)
    direction.view(2, 2, 3, 9)[1, :, 2] = 0.0  # one output unit does not move
    scaled = layout.like(direction, layer.weight)
    own, wanted = layout.lengths(scaled).flatten(), layout.lengths(layer.weight).flatten()
    assert own[:5].tolist() == pytest.approx(wanted[:5].tolist(), rel=1e-6)
    assert own[5] == 0
    along = (scaled.flatten() @ direction.flatten()) / scaled.norm() / direction.norm()
    assert along > 0.9, "slices keep their direction"


class Parts(nn.Module):
    """One of everything."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 4)
        self.bag = nn.EmbeddingBag(5, 4)
        self.attention = nn.MultiheadAttention(4, 2, add_bias_kv=True)
        self.across = nn.MultiheadAttention(4, 2, kdim=3, vdim=5)
        self.recurrent = nn.LSTM(4, 3)
        self.pairs = nn.Bilinear(3, 2, 4)
        self.norms = nn.ModuleList(
            [nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.LayerNorm([2, 3]), nn.RMSNorm([2, 3])]
        )
        self.slope = nn.PReLU(4)
        self.position = nn.Parameter(torch.zeros(6, 4))
        self.scale = nn.Parameter(torch.zeros(()))


def test_kinds_of_layers():
    found = layouts(Parts())
    units = {name for name, one in found.items() if one.kind == "units"}
    assert {name for name, one in found.items() if one == WHOLE} == {"position"}
    vectors = {name for name, one in found.items() if one == VECTOR}
    assert units | vectors | {"position"} == set(found)
    assert {"attention.in_proj_weight", "across.k_proj_weight", "recurrent.weight_hh_l0"} <= units
    assert {"table.weight", "bag.weight", "pairs.weight", "attention.out_proj.weight"} <= units
    assert {"attention.bias_k", "slope.weight", "scale"} <= vectors
    assert {"norms.2.weight", "norms.3.weight"} <= vectors, "of a norm over two axes too"


def test_tied_tensors_have_one_layout():
    found = layouts(seeded(Transformer, 0))
    assert found["embedding.weight"].kind == "units"
    assert found["position"] == WHOLE
    assert set(dict(seeded(Transformer, 0).named_parameters())) <= set(found)


def test_the_linear_layer_of_gpt2_has_its_outputs_last():
    class Conv1D(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(normal(3, 5, seed=0))

    Conv1D.__module__ = "transformers.pytorch_utils"
    layer = Conv1D()
    lengths = layouts(layer)["weight"].lengths(layer.weight).flatten()
    assert lengths.tolist() == pytest.approx(layer.weight.double().norm(dim=0).tolist())


@pytest.mark.parametrize(
    "layer",
    [nn.Conv2d(4, 6, 2), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Linear(4, 5)],
    ids=str,
)
def test_what_a_weight_is_computed_from_lies_like_the_weight(layer):
    own = layouts(layer)["weight"]
    held = nn.utils.parametrizations.weight_norm(layer)
    found = layouts(nn.Sequential(held))
    assert found["0.parametrizations.weight.original1"] == own
    assert found["0.parametrizations.weight.original0"] == VECTOR
    plain = nn.utils.parametrizations.orthogonal(nn.Linear(4, 4))
    assert layouts(plain)["parametrizations.weight.original"] == WHOLE
