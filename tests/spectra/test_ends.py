from __future__ import annotations

import pytest
import torch

from landscape.linalg.eigenpairs import eigenpairs
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.operators.preconditioned import PreconditionedOperator
from landscape.spectra.ends import eigenvalues
from landscape.subject.subject import Subject
from tests.cases import sure
from tests.oracles import generator


@pytest.mark.parametrize("samples", [300, 3000])
@pytest.mark.parametrize("seed", [0, 1])
def test_eigenvalues_in_float32_hold_those_in_float64_where_a_loss_near_zero_leaves_few_digits(
    samples, seed
):
    model, data = sure(samples)
    rounded, exact = (
        eigenpairs(
            HessianOperator(Subject(model, "ce", data, dtype=dtype)),
            top=3,
            bottom=2,
            generator=generator(seed),
        )
        for dtype in ("float32", "float64")
    )
    for told, right in ((rounded.top, exact.top), (rounded.bottom, exact.bottom)):
        found = eigenvalues(told, rounded)
        for one, value in zip(found, right.values, strict=True):
            assert one.interval[0] <= value <= one.interval[1]
    largest = eigenvalues(rounded.top, rounded)[0]
    assert largest.interval[1] - largest.interval[0] < 1e-2 * largest.value


def test_what_is_made_of_an_operator_is_as_imprecise():
    model, data = sure(300)
    subject = Subject(model, "ce", data)
    hessian, square = HessianOperator(subject), GaussNewtonOperator(subject)
    assert hessian.check is not None
    told = hessian.check.precision
    assert hessian.imprecision == told > 1e-5
    scale = torch.ones(hessian.shape[0])
    kept = torch.tensor([3, 1])
    for made in (2 * hessian, PreconditionedOperator(hessian, scale), hessian.restricted(kept)):
        assert made.imprecision == told
    assert (hessian - square).imprecision == max(told, square.imprecision)
