"""A kernel that was killed goes on to the same bits, in bounded memory: 1,500 digits on the CNN."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import hashlib, json, resource, sys
from pathlib import Path
from landscape.tangent import tiles
from landscape.tangent.kernel import kernel
from tests.diagnostics.test_ntk import digits, trained
import landscape as ls

inputs, labels = digits(1500)
subject = ls.Subject(trained(inputs, labels, 20), "ce", [(inputs, labels)], device="cpu",
                     folder=Path(sys.argv[1]))
computed, made = tiles.Tiles._computed, []
tiles.Tiles._computed = lambda self, i, j: made.append(1) or computed(self, i, j)
found = kernel(subject, block=128)
told = {
    "sha256": hashlib.sha256(found.values.tobytes()).hexdigest(),
    "shares": dict(found.shares),
    "computed": len(made),
    "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "shape": found.values.shape,
}
print(json.dumps(told))
"""
TILES = 12 * 13 // 2


def started(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finished(folder: Path) -> dict:
    process = started(folder)
    told, _ = process.communicate()
    assert process.returncode == 0
    return json.loads(told)


def files(folder: Path) -> int:
    return sum(1 for path in folder.rglob("*") if path.is_file())


@pytest.mark.full
def test_a_killed_kernel_goes_on_to_the_same_bits(tmp_path):
    whole = finished(tmp_path / "whole")
    assert whole["shape"] == [1500, 1500]
    assert whole["computed"] == TILES
    each = files(tmp_path / "whole") / TILES

    process = started(tmp_path / "killed")
    while files(tmp_path / "killed") < 20 * each and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL

    resumed = finished(tmp_path / "killed")
    assert resumed["sha256"] == whole["sha256"]
    assert resumed["shares"] == whole["shares"]
    assert 0 < resumed["computed"] < TILES
    assert max(whole["peak"], resumed["peak"]) < 4 * 2**30
    print(f"{resumed['computed']} of {TILES} computed after; {whole['peak'] / 2**30:.2f} GiB")
