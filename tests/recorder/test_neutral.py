"""A run with a recorder is the run without it, bit for bit, and nothing is left behind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import landscape as ls
from landscape.recorder.recorder import Recorder
from tests.recorder.runs import LOSSES, flat_loss, mlp, numbers_from, sgd, train


def hooks_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[Any]:
    """Yield every place where a hook can be."""
    for module in model.modules():
        for name, held in vars(module).items():
            if "hook" in name:
                yield held
    for tensor in model.parameters():
        yield tensor._backward_hooks or {}
        yield tensor._post_accumulate_grad_hooks or {}  # type: ignore[attr-defined]
    yield optimizer._optimizer_step_pre_hooks
    yield optimizer._optimizer_step_post_hooks


def assert_no_hook(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    assert not [one for one in hooks_of(model, optimizer) if one]


def states(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    held = [one for entry in optimizer.state.values() for one in entry.values()]
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    return [*model.state_dict().values(), *(torch.as_tensor(one) for one in held), *gradients]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("settings", "how"),
    [
        ({}, {}),
        ({"details_every": 1}, {"passes": 3, "clip": 0.2}),
        ({"every": 3, "details_every": 0}, {"passes": 2}),
        ({"every": 4, "details_every": 3}, {"clip": 0.1}),
    ],
)
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.AdamW])
def test_training_is_bit_identical(name, settings, how, kind):
    build, loss = LOSSES[name]
    bare, watched = build(), build()
    watched.load_state_dict(bare.state_dict())
    more: dict[str, Any] = {"momentum": 0.9} if kind is torch.optim.SGD else {}
    optimizers = [kind(one.parameters(), lr=0.05, **more) for one in (bare, watched)]
    with numbers_from(3):
        expected = train(bare, optimizers[0], loss, **how)
        drawn = torch.rand(3)
    with numbers_from(3), Recorder(watched, optimizers[1], quiet=True, **settings) as recorder:
        found = train(watched, optimizers[1], loss, recorder, **how)
        assert torch.equal(torch.rand(3), drawn)
    assert found == expected
    pairs = zip(states(bare, optimizers[0]), states(watched, optimizers[1]), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert_no_hook(watched, optimizers[1])


def test_diagnostics_on_the_way_change_nothing():
    bare = mlp()
    watched = copy.deepcopy(bare)
    expected = train(bare, sgd(bare), flat_loss)
    optimizer = sgd(watched)
    inputs = torch.randn(8, 5, generator=torch.Generator().manual_seed(0))
    probe = [(inputs, inputs[:, :3].argmax(1))]
    questions: dict[Any, int] = {ls.Spectrum(top=1, bottom=1, probes=2, lanczos_steps=8): 5}
    with Recorder(
        watched, optimizer, schedule=questions, data=probe, loss="ce", share=1e9, quiet=True
    ) as recorder:
        assert train(watched, optimizer, flat_loss, recorder) == expected
    names = [one["name"] for one in recorder.log().of("diagnostic")]
    assert names == ["spectrum"] * 3


def test_nothing_is_left_after_an_error():
    model = mlp()
    optimizer = sgd(model)
    recorder = Recorder(model, optimizer, quiet=True)

    def interrupted() -> None:
        with recorder:
            train(model, optimizer, flat_loss, recorder, steps=3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_no_hook(model, optimizer)
    assert len(recorder.log().of("step")) == 3
    assert recorder.log().ended


def test_evaluation_in_between_is_not_recorded():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(3):
            train(model, optimizer, flat_loss, recorder, steps=1)
            model.eval()
            with torch.no_grad():
                model(torch.full((50, 5), 1e6 * step))
            model.train()
    steps = recorder.log().of("step")
    assert [one["samples"] for one in steps] == [16] * 3
    forward = [one["signals"]["0"]["forward"] for one in recorder.log().of("detail")]
    assert max(forward) < 10


@pytest.mark.gpu
def test_on_a_gpu_nothing_waits_and_training_is_bit_identical(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(mode=True)
    try:
        results = []
        for record in (False, True):
            model = mlp().cuda()
            inputs = torch.randn(16, 5, generator=torch.Generator().manual_seed(0)).cuda()
            labels = inputs[:, :3].argmax(1)
            optimizer = sgd(model, momentum=0.9)
            recorder = Recorder(model, optimizer, details_every=2, quiet=True)
            if record:
                recorder.attach()
            for step in range(70):
                if step == 2:
                    torch.cuda.set_sync_debug_mode("error")
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(inputs), labels)
                recorder.loss(loss).backward()
                optimizer.step()
            torch.cuda.set_sync_debug_mode("default")
            recorder.detach()
            results.append([one.detach().clone() for one in model.parameters()])
        assert len(recorder.log().of("step")) == 70
        assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    finally:
        torch.cuda.set_sync_debug_mode("default")
        torch.use_deterministic_algorithms(mode=False)
