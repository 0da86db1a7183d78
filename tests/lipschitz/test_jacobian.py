"""Largest singular values against the dense Jacobian, for all kinds of networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd.functional import jacobian

from landscape.errors import DataError, ModelError
from landscape.lipschitz.inputs import InputMap
from landscape.lipschitz.jacobian import largest_singular
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from tests import cases
from tests.cases import labels, normal, seeded
from tests.lipschitz.networks import Encoder, Mixer
from tests.oracles import generator


def dense(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The Jacobians of the samples, (b, m, n), one row of inputs at a time."""
    rows = [jacobian(lambda one: function(one[None])[0], row) for row in x]
    return torch.stack([row for row in rows if isinstance(row, Tensor)])


def mixed() -> tuple[Subject, Batch]:
    mask = (torch.arange(5) < torch.tensor([[5], [3], [4]])).long()
    batch = {
        "embeds": normal(3, 5, 6, seed=0),
        "mask": mask,
        "scale": 1 + 0.1 * normal(3, seed=1),
        "labels": labels(3, classes=3, seed=2),
    }
    subject = Subject(seeded(Mixer, 0), "ce", [batch], device="cpu", dtype="float64")
    return subject, next(iter(subject.device_batches()))


def plain(model: nn.Module, *shape: int) -> tuple[Subject, Batch]:
    data = [(normal(4, *shape, seed=0), labels(4, classes=3, seed=2))]
    subject = Subject(model, "ce", data, device="cpu", dtype="float64")
    return subject, next(iter(subject.device_batches()))


PROBLEMS = {
    "mlp": lambda: plain(seeded(cases.mlp, 0), 5),
    "cnn with BatchNorm": lambda: plain(seeded(cases.cnn, 1), 1, 8, 8),
    "residual": lambda: plain(cases.with_statistics(seeded(cases.Residual, 2)), 1, 6, 6),
    "attention, mapping": mixed,
    "encoder layer": lambda: plain(seeded(Encoder, 0).eval(), 5, 4),
    "lstm": lambda: plain(seeded(cases.Recurrent, 0), 5, 3),
}


@pytest.mark.parametrize("build", PROBLEMS.values(), ids=PROBLEMS)
def test_as_many_steps_as_outputs_give_the_largest_singular_value(
    build: Callable[[], tuple[Subject, Batch]],
) -> None:
    subject, batch = build()
    with subject.undisturbed(0):
        function = InputMap(subject, subject.point, batch)
        found = largest_singular(function, function.start, steps=9, generator=generator(0))
        ones = [function.of([row]) for row in range(batch.samples)]
        truth = torch.cat([dense(one, one.start) for one in ones])
    norms = torch.linalg.matrix_norm(truth, 2)
    assert torch.allclose(found.values, norms, rtol=1e-9)
    assert torch.allclose(found.right.norm(dim=1), torch.ones_like(norms))
    image = torch.einsum("bmn,bn->bm", truth, found.right)
    assert torch.allclose(image.norm(dim=1), norms, rtol=1e-9)


def test_few_steps_give_no_more_and_most_of_it() -> None:
    linear = nn.Linear(50, 40, dtype=torch.float64).requires_grad_(False)
    norm = float(torch.linalg.matrix_norm(linear.weight, 2))
    x = torch.zeros(3, 50, dtype=torch.float64)
    values = [
        largest_singular(linear, x, steps=steps, generator=generator(0)).values
        for steps in (1, 2, 4, 8, 16)
    ]
    assert all((value <= norm * (1 + 1e-12)).all() for value in values)
    assert (values[2] > 0.8 * norm).all()
    assert (values[4] > 0.999 * norm).all()


def test_a_map_that_ignores_its_inputs_has_none() -> None:
    constant = nn.Linear(4, 2, dtype=torch.float64)
    nn.init.zeros_(constant.weight)
    x = torch.ones(3, 4, dtype=torch.float64)
    for function in (constant, lambda x: torch.ones(len(x), 2)):
        found = largest_singular(function, x, steps=2, generator=generator(0))
        assert (found.values == 0).all()


def test_the_jacobian_may_be_of_low_rank() -> None:
    rank_one = partial(torch.matmul, other=torch.outer(torch.arange(6.0), torch.ones(5)))
    found = largest_singular(rank_one, torch.ones(2, 6), steps=5, generator=generator(0))
    assert torch.allclose(found.values, torch.full((2,), (55 * 5) ** 0.5))


# --- what the inputs are -----------------------------------------------------------------------


def test_every_floating_input_of_a_sample_enters_and_nothing_else() -> None:
    subject, batch = mixed()
    function = InputMap(subject, subject.point, batch)
    assert function.names == ["embeds", "scale"]
    assert function.start.shape == (3, 31)
    with subject.undisturbed(0):
        own = subject.outputs(subject.point, batch)
        assert torch.equal(function(function.start), own)
        alone = function.of([2, 0])
        assert torch.allclose(alone(alone.start), own[[2, 0]])


def test_the_outputs_are_those_that_the_loss_reads() -> None:
    class Two(nn.Linear):
        def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override]
            return {"logits": super().forward(x), "extra": 1000 * x}

    subject, batch = plain(seeded(lambda: Two(5, 3), 0), 5)
    with subject.undisturbed(0):
        function = InputMap(subject, subject.point, batch)
        (found,) = dense(function.of([0]), function.start[:1])
    assert torch.allclose(found, subject.network.tensors(subject.point)["weight"])


def test_token_ids_are_refused() -> None:
    subject = cases.CASES["tied"]().subject()
    with pytest.raises(DataError, match="no input of the network is a vector of numbers"):
        InputMap(subject, subject.point, next(iter(subject.device_batches())))


def test_what_can_be_differentiated_only_once_is_refused() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            del ctx
            return 2 * x

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, g: Tensor) -> Tensor:
            del ctx
            return 2 * g

    with pytest.raises(ModelError, match="differentiated only once"):
        largest_singular(Once.apply, torch.ones(2, 3), steps=2, generator=generator(0))
