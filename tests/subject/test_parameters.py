from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.subject.parameters import Parameters
from tests.cases import CASES, mlp, normal, seeded
from tests.oracles import F64, generator

CHOICES = {
    "trainable": {},
    "all": {"select": "all"},
    "layer": {"select": "2"},
    "globs": {"select": "0.*, *.bias"},
    "mask": {"mask": {"2.weight": torch.rand(6, 8, generator=generator(0)) < 0.4}},
    "whole mask": {"mask": {"2.weight": torch.ones(6, 8, dtype=torch.bool)}},
    "empty mask": {"mask": {"2.weight": torch.zeros(6, 8, dtype=torch.bool)}},
    "one coordinate": {
        "select": "4.bias",
        "mask": {"4.bias": torch.tensor([False, True, False])},
    },
}


def tensors(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", CHOICES)
def test_unflatten_undoes_flatten(name):
    model = seeded(mlp, 0)
    parameters = Parameters(model, **CHOICES[name])
    values = tensors(model)
    theta = parameters.flatten(values)
    assert theta.shape == (parameters.size,)
    for key, tensor in parameters.unflatten(theta, values).items():
        assert torch.equal(tensor, values[key])


@pytest.mark.parametrize("name", CHOICES)
def test_flatten_undoes_unflatten(name):
    model = seeded(mlp, 0)
    parameters = Parameters(model, **CHOICES[name])
    theta = normal(parameters.size, seed=3)
    moved = parameters.unflatten(theta, tensors(model))
    assert torch.equal(parameters.flatten(moved), theta)


@pytest.mark.parametrize("name", CHOICES)
def test_coordinates_that_are_not_studied_keep_the_values_of_the_base(name):
    model = seeded(mlp, 0)
    parameters = Parameters(model, **CHOICES[name])
    base = tensors(model)
    before = {key: tensor.clone() for key, tensor in base.items()}
    moved = parameters.unflatten(theta := normal(parameters.size, seed=3), base)
    changed = sum(int((moved[key] != base[key]).sum()) for key in moved)
    assert changed == parameters.size  # no coordinate of the draw equals an old value
    assert theta.numel() == parameters.size
    assert all(torch.equal(base[key], before[key]) for key in base)


def test_mask_studies_exactly_its_true_coordinates_in_order():
    model = seeded(mlp, 0)
    mask = CHOICES["mask"]["mask"]["2.weight"]
    parameters = Parameters(model, select="2.weight", mask={"2.weight": mask})
    assert torch.equal(parameters.flatten(tensors(model)), model[2].weight.detach()[mask])
    moved = parameters.unflatten(torch.zeros(parameters.size), tensors(model))["2.weight"]
    assert torch.equal(moved == 0, mask)


def test_a_tensor_masked_away_entirely_is_not_studied():
    parameters = Parameters(seeded(mlp, 0), **CHOICES["empty mask"])
    assert "2.weight" not in parameters.names


@pytest.mark.parametrize("name", ["trainable", "mask"])
def test_unflatten_is_differentiable_in_every_coordinate(name):
    model = seeded(mlp, 0).double()
    parameters = Parameters(model, **CHOICES[name])
    theta = torch.zeros(parameters.size, dtype=F64, requires_grad=True)
    moved = parameters.unflatten(theta, tensors(model))
    weights = normal(parameters.size, seed=1).double()
    total = parameters.flatten(moved) @ weights
    (gradient,) = torch.autograd.grad(total, theta)
    assert torch.equal(gradient, weights)


def test_split_gives_the_slices_of_the_flat_vector():
    parameters = Parameters(seeded(mlp, 0), **CHOICES["mask"])
    vector = torch.arange(float(parameters.size))
    parts = parameters.split(vector)
    assert tuple(parts) == parameters.names
    assert torch.equal(torch.cat(list(parts.values())), vector)


def test_blocks_are_adjacent_and_cover_the_vector():
    parameters = Parameters(seeded(mlp, 0), **CHOICES["mask"])
    starts = [block.start for block in parameters.blocks]
    stops = [block.stop for block in parameters.blocks]
    assert starts == [0, *stops[:-1]]
    assert stops[-1] == parameters.size


# --- what is selected --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("2", ("2.weight", "2.bias")),
        ("2.weight", ("2.weight",)),
        ("*.bias", ("0.bias", "2.bias", "4.bias")),
        ("4,0.bias", ("0.bias", "4.weight", "4.bias")),  # in the order of the network
        (" 0.weight , 0.weight ", ("0.weight",)),
        ("*", ("0.weight", "0.bias", "2.weight", "2.bias", "4.weight", "4.bias")),
        ("[02].bias", ("0.bias", "2.bias")),
    ],
)
def test_globs_name_parameters_or_layers(select, expected):
    assert Parameters(seeded(mlp, 0), select).names == expected


def test_a_layer_name_is_no_prefix_of_another():
    model = nn.ModuleDict({"head": nn.Linear(2, 2), "head2": nn.Linear(2, 2)})
    assert Parameters(model, "head").names == ("head.weight", "head.bias")


def test_frozen_parameters_are_studied_only_when_all_are():
    model = CASES["partial"]().model
    names = [name for name, _ in model.named_parameters()]
    assert Parameters(model).names == tuple(n for n in names if "frozen" not in n)
    assert Parameters(model, "all").names == tuple(names)
    assert not any("frozen" in name for name in Parameters(model, "*").names)


def test_tied_tensors_enter_once():
    model = CASES["tied"]().model
    parameters = Parameters(model)
    assert parameters.size == sum(p.numel() for p in model.parameters())
    assert not any(name.startswith("head") for name in parameters.names)


def test_a_mask_changes_what_identifies_the_selection():
    model = seeded(mlp, 0)
    mask = CHOICES["mask"]["mask"]["2.weight"]
    other = mask.flip(0)
    described = [
        Parameters(model, mask=chosen).described
        for chosen in (None, {"2.weight": mask}, {"2.weight": other})
    ]
    assert described[1] == Parameters(model, mask={"2.weight": mask.clone()}).described
    assert described[0] != described[1] != described[2]


# --- some of the coordinates -------------------------------------------------------------------

POSITIONS = {
    "a layer": torch.arange(48, 102),
    "a tensor and a half": torch.arange(40, 70),
    "some of several": torch.tensor([0, 3, 39, 40, 47, 48, 101]),
    "the last": torch.tensor([122]),
    "all": torch.arange(123),
}


@pytest.mark.parametrize("name", POSITIONS)
def test_a_subset_flattens_to_the_coordinates_at_its_positions(name):
    model, kept = seeded(mlp, 0), POSITIONS[name]
    whole = Parameters(model)
    part = whole.subset(kept)
    assert part.size == len(kept)
    assert torch.equal(part.flatten(tensors(model)), whole.flatten(tensors(model))[kept])
    assert [b.start for b in part.blocks] == [0, *(b.stop for b in part.blocks[:-1])]
    assert all(b.stop > b.start for b in part.blocks)


@pytest.mark.parametrize("name", POSITIONS)
def test_a_subset_moves_its_coordinates_and_no_others(name):
    model, kept = seeded(mlp, 0), POSITIONS[name]
    whole = Parameters(model)
    moved = whole.subset(kept).unflatten(normal(len(kept), seed=3), tensors(model))
    expected = whole.flatten(tensors(model)).index_copy(0, kept, normal(len(kept), seed=3))
    assert torch.equal(whole.flatten({**tensors(model), **moved}), expected)


def test_a_subset_of_a_subset_and_of_a_mask():
    model = seeded(mlp, 0)
    whole = Parameters(model, **CHOICES["mask"])
    first, second = torch.arange(0, whole.size, 2), torch.tensor([0, 4, 9, 20])
    part = whole.subset(first).subset(second)
    theta = whole.flatten(tensors(model))
    assert torch.equal(part.flatten(tensors(model)), theta[first][second])
    assert whole.flatten(tensors(model)).shape == theta.shape  # the whole is left as it was


def test_a_tensor_that_is_kept_whole_needs_no_positions():
    part = Parameters(seeded(mlp, 0)).subset(POSITIONS["a tensor and a half"])
    assert [(b.name, b.kept is None) for b in part.blocks] == [
        ("0.bias", True),
        ("2.weight", False),
    ]


def test_subsets_are_told_apart():
    whole = Parameters(seeded(mlp, 0))
    one, other = (whole.subset(torch.tensor(kept)).described for kept in ([0, 1], [0, 2]))
    assert one != other


# --- what is refused ---------------------------------------------------------------------------


def test_a_glob_without_match_shows_near_names():
    with pytest.raises(ModelError, match=r"no trainable parameter matches '2\.wieght'") as raised:
        Parameters(seeded(mlp, 0), "2.wieght")
    assert "2.weight" in raised.value.why


def test_no_name_is_told_twice():
    with pytest.raises(ModelError, match="no trainable parameter matches") as raised:
        Parameters(nn.Linear(3, 2), "wieght")
    assert raised.value.why.endswith("nearest names: weight")


def test_a_glob_without_match_shows_every_layer():
    model = nn.ModuleDict(
        {"stem": nn.Linear(3, 3), "blocks": nn.ModuleList([seeded(mlp, 0) for _ in range(2)])}
    )
    model.register_parameter("scale", nn.Parameter(torch.ones(1)))
    with pytest.raises(ModelError) as raised:
        Parameters(model, "foo*")
    assert raised.value.why == "the layers are scale, stem, blocks.0, blocks.1"
    assert "--params scale" in raised.value.hint
    assert Parameters(model, "blocks.1").size == Parameters(seeded(mlp, 0)).size


def test_a_frozen_network_says_how_to_study_it():
    model = seeded(mlp, 0).requires_grad_(False)
    with pytest.raises(ModelError, match=r"every parameter .* is frozen") as raised:
        Parameters(model)
    assert "all" in raised.value.hint


def test_a_network_without_parameters_is_refused():
    with pytest.raises(ModelError, match="no parameters"):
        Parameters(nn.Sequential(nn.ReLU()))


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(ModelError, match=r"'2\.weight' has shape \(8, 6\), expected \(6, 8\)"):
        Parameters(seeded(mlp, 0), mask={"2.weight": torch.ones(8, 6, dtype=torch.bool)})


def test_a_mask_of_something_that_is_not_studied_is_refused():
    with pytest.raises(ModelError, match=r"0\.weight"):
        Parameters(seeded(mlp, 0), "2", mask={"0.weight": torch.ones(8, 5, dtype=torch.bool)})


def test_a_mask_that_holds_everything_is_refused():
    mask = {"2.weight": torch.zeros(6, 8, dtype=torch.bool)}
    with pytest.raises(ModelError, match="no parameter is studied"):
        Parameters(seeded(mlp, 0), "2.weight", mask=mask)
