"""Rules of single operations: what they leave free, and what they must freeze."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.subject.subject import Subject
from landscape.symmetry.groups import infer
from landscape.symmetry.proof import prove
from tests.cases import labels, normal, seeded
from tests.oracles import generator

Then = Callable[[Tensor, nn.Parameter], Tensor]


class Between(nn.Module):
    """An operation between a layer of 8 units and one of 3 outputs."""

    def __init__(self, then: Then, units: int) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 8), nn.Linear(units, 3)
        self.weight = nn.Parameter(torch.randn(5, 8))
        self.then = then

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.then(self.first(x), self.weight))


def plane(x: Tensor) -> Tensor:
    return x[:, :, None, None] * torch.ones(2, 2).to(x)


def attended(x: Tensor, causal: bool) -> Tensor:
    return F.scaled_dot_product_attention(x, x, x, is_causal=causal).sum(1)


CASES: dict[str, tuple[Then, int, list[int]]] = {
    "max": (lambda x, _: x - x.max(-1, keepdim=True).values, 8, [8]),
    "min": (lambda x, _: x - x.min(-1, keepdim=True)[0], 8, [8]),
    "max of all": (lambda x, _: x - x.max(), 8, [8]),
    "max of two": (lambda x, _: torch.max(x, x.square()), 8, [8]),
    "median": (lambda x, _: x - x.median(-1, keepdim=True)[0], 8, [8]),
    "place of the largest": (lambda x, _: x * x.max(-1, keepdim=True).indices, 8, []),
    "maxout": (lambda x, _: x.view(-1, 4, 2).max(-1).values, 4, [4, 2]),
    "var_mean": (lambda x, _: x * sum(torch.var_mean(x, -1, keepdim=True)), 8, [8]),
    "std_mean": (lambda x, _: x * sum(torch.std_mean(x, -1, keepdim=True)), 8, [8]),
    "aminmax": (lambda x, _: x * sum(x.aminmax(dim=-1, keepdim=True)), 8, [8]),
    "norm": (lambda x, _: x / torch.linalg.norm(x, dim=-1, keepdim=True), 8, [8]),
    "cosine": (lambda x, w: F.cosine_similarity(x[:, None], w[None], dim=-1), 5, [8, 5]),
    "inner": (lambda x, w: torch.inner(x, w), 5, [8, 5]),
    "glu": (lambda x, _: F.glu(x, -1), 4, [4]),
    "hstack": (lambda x, _: torch.hstack([x, x.square()]), 16, [8]),
    "ellipsis": (lambda x, w: torch.einsum("...i,ji->...j", x, w), 5, [8, 5]),
    "two ellipses": (lambda x, w: torch.einsum("...i,...i->...i", x[:, None], w).sum(1), 8, [8, 5]),
    "no arrow": (lambda x, w: torch.einsum("bi,ji", x, w), 5, [8, 5]),
    "shuffle": (lambda x, _: F.channel_shuffle(plane(x), 4).amax((2, 3)), 8, [4, 2]),
    "unshuffle": (lambda x, _: F.pixel_unshuffle(plane(x), 2).flatten(1), 32, [8]),
    "softmax over blocks": (lambda x, _: x.view(-1, 4, 2).softmax(1).flatten(1), 8, [4, 2]),
    "attention": (lambda x, w: attended(x[:, None] * w, False), 8, [8, 5]),
    "causal attention": (lambda x, w: attended(x[:, None] * w, True), 8, [8]),
    "empty": (lambda x, _: torch.cat([x.new_zeros(len(x), 0), x[:, :0], x], 1), 8, [8]),
    "no axes": (lambda x, w: x * w.sum().softmax(0) * w.sum().sum(0), 8, [8, 5, 8]),
}


@pytest.mark.parametrize("name", CASES)
def test_operations_leave_what_they_may(name: str) -> None:
    then, units, sizes = CASES[name]
    data = [(normal(6, 4, seed=1), labels(6, classes=3, seed=1))]
    subject = Subject(seeded(lambda: Between(then, units), 1), "ce", data, device="cpu")
    symmetry = infer(subject)
    assert not symmetry.unknown
    assert sorted(group.size for group in symmetry.groups) == sorted(sizes)
    assert prove(subject, symmetry, generator(1)).error < 1e-13
