from __future__ import annotations

import pytest
import torch

from landscape.operators import compiled
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from tests.cases import classified, mlp, seeded
from tests.oracles import generator, relative


@pytest.mark.full
@pytest.mark.filterwarnings("ignore")  # of the compiler
def test_compiled_products_agree_and_one_compilation_serves_equal_shapes(monkeypatch):
    made = []
    right = torch.compile
    monkeypatch.setattr(
        compiled.torch, "compile", lambda *args, **named: made.append(1) or right(*args, **named)
    )
    data = classified((8, 8), (5,), 3)
    subject = Subject(seeded(mlp, 0), "ce", data)
    exact = HessianOperator(subject, product="reverse")
    found = HessianOperator(subject, product="compiled", batch_size=8)
    for seed in range(3):
        block = torch.randn(exact.shape[0], 4, generator=generator(seed))
        expected = exact.matmat(block)
        assert relative(found.matmat(block) - expected, expected) <= 1e-5
    assert len(found.engine.micro_batches) == 2
    assert len(made) == 1
