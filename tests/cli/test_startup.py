"""The command line answers at once: what needs no tensors imports no torch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import save_file

import landscape as ls
from tests.cli.command import done
from tests.cli.networks import mlp

HEAVY = ("torch", "numpy", "scipy", "matplotlib", "safetensors", "jinja2")
SCRIPT = """
import sys
from landscape_cli.main import main
try:
    main(sys.argv[2:])
except SystemExit as end:
    assert end.code == 0, end.code
loaded = set(sys.argv[1].split(",")) & set(sys.modules)
assert not loaded, loaded
"""
COMMANDS = ("demo", "report", "inspect", "plot", "render", "list")
NAMES = [*COMMANDS, *(kind.name for kind in ls.DIAGNOSTICS)]


def run_without(modules: tuple[str, ...], *arguments: str) -> str:
    """Run a command in a process of its own, where it may not import some modules."""
    command = [sys.executable, "-W", "error", "-c", SCRIPT, ",".join(modules), *arguments]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_help_is_immediate():
    """The best of five: what else the machine does can only slow a process down."""
    program = Path(sys.executable).with_name("landscape")
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        subprocess.run([program, "--help"], capture_output=True, check=True)
        seconds.append(time.perf_counter() - started)
    assert min(seconds) < 0.3


def test_help_imports_nothing_heavy():
    text = run_without((*HEAVY, "rich", "landscape.base"), "--help")
    for name in NAMES:
        assert f"  {name} " in text


def test_version():
    assert "0." in run_without(HEAVY, "--version")


def test_inspect_imports_nothing_heavy(tmp_path):
    save_file(mlp().state_dict(), tmp_path / "model.safetensors")
    assert "1,210" in run_without(HEAVY, "inspect", str(tmp_path / "model.safetensors"))
    assert '"parameters": 1210' in run_without(
        HEAVY, "inspect", str(tmp_path / "model.safetensors"), "--json"
    )


@pytest.mark.parametrize("what", ["models", "data", "diagnostics"])
def test_lists_import_no_torch(what):
    assert run_without(("torch",), "list", what)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_imports_no_torch(name):
    assert run_without(("torch",), name, "--help")


def test_the_library_imports_no_torch():
    code = (
        "import sys, landscape; dir(landscape); landscape.LandscapeError\n"
        "assert not {'torch', 'numpy', 'matplotlib'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_help(name):
    text = done(f"{name} --help").stdout
    assert text.startswith(f"Usage: landscape {name} ")
    assert f"Example: landscape {name} " in text
    assert text == done(f"{name} -h").stdout
    words = " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "Sentinel" not in words
    assert "None" not in words


def test_every_option_of_a_command_is_explained():
    import click

    from landscape_cli.catalogue import load_command

    for name in NAMES:
        for parameter in load_command(name).params:
            if isinstance(parameter, click.Option):
                assert parameter.help, f"{name} {parameter.opts}"


def test_the_example_in_the_help_can_be_parsed():
    from landscape_cli.catalogue import load_command

    for name in NAMES:
        command = load_command(name)
        example = str(command.epilog).removeprefix(f"Example: landscape {name}").split()
        command.make_context(name, example)
