"""What is recorded is what happened: held against float64 and closed forms."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.errors import ModelError, OutputError, SettingError
from landscape.recorder.recorder import Recorder
from tests.cases import normal
from tests.recorder.runs import flat_loss, history, mlp, recorded, sgd, tied, token_loss, train


def exact_norms(tensors: list[Tensor]) -> list[float]:
    return [float(one.detach().double().norm()) for one in tensors]


@pytest.mark.parametrize("passes", [1, 3])
def test_norms_before_and_after_clipping(passes):
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        optimizer.zero_grad()
        for number in range(passes):
            (flat_loss(model, number) / passes).backward()
        gradients = [one.grad.clone() for one in model.parameters() if one.grad is not None]
        before, weights = exact_norms(gradients), exact_norms(list(model.parameters()))
        total = math.sqrt(sum(one**2 for one in before))
        nn.utils.clip_grad_norm_(model.parameters(), total / 4)
        optimizer.step()
    (found,) = recorder.log().of("step")
    assert found["passes"] == passes
    assert found["before"] == pytest.approx(before, rel=1e-6)
    assert found["gradient"] == pytest.approx([one / 4 for one in before], rel=1e-5)
    assert found["weight"] == pytest.approx(weights, rel=1e-6)
    one = history(recorder)
    assert one.total_before[0] == pytest.approx(total, rel=1e-6)
    assert one.clipped.tolist() == [True]


def test_clipping_by_value_is_seen_layer_by_layer():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        flat_loss(model, 0).backward()
        nn.utils.clip_grad_value_(model.parameters(), 1e-3)
        after = exact_norms([one.grad for one in model.parameters() if one.grad is not None])
        optimizer.step()
    assert recorder.log().of("step")[0]["gradient"] == pytest.approx(after, rel=1e-6)


def test_micro_batches_make_the_norms_of_one_batch():
    rows = []
    for passes in (1, 4):
        model = mlp()
        optimizer = sgd(model)
        inputs = normal(16, 5, seed=0)
        labels = inputs[:, :3].argmax(1)
        with Recorder(model, optimizer, quiet=True) as recorder:
            parts = zip(inputs.chunk(passes), labels.chunk(passes), strict=True)
            for x, y in parts:
                (nn.functional.cross_entropy(model(x), y) / passes).backward()
            optimizer.step()
        rows.append(recorder.log().of("step")[0])
    assert rows[0]["gradient"] == pytest.approx(rows[1]["gradient"], rel=1e-5)
    assert [one["samples"] for one in rows] == [16, 16]
    assert not any("before" in one for one in rows)


def test_the_update_of_sgd_is_the_learning_rate_times_the_gradient():
    model = mlp()
    optimizer = sgd(model, lr=0.3)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=4)
    one = history(recorder)
    assert one.update == pytest.approx(0.3 * one.gradient, rel=1e-4)
    assert one.ratio == pytest.approx(0.3 * one.gradient / one.weight, rel=1e-4)


def test_the_first_update_of_adam():
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, eps=1e-16)
    with Recorder(model, optimizer, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=1)
    expected = [1e-3 * math.sqrt(one.numel()) for one in model.parameters()]
    assert history(recorder).update[0] == pytest.approx(expected, rel=1e-3)


def test_the_cosine_of_successive_gradients():
    model = mlp()
    optimizer = sgd(model)
    gradients = []
    with Recorder(model, optimizer, details_every=3, quiet=True) as recorder:
        for step in range(7):
            optimizer.zero_grad()
            flat_loss(model, step).backward()
            there = [one.grad for one in model.parameters() if one.grad is not None]
            gradients.append(torch.cat([one.flatten() for one in there]))
            optimizer.step()
    one = history(recorder)
    assert one.detailed.tolist() == [0, 3, 6]
    assert math.isnan(one.cosine[0])
    for place, step in ((1, 3), (2, 6)):
        expected = nn.functional.cosine_similarity(gradients[step], gradients[step - 1], dim=0)
        assert one.cosine[place] == pytest.approx(float(expected), abs=1e-5)


def test_tied_frozen_and_unused_tensors():
    model = tied()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        losses = train(model, optimizer, token_loss, steps=2)
    log, one = recorder.log(), history(recorder)
    names = {layer["name"]: layer for layer in log.header["layers"]}
    assert names["tokens.weight"]["aliases"] == ["head.weight"]
    assert "head.weight" not in names
    assert one.frozen == ("block.linear1.bias",)
    unused = [one.names.index(name) for name in ("unused.weight", "unused.bias")]
    assert one.missing[:, unused].all()
    assert one.missing.sum() == 4
    assert one.loss == pytest.approx(losses, rel=1e-6)  # which the network returns itself
    expected = exact_norms([model.tokens.weight.grad])  # type: ignore[list-item]
    assert one.gradient[-1, one.names.index("tokens.weight")] == pytest.approx(expected[0])


def test_losses_and_learning_rates():
    model = mlp()
    optimizer = sgd(model, lr=0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.5)
    with Recorder(model, optimizer, quiet=True) as recorder:
        values: list[Tensor] = []
        for step in range(3):
            optimizer.zero_grad()
            values = [flat_loss(model, step), flat_loss(model, 50 + step)]
            for value in values:
                assert recorder.loss(value) is value
                value.backward()
            optimizer.step()
            schedule.step()
        assert recorder.loss(1.5) == 1.5
    one = history(recorder)
    assert one.rate.tolist() == [0.1, 0.05, 0.025]
    mean = sum(float(value.detach()) for value in values) / 2
    assert one.loss[-1] == pytest.approx(mean, rel=1e-6)


def test_a_loss_that_is_divided_in_place_afterwards():
    model = nn.Linear(4, 1)
    optimizer = sgd(model, lr=0.0)
    inputs = normal(8, 4, seed=0)
    expected = float(model(inputs).detach().square().mean())
    with Recorder(model, optimizer, quiet=True) as recorder:
        for _ in range(4):
            loss = recorder.loss(model(inputs).square().mean())
            loss /= 4
            loss.backward()
        optimizer.step()
    assert history(recorder).loss.tolist() == pytest.approx([expected])


def test_a_closure_is_recorded_with_the_gradient_of_its_last_call():
    model = mlp()
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = flat_loss(model, 0)
        loss.backward()
        return loss

    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        before = [one.detach().clone() for one in model.parameters()]
        optimizer.step(closure)  # type: ignore[arg-type]
    (found,) = recorder.log().of("step")
    gradients = [one.grad for one in model.parameters() if one.grad is not None]
    assert found["gradient"] == pytest.approx(exact_norms(gradients), rel=1e-6)
    moved = [a.detach() - b for a, b in zip(model.parameters(), before, strict=True)]
    assert recorder.log().of("detail")[0]["update"] == pytest.approx(exact_norms(moved), rel=1e-4)


@pytest.mark.parametrize(("every", "steps"), [(1, 12), (5, 3)])
def test_cadence(tmp_path, every, steps):
    _, one = recorded(tmp_path, every=every, details_every=0)
    assert one.steps.tolist() == list(range(0, 12, every))
    assert len(one.steps) == steps
    assert not len(one.detailed)


def test_half_precision_weights():
    model = mlp().to(torch.bfloat16)
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        nn.functional.mse_loss(
            model(normal(16, 5, seed=0).bfloat16()), torch.zeros(16, 3)
        ).backward()
        gradients = exact_norms([one.grad for one in model.parameters()])  # type: ignore[misc]
        optimizer.step()
    assert recorder.log().of("step")[0]["gradient"] == pytest.approx(gradients, rel=1e-6)


def test_the_public_name_and_the_result(tmp_path):
    model = mlp()
    optimizer = sgd(model)
    with ls.Recorder(model, optimizer, log=tmp_path / "run.jsonl", quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=5)
        assert len(recorder.log().of("step")) == 5  # also while it runs
    result = recorder.result()
    assert result.summary().startswith("run.jsonl: 5 steps (0 to 4), loss ")
    assert [one.state for one in result.layers] == ["trains"] * 8
    assert result.overhead == pytest.approx(recorder.overhead.share)
    assert recorder.overhead.steps == 5


def test_the_end_is_told(capsys):
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=3)
    told = capsys.readouterr().err
    assert told.startswith("landscape: 3 steps, ")
    assert "recording took" in told
    assert "on top of the rest" in told


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"every": 0}, SettingError),
        ({"details_every": -1}, SettingError),
        ({"share": 0.0}, SettingError),
        ({"schedule": {ls.Spectrum(): 10}}, SettingError),
        ({"log": "/nowhere/at/all/run.jsonl"}, OutputError),
    ],
)
def test_bad_settings(settings, error):
    model = mlp()
    with pytest.raises(error) as caught:
        Recorder(model, sgd(model), quiet=True, **settings).attach()
    assert caught.value.hint


def test_what_does_not_train_is_refused():
    model = mlp()
    other = sgd(mlp(seed=5))
    with pytest.raises(ModelError, match="holds no parameter"):
        Recorder(model, other)
    with pytest.raises(ModelError, match="no parameter"):
        Recorder(model.requires_grad_(requires_grad=False), other)


def test_reading_before_attaching():
    model = mlp()
    with pytest.raises(SettingError, match="nothing was recorded"):
        Recorder(model, sgd(model)).result()


def test_a_temporary_log_vanishes_with_the_recorder():
    model = mlp()
    recorder = Recorder(model, sgd(model), quiet=True).attach()
    path = recorder.log().path
    recorder.detach()
    assert path.exists()
    del recorder
    assert not path.exists()


@pytest.mark.parametrize("given", ["compiled", "raw"])
def test_a_compiled_network(given):
    bare = mlp()
    model = mlp()
    compiled: Any = torch.compile(model, backend="eager")
    expected = train(bare, sgd(bare), flat_loss, steps=4)
    optimizer = sgd(model)
    watched = compiled if given == "compiled" else model
    with Recorder(watched, optimizer, details_every=2, quiet=True) as recorder:
        found = train(compiled, optimizer, flat_loss, recorder, steps=4, clip=1e9)
    assert found == pytest.approx(expected, rel=1e-6)
    one = history(recorder)
    assert one.names == tuple(name for name, _ in model.named_parameters())
    assert np.isfinite(one.gradient).all()
    assert (one.gradient > 0).all()
    if given == "compiled":
        assert "compiled" in recorder.result().unseen
        assert one.samples.tolist() == [16] * 4


def test_copies_and_pickles_of_the_network_do_not_take_the_recorder_along():
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        average = torch.optim.swa_utils.AveragedModel(model)
        again = pickle.loads(pickle.dumps(model))
        train(model, optimizer, flat_loss, recorder, steps=2)
        average.update_parameters(model)
        flat_loss(average, 0).backward()
        flat_loss(again, 0).backward()
        train(model, optimizer, flat_loss, recorder, steps=1)
    steps = recorder.log().of("step")
    assert [one["samples"] for one in steps] == [16] * 3
    assert [one["passes"] for one in steps] == [1] * 3


def test_without_room_for_copies_the_run_goes_on(monkeypatch):
    def full(tensors: list[Tensor]) -> None:
        del tensors

    monkeypatch.setattr("landscape.recorder.details.copies", full)
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=3)
    details = recorder.log().of("detail")
    assert len(details) == 3
    assert not any("update" in one or "cosine" in one for one in details)
    assert all(one["signals"]["0"]["forward"] > 0 for one in details)
    assert recorder.result().layers[0].update_ratio is None


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(ModelError, match="is no optimizer"):
        Recorder(mlp(), object())  # type: ignore[arg-type]


def test_copies_are_made_where_no_graph_is_kept(monkeypatch):
    made: list[Tensor] = []

    def seen(tensors: list[Tensor]) -> list[Tensor]:
        found = [one.clone() for one in tensors]
        made.extend(found)
        return found

    monkeypatch.setattr("landscape.recorder.details.copies", seen)
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=2)
    assert len(made) == 8 * 4
    assert not any(one.requires_grad for one in made)


def test_a_backward_pass_that_raises_is_forgotten():
    model = mlp()
    optimizer = sgd(model)

    def fail(gradient: Tensor) -> None:
        del gradient
        raise RuntimeError("out of memory")

    with Recorder(model, optimizer, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=1)
        handle = model[0].weight.register_hook(fail)  # type: ignore[union-attr, operator]
        with pytest.raises(RuntimeError):
            flat_loss(model, 0).backward()
        handle.remove()
        train(model, optimizer, flat_loss, recorder, steps=3)
    assert [one["passes"] for one in recorder.log().of("step")][-2:] == [1, 1]
