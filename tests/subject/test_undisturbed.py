"""The subject is left as it was: bit-identical, whatever is asked of it and however it ends."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from landscape.base import Diagnostic
from landscape.diagnostics import DIAGNOSTICS
from landscape.diagnostics.gradients import Gradients
from landscape.diagnostics.spectrum import Spectrum
from landscape.errors import LandscapeError, ModelError
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.operators.hessian import HessianOperator
from landscape.subject import batches as batches_module
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import (
    differentiable_attention,
    evaluation_mode,
    exact_arithmetic,
    seeded,
    undisturbed,
)
from tests.cases import CASES, labels, normal
from tests.cases import seeded as seeded_module

QUICK: dict[str, dict[str, Any]] = {
    "spectrum": {"top": 2, "bottom": 1, "probes": 2, "lanczos_steps": 4, "max_probes": 4},
    "surface": {"points": 3},
    "tickets-find": {"steps": 2, "rounds": 1},
    "tickets-eval": {"steps": 2, "seeds": 2, "controls": "random", "density": 0.5},
}
HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
)


def diagnostics() -> list[Diagnostic[Any]]:
    alone = [kind for kind in DIAGNOSTICS if kind.needs.checkpoints[0] < 2]
    asked = [kind(**QUICK.get(kind.name, {})) for kind in alone]
    return [*asked, Spectrum(operator="gauss-newton", crosscheck=True, **QUICK["spectrum"])]


def forwarding() -> list[Diagnostic[Any]]:
    """The diagnostics that call the model."""
    return [question for question in diagnostics() if question.needs.data]


def global_state() -> dict[str, Any]:
    """Everything global that a computation could leave changed."""
    return {
        "torch": torch.get_rng_state(),
        "numpy": [np.array(part) for part in np.random.get_state(legacy=True)],
        "python": random.getstate(),
        "grad": torch.is_grad_enabled(),
        "dtype": torch.get_default_dtype(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "flash": torch.backends.cuda.flash_sdp_enabled(),
        "efficient": torch.backends.cuda.mem_efficient_sdp_enabled(),
        "math": torch.backends.cuda.math_sdp_enabled(),
        "cudnn sdp": torch.backends.cuda.cudnn_sdp_enabled(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "cudnn tf32": torch.backends.cudnn.allow_tf32,
        "threads": torch.get_num_threads(),
        "fast path": torch.backends.mha.get_fastpath_enabled(),
    }


def state_of(model: nn.Module) -> dict[str, Any]:
    """Everything of a module that a computation could leave changed."""
    found: dict[str, Any] = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        found[f"{name} value"] = tensor.detach().clone()
        found[f"{name} place"] = (id(tensor), tensor.data_ptr(), tensor.dtype, tensor.device)
        found[f"{name} requires_grad"] = tensor.requires_grad
        found[f"{name} grad"] = None if tensor.grad is None else tensor.grad.clone()
        found[f"{name} grad place"] = id(tensor.grad) if tensor.grad is not None else None
        found[f"{name} tensor hooks"] = tensor._backward_hooks
    for name, module in model.named_modules():
        found[f"{name} training"] = module.training
        for hooks in HOOKS:
            found[f"{name} {hooks}"] = list(getattr(module, hooks, {}).items())
        found[f"{name} attributes"] = sorted(vars(module))
    return found


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    assert before.keys() == after.keys()
    for key, value in before.items():
        same = (
            torch.equal(value, after[key])
            if isinstance(value, Tensor) and isinstance(after[key], Tensor)
            else np.array_equal(value, after[key])
            if isinstance(value, np.ndarray)
            else all(map(np.array_equal, value, after[key]))
            if key == "numpy"
            else value == after[key]
        )
        assert same, key


class Delicate(nn.Module):
    """Attention, BatchNorm, dropout, a frozen layer, tied weights, buffers: all disturbable."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, 4)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.3, batch_first=True)
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embedding.weight
        self.register_buffer("constant", torch.ones(4))
        self.register_buffer("transient", torch.ones(4), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens) * self.constant * self.transient
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x = x + F.scaled_dot_product_attention(x, x, x, dropout_p=0.0, is_causal=True)
        return self.head(self.frozen(self.dropout(self.norm(x.mean(1)))))


def delicate() -> nn.Module:
    """In mixed modes, with gradients, hooks and requires_grad flags of every kind."""

    def build() -> Delicate:
        model = Delicate()
        model(labels(5, 3, classes=6, seed=2)).sum().backward()
        return model

    model = seeded_module(build, 0)
    model.norm.running_mean = normal(4, seed=1)
    model.norm.eval()
    model.dropout.train()
    model.attention.out_proj.eval()
    model.register_forward_hook(lambda *_: None)
    model.head.register_full_backward_hook(lambda *_: None)
    return model


def token_data() -> list[tuple[Tensor, Tensor]]:
    return [(labels(n, 3, classes=6, seed=n), labels(n, classes=6, seed=n + 1)) for n in (6, 3)]


@pytest.fixture(autouse=True)
def odd_global_state():
    """Start from a state that nobody would restore by accident."""
    before = global_state()
    random.random()
    np.random.random(3)
    torch.rand(7)
    yield
    for key in ("flash", "efficient", "math", "tf32"):
        assert before[key] == global_state()[key]


# --- every diagnostic --------------------------------------------------------------------------


@pytest.mark.parametrize("question", diagnostics(), ids=lambda q: type(q).__name__)
def test_every_diagnostic_leaves_everything_as_it_was(question):
    model, data = delicate(), token_data()
    kept = copy.deepcopy(data)
    model_before, global_before = state_of(model), global_state()
    question.run(Subject(model, "ce", data))
    assert_same(model_before, state_of(model))
    assert_same(global_before, global_state())
    for (x, y), (old_x, old_y) in zip(data, kept, strict=True):
        assert torch.equal(x, old_x)
        assert torch.equal(y, old_y)


@pytest.mark.parametrize("question", diagnostics(), ids=lambda q: type(q).__name__)
def test_every_diagnostic_leaves_a_shuffled_loader_as_it_was(question):
    generator = torch.Generator().manual_seed(42)
    torch.rand(5, generator=generator)
    dataset = TensorDataset(labels(9, 3, classes=6, seed=1), labels(9, classes=6, seed=2))
    loader = DataLoader(dataset, batch_size=4, shuffle=True, generator=generator)
    before, global_before = generator.get_state().clone(), global_state()
    question.run(Subject(delicate(), "ce", loader))
    assert torch.equal(generator.get_state(), before)
    assert_same(global_before, global_state())


@pytest.mark.parametrize("question", diagnostics(), ids=lambda q: type(q).__name__)
def test_a_disabled_gradient_mode_stays_disabled(question):
    model = delicate()
    with torch.no_grad():
        before = global_state()
        question.run(Subject(model, "ce", token_data()))
        assert_same(before, global_state())


def test_attention_kernels_switched_off_stay_off():
    try:
        torch.backends.cuda.enable_flash_sdp(False)
        before = global_state()
        assert not before["flash"]
        Spectrum(**QUICK["spectrum"]).run(Subject(delicate(), "ce", token_data()))
        assert_same(before, global_state())
    finally:
        torch.backends.cuda.enable_flash_sdp(True)


# --- after an exception ------------------------------------------------------------------------


class Interrupted(Exception):
    pass


class Failing(Delicate):
    """Raises in the middle of the forward pass of a given call."""

    def __init__(self, call: int, error: type[BaseException]) -> None:
        super().__init__()
        self.left, self.error = [call], error

    def forward(self, tokens: Tensor) -> Tensor:
        self.left[0] -= 1
        if self.left[0] < 0:
            raise self.error("in the middle of a forward pass")
        return super().forward(tokens)


@pytest.mark.parametrize("reread", [False, True], ids=["kept", "read again"])
@pytest.mark.parametrize("error", [Interrupted, KeyboardInterrupt])
@pytest.mark.parametrize("call", [0, 1, 3, 5, 9])
@pytest.mark.parametrize("question", forwarding(), ids=lambda q: type(q).__name__)
def test_an_exception_leaves_everything_as_it_was(question, call, error, reread, monkeypatch):
    """Also when the data do not fit in memory, so that a half-read loader is left behind."""
    if reread:
        monkeypatch.setattr(batches_module, "CACHE_LIMIT_BYTES", 0)
    model = seeded_module(lambda: Failing(call, error), 0)
    model.norm.eval()
    model.dropout.train()
    model_before, global_before = state_of(model), global_state()
    try:
        question.run(Subject(model, "ce", iter_again(token_data())))
        failed = False  # it asks for no more than `call` forward passes
    except (error, LandscapeError) as raised:
        failed = raised is not None
        assert_same(global_before, global_state())
    assert failed or call > 3
    assert_same(model_before, state_of(model))
    assert_same(global_before, global_state())  # also when the traceback is gone


def iter_again(items: list[Any]) -> Any:
    """An iterable that is no list: it is verified, and read again when it is large."""

    class Again:
        def __iter__(self) -> Any:
            yield from items

    return Again()


def test_a_loader_interrupted_while_it_is_read_keeps_its_generator(monkeypatch):
    monkeypatch.setattr(batches_module, "CACHE_LIMIT_BYTES", 0)
    generator = torch.Generator().manual_seed(42)
    dataset = TensorDataset(labels(9, 3, classes=6, seed=1), labels(9, classes=6, seed=2))
    loader = DataLoader(dataset, batch_size=4, shuffle=True, generator=generator)
    before, global_before = generator.get_state().clone(), global_state()
    model = seeded_module(lambda: Failing(1, Interrupted), 0)
    with pytest.raises((Interrupted, LandscapeError)):
        Gradients().run(Subject(model, "ce", loader))
    assert torch.equal(generator.get_state(), before)
    assert_same(global_before, global_state())


# --- networks that write into what they are given ----------------------------------------------


class Counting(nn.Linear):
    """Counts its calls in a buffer, also in eval mode."""

    def __init__(self, *, persistent: bool) -> None:
        super().__init__(3, 2)
        self.register_buffer("calls", torch.zeros(()), persistent=persistent)

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * (1 + self.calls)


def pairs() -> list[tuple[Tensor, Tensor]]:
    return [(normal(n, 3, seed=n), normal(n, 2, seed=n + 1)) for n in (4, 2)]


@pytest.mark.parametrize("persistent", [True, False], ids=["saved buffer", "transient buffer"])
def test_a_network_that_writes_into_a_buffer_does_so_in_a_copy(persistent):
    """The module's own buffer stays, and every evaluation starts from the checkpoint's value."""
    model = seeded_module(lambda: Counting(persistent=persistent), 0)
    subject = Subject(model, "mse", pairs())
    print_before = subject.weights_fingerprint(subject.checkpoint)
    first = subject.loss(subject.point)
    operator = HessianOperator(subject)
    products = [operator.matvec(torch.ones(8)) for _ in range(2)]
    assert torch.equal(products[0], products[1])
    assert subject.loss(subject.point) == first
    assert float(model.calls) == 0
    fresh = Subject(model, "mse", pairs())
    assert fresh.weights_fingerprint(fresh.checkpoint) == print_before


class Shifting(nn.Linear):
    """Centres its input in place, as careless normalisation does."""

    def forward(self, x: Tensor) -> Tensor:
        x -= 0.5
        return super().forward(x)


def test_a_network_that_writes_into_its_input_sees_the_data_again():
    """Otherwise every pass would see other data than the one before."""
    model = seeded_module(lambda: Shifting(3, 2), 0)
    plain = seeded_module(lambda: nn.Linear(3, 2), 0)
    plain.load_state_dict(model.state_dict())
    data = pairs()
    subject = Subject(model, "mse", data)
    expected = Subject(plain, "mse", [(x - 0.5, y) for x, y in pairs()])
    for _ in range(2):
        assert subject.loss(subject.point) == expected.loss(expected.point)
    assert torch.equal(HessianOperator(subject).to_dense(), HessianOperator(expected).to_dense())
    for (x, _), (original, _) in zip(data, pairs(), strict=True):
        assert torch.equal(x, original)


def test_a_network_that_draws_random_numbers_is_refused():
    class Noisy(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0.3 * torch.randn_like(x))

    subject = Subject(seeded_module(lambda: Noisy(3, 2), 0), "mse", pairs())
    with pytest.raises(ModelError, match="random numbers"):
        subject.gradient(subject.point)


def test_a_network_that_keeps_a_state_is_refused_and_put_back():
    class Counting(nn.Linear):
        seen = 0

        def forward(self, x: Tensor) -> Tensor:
            self.seen += 1
            self.kept = x
            return super().forward(x) * self.seen

    model = seeded_module(lambda: Counting(3, 2), 0)
    subject = Subject(model, "mse", pairs())
    with pytest.raises(ModelError, match="two answers"):
        subject.gradient(subject.point)
    assert model.seen == 0
    assert not hasattr(model, "kept")


@pytest.mark.parametrize("reentrant", [False, True])
def test_activation_checkpointing_is_refused(reentrant):
    """Its backward pass would recompute with the module's own weights, not those studied."""
    from torch.utils.checkpoint import checkpoint

    class Recomputing(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            inner = checkpoint(self[0], x.requires_grad_(), use_reentrant=reentrant)
            return self[1](inner)

    model = seeded_module(lambda: Recomputing(nn.Linear(3, 4), nn.Linear(4, 2)), 0)
    subject = Subject(model, "mse", pairs())
    with pytest.raises(ModelError, match="activation checkpointing"):
        HessianOperator(subject).matvec(torch.ones(26))


# --- the guards themselves ---------------------------------------------------------------------


def fails(guard: Callable[[], Any], check: Callable[[], bool]) -> None:
    def interrupted() -> None:
        with guard():
            assert check()
            raise Interrupted

    with pytest.raises(Interrupted):
        interrupted()


def test_evaluation_mode_restores_each_module_and_calls_no_method():
    class Proud(nn.Linear):
        def train(self, mode: bool = True) -> nn.Module:
            raise AssertionError("train() has side effects in some networks")

    model = nn.Sequential(nn.Dropout(), Proud(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
    model[2].training = False
    modes = [module.training for module in model.modules()]
    assert len(set(modes)) == 2
    fails(
        lambda: evaluation_mode(model),
        lambda: not any(module.training for module in model.modules()),
    )
    assert [module.training for module in model.modules()] == modes


def test_seeded_fixes_every_generator_and_restores_it():
    def draws() -> tuple[float, float, float]:
        return random.random(), float(np.random.random()), float(torch.rand(()))

    before = global_state()
    seen = []
    for _ in range(2):
        with seeded(2**40 + 3):
            seen.append(draws())
        assert_same(before, global_state())
    with seeded(4):
        seen.append(draws())
    assert seen[0] == seen[1] != seen[2]
    fails(lambda: seeded(1), lambda: draws() is not None)
    assert_same(before, global_state())


def test_exact_arithmetic_switches_tf32_off_and_restores_it():
    matmul = torch.backends.cuda.matmul
    before = matmul.allow_tf32
    try:
        matmul.allow_tf32 = True
        fails(exact_arithmetic, lambda: not matmul.allow_tf32)
        assert matmul.allow_tf32
    finally:
        matmul.allow_tf32 = before


def test_differentiable_attention_leaves_the_math_kernel_only():
    def only_math() -> bool:
        state = global_state()
        return state["math"] and not (state["flash"] or state["efficient"] or state["cudnn sdp"])

    before = global_state()
    fails(differentiable_attention, only_math)
    assert_same(before, global_state())


def test_undisturbed_nests_and_needs_no_model():
    model, before = delicate(), global_state()
    state = state_of(model)
    with torch.no_grad(), undisturbed(None, 0), undisturbed(model, 1), undisturbed(model, 2):
        assert torch.is_grad_enabled()
        assert not model.training
        torch.rand(3)
    assert_same(before, global_state())
    assert_same(state, state_of(model))


@pytest.mark.parametrize("name", ["cnn", "residual", "tied", "multihead", "recurrent"])
def test_operators_alone_leave_a_training_network_as_it_was(name):
    """Without the guard of a diagnostic around them."""
    problem = CASES[name]()
    problem.model.train()
    before, global_before = state_of(problem.model), global_state()
    subject = problem.subject()
    vector = torch.ones(subject.parameters.size)
    HessianOperator(subject).matvec(vector)
    GaussNewtonOperator(subject).matvec(vector)
    subject.gradient(subject.point)
    subject.loss(subject.point)
    assert_same(before, state_of(problem.model))
    assert_same(global_before, global_state())
