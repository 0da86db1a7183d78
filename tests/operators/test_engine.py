from __future__ import annotations

import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from landscape.errors import NumericalError, ResourceError
from landscape.linalg.eigenpairs import eigenpairs
from landscape.operators import engine as engine_module
from landscape.operators import ways
from landscape.operators.curvature import CurvatureOperator
from landscape.operators.fisher import FisherOperator
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.operators.tape import Tape
from landscape.subject import batches as batches_module
from landscape.subject.subject import Subject
from tests.cases import (
    CASES,
    SEPARABLE,
    classified,
    dense_gauss_newton,
    dense_hessian,
    labels,
    mlp,
    normal,
    seeded,
)
from tests.oracles import F64, generator, relative
from tests.selection import full, some

WAYS = ("reverse", "cached", "linearize", "forward")
NO_FORWARD_MODE = ("recurrent",)
QUICK = ("mlp", "pixels", "masked")


def rows(size: int, count: int, seed: int = 0) -> Tensor:  # (n, count)
    return torch.randn(size, count, generator=generator(seed), dtype=F64)


@pytest.fixture
def eager(monkeypatch):
    """Under `auto`, a recording is made at once."""
    monkeypatch.setattr(engine_module, "RECORDING", 0.0)
    monkeypatch.setattr(engine_module, "UNTIMED", 0.0)


# --- ways and blocks ---------------------------------------------------------------------------


def combinations() -> list[Any]:
    every = [(name, way) for name in CASES for way in (*WAYS, "auto")]
    quick = [*(("mlp", way) for way in WAYS), ("tied", "auto"), ("masked", "auto")]
    return [pytest.param(*one, marks=() if one in quick else pytest.mark.full) for one in every]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize(("name", "way"), combinations())
def test_blocks_of_every_size(name, way):
    exact = dense_hessian(name)
    if way in ("linearize", "forward") and name in NO_FORWARD_MODE:
        pytest.skip("has no forward mode")
    hessian = HessianOperator(CASES[name]().subject(dtype="float64"), product=way)
    for count in (1, 2, 7, 16, 17):
        block = rows(len(exact), count, seed=count)
        assert relative(hessian.matmat(block) - exact @ block, exact @ block) <= 1e-11


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", some(SEPARABLE, *QUICK))
def test_every_way_gives_gauss_newton_and_fisher(name, way):
    missing = NO_FORWARD_MODE
    if way in ("linearize", "forward") and name in missing:
        pytest.skip("has no forward mode")
    exact = dense_gauss_newton(name)
    subject = CASES[name]().subject(dtype="float64")
    matrix = GaussNewtonOperator(subject, product=way)
    fisher = FisherOperator(subject, draws=None, product=way)
    other = FisherOperator(subject, draws=None, product="reverse")
    for count in (3, 1, 3):
        block = rows(len(exact), count, seed=count)
        assert relative(matrix.matmat(block) - exact @ block, exact @ block) <= 1e-11
        expected = other.matmat(block)
        assert relative(fisher.matmat(block) - expected, expected) <= 1e-11


def test_no_vectors_are_no_products():
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"))
    assert hessian.matmat(rows(hessian.shape[0], 0)).shape == (hessian.shape[0], 0)


@pytest.mark.usefixtures("eager")
def test_the_faster_way_is_told_for_every_block_size():
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"))
    for count in (1, 1, 1, 1, 1, 4, 4, 4, 4, 4):
        hessian.matmat(rows(hessian.shape[0], count))
    way = hessian.engine.way
    assert way in ("cached", "linearize") or "(blocks of 1)" in way
    assert hessian.engine.refused == {}


# --- a way that is wrong -----------------------------------------------------------------------


def doubled(local):
    return lambda block: 2 * torch.stack([local.forward(row) for row in block])


class Unit:
    """The identity, which returns its argument itself."""

    def graph(self):
        return lambda block: block


@pytest.mark.parametrize("count", [1, 4, 7])
def test_vectors_are_never_written_over(count, monkeypatch):
    subject = Subject(seeded(mlp, 0), "ce", classified((9,), (5,), 3))
    hessian = HessianOperator(subject, product="reverse")
    monkeypatch.setattr(hessian.engine, "_local", lambda _: Unit())
    block = torch.randn(count, hessian.shape[0], generator=generator(1))
    before = block.clone()
    found = hessian.unchecked(block)
    assert torch.equal(block, before)
    torch.testing.assert_close(found, before / 9)


@pytest.mark.usefixtures("eager")
def test_a_wrong_way_is_left_out_of_auto(monkeypatch):
    monkeypatch.setattr(ways, "vectorised", doubled)
    hessian, exact = HessianOperator(CASES["mlp"]().subject(dtype="float64")), dense_hessian("mlp")
    for seed in range(5):
        block = rows(len(exact), 2, seed)
        assert relative(hessian.matmat(block) - exact @ block, exact @ block) <= 1e-11
    assert hessian.engine.way == "cached"
    assert "differs from the reference" in hessian.engine.refused["linearize"]


def test_small_problems_are_computed_in_one_way_whatever_the_clock_says(monkeypatch):
    monkeypatch.setattr(engine_module, "RECORDING", 0.0)
    monkeypatch.setattr(engine_module, "IMPORTS", 0.0)
    hessian = HessianOperator(CASES["mlp"]().subject())
    block = rows(hessian.shape[0], 2, 0).float()
    first = hessian.matmat(block)
    for _ in range(4):
        assert torch.equal(hessian.matmat(block), first)
    assert hessian.engine.way == "cached"
    assert not hessian.engine.refused


@pytest.mark.parametrize("way", ["linearize", "forward"])
def test_a_wrong_way_that_is_asked_for_is_an_error(way, monkeypatch):
    monkeypatch.setattr(ways, "vectorised", doubled)
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"), product=way)
    with pytest.raises(NumericalError, match="differs from the reference product by 1"):
        hessian.matmat(rows(hessian.shape[0], 2))


def test_a_recording_that_replays_something_else_is_an_error(monkeypatch):
    """The function may be right at the rows that it was recorded with, and the replay wrong."""
    right = Tape.__call__
    monkeypatch.setattr(Tape, "__call__", lambda tape, x: 1.5 * right(tape, x))
    hessian = HessianOperator(CASES["mlp"]().subject(dtype="float64"), product="linearize")
    with pytest.raises(NumericalError, match="differs from the reference product"):
        hessian.matmat(rows(hessian.shape[0], 2))


def test_a_vector_with_no_curvature_is_no_disagreement():
    """Along 1 every logit moves alike: both products are rounding."""
    model = seeded(lambda: nn.Linear(5, 3), 0)
    hessian = HessianOperator(Subject(model, "ce", classified((7,), (5,), 3)), product="linearize")
    assert float(hessian.matvec(torch.ones(18)).abs().max()) <= 1e-5


class Square(torch.autograd.Function):
    """x² in the form that torch.func refuses."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (x,) = ctx.saved_tensors
        return 2 * x * grad


class Squared(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return Square.apply(super().forward(x))


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("inside", ["network", "loss"])
def test_what_torch_func_refuses_is_computed_in_another_way(inside):
    data = (normal(6, 3, seed=0), normal(6, 2, seed=1))
    network: nn.Module = seeded(lambda: (Squared if inside == "network" else nn.Linear)(3, 2), 0)
    loss: Any = "mse" if inside == "network" else lambda z, y: Square.apply(z - y).sum(1)
    hessian = HessianOperator(Subject(network, loss, data, dtype="float64"))
    first = hessian.to_dense()
    for _ in range(4):
        torch.testing.assert_close(hessian.to_dense(), first)
    assert hessian.engine.way == "cached"
    assert "setup_context" in hessian.engine.refused["linearize"]


class Spectral(nn.Module):
    """Multiplies in the frequency domain, as Fourier neural operators do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.weights = nn.Parameter(normal(5, 2, seed=3))
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.fft.rfft(torch.tanh(self.first(x)))
        outer = inner * torch.view_as_complex(self.weights)
        return self.head(torch.fft.irfft(outer, n=8)) + inner.real[:, :3] * inner.conj().imag[:, :3]


@pytest.mark.usefixtures("eager")
def test_complex_numbers_inside_a_network():
    network = seeded(Spectral, 0)
    subject = Subject(network, "ce", classified((6, 4), (8,), 3), dtype="float64")
    exact = HessianOperator(subject, product="reverse")
    for way in ("linearize", "auto"):
        hessian = HessianOperator(subject, product=way)
        for seed in range(5):
            block = rows(hessian.shape[0], 1, seed)
            expected = exact.matmat(block)
            assert relative(hessian.matmat(block) - expected, expected) <= 1e-11


# --- micro-batches -----------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [None, 3, *full(1, 1000)])
@pytest.mark.parametrize(
    ("name", "kind"),
    [("ragged", HessianOperator), ("ignored", HessianOperator), ("mlp", GaussNewtonOperator)],
)
def test_micro_batches_change_no_number(name, kind, batch_size):
    exact = dense_hessian(name) if kind is HessianOperator else dense_gauss_newton(name)
    subject = CASES[name]().subject(dtype="float64")
    matrix: CurvatureOperator = kind(subject, batch_size=batch_size)
    block = rows(len(exact), 5)
    assert relative(matrix.matmat(block) - exact @ block, exact @ block) <= 1e-12
    sizes = [batch.samples for batch in matrix.engine.micro_batches]
    if batch_size is not None:
        assert max(sizes) <= batch_size
    given = [batch.samples for batch in subject.device_batches()]
    assert sum(sizes) == sum(given)
    if batch_size == 1000:
        assert len(sizes) == 1


def test_small_batches_are_merged():
    data = classified((2,) * 40, (5,), 3)
    subject = Subject(seeded(mlp, 0), "ce", data, dtype="float64")
    whole = tuple(torch.cat(part) for part in zip(*data, strict=True))
    merged, given = HessianOperator(subject), HessianOperator(subject, batch_size=2)
    exact = HessianOperator(Subject(seeded(mlp, 0), "ce", whole, dtype="float64")).to_dense()
    assert len(merged.engine.micro_batches) == 1
    assert len(given.engine.micro_batches) == 40
    assert relative(merged.to_dense() - exact, exact) <= 1e-12
    assert relative(given.to_dense() - exact, exact) <= 1e-12


class Centred(nn.Linear):
    """Subtracts the mean over the batch: a sample's output depends on the other samples."""

    def forward(self, x: Tensor) -> Tensor:
        z = super().forward(x) ** 2
        return z - z.mean(0)


class OfFour(nn.Linear):
    """Takes batches of four samples only."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.view(4, 6)) ** 2


@pytest.mark.parametrize("batch_size", [None, 1, 2])
@pytest.mark.parametrize("network", [Centred, OfFour])
def test_batches_that_are_no_sets_of_samples_are_used_as_given(network, batch_size):
    model = seeded(lambda: network(6, 3), 0)
    data = classified((4, 4, 4), (6,), 3)
    subject = Subject(model, "ce", data, dtype="float64")
    hessian = HessianOperator(subject, batch_size=batch_size)
    parts = [HessianOperator(Subject(model, "ce", [one], dtype="float64")) for one in data]
    exact = torch.stack([part.to_dense() for part in parts]).mean(0)
    assert relative(hessian.to_dense() - exact, exact) <= 1e-12
    assert [batch.samples for batch in hessian.engine.micro_batches] == [4, 4, 4]
    assert any("used as given" in note for note in subject.provenance()["notes"])
    assert hessian.check is not None
    assert hessian.check.samples == 4


def test_data_that_do_not_fit_the_cache_are_read_again(monkeypatch):
    monkeypatch.setattr(batches_module, "CACHE_LIMIT_BYTES", 100)
    x, y = normal(30, 5, seed=0), labels(30, classes=3, seed=1)
    model = seeded(mlp, 0)
    kept = HessianOperator(Subject(model, "ce", (x, y), dtype="float64"))
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    for size in (None, 3, 7):
        subject = Subject(model, "ce", loader, dtype="float64")
        read = HessianOperator(subject, batch_size=size)
        assert not isinstance(subject.device_batches(), list)
        exact = kept.to_dense()
        for _ in range(2):
            assert relative(read.to_dense() - exact, exact) <= 1e-12


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("way", ["cached", "linearize", "auto"])
def test_some_micro_batches_kept_and_the_others_computed_again(way, monkeypatch):
    exact = dense_hessian("mlp")
    problem = CASES["mlp"]()
    whole = HessianOperator(problem.subject(dtype="float64"), product=way, batch_size=1)
    whole.matmat(rows(len(exact), 2))
    needed = max(whole.engine._kept.used, 1)
    monkeypatch.setattr(
        engine_module, "SHARE", 0.4 * needed / engine_module.free_bytes(torch.device("cpu"))
    )
    hessian = HessianOperator(problem.subject(dtype="float64"), product=way, batch_size=1)
    for seed in range(5):
        block = rows(len(exact), 2, seed)
        assert relative(hessian.matmat(block) - exact @ block, exact @ block) <= 1e-12
    places = {place for place, *_ in hessian.engine._kept.functions}
    assert 0 < len(places) < len(hessian.engine.micro_batches)
    assert hessian.engine._kept.used <= hessian.engine._kept.limit


# --- memory that runs out ----------------------------------------------------------------------


class Exhausting(nn.Sequential):
    """Runs out of memory at the j-th call, or at every call by which products are set up."""

    def __init__(self, error: Exception, *, at: int = -1, above: int = 10**9) -> None:
        super().__init__(*seeded(mlp, 0))
        self.calls, self.at, self.above, self.error = [0], at, above, error

    def forward(self, x: Tensor) -> Tensor:
        self.calls[0] += 1
        too_large = torch.is_grad_enabled() and len(x) > self.above
        if self.calls[0] == self.at or too_large:
            raise self.error
        return super().forward(x)


ERRORS = (
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("MPS backend out of memory"),
)


def studied(model: nn.Module, **settings: Any) -> HessianOperator:
    subject = Subject(model, "ce", classified((64, 40), (5,), 3), dtype="float64")
    return HessianOperator(subject, **settings)


def checked(**settings: Any) -> tuple[Exhausting, HessianOperator]:
    """A network for which all is settled but the products."""
    model = Exhausting(ERRORS[0])
    operator = studied(model, **settings)
    assert operator.check is not None
    return model, operator


def largest(model: nn.Module, **settings: Any) -> Tensor:
    operator = studied(model, **settings)
    found = eigenpairs(operator, top=3, generator=generator(0), tolerance=1e-8)
    return torch.from_numpy(found.top.values)


@pytest.mark.parametrize("error", ERRORS, ids=["cuda", "mps"])
@pytest.mark.parametrize(
    "at", [j if j % 12 == 0 else pytest.param(j, marks=pytest.mark.full) for j in range(1, 41)]
)
def test_memory_that_runs_out_once_changes_no_number(error, at):
    exact = largest(Exhausting(error))
    model = Exhausting(error, at=at)
    try:
        found = largest(model, batch_size=16)
    except ResourceError:  # before products began
        return
    assert float((found - exact).abs().max()) <= 1e-6 * float(exact[0])


@pytest.mark.parametrize("above", [60, 16])
def test_micro_batches_are_halved_until_they_fit(above):
    exact = largest(Exhausting(ERRORS[0]))
    model, operator = checked()
    subject = operator.subject
    model.above = above
    found = eigenpairs(operator, top=3, generator=generator(0), tolerance=1e-8)
    values = torch.from_numpy(found.top.values)
    assert float((values - exact).abs().max()) <= 1e-6 * float(exact[0])
    assert max(batch.samples for batch in operator.engine.micro_batches) <= above
    assert any("memory ran out" in note for note in subject.provenance()["notes"])


@pytest.mark.parametrize("way", ["auto", "reverse", "linearize"])
def test_when_nothing_is_left_to_halve_the_need_is_told(way):
    model, operator = checked(product=way)
    model.above = 0
    with pytest.raises(ResourceError, match=r"a product needs about .* MiB.*are free") as raised:
        operator.matmat(rows(operator.shape[0], 4))
    assert raised.value.exit == 6
    assert "micro-batches of 1 samples" in raised.value.where
    assert operator.engine.block == 1


def test_memory_is_free_again_before_anything_is_tried():
    """What the failed attempt held on to must be gone when the micro-batches are cut anew."""
    model, operator = checked()
    held: list[weakref.ref[Tensor]] = []

    def forward(x: Tensor) -> Tensor:
        alive = [one for one in held if one() is not None]
        if len(x) > 60 and torch.is_grad_enabled():
            block = torch.zeros(100)
            held.append(weakref.ref(block))
            raise torch.OutOfMemoryError("CUDA out of memory.")
        assert not alive
        return nn.Sequential.forward(model, x)

    object.__setattr__(model, "forward", forward)
    operator.matmat(rows(operator.shape[0], 4))
    assert held


def test_products_after_memory_ran_out_go_on():
    model, operator = checked(product="reverse")
    first = operator.to_dense()
    model.at = model.calls[0] + 1
    again = operator.to_dense()
    assert relative(again - first, first) <= 1e-12
