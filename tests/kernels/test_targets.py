"""Targets in the shape of the outputs, and the curvature of the loss in them."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.kernels.asked import chosen
from landscape.kernels.targets import targets_of
from tests.tangent.test_blocks import Tied


def targets_for(model, loss, data, **more):
    subject = ls.Subject(model, loss, data, device="cpu")
    return targets_of(subject, chosen(subject, subject.batches, 1000), **more)


def test_labels_are_one_hot():
    labels = torch.tensor([0, 2, 1, 2])
    found = targets_for(nn.Linear(3, 3), "ce", [(torch.randn(4, 3), labels)])
    np.testing.assert_array_equal(found.values, np.eye(3)[labels])
    np.testing.assert_array_equal(found.labels, labels)
    assert found.count == 4
    assert not found.square


def test_tokens_stand_where_their_logits_do():
    ids = torch.randint(7, (4, 5))
    targets = ids.roll(1, 1).clone()
    targets[0, 0] = -100
    found = targets_for(Tied(), "ce", [(ids, targets)])
    assert found.values is not None
    assert found.labels is None
    assert found.count == 19
    hot = found.values.reshape(4, 5, 7)
    assert not hot[0, 0].any()
    known = targets.numpy() >= 0
    np.testing.assert_array_equal(hot.argmax(2)[known], targets.numpy()[known])


@pytest.mark.parametrize("loss", ["mse", "ce", "bce"])
def test_roots_of_the_curvature(loss):
    """S Sᵀ is the Hessian of the summed loss in the outputs, by differentiating twice."""
    torch.manual_seed(0)
    model = nn.Linear(3, 4).double()
    inputs = torch.randn(5, 3).double()
    wanted = {"mse": torch.randn(5, 4).double(), "bce": torch.rand(5, 4).double()}
    targets = wanted.get(loss, torch.randint(4, (5,)))
    subject = ls.Subject(model, loss, [(inputs, targets)], dtype="float64", device="cpu")
    found = targets_of(subject, list(subject.device_batches()), curved=True)
    assert found.roots is not None
    for i in range(5):
        hessian = torch.autograd.functional.hessian(
            lambda z, i=i: subject.criterion.total(z[None], targets[i : i + 1]),
            model(inputs[i]).detach(),
        )
        root = found.roots[i]
        np.testing.assert_allclose(root @ root.T, hessian, atol=1e-12)


def test_a_loss_of_the_users_own_has_no_targets():
    def loss(outputs, targets):
        return (outputs - targets).abs().sum(1)

    found = targets_for(nn.Linear(3, 2), loss, [(torch.randn(4, 3), torch.randn(4, 2))])
    assert found.values is None
    assert found.centred is None


@pytest.mark.parametrize("most", [1, 3, 7, 11, 50])
def test_chosen_samples_are_spread_evenly(most):
    inputs = torch.arange(11.0)[:, None]
    data = [(inputs[:4], inputs[:4]), (inputs[4:8], inputs[4:8]), (inputs[8:], inputs[8:])]
    subject = ls.Subject(nn.Linear(1, 1), "mse", data, device="cpu")
    picked = torch.cat([one.args[0] for one in chosen(subject, subject.batches, most)]).flatten()
    expected = torch.linspace(0, 10, min(most, 11), dtype=torch.float64).round()
    assert picked.tolist() == expected.tolist()
