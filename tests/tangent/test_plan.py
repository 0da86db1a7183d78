"""Plans against what is computed."""

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.tangent.blocks import block_of
from landscape.tangent.contraction import costs
from landscape.tangent.kernel import kernel
from landscape.tangent.plan import plan
from tests.tangent.test_blocks import Tied, subject_of


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 5)]
    return nn.Sequential(*layers)


@pytest.mark.parametrize("kind", ["trace", "full", "classes"])
def test_the_plan_is_what_is_done(kind):
    inputs = torch.randn(10, 2, 6, 6).double()
    subject = subject_of(network(), inputs)
    (batch,) = subject.device_batches()
    made = plan(subject, batch, samples=10, kind=kind)
    done = kernel(subject, kind=kind, block=made.block)
    assert {one.name: one.order for one in made.layers} == dict(done.orders)
    assert made.tiles == 1
    assert made.outputs == 5
    assert made.kernel_bytes == done.values.nbytes


def test_costs_are_those_of_a_whole_block():
    inputs = torch.randn(8, 2, 6, 6).double()
    subject = subject_of(network(), inputs)
    (batch,) = subject.device_batches()
    made = plan(subject, batch, samples=8)
    block = block_of(subject, subject.point, batch)
    parameters = dict(network().named_parameters())
    for one in made.layers:
        factors = block.factors[one.name]
        offered = {c.order: c for c in costs(factors, factors, outputs=5, traced=True)}
        assert one.operations == offered[one.order].operations
        assert one.against_flat >= 1
        assert one.factor_bytes * 8 == factors.nbytes
        assert one.jacobian_bytes == 5 * 8 * parameters[one.name].numel()


def test_tables_are_planned_too():
    ids = torch.randint(7, (4, 5))
    subject = ls.Subject(Tied(), loss="ce", data=[(ids, ids)], device="cpu")
    (batch,) = subject.device_batches()
    made = plan(subject, batch, samples=4)
    assert {one.name for one in made.layers} == {"table.weight", "mix.weight", "mix.bias"}
