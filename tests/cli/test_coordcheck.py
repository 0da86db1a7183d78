"""`landscape coordcheck`: specs, files and exit codes."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from landscape.coordinates.settings import LEAST
from landscape.errors import SettingError
from tests.cli.command import done, run
from tests.cli.test_startup import run_without

FAMILIES = Path(__file__).resolve().parents[1] / "coordinates" / "families.py"
DATA = f"--data {FAMILIES}:samples --widths 32,64,128,256 --steps 2 --seeds 8 -q"
STANDARD = f"coordcheck --model {FAMILIES}:standard {DATA}"
MAXIMAL = f"coordcheck --model {FAMILIES}:maximal --optimizer {FAMILIES}:scaled {DATA}"


def test_a_parametrisation_that_passes(tmp_path):
    outcome = done(f"{MAXIMAL} -o", tmp_path)
    assert "the coordinate check passes at widths 32 … 256" in outcome.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "coordcheck-curves.png",
        "coordcheck-curves.svg",
        "coordcheck.json",
        "coordcheck.png",
        "coordcheck.svg",
    ]
    assert "already holds coordcheck.json" in run(f"{MAXIMAL} -o", tmp_path).stderr
    both = [tmp_path / "coordcheck.json"] * 2
    done("plot", *both, "-o", tmp_path / "both.png")


def test_one_that_fails_and_one_that_is_undecided():
    failed = run(f"{STANDARD} --json")
    assert failed.code == 1
    assert failed.document["answer"]["verdict"] == "fail"
    assert failed.document["provenance"]["model"] == f"{FAMILIES}:standard"
    open_one = f"coordcheck --model {FAMILIES}:maximal --data {FAMILIES}:samples --widths 2,3,4"
    assert run(f"{open_one} --steps 1 --seeds 2 -q").code == 7


@pytest.mark.parametrize(
    ("more", "code", "told"),
    [
        ("--widths 32,64", 2, "at least 3 different"),
        ("--widths 32,x", 2, "no list of whole numbers"),
        ("--argument size", 3, "takes no size"),
        ("--optimizer adan", 2, "did you mean adam?"),
        ("--seeds 1", 2, "seeds"),
    ],
)
def test_refusals(more, code, told):
    outcome = run(f"{STANDARD} {more}")
    assert outcome.code == code
    assert told in outcome.stderr


def test_defaults_and_bounds_are_those_of_the_library():
    from landscape.coordinates.check import Coordcheck
    from landscape_cli.catalogue import load_command

    command = load_command("coordcheck")
    context = command.make_context("coordcheck", ["--model", "m", "--data", "d"])
    for field in fields(Coordcheck):
        assert context.params[field.name] == field.default, field.name
    bounds = {one.name: getattr(one.type, "min", None) for one in command.params}
    for name, least in LEAST.items():
        assert bounds[name] == least
        with pytest.raises(SettingError):
            Coordcheck(**dict[str, Any]({name: least - 1}))


def test_a_width_that_the_spec_fixes():
    command = STANDARD.replace(":standard", ":standard,width=8")
    outcome = run(command)
    assert outcome.code == 3
    assert "fixes width" in outcome.stderr


def test_settings_from_a_file(tmp_path, monkeypatch):
    (tmp_path / "landscape.toml").write_text("[coordcheck]\nwidths = [2, 3, 4]\nsteps = 1\n")
    monkeypatch.chdir(tmp_path)
    command = f"coordcheck --model {FAMILIES}:standard --data {FAMILIES}:samples --seeds 2 -q"
    outcome = run(f"{command} --json")
    assert outcome.document["settings"]["widths"] == [2, 3, 4]
    assert outcome.document["provenance"]["configured_by"]["steps"].startswith("landscape.toml")


def test_help():
    text = done("coordcheck --help").stdout
    assert "Example: landscape coordcheck --model nets.py:build" in " ".join(text.split())
    assert all(len(line) <= 80 for line in text.splitlines())


def test_the_example_in_the_help_can_be_parsed():
    from landscape_cli.catalogue import load_command

    command = load_command("coordcheck")
    example = str(command.epilog).removeprefix("Example: landscape coordcheck ").split()
    assert command.make_context("coordcheck", example).params["widths"] == (64, 128, 256, 512)


def test_help_imports_no_torch():
    run_without(("torch",), "coordcheck", "--help")
