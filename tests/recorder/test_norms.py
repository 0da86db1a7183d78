"""Norms do not depend on the precision of what they are of."""

from __future__ import annotations

import math

import pytest
import torch

from landscape.recorder.norms import accumulation, copies, differences, inner_products, norms
from tests.oracles import generator

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", [*HALVES, torch.float32, torch.float64])
def test_norms_are_those_of_float64(dtype):
    tensors = [
        torch.randn(size, generator=generator(size), dtype=torch.float64).to(dtype)
        for size in (1, 7, 1000, 100_000)
    ]
    precision = accumulation(tensors)
    assert precision == (torch.float64 if dtype == torch.float64 else torch.float32)
    found = norms(tensors, precision)
    for one, tensor in zip(found, tensors, strict=True):
        assert one.dtype == precision
        assert float(one) == pytest.approx(float(tensor.double().norm()), rel=2e-6)


def test_a_total_of_bfloat16_gradients_is_not_rounded_to_bfloat16():
    tensors = [torch.full((1041,), 1.0, dtype=torch.bfloat16) for _ in range(5)]
    tensors[0][0] = 1.5
    exact = math.sqrt(sum(float(one.double().square().sum()) for one in tensors))
    assert exact == pytest.approx(72.1543, abs=1e-3)
    theirs = float(torch.nn.utils.get_total_norm(tensors))
    assert theirs == 72.0
    ours = math.sqrt(sum(float(one) ** 2 for one in norms(tensors, torch.float32)))
    assert ours == pytest.approx(exact, rel=1e-6)


def test_sparse_and_complex_tensors():
    sparse = torch.sparse_coo_tensor(
        torch.tensor([[0, 0, 2]]), torch.tensor([3.0, 1.0, 3.0]), (4,), check_invariants=True
    )
    complex_one = torch.tensor([3 + 4j, 0j])
    found = norms([sparse, complex_one, torch.zeros(0)], torch.float32)
    assert [float(one) for one in found] == [5.0, 5.0, 0.0]


def test_differences_and_inner_products():
    tensors = [torch.randn(3, 4, generator=generator(0)), torch.randn(5, generator=generator(1))]
    before = copies(tensors)
    assert before is not None
    products = inner_products(tensors, before, torch.float32)
    for one, tensor in zip(products, tensors, strict=True):
        assert float(one) == pytest.approx(float(tensor.square().sum()), rel=1e-6)
    tensors[0] += 2.0
    moved = differences(tensors, before)
    assert torch.allclose(moved[0], torch.full((3, 4), 2.0))
    assert not moved[1].any()
