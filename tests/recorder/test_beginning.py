"""A log that holds a run already: what goes on with it, and what begins anew."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from torch import nn

from landscape.figures.canvas import overlay
from landscape.recorder.answer import TrackResult
from landscape.recorder.log import read_log
from landscape.recorder.pictures import history_ink
from landscape.recorder.reading import track
from landscape.recorder.recorder import Recorder
from landscape.recorder.spikes import outstanding
from tests.recorder.runs import flat_loss, mlp, sgd, train


def run(
    log: Path, model: nn.Module, *, steps: int = 30, momentum: float = 0.0, **more: int
) -> None:
    optimizer = sgd(model, momentum=momentum)
    with Recorder(model, optimizer, log=log, **more) as recorder:  # type: ignore[arg-type]
        train(model, optimizer, flat_loss, recorder, steps=steps)


def ways(result: TrackResult) -> list[tuple[int, str]]:
    return [(one.first_step, one.how) for one in result.runs]


@pytest.mark.parametrize("every", [1, 7])
def test_training_that_begins_anew_is_told(tmp_path, capsys, every):
    path = tmp_path / "run.jsonl"
    run(path, mlp(seed=0), every=every, details_every=0)
    capsys.readouterr()
    run(path, mlp(seed=1), every=every, details_every=0)
    second = max(range(0, 30, every)) + 1
    told = capsys.readouterr().err
    assert told.count("begins anew") == 1
    assert f"is recorded behind it from step {second} on" in told
    result = track(read_log(path))
    assert ways(result) == [(0, "first"), (second, "begins anew")]
    assert f"training begins anew at step {second}" in result.summary()
    assert result.tables()[0].rows == ((0, "first"), (second, "begins anew"))
    ink = history_ink(result)
    assert ink.begins == (second,)
    found = overlay([result], [None]).findobj(Text)
    assert "a run begins" in {one.get_text() for one in found}  # type: ignore[attr-defined]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_run_that_goes_on_is_none(tmp_path, capsys, momentum):
    path = tmp_path / "run.jsonl"
    model = mlp()
    run(path, model, momentum=momentum)
    run(path, model, momentum=momentum)
    assert "anew" not in capsys.readouterr().err
    assert ways(track(read_log(path))) == [(0, "first"), (30, "goes on")]


def test_weights_that_are_loaded_after_attaching_go_on(tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    model, again = mlp(seed=0), mlp(seed=1)
    run(path, model)
    optimizer = sgd(again)
    with Recorder(again, optimizer, log=path) as recorder:
        again.load_state_dict(model.state_dict())
        train(again, optimizer, flat_loss, recorder, steps=3)
    assert "anew" not in capsys.readouterr().err


def test_an_optimizer_with_state_goes_on_whatever_the_weights(tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    with Recorder(model, optimizer, log=path) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=5)
    train(model, optimizer, flat_loss, steps=5)  # on without the recorder
    with Recorder(model, optimizer, log=path) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=5)
    assert "anew" not in capsys.readouterr().err


def test_a_run_from_step_0_on_says_that_it_replaces_what_is_there(tmp_path, capsys):
    path = tmp_path / "run.jsonl"
    run(path, mlp(seed=0))
    run(path, mlp(seed=1), steps=4, step=0)
    assert "holds 30 steps, 0 to 29; this run begins at step 0 and replaces" in (
        capsys.readouterr().err
    )
    result = track(read_log(path))
    assert result.steps == 4
    assert ways(result) == [(0, "first")]


def test_the_higher_loss_of_another_run_is_no_spike():
    draws = np.exp(0.05 * np.random.default_rng(0).standard_normal(120))
    values = np.concatenate([draws[:60], 20 * draws[60:]])
    assert 60 in outstanding(values)
    assert not len(outstanding(values, (60,)))


def test_the_time_is_that_of_all_runs(tmp_path):
    path = tmp_path / "run.jsonl"
    model = mlp()
    run(path, model)
    first = track(read_log(path)).seconds
    run(path, model)
    assert track(read_log(path)).seconds > first
