"""`landscape track`: a log in the terminal, as JSON, as figures; also while it is written."""

from __future__ import annotations

import hashlib
import io
import json
import re
import threading
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from rich.console import Console

from landscape.diagnostics.spectrum import Spectrum
from landscape.errors import InputError, OutputError
from landscape.recorder.answer import TrackResult
from landscape.recorder.recorder import Recorder
from landscape_cli.commands.track import _screen, bars, command
from landscape_cli.failures import Failed
from tests.cases import normal
from tests.recorder.runs import flat_loss, mlp, sgd, train


def track(*arguments: str | Path) -> str:
    """Run the command, and return what it said on stdout."""
    stdout = io.StringIO()
    with redirect_stdout(stdout), redirect_stderr(io.StringIO()):
        command.main([str(one) for one in arguments], standalone_mode=False)
    return stdout.getvalue()


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("track") / "run.jsonl"
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=path, quiet=True) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=30, passes=2, clip=0.3)
    return path


def test_what_is_told(log):
    told = track(log)
    assert "run.jsonl: 30 steps (0 to 29), loss " in told
    assert "0.weight" in told
    assert "recording added" in told


def test_scheduled_diagnostics_are_told(tmp_path):
    path = tmp_path / "run.jsonl"
    model = mlp()
    optimizer = sgd(model)
    inputs = normal(32, 5, seed=0)
    asked: dict[Any, int] = {Spectrum(top=1, probes=2, lanczos_steps=8): 4}
    probe = [(inputs, inputs[:, :3].argmax(1))]
    settings: dict[str, Any] = {"schedule": asked, "data": probe, "loss": "ce", "share": 1e9}
    with Recorder(model, optimizer, log=path, quiet=True, **settings) as recorder:
        train(model, optimizer, flat_loss, recorder, steps=6)
    told = track(path)
    assert "Scheduled diagnostics" in told
    assert len(re.findall(r"^ *\d+ +spectrum +λ_max +[\d.]+", told, re.MULTILINE)) == 2
    answers = json.loads(track(path, "--json"))["answer"]["answers"]
    assert [one["step"] for one in answers] == [0, 4]
    assert answers[0]["headline"][0]["name"] == "λ_max"
    out = io.StringIO()
    Console(file=out, width=160).print(_screen(recorder.result()))
    assert re.search(r"spectrum λ_max .* at step 4", out.getvalue())


def test_one_document(log):
    document = json.loads(track(log, "--json"))
    assert document["provenance"]["command"].startswith("landscape")
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    assert document["provenance"]["files"] == {"run.jsonl": digest}
    jsonschema.validate(document, TrackResult.schema())
    assert document["schema"] == "landscape/track/1"
    answer = document["answer"]
    assert len(answer["series_of"]["loss"]) == 30
    assert answer["noise_unit"] == "samples"
    assert answer["clip_rate"]["kind"] == "estimate"
    again = TrackResult.from_json(document)
    assert again.to_json() == document


@pytest.mark.usefixtures("blank")
def test_files(log, tmp_path):
    track(log, "-o", tmp_path / "out")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    figures = {
        f"track{more}.{kind}" for more in ("", "-layers", "-signals") for kind in ("png", "svg")
    }
    assert names == {"track.json", *figures}
    with pytest.raises(OutputError, match="already holds"):
        track(log, "-o", tmp_path / "out")
    track(log, "-o", tmp_path / "out", "--force")


def test_a_torn_log_is_read_and_told(log, tmp_path):
    torn = tmp_path / "torn.jsonl"
    torn.write_bytes(log.read_bytes()[:-40])
    told = track(torn)
    assert "30 steps (0 to 29, not ended)" in told
    assert "The log ends in the middle of line" in told


def test_a_run_that_broke_ends_with_the_code_of_numbers_that_are_not_finite(tmp_path):
    path = tmp_path / "broken.jsonl"
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=path, quiet=True):
        (flat_loss(model, 0) * float("nan")).backward()
        optimizer.step()
    with pytest.raises(Failed) as caught:
        track(path)
    assert caught.value.code == 5


def test_what_is_no_log(tmp_path):
    with pytest.raises(InputError):
        track(tmp_path / "none.jsonl")


def test_following_until_the_end(tmp_path):
    path = tmp_path / "live.jsonl"
    model = mlp()
    optimizer = sgd(model)
    recorder = Recorder(model, optimizer, log=path, quiet=True).attach()
    train(model, optimizer, flat_loss, recorder, steps=5)
    timer = threading.Timer(0.5, recorder.detach)
    timer.start()
    try:
        told = track(path, "--follow", "--interval", "0.1")
    finally:
        timer.join()
    assert "5 steps (0 to 4)" in told
    assert "not ended" not in told


def test_bars():
    assert bars([1.0, 2.0, 3.0, 8.0]).split("  ") == ["▁▂▃█", "8"]
    assert bars([float("nan"), 1.0]).startswith("×▁")
    assert bars([float("nan")]) == "×"
    assert len(bars([1.0] * 500).split("  ")[0]) == 48
