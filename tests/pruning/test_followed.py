"""Weights on a path against brute force: does the output move when a weight does?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import landscape as ls
from landscape.errors import ModelError
from landscape.pruning.live import Life, life
from landscape.pruning.mask import Mask
from tests.cases import CASES

Join = Callable[[Tensor, Tensor], Tensor]
OUTPUTS = 2


class Branches(nn.Module):
    """h(join(a(x), b(x)))."""

    def __init__(self, join: Join) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.join = join
        with torch.no_grad():
            width = self.join(torch.ones(1, 4), torch.ones(1, 4)).shape[-1]
        self.h = nn.Linear(width, OUTPUTS)

    def forward(self, x: Tensor) -> Tensor:
        return self.h(self.join(self.a(x), self.b(x)))


def pruned(join: Join, **rows: int) -> tuple[ls.Subject, Mask]:
    """Return branches of which some rows and columns are cut, and the mask that cuts them."""
    torch.manual_seed(0)
    model: Any = Branches(join).double()
    kept = {f"{n}.weight": torch.ones_like(getattr(model, n).weight) > 0 for n in "abh"}
    for name, row in rows.items():
        if name == "h":
            kept["h.weight"][:, row] = False
        else:
            kept[f"{name}.weight"][row] = False
    for name, parameter in model.named_parameters():
        if name in kept:
            parameter.data.mul_(kept[name])
    data = [(torch.rand(3, 4).double() + 0.5, torch.zeros(3).long())]
    return ls.Subject(model, "ce", data, device="cpu"), Mask(kept=kept)


def by_force(subject: ls.Subject, mask: Mask) -> dict[str, int]:
    """Count the kept weights whose move changes how the outputs differ between inputs."""
    model: Any = subject.model
    x = torch.rand(3, 4, generator=torch.Generator().manual_seed(1)).double() + 0.5

    def contrasts() -> Tensor:
        with torch.no_grad():
            out = model(x)
        return out - out[:1]

    before, found = contrasts(), {}
    for name, kept in mask.kept.items():
        flat, moved = model.get_parameter(name).data.view(-1), 0
        for place in kept.flatten().nonzero().flatten().tolist():
            old = flat[place].item()
            flat[place] = old + 0.1
            moved += bool((contrasts() - before).abs().max() > 1e-12)
            flat[place] = old
        found[name] = moved
    return found


def lives(found: Life) -> dict[str, int | None]:
    return {one.name: one.live for one in found.layers}


def in_place(a: Tensor, b: Tensor) -> Tensor:
    a = a.clone()
    a -= b
    return a


FOLLOWED: dict[str, Join] = {
    "difference": lambda a, b: a - b,
    "difference in place": in_place,
    "difference from one": lambda a, b: (1 - a) + b,
    "opposite": lambda a, b: -a + b,
    "with a factor": lambda a, b: torch.sub(a, alpha=2, other=b),
    "join": lambda a, b: torch.cat((a, b), -1),
    "window": lambda a, b: a + (b + torch.zeros_like(b).masked_fill(a.new_zeros(4) == 0, -9.0)),
    "activations": lambda a, b: a.tanh() + F.softplus(b),
}
GATES: dict[str, Join] = {
    "sigmoid": lambda a, b: a * b.sigmoid(),
    "matmul": lambda a, b: (a[:, :, None] @ b[:, None, :]).sum(-1),
}


@pytest.mark.parametrize("name", FOLLOWED)
@pytest.mark.parametrize("rows", [{"b": 1}, {"a": 1, "b": 1}, {"h": 2}, {"a": 0, "h": 2}])
def test_sums_and_differences_count_as_by_force(name, rows):
    subject, mask = pruned(FOLLOWED[name], **rows)
    assert lives(life(subject, mask)) == by_force(subject, mask)


def test_a_constant_feeds_no_unit():
    subject, mask = pruned(lambda a, b: torch.cat((a + 3, b), -1), a=1)
    found = lives(life(subject, mask))
    assert found == by_force(subject, mask)
    assert found["h.weight"] == OUTPUTS * 7


@pytest.mark.parametrize("name", GATES)
def test_gates_count_as_by_force_while_no_branch_is_cut(name):
    subject, mask = pruned(GATES[name], h=2)
    assert lives(life(subject, mask)) == by_force(subject, mask)


@pytest.mark.parametrize("name", GATES)
def test_a_gate_that_is_cut_is_refused(name):
    """Its biases let the other branch pass: the flow would be zero."""
    subject, mask = pruned(GATES[name], b=1)
    with pytest.raises(ModelError, match=r"mul multiplies two branches"):
        life(subject, mask)


@pytest.mark.parametrize(
    ("join", "said"),
    [
        (lambda a, b: a / (1 + b * b), "div by what depends on the inputs"),
        (lambda a, b: a - 2 * b.sort(-1)[0], "no rule for sort"),
        (lambda a, b: a + b * torch.tensor([1.0, -1.0, 1.0, 1.0]), "mul turns the sign"),
        (lambda a, b: torch.where(a > 0, a, b), "no rule for gt"),
    ],
)
def test_what_is_not_followed_is_named(join, said):
    subject, mask = pruned(join)
    with pytest.raises(ModelError, match=said):
        life(subject, mask)


def test_recurrent_layers_are_not_followed():
    subject = CASES["recurrent"]().subject()
    weight = subject.network.tensors(subject.point)["head.weight"]
    with pytest.raises(ModelError, match="no rule for lstm"):
        life(subject, Mask(kept={"head.weight": weight != 0}))
