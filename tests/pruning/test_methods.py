"""Masks by every method on every kind of network: exact counts, nested, nothing of it changed."""

import pytest
import torch

from landscape.errors import ModelError, SettingError
from landscape.pruning.allocation import kept_of, schedule
from landscape.pruning.flow import flow
from landscape.pruning.methods import find_mask
from landscape.pruning.prunable import prunable
from tests.cases import CASES

NETWORKS = ("mlp", "cnn", "residual", "tied", "multihead", "partial", "recurrent", "self-scored")
SCORED = ("magnitude", "random", "snip", "grasp", "synflow")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def state(subject):
    return {name: t.clone() for name, t in subject.model.state_dict().items()}


@pytest.mark.parametrize("method", SCORED)
@pytest.mark.parametrize("network", NETWORKS)
def test_masks_keep_exactly_what_is_asked_and_leave_the_network_alone(network, method):
    subject = CASES[network]().subject()
    before = state(subject)
    total = sum(one.size for one in prunable(subject))
    rounds = 3 if method in ("snip", "grasp", "synflow") else 1
    found = find_mask(subject, method, 0.3, rounds=rounds, generator=generator()).mask
    assert found.total == kept_of(total, 0.3)
    after = state(subject)
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = find_mask(subject, method, 0.3, rounds=rounds, generator=generator()).mask
    assert all(torch.equal(found.kept[name], again.kept[name]) for name in found.kept)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_flow_passes_every_layer_that_is_used(network):
    """Attention, normalisation and embeddings let it through; unused layers have none."""
    subject = CASES[network]().subject()
    names = {one.name for one in prunable(subject)}
    ones = {n: torch.ones_like(t) if n in names else t for n, t in tensors(subject).items()}
    found = flow(subject, ones, tuple(names))
    used = {
        name
        for name, part in subject.parameters.split(subject.gradient(subject.point)).items()
        if bool(part.any())
    }
    flowing = {name for name, through in found.through.items() if bool((through > 0).any())}
    assert flowing >= used & names
    assert found.total > 0


def tensors(subject):
    return subject.network.tensors(subject.point)


@pytest.mark.parametrize("method", ["snip", "grasp", "synflow"])
def test_rounds_are_nested(method):
    """A longer schedule at a lower density passes through the masks of its own prefix."""
    subject = CASES["cnn"]().subject()
    whole = schedule(0.1, 4)
    prefix = find_mask(subject, method, whole[1], rounds=2, generator=generator()).mask
    rest = find_mask(subject, method, whole[3], rounds=4, generator=generator()).mask
    assert rest.within(prefix)


@pytest.mark.parametrize("shared", ["layer", "erk"])
@pytest.mark.parametrize("method", SCORED)
def test_layers_get_their_share(method, shared):
    subject = CASES["cnn"]().subject()
    parts = prunable(subject)
    found = find_mask(subject, method, 0.25, shared=shared, generator=generator()).mask
    assert found.total == kept_of(sum(one.size for one in parts), 0.25)
    if shared == "layer":
        for one in parts:
            assert abs(found.counts[one.name] - 0.25 * one.size) < 1
    else:  # densities fall with the size of the kernel
        density = found.densities
        expected = {one.name: sum(one.shape) / one.size for one in parts}
        free = [one.name for one in parts if density[one.name] < 1]
        ratios = [density[name] / expected[name] for name in free]
        assert max(ratios) / min(ratios) < 1.1


def test_norms_biases_and_what_is_named_stay_dense():
    subject = CASES["residual"]().subject()
    names = [one.name for one in prunable(subject)]
    parameters = dict(subject.network.model.named_parameters())
    assert names
    assert all(parameters[name].dim() > 1 and "bias" not in name for name in names)
    fewer = [one.name for one in prunable(subject, dense=names[0].rsplit(".", 1)[0])]
    assert fewer == names[1:]
    with pytest.raises(ModelError, match="no weight of the network may be pruned"):
        prunable(subject, dense="*")


def test_tied_tensors_count_once():
    subject = CASES["tied"]().subject()
    shapes = {one.name: one.shape for one in prunable(subject)}
    parameters = {
        id(p)
        for n, p in subject.network.model.named_parameters(remove_duplicate=False)
        if n in shapes
    }
    assert len(parameters) == len(shapes)


def test_pairs_need_two_checkpoints_and_rounds_a_score_that_changes():
    subject = CASES["mlp"]().subject()
    with pytest.raises(SettingError, match="two checkpoints"):
        find_mask(subject, "movement", 0.5, generator=generator())
    with pytest.raises(SettingError, match="do not change"):
        find_mask(subject, "magnitude", 0.5, rounds=2, generator=generator())
    with pytest.raises(SettingError, match="needs data"):
        find_mask(subject.without_data(), "snip", 0.5, generator=generator())
