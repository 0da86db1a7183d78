"""The figures of a run draw, whatever the run was like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from landscape.figures.canvas import overlay, svg
from landscape.figures.history import HistoryInk, draw_history
from landscape.recorder.answer import TrackResult
from landscape.recorder.history import history_of
from landscape.recorder.log import read_log
from landscape.recorder.reading import track
from landscape.recorder.recorder import Recorder
from tests.recorder.runs import flat_loss, mlp, sgd, train


def result(path: Path, steps: int, **settings: int) -> TrackResult:
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=path, quiet=True, **settings) as recorder:  # type: ignore[arg-type]
        train(model, optimizer, flat_loss, recorder, steps=steps, clip=0.3)
    return track(read_log(path))


def texts(figure: Figure) -> set[str]:
    return {one.get_text() for one in figure.findobj(lambda a: hasattr(a, "get_text"))}  # type: ignore[attr-defined]


@pytest.mark.parametrize("steps", [0, 1, 2, 30])
@pytest.mark.parametrize("details_every", [0, 1])
def test_every_figure_draws(tmp_path, steps, details_every):
    found = result(tmp_path / "a.jsonl", steps, details_every=details_every)
    shown = overlay([found], [None])
    assert svg(shown, title="a").startswith("<svg")
    for picture in found.pictures():
        assert svg(picture.figure()).startswith("<svg")
    names = [picture.name for picture in found.pictures()]
    assert names == ["layers"] * (steps > 0) + ["signals"] * (steps > 0 and details_every > 0)
    if steps == 0:
        assert "no step was recorded" in texts(shown)
        assert found.summary().endswith("no step yet")


def test_runs_are_overlaid_and_named(tmp_path):
    runs = [result(tmp_path / f"{name}.jsonl", 5) for name in "ab"]
    figure = overlay(runs, ["first run", "second run"])
    assert {"first run", "second run"} <= texts(figure)
    panels = [one for one in figure.axes[0].child_axes if one.lines]
    assert {len(panel.lines) for panel in panels} == {2}


def test_clipping_and_what_happened_are_in_the_legend():
    figure = Figure()
    axes = figure.add_subplot()
    steps = np.arange(10.0)
    ink = HistoryInk(
        step=steps,
        loss=np.full(10, np.nan),
        gradient=np.ones(10),
        before=np.linspace(1, 5, 10),
        rate=np.full(10, 0.1),
        marks={"spike": (3.0,), "skipped": (4.0,), "not finite": (9.0,)},
    )
    draw_history(axes, ink)
    assert {"before clipping", "after", "spike", "skipped", "not finite"} <= texts(figure)
    assert len(axes.child_axes) == 1  # no loss was shown, and the learning rate is constant


def test_many_steps_are_thinned_and_keep_their_extremes(tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.recorder.reading.MOST_STEPS", 20)
    path = tmp_path / "a.jsonl"
    found = result(path, 200, details_every=0)
    whole = history_of(read_log(path)).total_before
    kept = found.series_of.gradient_norm_before
    assert len(kept) <= 20
    assert kept.max() == whole.max()
    assert kept.min() == whole.min()
    assert found.layer_norms.shape == (8, 160)
    assert found.steps == 200
