"""A report that is killed: never a torn file, never half a set, and the same answers in the end."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import landscape as ls
from landscape.reports import folder as folders
from landscape.reports.folder import NAMES, READY, STAGE, recover
from tests.cli.command import NETWORKS
from tests.cli.networks import filled, mlp
from tests.test_survey import asked, saved, subject

SCRIPT = """
import sys, torch
torch.set_num_threads(1)
from landscape_cli.main import main
main(sys.argv[1:])
"""
ALIKE = "--preset quick --product cached --device cpu -q -o out"  # no choice by the clock
FEW = f"report final.pt --model {NETWORKS}:mlp {ALIKE}"
ALL = (
    f"report initial.pt final.pt --model {NETWORKS}:mlp --data {NETWORKS}:data --train plain "
    f"{ALIKE}"
)
VARYING = ("cost", "date", "seconds", "peak_memory_bytes")


def started(command: str, folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *command.split()],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def whole(command: str, folder: Path) -> float:
    """Run a report to its end; return how long it took."""
    before = time.monotonic()
    process = started(command, folder)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()
    return time.monotonic() - before


def killed(command: str, folder: Path, after: float) -> bool:
    """Run a report and kill it; return whether it was still running."""
    process = started(command, folder)
    try:
        process.wait(timeout=after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def inspected(out: Path) -> bool:
    """Look at everything that a run has left; return whether there is a report."""
    for path in (one for one in out.rglob("*") if one.is_file() and STAGE not in one.parts):
        if path.name.startswith("."):
            continue  # what was being written has no name of its own yet
        if path.suffix == ".npz":
            with np.load(path) as stored:
                assert all(stored[key] is not None for key in stored.files)
        if path.suffix == ".json":
            json.loads(path.read_text())
        if path.suffix == ".html":
            assert path.read_text().rstrip().endswith("</html>")
        if path.suffix == ".svg":
            assert path.read_text().rstrip().endswith("</svg>")
        if path.suffix == ".png":
            assert path.read_bytes().rstrip(b"\0").endswith(b"IEND\xaeB`\x82")
    there = [name for name in NAMES if (out / name).exists()]
    assert there in ([], list(NAMES)), "half a report"
    return bool(there)


def answers(out: Path) -> Any:
    return _without(json.loads((out / "report.json").read_text()))


def _without(part: Any) -> Any:
    """Return a document without what the clock and the calendar put into it."""
    if isinstance(part, dict):
        return {key: _without(value) for key, value in part.items() if key not in VARYING}
    return [_without(one) for one in part] if isinstance(part, list) else part


@pytest.fixture
def place(tmp_path) -> Path:
    for name, seed in (("initial.pt", 1), ("final.pt", 0)):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / name)
    return tmp_path


def kill_again_and_again(command: str, place: Path, moments: int, seed: int) -> None:
    """Kill a report at random moments, going on each time; then compare with one left in peace."""
    lasted = whole(command, place)
    (place / "out").rename(place / "peace")
    expected = answers(place / "peace")
    draw = random.Random(seed)
    kills, finished = 0, 0
    while kills < moments:
        died = killed(command, place, draw.uniform(0.2, lasted))
        kills += died
        if inspected(place / "out"):
            assert answers(place / "out") == expected
            finished += 1
            (place / "out").rename(place / f"out-{finished}")
    if not (place / "out" / "report.json").exists():
        whole(command, place)
    assert inspected(place / "out")
    assert answers(place / "out") == expected
    assert not [one for one in (place / "out").rglob(".*")], "a torn file was left"


def test_killed(place):
    kill_again_and_again(FEW, place, 1, seed=3)


@pytest.mark.full
def test_killed_twenty_times(place):
    kill_again_and_again(ALL, place, 20, seed=4)


# --- the moment of writing ---------------------------------------------------------------------


@pytest.fixture
def report(tmp_path) -> ls.Report:
    return asked(subject(saved(tmp_path)).without_data())


def moves(monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    """Let only so many files take their place, then die."""
    original, count = Path.replace, [0]

    def replace(self: Path, target: Path) -> Path:
        if STAGE in self.parts and STAGE not in Path(target).parts:
            if count[0] == stop:
                raise KeyboardInterrupt
            count[0] += 1
        return original(self, target)

    monkeypatch.setattr(Path, "replace", replace)


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("stop", range(8))
def test_killed_while_files_take_their_places(report, tmp_path, monkeypatch, stop):
    """What was moved stays, the rest follows with the next run: the set is whole again."""
    expected = report.save(tmp_path / "expected").parent
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        moves(patch, stop)
        try:
            report.save(out)
        except KeyboardInterrupt:
            assert (out / STAGE / READY).exists()
    recover(out)
    for name in NAMES:
        assert (out / name).read_bytes() == (expected / name).read_bytes()
    drawn = sorted(one.name for one in (expected / "figures").iterdir())
    assert sorted(one.name for one in (out / "figures").iterdir()) == drawn
    assert not (out / STAGE).exists()


@pytest.mark.parametrize("part", ["render_html", "render_markdown", "save"])
def test_killed_while_it_is_drawn(report, tmp_path, monkeypatch, part):
    """The old report is there as it was, and nothing of the new one is mistaken for a report."""
    out = tmp_path / "out"
    report.save(out)
    before = {name: (out / name).read_bytes() for name in NAMES}

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(folders, part, die)
        with pytest.raises(KeyboardInterrupt):
            report.save(out, force=True)
        assert {name: (out / name).read_bytes() for name in NAMES} == before
    recover(out)
    assert {name: (out / name).read_bytes() for name in NAMES} == before
    assert not (out / STAGE).exists()


def test_torn_files_of_the_memory_are_removed(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    torn, own = cache / f".{'0' * 32}.npz.a1b2_3c4", cache / ".gitignore"
    torn.write_bytes(b"PK")
    own.write_text("*")
    recover(tmp_path)
    assert not torn.exists()
    assert own.exists()
