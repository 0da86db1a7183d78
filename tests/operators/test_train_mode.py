"""Curvature in train mode, against a dense double backward of the module in `.train()`."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from landscape.errors import NumericalError, ResourceError, SettingError
from landscape.operators import microbatches
from landscape.operators.fisher import FisherOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.subject.subject import Subject
from tests.cases import CASES, Problem, labels, normal, seeded
from tests.oracles import F64, generator, relative, spectrum_of
from tests.selection import some

WAYS = ("reverse", "cached", "linearize", "forward")


def _rows() -> Problem:
    def build() -> nn.Module:
        first = [nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh()]
        last = [nn.Linear(6, 6, bias=False), nn.BatchNorm1d(6, affine=False), nn.ReLU()]
        return nn.Sequential(*first, *last, nn.Linear(6, 3))

    data = [(normal(n, 5, seed=n), labels(n, classes=3, seed=n + 1)) for n in (12, 6)]
    return Problem(seeded(build, 20), data)


NORMALISED = {"rows": _rows, "cnn": CASES["cnn"], "residual": CASES["residual"]}


def subject_of(name: str, **settings: Any) -> Subject:
    return NORMALISED[name]().subject(**{"mode": "train", "dtype": "float64", **settings})


class Dense:
    """The mean loss of the module in `.train()` on the first batch, written again in float64."""

    def __init__(self, name: str) -> None:
        problem = NORMALISED[name]()
        self.model = copy.deepcopy(problem.model).double().train()
        x, self.y = problem.data[0]
        self.x = x.double()
        self.shapes = {n: p.shape for n, p in self.model.named_parameters()}
        self.theta = torch.cat([p.detach().flatten() for p in self.model.parameters()])

    def outputs(self, theta: Tensor) -> Tensor:
        parts = theta.split([shape.numel() for shape in self.shapes.values()])
        tensors = {n: p.view(s) for (n, s), p in zip(self.shapes.items(), parts, strict=True)}
        buffers = {n: b.clone() for n, b in self.model.named_buffers()}
        return functional_call(self.model, {**tensors, **buffers}, (self.x,))

    def gradient(self, theta: Tensor, *, graph: bool = False) -> Tensor:
        theta = theta if graph else theta.detach().requires_grad_()
        loss = F.cross_entropy(self.outputs(theta), self.y)
        return torch.autograd.grad(loss, theta, create_graph=graph)[0]

    def hessian(self) -> Tensor:
        theta = self.theta.detach().requires_grad_()
        rows = self.gradient(theta, graph=True)
        return torch.stack([torch.autograd.grad(one, theta, retain_graph=True)[0] for one in rows])

    def gauss_newton(self) -> Tensor:
        theta = self.theta.detach().requires_grad_()
        outputs = self.outputs(theta)
        rows = [torch.autograd.grad(one, theta, retain_graph=True)[0] for one in outputs.flatten()]
        jacobian = torch.stack(rows).view(*outputs.shape, -1)  # (b, m, n), of the whole batch
        p = outputs.detach().softmax(1)
        bend = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
        return torch.einsum("bin,bij,bjk->nk", jacobian, bend, jacobian) / len(p)

    def difference(self, vector: Tensor, step: float = 1e-5) -> Tensor:
        ahead, behind = (self.gradient(self.theta + s * step * vector) for s in (1, -1))
        return (ahead - behind) / (2 * step)


def directions(count: int, size: int, seed: int = 0) -> Tensor:  # (count, n), unit rows
    gauss = torch.randn(count, size, generator=generator(seed), dtype=F64)
    return gauss / gauss.norm(dim=1, keepdim=True)


@pytest.mark.parametrize("name", some(NORMALISED, "rows", "cnn"))
def test_the_hessian_is_that_of_the_module_in_train_mode(name):
    exact = Dense(name).hessian()
    found = HessianOperator(subject_of(name)).to_dense()
    assert relative(found - exact, exact) <= 1e-11
    evaluated = HessianOperator(subject_of(name, mode="eval")).to_dense()
    assert relative(evaluated - exact, exact) > 0.1  # it is another matrix


@pytest.mark.parametrize("name", some(NORMALISED, "rows", "cnn"))
def test_products_are_central_differences_of_the_gradient(name):
    dense = Dense(name)
    hessian = HessianOperator(subject_of(name))
    largest = np.abs(spectrum_of(dense.hessian())).max()
    for vector in directions(3, hessian.shape[0], seed=3):
        found = hessian.matvec(vector) - dense.difference(vector)
        assert float(found.norm()) <= 1e-6 * largest


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", some(NORMALISED, "rows"))
def test_every_way_gives_the_same_products(name, way):
    exact = Dense(name).hessian()
    hessian = HessianOperator(subject_of(name), product=way)
    for seed, count in enumerate((5, 1, 5)):  # set up, another size, and replayed
        block = directions(count, len(exact), seed=seed).T
        assert relative(hessian.matmat(block) - exact @ block, exact @ block) <= 1e-11
    assert hessian.engine.way == way
    assert not hessian.engine.refused


@pytest.mark.parametrize("name", some(NORMALISED, "rows", "cnn"))
def test_restriction_is_the_block_of_the_hessian(name):
    exact, hessian = Dense(name).hessian(), HessianOperator(subject_of(name))
    kept = torch.tensor([0, 5, 17, len(exact) - 1])
    for one in (kept, kept.flip(0)):
        block = hessian.restricted(one).to_dense()
        assert relative(block - exact[one][:, one], exact) <= 1e-11


@pytest.mark.parametrize("name", some(NORMALISED, "rows", "cnn"))
def test_the_gauss_newton_matrix_sees_how_the_samples_are_coupled(name):
    exact = Dense(name).gauss_newton()
    for way in ("reverse", "linearize"):
        found = GaussNewtonOperator(subject_of(name), product=way).to_dense()
        assert relative(found - exact, exact) <= 1e-11


@pytest.mark.parametrize("name", some(NORMALISED, "rows", "cnn"))
def test_single_precision_is_close(name):
    exact = Dense(name).hessian()
    found = HessianOperator(subject_of(name, dtype="float32")).to_dense().double()
    largest = np.abs(spectrum_of(exact)).max()
    assert float(torch.linalg.matrix_norm(found - exact, 2)) <= 1e-4 * largest


@pytest.mark.parametrize("name", NORMALISED)
def test_the_derivative_check_holds(name):
    for operator in (HessianOperator(subject_of(name)), GaussNewtonOperator(subject_of(name))):
        found = operator.check
        assert found is not None
        assert found.difference <= 1e-4
        assert found.transpose <= 1e-8
        assert found.samples == len(NORMALISED[name]().data[0][1])  # the whole batch


class _WrongWhenTraining(torch.autograd.Function):
    """x², whose second derivative is off by a half."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradients[0] * (x + x.detach())


class _Trick(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return _WrongWhenTraining.apply(x) if self.training else x**2  # type: ignore[return-value]


def test_a_derivative_that_is_wrong_in_train_mode_alone_is_named():
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), _Trick(), nn.Linear(6, 3)), 3)
    data = [(normal(8, 4, seed=1), labels(8, classes=3, seed=2))]
    _ = HessianOperator(Subject(model, "ce", data, device="cpu")).check
    with pytest.raises(NumericalError, match="second derivative") as caught:
        _ = HessianOperator(Subject(model, "ce", data, device="cpu", mode="train")).check
    assert "_Trick" in caught.value.where


# --- one batch, never split --------------------------------------------------------------------


def test_the_batch_is_never_split_nor_merged(monkeypatch):
    monkeypatch.setattr(microbatches, "MERGED_BYTES", 1)
    for size in (None, 5, 15):
        subject = subject_of("rows", batch_size=size)
        batches = HessianOperator(subject).engine.micro_batches
        assert [one.samples for one in batches] == [size or 12]
        assert not batches.halve()
    batches = HessianOperator(subject_of("rows"), batch_size=3).engine.micro_batches
    assert [one.samples for one in batches] == [12]


def test_without_memory_the_need_is_told(monkeypatch):
    subject = subject_of("rows")
    operator = HessianOperator(subject, product="reverse")
    _ = operator.engine, operator.check

    def full(batch: Any) -> Any:
        del batch
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(operator.engine, "_local", full)
    with pytest.raises(ResourceError, match="cannot be split") as caught:
        operator.matmat(directions(4, operator.shape[0]).T)
    assert caught.value.exit == 6
    assert "MiB" in caught.value.why
    assert "12 samples" in caught.value.where
    assert "smaller batch" in caught.value.hint


# --- samples that depend on one another --------------------------------------------------------


def test_the_fisher_matrix_of_drawn_labels_estimates_the_gauss_newton_matrix():
    exact = Dense("rows").gauss_newton()
    found = FisherOperator(subject_of("rows"), draws=400).to_dense()
    assert relative(found - exact, exact) <= 0.2


def test_the_empirical_fisher_matrix_is_refused():
    with pytest.raises(SettingError, match="empirical Fisher") as caught:
        FisherOperator(subject_of("rows"), draws=None)
    assert "depend on one another" in caught.value.why


def test_a_network_without_statistics_is_the_same_in_both_modes():
    problem = CASES["mlp"]()
    data = problem.data[:1]
    found = [
        HessianOperator(Subject(problem.model, "ce", data, device="cpu", mode=mode)).to_dense()
        for mode in ("eval", "train")
    ]
    assert torch.equal(*found)


def test_the_derivative_check_is_made_with_few_samples():
    """A deep network with BatchNorm is so rough that with many some always stand on a kink."""

    def build() -> nn.Module:
        blocks = [(nn.Linear(16, 16), nn.BatchNorm1d(16), nn.ReLU()) for _ in range(20)]
        layers = [nn.Linear(4, 16), *(one for block in blocks for one in block), nn.Linear(16, 3)]
        return nn.Sequential(*layers)

    data = [(normal(400, 4, seed=1), labels(400, classes=3, seed=2))]
    subject = Subject(seeded(build, 3), "ce", data, device="cpu", mode="train")
    found = HessianOperator(subject).check
    assert found is not None
    assert found.samples == 16


def test_a_network_for_batches_of_one_size_is_checked_with_all_of_it():
    class Fixed(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.view(24, 4))

    model = seeded(lambda: Fixed(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)), 3)
    data = [(normal(24, 4, seed=1), labels(24, classes=3, seed=2))]
    found = HessianOperator(Subject(model, "ce", data, device="cpu", mode="train")).check
    assert found is not None
    assert found.samples == 24
