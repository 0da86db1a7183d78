"""The benchmark of the tangent kernel runs, and writes what it says."""

from __future__ import annotations

import json
import sys

from tests.benchmarks import ntk


def test_it_runs(tmp_path, monkeypatch, capsys):
    out = tmp_path / "results.json"
    for only in ("MLP", "CNN"):  # the second run keeps what the first one measured
        arguments = ["ntk", "--quick", "--seconds", "0", "--only", only, "--out", str(out)]
        monkeypatch.setattr(sys, "argv", arguments)
        assert ntk.main() == 0
    found = json.loads(out.read_text())
    assert found["schema"] == ntk.SCHEMA
    assert {row["problem"] for row in found["rows"]} == {toy.name for toy in ntk.TOYS}
    rows = [row for row in found["rows"] if row["way"] != "nngeometry"]
    assert len(rows) == 6
    assert all(row["error"] < 1e-4 and row["calls"] and row["least"] > 0 for row in rows)
    assert "vmap(jacrev)" in capsys.readouterr().out
