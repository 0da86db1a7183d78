"""Mixed precision: norms are of unscaled gradients, and skipped steps are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from landscape.recorder.recorder import Recorder
from tests.recorder.runs import flat_loss, history, mlp, sgd

LIMIT = 0.05


def scaled(
    scaler: torch.amp.GradScaler, model: nn.Module, optimizer: torch.optim.Optimizer, broken: int
) -> list[list[Tensor]]:
    """Train with a scaler, and return the unscaled gradients; at one step they overflow."""
    kept = []
    for step in range(6):
        optimizer.zero_grad()
        scaler.scale(flat_loss(model, step)).backward()
        if step == broken:
            first = next(iter(model.parameters()))
            assert first.grad is not None
            first.grad[0] = float("inf")
        scaler.unscale_(optimizer)
        kept.append([one.grad.clone() for one in model.parameters() if one.grad is not None])
        nn.utils.clip_grad_norm_(model.parameters(), LIMIT)
        scaler.step(optimizer)
        scaler.update()
    return kept


def test_norms_are_those_of_unscaled_gradients():
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with Recorder(model, optimizer, scaler=scaler, details_every=2, quiet=True) as recorder:
        gradients = scaled(scaler, model, optimizer, broken=3)
    assert "step" not in vars(scaler)
    one = history(recorder)
    assert one.skipped.tolist() == [step == 3 for step in range(6)]
    assert one.scale.tolist() == [4096.0] * 4 + [2048.0] * 2
    assert one.detailed.tolist() == [0, 2, 4]
    for step in (0, 1, 2, 4, 5):
        expected = [float(g.double().norm()) for g in gradients[step]]
        assert one.before[step] == pytest.approx(expected, rel=1e-5)
        assert one.total[step] == pytest.approx(LIMIT, rel=1e-4)
    assert not [v for v in recorder.findings() if "not finite" in v.sentence]


def test_backward_signals_are_unscaled():
    found = []
    for scale in (1.0, 2.0**10):
        model = mlp()
        optimizer = sgd(model)
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        with Recorder(model, optimizer, scaler=scaler, quiet=True) as recorder:
            scaler.scale(flat_loss(model, 0)).backward()
            scaler.step(optimizer)
            scaler.update()
        found.append(history(recorder).signals["backward"][0])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_a_scaler_that_is_not_known_is_guessed_in_the_verdict():
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with Recorder(model, optimizer, quiet=True) as recorder:
        for step in range(50):
            optimizer.zero_grad()
            scaler.scale(flat_loss(model, step)).backward()
            scaler.step(optimizer)
            scaler.update()
    (found,) = [one for one in recorder.findings() if "clipped nearly always" in one.sentence]
    assert "scaler=" in found.advice


def test_many_skipped_steps_are_told():
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**12)
    with Recorder(model, optimizer, scaler=scaler, quiet=True) as recorder:
        for step in range(40):
            optimizer.zero_grad()
            loss = flat_loss(model, step)
            scaler.scale(loss * float("inf") if step % 3 == 0 else loss).backward()
            scaler.step(optimizer)
            scaler.update()
    result = recorder.result()
    assert result.skipped_steps == 14
    assert "skipped steps" in [one.kind for one in result.verdicts]


@pytest.mark.parametrize("first", ["inner", "outer"])
def test_two_recorders_on_one_scaler(first):
    model = mlp()
    optimizer = sgd(model)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    outer, inner = (
        Recorder(model, optimizer, scaler=scaler, details_every=0, quiet=True).attach()
        for _ in range(2)
    )
    order = (inner, outer) if first == "inner" else (outer, inner)

    def step(factor: float) -> None:
        optimizer.zero_grad()
        scaler.scale(flat_loss(model, 0) * factor).backward()
        scaler.step(optimizer)
        scaler.update()

    step(1.0)
    step(float("inf"))
    order[0].detach()
    step(float("inf"))
    order[1].detach()
    assert "step" not in vars(scaler)
    kinds = [[bool(one.get("skipped")) for one in r.log().of("step")] for r in order]
    assert kinds == [[False, True], [False, True, True]]
