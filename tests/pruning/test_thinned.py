"""What is left of pruned networks, from their weights alone and by following paths."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.diagnostics.weights import WeightsResult
from landscape.pruning.mask import Mask
from landscape.pruning.thinned import Thinned
from tests.cases import CASES, cnn, mlp, seeded

SIZES = (5, 6, 6, 3)


def masks(seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(b, a, generator=generator) > 0.6 for a, b in pairwise(SIZES)]


def chain(kept: list[Tensor]) -> nn.Sequential:
    """A network of layers whose weights outside the masks are zero."""
    layers = list[nn.Module]()
    for one in kept:
        layer = seeded(lambda one=one: nn.Linear(one.shape[1], one.shape[0]), 0)
        layer.weight.data.mul_(one)
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def thinned(result: WeightsResult) -> Thinned:
    assert result.thinned is not None
    assert WeightsResult.from_json(result.to_json()).to_json() == result.to_json()
    return result.thinned


def studied(model: nn.Module, **settings: Any) -> WeightsResult:
    return ls.Weights().run(ls.Subject(model, device="cpu", **settings))


def test_zeros_are_counted_and_paths_followed_without_data():
    kept = masks()
    result = studied(chain(kept))
    found = thinned(result)
    whole, left = sum(one.numel() for one in kept), sum(int(one.sum()) for one in kept)
    assert (found.kept, found.density.value) == (left, left / whole)
    assert found.compression == pytest.approx(whole / left)
    a, b, c = (one.double() for one in kept)
    lives = [
        int((a * (c @ b).sum(0)[:, None] > 0).sum()),
        int((b * c.sum(0)[:, None] * a.sum(1) > 0).sum()),
        int((c * (b @ a).sum(1) > 0).sum()),
    ]
    assert [one.live for one in found.layers] == lives
    assert found.effective_density is not None
    assert found.effective_density.value == sum(lives) / whole
    for layer, one in zip(found.layers, kept, strict=True):
        assert (layer.size, layer.kept) == (one.numel(), int(one.sum()))
        assert layer.dead_outputs == int((one.sum(1) == 0).sum())
        assert layer.dead_inputs == int((one.sum(0) == 0).sum())
    assert "on a path" in result.summary()
    assert [name for name, _ in result.headline()] == ["norm", "density", "on a path"]
    assert any("found by trial" in note for note in result.provenance["notes"])


def test_a_checkpoint_alone_has_densities_and_no_paths():
    model = chain(masks())
    alone = thinned(ls.Weights().run(ls.Subject(checkpoints=ls.Checkpoint.of_model(model, "a"))))
    whole = thinned(studied(model))
    assert alone.density == whole.density
    assert [one.dead_outputs for one in alone.layers] == [one.dead_outputs for one in whole.layers]
    assert alone.effective_density is None
    assert "no model was given" in alone.pathless


def test_a_dense_network_has_no_such_part():
    result = studied(seeded(mlp, 0))
    assert result.thinned is None
    assert [table.title for table in result.tables()] == ["Weights"]


def test_a_layer_that_is_gone_and_a_network_that_is_cut():
    kept = masks()
    (cut,) = studied(chain([kept[0], torch.zeros(6, 6, dtype=torch.bool), kept[2]])).findings()
    assert cut.severity == "critical"
    assert "2.weight" in cut.evidence
    problem = CASES["residual"]()
    problem.model.first.weight.data.zero_()
    problem.model.second.weight.data[0, 0] = 0.0
    (gone,) = studied(problem.model).findings()
    assert gone.severity == "warning"
    assert gone.sentence == "Pruning left nothing of 1 layer."
    assert "first.weight" in gone.evidence


def test_zeros_of_a_fresh_layer_are_no_pruning():
    """As a zero head, or the B of an adapter: nothing else shows that the network was pruned."""
    model: Any = seeded(mlp, 0)
    model[-1].weight.data.zero_()
    alone = ls.Subject(checkpoints=ls.Checkpoint.of_model(model, "a"))
    for result in (studied(model), ls.Weights().run(alone)):
        assert result.thinned is None
        (found,) = result.findings()
        assert (found.severity, found.sentence) == ("notable", "All zeros: 1 weight tensor.")
        assert found.evidence == "4.weight."


def test_a_causal_mask_is_no_pruned_layer():
    model: Any = seeded(mlp, 0)
    model[0].register_buffer("triangle", torch.ones(8, 8).tril())
    model[2].register_buffer("minus", torch.full((8, 8), -torch.inf).triu(1))
    checkpoint = ls.Checkpoint.of_model(model, "a")
    assert ls.Weights().run(ls.Subject(checkpoints=checkpoint)).thinned is None
    assert studied(model).thinned is None


def test_where_inputs_of_several_shapes_fit_paths_are_not_told():
    """What is on a path depends on it: a 3×3 kernel reads one pixel of a 1×1 input."""
    layers = (nn.Conv2d(1, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model: Any = seeded(lambda: nn.Sequential(*layers), 0)
    model[0].weight.data[0, 0, 0] = 0.0
    found = thinned(studied(model))
    assert found.effective_density is None
    assert "inputs of several shapes fit" in found.pathless
    assert "--data random:shape=" in found.trust[1]
    assert found.summary.endswith(f"; paths not told: {found.pathless}")
    given = [thinned(studied(model, data=f"random:shape=1x{n}x{n},classes=2")) for n in (1, 8)]
    assert [one.layers[0].live for one in given] == [4, 33]


@pytest.mark.parametrize("data", [None, "random:shape=8,classes=3"])
def test_where_weights_are_not_finite_that_is_why_paths_are_not_told(data):
    model: Any = chain(masks())
    model[0].weight.data[1, 2] = torch.nan
    found = thinned(studied(model, data=data))
    assert found.effective_density is None
    assert found.pathless == "1 non-finite values in 0.weight (first at [1, 2])"


class Unkind(torch.autograd.Function):
    """Has no backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x * 2


class Opaque(nn.Module):
    def forward(self, x: Tensor) -> Any:
        return Unkind.apply(x)


class Failing(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = x * 2
        if y.requires_grad:
            y.register_hook(self.fail)
        return y

    def fail(self, slope: Tensor) -> None:
        raise NotImplementedError("no slopes here")


@pytest.mark.parametrize(
    ("part", "reason"), [(Opaque, "mul runs without a gradient"), (Failing, "no slopes here")]
)
def test_a_network_without_backward_has_densities_and_no_paths(part, reason):
    model = nn.Sequential(*chain(masks())[:3], part(), nn.Linear(6, 3))
    found = thinned(studied(model))
    assert found.effective_density is None
    assert found.pathless == reason
    assert sum(one.dead_outputs for one in found.layers) > 0


def test_weights_that_are_left_on_no_path_are_told():
    kept = masks()
    kept[1][:, 0] = False
    kept[0][0] = True  # five weights into a unit that nothing leaves
    (wasted,) = studied(chain(kept)).findings()
    assert wasted.severity == "notable"
    assert "on no path" in wasted.sentence


def test_a_mask_that_is_given_is_what_is_told():
    model: Any = seeded(cnn, 0)
    generator = torch.Generator().manual_seed(1)
    shape = model[5].weight.shape
    mask = Mask(kept={"5.weight": torch.rand(shape, generator=generator) > 0.9})
    found = thinned(studied(model, mask=mask))
    assert [one.name for one in found.layers] == ["5.weight"]
    assert found.kept == mask.total
    assert found.layers[0].live == mask.total
    assert found.summary.startswith("under mask: ")


def test_a_mask_that_takes_a_whole_layer_out():
    """Nothing of it is studied then, and the layer is told all the same."""
    model = seeded(mlp, 0)
    mask = Mask(kept={"0.weight": torch.ones(8, 5) > 0, "2.weight": torch.zeros(6, 8) > 0})
    found = thinned(studied(model, mask=mask, params="4.weight,0.weight"))
    assert [(one.kept, one.live) for one in found.layers] == [(40, 0), (0, 0)]
    assert found.severed
