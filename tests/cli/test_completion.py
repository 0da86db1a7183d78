"""Shell completion: commands, options, choices and paths, at once and without torch."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import landscape as ls

PROGRAM = Path(sys.executable).with_name("landscape")
NAMES = [kind.name for kind in ls.DIAGNOSTICS]
HEAVY = {"torch", "numpy", "scipy", "matplotlib", "rich", "safetensors", "jinja2"}
SCRIPT = """
import sys
from landscape_cli.main import main
try:
    main([])
finally:
    loaded = set(sys.argv[1].split(",")) & set(sys.modules)
    assert not loaded, loaded
"""


def completed(words: str) -> list[str]:
    """What bash is told of a line that ends where the cursor is: kind,value."""
    given = ["landscape", *words.split(" ")]
    environment = {
        **os.environ,
        "_LANDSCAPE_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(given),
        "COMP_CWORD": str(len(given) - 1),
    }
    command = [sys.executable, "-W", "error", "-c", SCRIPT, ",".join(HEAVY)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    assert "Error" not in ended.stderr
    return ended.stdout.split()


def test_commands():
    found = completed("")
    for name in ("demo", "report", "config", *(name.split("-")[0] for name in NAMES)):
        assert f"plain,{name}" in found
    assert completed("spec") == ["plain,spectrum"]
    assert completed("--ver") == ["plain,--version"]


def test_commands_that_have_settings():
    assert completed("config --resolved sp") == ["plain,spectrum"]
    assert completed("config --resolved tickets f") == ["plain,find"]
    found = completed("config --resolved ")
    assert {"plain,spectrum", "plain,report", "plain,tickets", "plain,coordcheck"} <= {*found}
    assert "plain,check" not in found


@pytest.mark.parametrize("kind", ls.DIAGNOSTICS, ids=lambda kind: kind.name)
def test_options_of_every_diagnostic(kind):
    found = completed(f"{kind.name.replace('-', ' ')} --")
    for key in (*kind.options(), "state_key", "json", "strict", "config", "dry_run"):
        assert f"plain,--{key.replace('_', '-')}" in found


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("spectrum --opera", ["plain,--operator"]),
        ("spectrum --operator g", ["plain,gauss-newton"]),
        ("tickets fin", ["plain,find"]),
        ("tickets find --rewinding ", ["plain,weights", "plain,learning-rate"]),
        ("spectrum --mode t", ["plain,train"]),
        ("ntk --preset ", ["plain,quick", "plain,standard", "plain,full"]),
        ("report --preset f", ["plain,full"]),
        ("gradients --loss m", ["plain,mse"]),
        ("list pre", ["plain,presets"]),
    ],
)
def test_choices(words, found):
    assert completed(words) == found


@pytest.mark.parametrize(
    "words",
    ["spectrum run/fi", "connect a.pt b", "inspect mod", "render re", "plot a.json b", "track lo",
     "report run/fi", "doctor fi", "weights fi",
     "spectrum --model ne", "spectrum --data ne", "spectrum --held-out ne", "report --mask m",
     "lipschitz --certificate c", "tickets find --train ne", "spectrum --config l"],
)  # fmt: skip
def test_paths(words):
    assert completed(words) == [f"file,{words.split(' ')[-1]}"]


def test_folders():
    (found,) = completed("spectrum -o ou")
    assert found in ("file,ou", "dir,ou")


def test_it_takes_no_time():
    """The best of five, in the processor's time: how busy a machine is does not matter."""
    environment = {
        **os.environ,
        "_LANDSCAPE_COMPLETE": "bash_complete",
        "COMP_WORDS": "landscape spectrum --op",
        "COMP_CWORD": "2",
    }
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([PROGRAM], capture_output=True, check=True, env=environment)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.3


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_every_shell(shell, tmp_path):
    """What README says to write is there, and the shell reads it."""
    if shell == "bash" and shutil.which("bash") is None:
        pytest.skip("no bash")  # click asks it for its version
    environment = {**os.environ, "_LANDSCAPE_COMPLETE": f"{shell}_source"}
    ended = subprocess.run([PROGRAM], capture_output=True, text=True, check=True, env=environment)
    assert "_LANDSCAPE_COMPLETE" in ended.stdout
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text()
    assert f"_LANDSCAPE_COMPLETE={shell}_source landscape" in readme
    if (found := shutil.which(shell)) is not None:
        (tmp_path / "script").write_text(ended.stdout)
        subprocess.run([found, "-n", tmp_path / "script"], check=True)
