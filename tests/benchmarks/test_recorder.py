"""The benchmark of the recorder runs, and writes what it says."""

from __future__ import annotations

import json
import sys

from tests.benchmarks import recorder


def test_it_runs(tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.json"
    arguments = ["recorder", "--quick", "--blocks", "3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(recorder, "SESSIONS", 2)
    assert recorder.main() == 0
    found = json.loads(out.read_text())
    assert found["schema"] == recorder.SCHEMA
    assert [row["name"] for row in found["rows"]] == list(recorder.ARMS)
    assert found["rows"][0]["ratio"] == 1.0
    assert all(0 < row["low"] <= row["high"] for row in found["rows"])
    assert all(row["told"] > 0 for row in found["rows"][1:])
    assert "without" in capsys.readouterr().out
