"""The command line answers at once: what needs no tensors imports no torch."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import save_file

import landscape as ls
from landscape_cli.catalogue import command_names
from tests.cli.command import done, run
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
DIAGNOSTICS = [kind.name for kind in ls.DIAGNOSTICS]
COMMANDS = [name for name in command_names() if name not in DIAGNOSTICS]
NAMES = [*COMMANDS, *DIAGNOSTICS]
FIRST = [name.split("-")[0] for name in NAMES]
GROUPS = {name.split("-")[0]: None for name in NAMES if "-" in name}


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
    for name in FIRST:
        assert f"  {name} " in text


@pytest.mark.parametrize("group", GROUPS)
def test_help_of_a_group_imports_nothing_heavy(group):
    text = run_without((*HEAVY, "rich", "landscape.base"), group, "--help")
    assert text.startswith(f"Usage: landscape {group} ")
    for name in NAMES:
        if name.startswith(f"{group}-"):
            assert f"  {name.removeprefix(f'{group}-')} " in text


@pytest.mark.parametrize("group", GROUPS)
def test_a_wrong_name_in_a_group_shows_the_nearest(group):
    member = next(name for name in NAMES if name.startswith(f"{group}-")).split("-")[1]
    outcome = run(f"{group} {member}s")
    assert outcome.code == 2
    assert f"did you mean `landscape {group} {member}`?" in outcome.stderr


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
    command = name.replace("-", " ")
    text = done(f"{command} --help").stdout
    assert text.startswith(f"Usage: landscape {command} ")
    assert f"Example: landscape {command} " in " ".join(text.split())
    assert text == done(f"{command} -h").stdout
    words = " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())
    assert "Sentinel" not in words
    assert "None" not in words


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_every_group_has_an_example(group):
    text = " ".join(done(f"{group} --help").stdout.split())
    assert f"Example: landscape {group}".rstrip() in text


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
        words = name.replace("-", " ")
        example = str(command.epilog).removeprefix(f"Example: landscape {words}").split()
        context = command.make_context(words, example)
        assert not context.args, f"{name}: {context.args}"
