"""Small networks × losses × ragged batches × choices of parameters, each built by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from types import SimpleNamespace
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.subject.subject import Subject
from tests.oracles import Reference, generator, log_softmax_loss

Terms = Callable[[Any, Any], tuple[Tensor, int]]
Built = TypeVar("Built", bound=nn.Module)
Curvature = Literal["softmax", "square", "sigmoid", "logcosh", "none"]


@dataclass(frozen=True)
class Problem:
    """What a subject is made of, and what an independent reference must know about it."""

    model: Any
    data: list[Any]
    loss: Any = "ce"
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    studied: tuple[str, ...] = ()  # none: every parameter
    masks: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    terms: Terms = log_softmax_loss  # (outputs, targets) -> (sum, count), float64
    curvature: Curvature = "softmax"
    classes_axis: int = -1
    functional: bool = (
        True  # torch.func.hessian applies: not to LSTM, and it is wrong for LayerNorm
    )

    def __post_init__(self) -> None:
        if not self.studied:
            names = tuple(name for name, _ in self.model.named_parameters())
            object.__setattr__(self, "studied", names)

    def subject(self, **settings: Any) -> Subject:
        return Subject(
            self.model, self.loss, self.data, device="cpu", **{**self.settings, **settings}
        )


def seeded(build: Callable[[], Built], seed: int) -> Built:
    """Build a module under a seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(seed)
        return build()


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=generator(seed))


def labels(*shape: int, classes: int, seed: int) -> Tensor:
    return torch.randint(classes, shape, generator=generator(seed))


def classified(
    sizes: tuple[int, ...], shape: tuple[int, ...], classes: int, seed: int = 1
) -> list[tuple[Tensor, Tensor]]:
    """Batches of normal inputs and labels."""
    return [
        (normal(size, *shape, seed=seed + 10 * i), labels(size, classes=classes, seed=seed + i))
        for i, size in enumerate(sizes)
    ]


# --- networks ----------------------------------------------------------------------------------


def mlp() -> Any:
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 3))


def sure(samples: int, batches: int = 1) -> tuple[nn.Module, list[tuple[Tensor, Tensor]]]:
    """A classifier that is sure of every sample: its loss is about 1e-4."""
    y = torch.randint(4, (samples,), generator=generator(0))
    noise = torch.rand(samples, 4, generator=generator(1))
    x = nn.functional.one_hot(y, 4) * (9 + 3 * noise) + noise
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Identity())
    model[0].weight.data = torch.eye(4)
    return model, list(zip(x.chunk(batches), y.chunk(batches), strict=True))


def with_statistics(model: Built) -> Built:
    """Give every BatchNorm statistics and affine parameters as training leaves them."""
    for i, module in enumerate(model.modules()):
        if isinstance(module, nn.BatchNorm2d):
            size = module.num_features
            module.running_mean = 0.3 * normal(size, seed=100 + i)
            module.running_var = 0.5 + torch.rand(size, generator=generator(200 + i))
            module.weight.data = 1 + 0.3 * normal(size, seed=300 + i)
            module.bias.data = 0.2 * normal(size, seed=400 + i)
    return model


def cnn() -> nn.Module:
    return with_statistics(
        nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(36, 4),
        )
    )


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1, bias=False)
        self.first = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(3)
        self.second = nn.Conv2d(3, 3, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        inner = self.norm2(self.second(F.relu(self.norm1(self.first(x)))))
        return self.head(F.relu(x + inner).mean((2, 3)))


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor, allowed: Tensor | None) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, dim=-1)
        )
        causal = allowed is None
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed, is_causal=causal)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Transformer(nn.Module):
    """A language model of one block whose head is the token embedding."""

    def __init__(self, tokens: int = 7, length: int = 6, width: int = 6) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.position = nn.Parameter(torch.randn(length, width) / 4)
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attention = Attention(width, heads=2)
        self.mlp = nn.Sequential(nn.Linear(width, 8), nn.GELU(), nn.Linear(8, width))
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        length = input_ids.shape[1]
        allowed = None
        if attention_mask is not None:
            causal = torch.ones(length, length, dtype=torch.bool, device=input_ids.device).tril()
            allowed = causal & attention_mask[:, None, None, :].bool()
        x = self.embedding(input_ids) + self.position[:length]
        x = x + self.attention(self.norm1(x), allowed)
        x = x + self.mlp(self.norm2(x))
        return self.head(self.norm3(x))


class SelfScored(Transformer):
    """Computes its own loss on labels shifted by one, as Hugging Face's language models do."""

    def forward(  # type: ignore[override]
        self, input_ids: Tensor, labels: Tensor | None = None
    ) -> Any:
        logits = super().forward(input_ids)
        loss = None
        if labels is not None:
            loss = F.cross_entropy(
                logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100
            )
        return SimpleNamespace(loss=loss, logits=logits)


class Multihead(nn.Module):
    """`nn.MultiheadAttention` under a causal mask, then `nn.TransformerEncoderLayer`."""

    def __init__(self, width: int = 4) -> None:
        super().__init__()
        self.embedding = nn.Embedding(6, width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(width, 2, 6, activation="gelu", batch_first=True)
        self.head = nn.Linear(width, 6)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        length = tokens.shape[1]
        later = torch.ones(length, length, dtype=torch.bool, device=x.device).triu(1)
        x = x + self.attention(x, x, x, attn_mask=later, need_weights=False)[0]
        return self.head(self.layer(x))


class Partial(nn.Module):
    """Trains two of its four layers: one is frozen, one is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(5, 7)
        self.used = nn.Linear(7, 5)
        self.unused = nn.Linear(4, 3)
        self.head = nn.Linear(5, 3)
        self.frozen.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.tanh(self.used(torch.tanh(self.frozen(x)))))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTM(3, 4, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.cell(x)[0][:, -1])


# --- losses, written again ---------------------------------------------------------------------


def square_terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    return ((outputs - targets.view_as(outputs)) ** 2).sum(), outputs.numel()


def sigmoid_terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    y = targets.view_as(outputs).to(outputs.dtype)
    return (torch.logaddexp(outputs, torch.zeros_like(outputs)) - y * outputs).sum(), len(y)


def soft_terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    return -(targets * outputs.log_softmax(1)).sum(), len(outputs)


def pixel_terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    return log_softmax_loss(outputs.movedim(1, -1), targets)


def shifted_terms(outputs: Any, targets: Tensor) -> tuple[Tensor, int]:
    return log_softmax_loss(outputs.logits[:, :-1], targets[:, 1:])


def log_cosh(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.log(torch.cosh(outputs[:, 0] - targets))


def mean_log_cosh(outputs: Tensor, targets: Tensor) -> Tensor:
    return log_cosh(outputs, targets).mean()


def log_cosh_terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, int]:
    return log_cosh(outputs, targets).sum(), len(targets)


# --- the registry ------------------------------------------------------------------------------


def _mlp() -> Problem:
    return Problem(seeded(mlp, 0), classified((7, 7, 3), (5,), 3))


def _cnn() -> Problem:
    return Problem(seeded(cnn, 1), classified((8, 5), (1, 8, 8), 4))


def _residual() -> Problem:
    model = with_statistics(seeded(Residual, 2))
    return Problem(model, classified((8, 3), (1, 6, 6), 4))


def _tied() -> Problem:
    tokens = [labels(size, 6, classes=7, seed=size) for size in (4, 2)]
    data = [(x, x.roll(-1, 1)) for x in tokens]
    return Problem(seeded(Transformer, 3), data, functional=False)


def _multihead() -> Problem:
    tokens = [labels(size, 5, classes=6, seed=size) for size in (4, 1)]
    data = [(x, x.roll(-1, 1)) for x in tokens]
    return Problem(seeded(Multihead, 4), data, functional=False)


def _partial() -> Problem:
    model = seeded(Partial, 5)
    studied = tuple(name for name, _ in model.named_parameters() if "frozen" not in name)
    return Problem(model, classified((9, 4), (5,), 3), studied=studied)


def _ragged() -> Problem:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), 6)
    for parameter in model.parameters():
        parameter.data = normal(*parameter.shape, seed=parameter.numel()) / 2
    return Problem(model, classified((64, 2), (4,), 3))


def _ignored() -> Problem:
    batches = []
    for size, kept in ((3, 5), (2, 2), (4, 4)):
        tokens = labels(size, 6, classes=7, seed=size)
        targets = tokens.roll(-1, 1)
        targets[:, kept:] = -100
        targets[0, : size - 1] = -100
        mask = (torch.arange(6) < kept).long().expand(size, 6).clone()
        batches.append({"input_ids": tokens, "attention_mask": mask, "labels": targets})
    return Problem(seeded(Transformer, 7), batches, functional=False)


def _self_scored() -> Problem:
    batches = []
    for size, kept in ((3, 6), (2, 4)):
        tokens = labels(size, 6, classes=7, seed=size)
        targets = tokens.clone()
        targets[0, kept:] = -100
        batches.append({"input_ids": tokens, "labels": targets})
    model = seeded(SelfScored, 8)
    return Problem(
        model, batches, loss="hf", terms=shifted_terms, curvature="none", functional=False
    )


def _regression() -> Problem:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), 9)
    data = [(normal(n, 4, seed=n), normal(n, 2, seed=n + 50)) for n in (8, 5)]
    return Problem(model, data, loss="mse", terms=square_terms, curvature="square")


def _binary() -> Problem:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Softplus(), nn.Linear(6, 1)), 10)
    data = [(normal(n, 4, seed=n), labels(n, classes=2, seed=n)) for n in (8, 5)]
    return Problem(model, data, loss="bce", terms=sigmoid_terms, curvature="sigmoid")


def _custom(loss: Callable[[Any, Any], Tensor]) -> Problem:
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), 11)
    data = [(normal(n, 4, seed=n), normal(n, seed=n + 50)) for n in (8, 3)]
    return Problem(model, data, loss=loss, terms=log_cosh_terms, curvature="logcosh")


def _soft_labels() -> Problem:
    data = [(normal(n, 5, seed=n), normal(n, 3, seed=n + 9).softmax(1)) for n in (7, 4)]
    return Problem(seeded(mlp, 12), data, terms=soft_terms, classes_axis=1)


def _pixels() -> Problem:
    model = seeded(
        lambda: nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.SiLU(), nn.Conv2d(4, 3, 1)), 13
    )
    data = [(normal(n, 1, 4, 4, seed=n), labels(n, 4, 4, classes=3, seed=n)) for n in (3, 2)]
    data[0][1][0, :2] = -100
    return Problem(model, data, terms=pixel_terms, classes_axis=1)


def _recurrent() -> Problem:
    data = classified((6, 3), (4, 3), 3)
    return Problem(seeded(Recurrent, 14), data, functional=False)


def _glob() -> Problem:
    return Problem(
        seeded(mlp, 15),
        classified((7, 4), (5,), 3),
        settings={"params": "2, *.bias"},
        studied=("0.bias", "2.weight", "2.bias", "4.bias"),
    )


def _frozen() -> Problem:
    model = seeded(mlp, 16).requires_grad_(False)
    return Problem(model, classified((7, 4), (5,), 3), settings={"params": "all"})


def _masked() -> Problem:
    model = seeded(mlp, 17)
    masks = {
        "0.weight": torch.rand(8, 5, generator=generator(0)) < 0.5,
        "2.weight": torch.zeros(6, 8, dtype=torch.bool),
        "4.bias": torch.tensor([True, False, True]),
    }
    return Problem(model, classified((7, 4), (5,), 3), settings={"mask": masks}, masks=masks)


CASES: dict[str, Callable[[], Problem]] = {
    "mlp": _mlp,
    "cnn": _cnn,
    "residual": _residual,
    "tied": _tied,
    "multihead": _multihead,
    "partial": _partial,
    "ragged": _ragged,
    "ignored": _ignored,
    "self-scored": _self_scored,
    "regression": _regression,
    "binary": _binary,
    "custom-samples": lambda: _custom(log_cosh),
    "custom-mean": lambda: _custom(mean_log_cosh),
    "soft-labels": _soft_labels,
    "pixels": _pixels,
    "recurrent": _recurrent,
    "glob": _glob,
    "frozen": _frozen,
    "masked": _masked,
}
ACCEPTANCE = ("mlp", "cnn", "residual", "tied", "partial", "ragged", "ignored")
LARGE = ("ignored", "multihead", "recurrent", "self-scored")  # their dense references take seconds
SMALL = tuple(name for name in CASES if name not in LARGE)
SEPARABLE = tuple(name for name in CASES if name != "self-scored")


@cache
def reference(name: str) -> Reference:
    """The independent float64 reference of a case."""
    return Reference(CASES[name]())


@cache
def dense_hessian(name: str) -> Tensor:
    return reference(name).hessian()


@cache
def dense_gauss_newton(name: str) -> Tensor:
    return reference(name).gauss_newton()
