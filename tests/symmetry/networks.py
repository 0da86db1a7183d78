"""Small networks with one kind of layer each, and what their groups must be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.subject.subject import Subject
from tests.cases import labels, normal, seeded

VOCABULARY = 11


@dataclass(frozen=True)
class Case:
    """A network and the numbers of its groups by kind: plain, heads, inner."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    kinds: tuple[int, int, int]
    tokens: bool = False

    def subject(self, dtype: str = "float64") -> Subject:
        model = seeded(self.build, 1)
        outputs = model.eval()(self.inputs())
        data = [(self.inputs(), labels(*outputs.shape[:-1], classes=outputs.shape[-1], seed=2))]
        return Subject(model.train(), "ce", data, device="cpu", dtype=dtype)

    def inputs(self) -> Tensor:
        if self.tokens:
            return labels(5, *self.shape, classes=VOCABULARY, seed=3)
        return normal(5, *self.shape, seed=3)


class Attention(nn.Module):
    """Self-attention, with its projections laid out in the ways that are found in the wild."""

    def __init__(self, width: int, heads: int, shared: int, layout: str, rotary: bool) -> None:
        super().__init__()
        self.heads, self.shared, self.layout, self.rotary = heads, shared, layout, rotary
        self.size = width // heads
        if layout in ("unbind", "split", "by head"):
            self.qkv = nn.Linear(width, 3 * width)
        else:
            self.q = nn.Linear(width, width)
            self.k = nn.Linear(width, shared * self.size)
            self.v = nn.Linear(width, shared * self.size)
        self.out = nn.Linear(width, width)

    def project(self, x: Tensor) -> list[Tensor]:
        batch, length, width = x.shape
        if self.layout == "unbind":
            shape = (batch, length, 3, self.heads, self.size)
            return list(self.qkv(x).reshape(shape).permute(2, 0, 3, 1, 4).unbind(0))
        if self.layout == "by head":
            joint = self.qkv(x).view(batch, length, self.heads, 3 * self.size)
            return [each.transpose(1, 2) for each in joint.chunk(3, -1)]
        if self.layout == "split":
            parts = self.qkv(x).split(width, -1)
        else:
            parts = (self.q(x), self.k(x), self.v(x))
        return [each.view(batch, length, -1, self.size).transpose(1, 2) for each in parts]

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x)
        if self.rotary:
            q, k = _rotated(q), _rotated(k)
        times = self.heads // self.shared
        if self.layout == "expanded":
            shape = (*k.shape[:2], times, *k.shape[2:])
            k, v = (e.unsqueeze(2).expand(shape).reshape(q.shape) for e in (k, v))
        elif self.layout == "interleaved":
            k, v = (each.repeat_interleave(times, 1) for each in (k, v))
        if self.layout == "by hand":
            scores = q @ k.transpose(-1, -2) / self.size**0.5
            mask = torch.ones(x.shape[1], x.shape[1]).tril() == 0
            y = scores.masked_fill(mask, -1e9).softmax(-1) @ v
        else:
            grouped = k.shape[1] != q.shape[1]
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
        return self.out(y.transpose(1, 2).reshape(x.shape))


def _rotated(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * 0.1 ** torch.arange(half)
    cos, sin = angles.cos().repeat(1, 2).to(x), angles.sin().repeat(1, 2).to(x)
    return x * cos + torch.cat([-x[..., half:], x[..., :half]], -1) * sin


class Language(nn.Module):
    """A decoder whose embedding is also its last layer."""

    def __init__(
        self, layout: str = "unbind", shared: int = 4, rotary: bool = False, width: int = 16
    ) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, width)
        self.places = nn.Parameter(torch.randn(1, 6, width))
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, 4, shared, layout, rotary)
        self.mlp = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, width))
        self.head = nn.Linear(width, VOCABULARY, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.tokens(tokens) + self.places[:, : tokens.shape[1]]
        x = x + self.attention(self.first(x))
        return self.head(x + self.mlp(self.second(x)))


class Encoder(nn.Module):
    """PyTorch's own encoder, with `nn.MultiheadAttention`."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True)
        self.inward = nn.Linear(6, 16)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.outward = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.outward(self.encoder(self.inward(x)).mean(1))


class Block(nn.Module):
    """Residual, inverted, depthwise, with squeeze and excitation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(2, 6, 3)
        self.widen, self.norm = nn.Conv2d(6, 12, 1), nn.BatchNorm2d(12)
        self.depthwise = nn.Conv2d(12, 12, 3, padding=1, groups=12)
        self.squeeze, self.excite = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.narrow, self.head = nn.Conv2d(12, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.depthwise(self.norm(self.widen(x)).relu_()).relu_()
        scale = self.excite(self.squeeze(y.mean((2, 3), keepdim=True)).relu()).sigmoid()
        return self.head((x + self.narrow(y * scale)).mean((2, 3)))


class Joined(nn.Module):
    """Branches concatenated, normalised together, and cut elsewhere than they were joined."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Linear(4, 6), nn.Linear(4, 3), nn.Linear(9, 5)
        self.norm, self.head = nn.BatchNorm1d(9), nn.Linear(5 + 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(torch.cat([self.one(x), self.two(x)], 1)).relu()
        return self.head(torch.cat([self.three(y).tanh(), y[:, :4]], 1))


class Crossing(nn.Module):
    """Attention to something else, whose projections are cut out of one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inward, self.context = nn.Linear(6, 16), nn.Linear(6, 16)
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.outward = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, context = self.inward(x), self.context(x)
        return self.outward((y + self.attention(y, context, context)[0]).mean(1))


class Experts(nn.Module):
    """Layers of experts of two layers each, all in two parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.widen = nn.Parameter(torch.randn(2, 3, 4, 6))
        self.narrow = nn.Parameter(torch.randn(2, 3, 6, 4))
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for widen, narrow in zip(self.widen, self.narrow, strict=True):
            pairs = zip(widen, narrow, strict=True)
            x = x + torch.stack([(x @ a).relu() @ b for a, b in pairs]).sum(0)
        return self.last(x)


class PartlyShown(nn.Module):
    """The first numbers of its hidden layer are its outputs as well."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 9), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        shown, hidden = self.first(x).split([3, 6], -1)
        return shown + self.last(hidden.relu())


class Cached(nn.Module):
    """Joins its keys to those of a past that is empty."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.key, self.last = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k = (y.unflatten(-1, (2, 4)).transpose(1, 2) for y in self.pair(x))
        k = torch.cat([k.new_zeros(len(x), 2, 0, 4), k], 2)
        y = F.scaled_dot_product_attention(q, k, k)
        return self.last(y.transpose(1, 2).flatten(2).mean(1))

    def pair(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = self.first(x)
        return y, self.key(y)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(4, 9), nn.ReLU(), nn.Linear(9, 7), nn.Dropout(), nn.Tanh(), nn.Linear(7, 3)
    )


def flattened() -> nn.Module:
    convolutions = [nn.Conv2d(2, 5, 3), nn.BatchNorm2d(5), nn.ReLU(True), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(45, 6), nn.ReLU(), nn.Linear(6, 3))


def grouped() -> nn.Module:
    layers = [nn.Conv2d(2, 8, 1), nn.Conv2d(8, 12, 3, groups=4), nn.BatchNorm2d(12), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))


def group_norm() -> nn.Module:
    layers = [nn.Conv2d(2, 12, 1), nn.GroupNorm(3, 12), nn.GELU(), nn.Conv2d(12, 6, 1)]
    more = [nn.GroupNorm(1, 6), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)]
    return nn.Sequential(*layers, *more)


def transposed() -> nn.Module:
    layers = [nn.Conv2d(2, 6, 3), nn.PReLU(6), nn.ConvTranspose2d(6, 8, 3, groups=2), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2d(8, 4, 2), nn.Flatten(), nn.Linear(4 * 81, 3))


def weight_normalised() -> nn.Module:
    wrap = nn.utils.parametrizations.weight_norm
    return nn.Sequential(wrap(nn.Linear(4, 6)), nn.ReLU(), wrap(nn.Linear(6, 3)))


def weight_normalised_whole() -> nn.Module:
    wrap = nn.utils.parametrizations.weight_norm
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), wrap(nn.Linear(6, 5), dim=-1), nn.ReLU(),
                         nn.Linear(5, 3))  # fmt: skip


def language(**settings: Any) -> Callable[[], nn.Module]:
    return lambda: Language(**settings)


CASES = {
    "mlp": Case(mlp, (4,), (2, 0, 0)),
    "conv, flatten, linear": Case(flattened, (2, 8, 8), (2, 0, 0)),
    "grouped": Case(grouped, (2, 5, 5), (0, 1, 2)),
    "group norm": Case(group_norm, (2, 3, 3), (1, 1, 1)),
    "transposed": Case(transposed, (2, 8, 8), (1, 1, 2)),
    "inverted residual": Case(Block, (2, 6, 6), (3, 0, 0)),
    "joined": Case(Joined, (4,), (4, 0, 0)),
    "weight norm": Case(weight_normalised, (4,), (1, 0, 0)),
    "weight norm of all": Case(weight_normalised_whole, (4,), (2, 0, 0)),
    "layers of experts": Case(Experts, (4,), (6, 0, 0)),
    "partly shown": Case(PartlyShown, (4,), (1, 0, 0)),
    "empty past": Case(Cached, (3, 6), (0, 1, 1)),
    "crossing": Case(Crossing, (4, 6), (1, 1, 2)),
    "MultiheadAttention": Case(Encoder, (4, 6), (3, 2, 4)),
    "unbind": Case(language(), (6,), (2, 1, 2), tokens=True),
    "split": Case(language(layout="split"), (6,), (2, 1, 2), tokens=True),
    "by head": Case(language(layout="by head"), (6,), (2, 1, 2), tokens=True),
    "by hand": Case(language(layout="by hand"), (6,), (2, 1, 2), tokens=True),
    "enable_gqa": Case(language(layout="gqa", shared=2), (6,), (2, 1, 3), tokens=True),
    "expanded": Case(language(layout="expanded", shared=2), (6,), (2, 1, 3), tokens=True),
    "interleaved": Case(language(layout="interleaved", shared=2), (6,), (2, 1, 3), tokens=True),
    "one shared head": Case(language(layout="gqa", shared=1), (6,), (5, 0, 0), tokens=True),
    "rotary": Case(language(layout="separate", rotary=True), (6,), (2, 1, 1), tokens=True),
}
