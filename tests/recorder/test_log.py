"""The log: RFC 8259, append-only, readable at any moment, also after a kill."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from landscape.errors import InputError, OutputError
from landscape.recorder.history import history_of
from landscape.recorder.journal import Journal, line_of
from landscape.recorder.log import Follower, read_log
from landscape.recorder.reading import track
from landscape.recorder.recorder import Recorder
from tests.recorder.runs import LOSSES, flat_loss, mlp, recorded, sgd, train


def strict(line: str) -> Any:
    """Read JSON as RFC 8259 has it."""

    def refuse(constant: str) -> None:
        raise ValueError(constant)

    return json.loads(line, parse_constant=refuse)


# --- writing -------------------------------------------------------------------------------


def test_numbers_that_are_not_finite_are_null_and_say_why():
    record = {
        "a": math.nan,
        "b": [1.0, math.inf, 2.0],
        "c": {"d\n": -math.inf},
        "e": [0.1, 1e-30],
        "f": True,
        "g": None,
        "h": [[1, 2], "x"],
    }
    line = line_of(record)
    assert line.endswith("\n")
    assert line.count("\n") == 1
    found = strict(line)
    assert found["a"] is None
    assert found["b"] == [1.0, None, 2.0]
    assert found["not_finite"] == {"a": "nan", "b.1": "inf", "c.d\n": "-inf"}
    assert found["e"] == [0.1, 1e-30]
    assert found["h"] == [[1, 2], "x"]


def test_a_float32_comes_back_bit_for_bit():
    numbers = torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 1e-20
    found = strict(line_of({"a": numbers.tolist()}))["a"]
    assert torch.equal(torch.tensor(found), numbers)


@pytest.mark.parametrize("name", LOSSES)
def test_every_line_is_json(tmp_path, name):
    recorded(tmp_path, name, details_every=3)
    lines = (tmp_path / "run.jsonl").read_text("utf-8").splitlines()
    kinds = [strict(line)["kind"] for line in lines]
    assert kinds[0] == "header"
    assert kinds[-1] == "end"
    assert strict(lines[0])["schema"] == "landscape/log/1"
    assert kinds.count("step") == 12
    assert kinds.count("detail") == 4


def test_a_full_disk_is_said(tmp_path):
    journal = Journal(tmp_path / "a.jsonl")
    os.close(journal._file)  # type: ignore[arg-type]
    with pytest.raises(OutputError, match="cannot be gone on with"):
        journal.write([{"kind": "step"}])
    journal.write([{"kind": "step"}])
    journal.close()


def test_a_run_outlives_its_log(tmp_path, capsys, monkeypatch):
    model, bare = mlp(), mlp()
    optimizer = sgd(model)
    expected = train(bare, sgd(bare), flat_loss, steps=70)
    with Recorder(model, optimizer, log=tmp_path / "a.jsonl", quiet=True) as recorder:

        def full(*arguments: object) -> int:
            del arguments
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "write", full)
        found = train(model, optimizer, flat_loss, steps=70)
        monkeypatch.undo()
    assert found == expected
    assert capsys.readouterr().err.count("No space left on device") == 1
    assert not recorder.log().of("step")


# --- reading -------------------------------------------------------------------------------


def test_a_log_that_is_cut_anywhere_says_where_it_ends(tmp_path):
    recorded(tmp_path, details_every=5)
    whole = (tmp_path / "run.jsonl").read_bytes()
    ends = [place + 1 for place, byte in enumerate(whole) if byte == 10]
    cut = tmp_path / "cut.jsonl"
    for length in [*range(ends[0], ends[1] + 2), *random.Random(0).sample(range(len(whole)), 60)]:
        cut.write_bytes(whole[:length])
        complete = [end for end in ends if end <= length]
        if not complete:
            with pytest.raises(InputError, match="no whole header"):
                read_log(cut)
            continue
        log = read_log(cut)
        assert len(log.records) == len(complete) - 1
        if length == complete[-1]:
            assert not log.torn
        else:
            (torn,) = log.torn
            expected = (len(complete) + 1, complete[-1], length - complete[-1], True)
            assert (torn.line, torn.offset, torn.bytes, torn.last) == expected
            assert f"in the middle of line {torn.line}" in torn.sentence
        assert log.ended == (len(complete) == len(ends))
        history_of(log)


def test_a_damaged_line_in_the_middle_is_left_out_and_told(tmp_path):
    recorded(tmp_path)
    path = tmp_path / "run.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    lines[5] = lines[5][:20] + b"\n"
    path.write_bytes(b"".join(lines))
    log = read_log(path)
    assert [one.line for one in log.torn] == [6]
    assert not log.torn[0].last
    assert len(log.records) == len(lines) - 2


JUNK: tuple[Any, ...] = (
    None, True, -1, 1.5, 10**30, 1e308, "x", [], [1, 2], [[1], [2]], [10**30], [None], ["x"],
    {}, {"a": 1}, {"a": {"b": "c"}}, [{}],
)  # fmt: skip
SOME = (2, 4, 10)  # of each kind one: a number, one that no float32 holds, a list of such


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=str(value), marks=() if place in SOME else pytest.mark.full)
        for place, value in enumerate(JUNK)
    ],
)
def test_a_line_that_is_json_and_no_record_is_told_and_left_out(tmp_path, value):
    recorded(tmp_path, details_every=3)
    lines = (tmp_path / "run.jsonl").read_text("utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    answer = {"eigenvalues": {"top": [{"value": 1.0}]}, "stability": dict(MARGIN)}
    named = {"name": "x", "value": 1.0, "interval": [0.5, 1.5], "kind": "exact", "level": 0.9}
    asked = {"seconds": 0.1, "question": "x", "headline": [{**named, "status": "converged"}]}
    document = {"status": "converged", "answer": answer}
    origin = {"micro_batch": 1, "gradients": [], "weights": [], "inputs": False, "module": "x"}
    cost = {"cost": 0.1, "share": 0.5, "at": 1.0, "from": 2.0}
    records += [
        {"kind": "anew", "step": 3},
        {"kind": "postponed", "step": 3, "name": "spectrum", "question": "x", **cost},
        {"kind": "diagnostic", "step": 3, "name": "spectrum", "document": document, **asked},
        {"kind": "diagnostic", "step": 3, "name": "spectrum", "error": {"what": "x"}},
        {"kind": "origin", "step": 3, **origin},
        {"kind": "failed", "step": 3, "where": "x", "error": "y"},
        {"kind": "changed", "step": 3, "thawed": [], "frozen": [], "held": [1, 2]},
        {"kind": "step", "step": 4, "missing": [1], "scale": 2.0, **SHORT},
    ]
    first = {one["kind"]: number for number, one in reversed(list(enumerate(records)))}
    path = tmp_path / "odd.jsonl"
    for place in [*first.values(), len(records) - 1, len(records) - 5]:
        for keys in _places(records[place]):
            odd = json.loads(json.dumps(records))
            inner = odd[place]
            for key in keys[:-1]:
                inner = inner[key]
            inner[keys[-1]] = value
            path.write_text("\n".join(map(json.dumps, odd)) + "\n", "utf-8")
            try:
                log = read_log(path)
            except InputError:
                assert place == 0
                continue
            track(log).to_json()


MARGIN = {
    "verdict": "above",
    "settled": True,
    "threshold": 2.0,
    "rule": "x",
    "learning_rate": 0.1,
    "margin": {"value": 2.0, "interval": [1.5, 2.5]},
}
SHORT: dict[str, Any] = {"gradient": [1], "weight": [1], "learning_rate": [0.1], "passes": 1}


def _places(record: Any) -> list[tuple[Any, ...]]:
    """Return the ways to everything that a record holds, the first of every list."""
    if isinstance(record, dict):
        items = list(record.items())
    else:
        items = list(enumerate(record))[:1] if isinstance(record, list) else []
    ways: list[tuple[Any, ...]] = []
    for key, one in items:
        ways += [(key,), *((key, *rest) for rest in _places(one))]
    return ways


def test_a_log_that_was_killed_in_its_first_line_is_gone_on_with(tmp_path):
    recorded(tmp_path)
    header = (tmp_path / "run.jsonl").read_bytes().splitlines()[0]
    for number, content in enumerate((header[:5], header[:200], header[:200] + b"\n", header)):
        path = tmp_path / f"{number}.jsonl"
        path.write_bytes(content)
        model = mlp()
        optimizer = sgd(model)
        with Recorder(model, optimizer, log=path, quiet=True) as recorder:
            train(model, optimizer, flat_loss, steps=2)
        log = recorder.log()
        assert [one["step"] for one in log.of("step")] == [0, 1]
        assert len(log.torn) == (number < 3)
    model = mlp()
    other = tmp_path / "other.jsonl"
    other.write_bytes(b'{"schema":"something else')
    with pytest.raises(InputError):
        Recorder(model, sgd(model), log=other, quiet=True).attach()
    assert other.read_bytes() == b'{"schema":"something else'


def test_following_a_log_while_it_is_written(tmp_path):
    path = tmp_path / "run.jsonl"
    model = mlp()
    optimizer = sgd(model)
    seen = 0
    with Recorder(model, optimizer, log=path, quiet=True) as recorder:
        follower = Follower(path)
        for _ in range(4):
            train(model, optimizer, flat_loss, steps=20)
            seen += follower.read()
            log = follower.log()
            assert not log.ended
            assert not log.torn
        recorder.log()  # everything that is under way
        seen += follower.read()
        assert len(follower.log().of("step")) == 80
    seen += follower.read()
    assert follower.log().ended
    assert seen == len(follower.records)
    assert follower.read() == 0


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"hello\nworld\n", "no header"),
        (b'{"schema": "landscape/report/1"}\n', "landscape/report/1"),
        (b'{"kind": "step"}\n', "None"),
        (b"[1, 2]\n", "no header"),
    ],
)
def test_another_file_is_refused(tmp_path, content, why):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_log(path)
    assert why in caught.value.why


def test_a_missing_and_an_empty_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_log(tmp_path / "none")
    (tmp_path / "empty").touch()
    with pytest.raises(InputError, match="no whole header"):
        read_log(tmp_path / "empty")


# --- going on ------------------------------------------------------------------------------


def test_a_run_goes_on_in_its_log(tmp_path):
    path = tmp_path / "run.jsonl"
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=path, quiet=True):
        train(model, optimizer, flat_loss, steps=5)
    with path.open("ab") as stream:
        stream.write(b'{"kind": "ste')  # killed while it wrote
    with Recorder(model, optimizer, log=path, quiet=True) as recorder:
        train(model, optimizer, flat_loss, steps=3)
    log = recorder.log()
    assert [one["step"] for one in log.of("step")] == list(range(8))
    assert len(log.torn) == 1
    with Recorder(model, optimizer, log=path, step=6, quiet=True) as recorder:  # from a checkpoint
        train(model, optimizer, flat_loss, steps=1)
    log = recorder.log()
    assert [one["step"] for one in log.of("step")] == list(range(7))
    assert log.ended


def test_the_log_of_another_network_is_refused(tmp_path):
    path = tmp_path / "run.jsonl"
    model, other = mlp(), mlp(depth=2)
    with Recorder(model, sgd(model), log=path, quiet=True):
        pass
    before = path.read_bytes()
    with pytest.raises(OutputError, match="another network"):
        Recorder(other, sgd(other), log=path).attach()
    assert path.read_bytes() == before


@pytest.mark.full
def test_killed_at_a_random_step_every_whole_line_is_readable(tmp_path):
    draws = random.Random(0)
    for number in range(50):
        path = tmp_path / f"{number}.jsonl"
        child = os.fork()
        if child == 0:
            _train_for_ever(path)
        _wait_for_lines(path, draws.randint(1, 60))
        time.sleep(draws.uniform(0, 0.05))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines = path.read_bytes().split(b"\n")
        log = read_log(path)
        assert len(log.records) == len(lines) - 2
        for line in lines[:-1]:
            strict(line.decode())
        steps = [one["step"] for one in log.of("step")]
        assert steps == list(range(len(steps)))
        assert bool(log.torn) == bool(lines[-1])
        assert not log.ended
        track(log)


def _wait_for_lines(path: Path, count: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.005)
    raise TimeoutError(path)


def _train_for_ever(path: Path) -> None:
    try:
        model = mlp()
        optimizer = sgd(model)
        with Recorder(model, optimizer, log=path, details_every=2, quiet=True) as recorder:
            train(model, optimizer, flat_loss, recorder, steps=10**9)
    finally:
        os._exit(1)
