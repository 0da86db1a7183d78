"""Settings from files: found, layered, checked like flags, told with the place they came from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest
from click.types import StringParamType

import landscape as ls
from landscape.errors import SettingError
from landscape_cli.catalogue import load_command
from landscape_cli.configuration import placed
from landscape_cli.configured import COMMON, Configured, keys_of, tables_of_commands
from landscape_cli.source import Sketch
from tests.cli.command import NETWORKS, contents, done, run

NAMES = [kind.name for kind in ls.DIAGNOSTICS]
SUBJECT = f'model = "{NETWORKS}:mlp"\ndata = "{NETWORKS}:data"\n'
ELSE = {"loss", "state_key"}  # a spec by its form, and a name inside a file


@pytest.fixture(autouse=True)
def folder(folder: Path) -> Path:
    """A repository with checkpoints in it, in which commands are run."""
    (folder / ".git").mkdir()
    return folder


def write(text: str, name: str = "landscape.toml") -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)


def resolved(command: str = "spectrum", flags: str = "") -> dict[str, tuple[Any, str]]:
    """What `landscape config` tells of a command: value and origin of every setting."""
    document = done(f"config {flags} --resolved --json {command}").document
    (rows,) = document["answer"]["commands"].values()
    return {key: (row["value"], row["from"]) for key, row in rows.items()}


# --- layers ------------------------------------------------------------------------------------


def test_every_layer_wins_over_the_next():
    write("[tool.landscape]\nseed = 1\n[tool.landscape.spectrum]\ntop = 11\nbottom = 1\n"
          "probes = 12\nmax_probes = 44\n", "pyproject.toml")  # fmt: skip
    write('[spectrum]\npreset = "quick"\ntop = 22\nbottom = 2\nprobes = 13\n')
    write("[spectrum]\nbottom = 3\ntop = 33\n", "given.toml")
    found = resolved("spectrum --top 44", "--config given.toml")
    assert found["top"] == (44, "command line")
    assert found["bottom"] == (3, "given.toml:2")
    assert found["probes"] == (13, "landscape.toml:5")
    assert found["max_probes"] == (44, "pyproject.toml:7")
    assert found["seed"] == (1, "pyproject.toml:2")
    assert found["lanczos_steps"] == (32, "preset quick")
    assert found["trace_tolerance"] == (0.2, "preset quick")
    assert found["tolerance"] == (1e-4, "default")


def test_a_preset_is_weaker_than_a_file_wherever_it_is_asked():
    write("[spectrum]\ntop = 7\n")
    found = resolved("spectrum --preset full")
    assert found["top"] == (7, "landscape.toml:2")
    assert found["probes"] == (16, "preset full")


@pytest.mark.parametrize("kind", [one for one in ls.DIAGNOSTICS if one.presets])
@pytest.mark.parametrize("preset", ["quick", "standard", "full"])
def test_presets_are_those_of_the_library(kind, preset):
    found = resolved(f"{kind.name.replace('-', ' ')} --preset {preset}")
    question = kind.preset(preset)
    assert {key: found[key][0] for key in kind.options()} == {
        key: getattr(question, key) for key in kind.options()
    }


def test_a_table_wins_over_what_is_common_and_only_for_its_command():
    write("seed = 1\n[tickets.find]\nseed = 2\nrounds = 5\n[tickets.eval]\nseeds = 3\n")
    assert resolved("spectrum")["seed"] == (1, "landscape.toml:1")
    assert resolved("tickets find")["seed"] == (2, "landscape.toml:3")
    assert resolved("tickets find")["rounds"] == (5, "landscape.toml:4")
    assert resolved("tickets eval")["seeds"] == (3, "landscape.toml:6")


def test_a_common_key_is_not_what_a_diagnostic_means_by_its_name():
    """`learning_rate` is that of the run that is studied, and of the tickets' own training."""
    write("learning_rate = 0.5\n")
    assert resolved("spectrum")["learning_rate"] == (0.5, "landscape.toml:1")
    assert resolved("tickets find")["learning_rate"] == (0.1, "default")
    write("[tickets.find]\nlearning_rate = 0.5\n")
    assert resolved("tickets find")["learning_rate"] == (0.5, "landscape.toml:2")


def test_dashes_are_underscores_and_lists_are_commas():
    write('max-samples = 5\nparams = ["1.*", "3.bias"]\n[spectrum]\n"lanczos-steps" = 9\n')
    found = resolved()
    assert found["max_samples"] == (5, "landscape.toml:1")
    assert found["params"] == ("1.*,3.bias", "landscape.toml:2")
    assert found["lanczos_steps"] == (9, "landscape.toml:4")


def test_lines_of_other_ways_to_write_it():
    write("spectrum.top = 3\nspectrum . bottom = 1\n\n[ tickets . find ]  # here\nrounds = 4\n")
    assert resolved()["top"] == (3, "landscape.toml:1")
    assert resolved()["bottom"] == (1, "landscape.toml:2")
    assert resolved("tickets find")["rounds"] == (4, "landscape.toml:5")
    write("seed = 1\nspectrum = { top = 3 }\n")
    assert resolved()["top"] == (3, "landscape.toml:2")


def test_false_in_a_file_turns_off_what_is_on():
    write("[gradients]\nsteps = false\n")
    assert resolved("gradients")["steps"] == (False, "landscape.toml:2")
    assert resolved("gradients --steps")["steps"] == (True, "command line")
    assert resolved("gradients --no-steps")["steps"] == (False, "command line")


# --- where files are looked for ----------------------------------------------------------------


def test_upward_to_the_root_of_the_repository(folder, monkeypatch):
    write("seed = 1\n")
    write("", "pyproject.toml")
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")
    assert resolved()["seed"] == (1, "../../landscape.toml:1")
    write("seed = 2\n", "../landscape.toml")
    assert resolved()["seed"] == (2, "../landscape.toml:1"), "the nearest alone"
    (folder / "a" / "b" / ".git").touch()  # a worktree
    assert resolved()["seed"] == (0, "default"), "another repository"


def test_upward_to_the_home_directory(folder, monkeypatch):
    (folder / ".git").rmdir()
    (folder / "home" / "runs").mkdir(parents=True)
    write("seed = 1\n")
    write("seed = 2\n", "home/landscape.toml")
    monkeypatch.chdir(folder / "home" / "runs")
    assert resolved()["seed"] == (0, "default"), "in no repository, not below home: here alone"
    monkeypatch.setenv("HOME", str(folder / "home"))
    assert resolved()["seed"] == (2, "../landscape.toml:1")


def test_a_pyproject_of_others_is_passed_over(folder, monkeypatch):
    write("[tool.landscape]\nseed = 1\n", "pyproject.toml")
    write("[tool.ruff]\nline-length = 100\n", "part/pyproject.toml")
    monkeypatch.chdir(folder / "part")
    assert resolved()["seed"] == (1, "../pyproject.toml:2")
    write("this is no TOML", "pyproject.toml")
    assert resolved()["seed"] == (1, "../pyproject.toml:2")


# --- paths -------------------------------------------------------------------------------------


def test_paths_start_at_the_file_that_states_them(folder, monkeypatch):
    (folder / "nets.py").write_text(NETWORKS.read_text())
    write('model = "nets.py:mlp"\ndata = "./nets.py:data"\nmask = "kept.safetensors"\n'
          '[spectrum]\noutput = "out"\nprecondition = "p.npy"\n'
          '[lipschitz]\ncertificate = "a/b.cert"\n')  # fmt: skip
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")
    found = resolved()
    assert found["model"][0] == "../nets.py:mlp"
    assert found["data"][0] == "../nets.py:data"
    assert found["mask"][0] == "../kept.safetensors"
    assert found["output"][0] == "../out"
    assert found["precondition"][0] == "../p.npy"
    assert resolved("lipschitz")["certificate"][0] == "../a/b.cert"
    assert resolved("spectrum --mask here.st --precondition optimizer")["mask"][0] == "here.st"
    write('model = "nets.py:mlp"\ndata = "nets.py:data"\n', "../landscape.toml")
    assert done("gradients ../final.pt --dry-run --json").document["samples"] == 23


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("nets.py:build", "../up/nets.py:build"),
        ("a/nets.py:build,width=3,path=x.py", "../up/a/nets.py:build,width=3,path=x.py"),
        ("npz:d.npz,x=images", "npz:../up/d.npz,x=images"),
        ("torchvision:CIFAR10,root=a,split=test", "torchvision:CIFAR10,root=../up/a,split=test"),
        ("torchvision:resnet18,num_classes=10", "torchvision:resnet18,num_classes=10"),
        ("pkg.mod:factory", "pkg.mod:factory"),
        ("sklearn:digits", "sklearn:digits"),
        ("random:shape=3x32x32,classes=10", "random:shape=3x32x32,classes=10"),
        ("/abs/nets.py:build", "/abs/nets.py:build"),
        ("~/nets.py:build", "~/nets.py:build"),
        ("p.npy", "../up/p.npy"),
        ("optimizer", "optimizer"),
        ("ce", "ce"),
    ],
)  # fmt: skip
def test_specs_are_seen_from_the_working_directory(folder, text, there, monkeypatch):
    (folder / "here").mkdir()
    monkeypatch.chdir(folder / "here")
    assert placed(text, folder / "up", spec=True) == there
    assert placed(text, folder / "here", spec=True) == text


def test_every_option_that_is_a_path_is_known_as_one():
    """Text whose help speaks of a file must be found from the folder of the configuration."""
    told = {
        (name, key): option
        for name in ("doctor", "report", *NAMES)
        for key, option in keys_of(load_command(name)).items()
        if isinstance(option.type, StringParamType)
        and key not in ELSE
        and re.search(r"\bfiles?\b|\bfolder\b|\.py\b|\.npy\b", str(option.help))
    }
    assert told
    for place, option in told.items():
        assert option.metavar in ("FILE", "DIR", "SPEC"), f"{place}: {option.help}"


# --- what is refused ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[spectrum]\ntopp = 3", 2, "did you mean top?"),
        ("[spectrm]\ntop = 3", 1, "did you mean [spectrum]?"),
        ("[tickets]\nrounds = 3", 1, "[tickets."),
        ("[tickets-find]\nrounds = 3", 1, "did you mean [tickets.find]?"),
        ("\n[empty]\n", 2, "there is no table [empty]"),
        ("seed = 1\nlss = 'ce'", 2, "did you mean loss?"),
        ("lanczos_steps = 3", 1, "write it below [spectrum]"),
        ("[spectrum]\ntrust_pickle = true", 2, "say it as --trust-pickle"),
        ("[spectrum]\nforce = true", 2, "say it as --force"),
        ("[ntk]\nsampels = 3", 2, "did you mean samples?"),
        ("[spectrum.deep]\ntop = 3", 1, "there is no table [spectrum.deep]"),
        ("model = { path = 'x' }", 1, "there is no table [model]"),
        ("[spectrum]\ntop = \n", 2, "is not TOML"),
        ("[spectrum]\ntop = 3\ntop 4", 3, "is not TOML"),
        ("[spectrum]\ntop = '3'", 2, "Invalid value for '--top'\n  where: landscape.toml:2, "
            "[spectrum] top\n  why: '3' is not a valid integer"),
        ("[spectrum]\ntop = 2.5", 2, "'2.5' is not a valid integer"),
        ("[spectrum]\ntop = true", 2, "true is not a valid integer"),
        ("[spectrum]\ntop = [1]", 2, "[1] is not a valid integer"),
        ("[spectrum]\ntolerance = 'small'", 2, "'small' is not a valid float"),
        ("[spectrum]\ntolerance = nan", 2, "Spectrum.tolerance must be above 0 and at most 1"),
        ("[spectrum]\nblocks = 1", 2, "1 is not true or false"),
        ("[spectrum]\noperator = 'hesian'", 2, "'hesian' is not one of 'hessian'"),
        ("[spectrum]\nprecondition = 3", 2, "3 is not text"),
        ("[spectrum]\nbudget = 'soon'", 2, "'soon' is not a budget"),
        ("max_samples = 0", 1, "0 is not in the range x>=1"),
        ("model = 2020-01-01", 1, "is not text"),
        ("max-samples = 3\nmax_samples = 4", 2, "'max_samples' stands twice"),
        ("batch_size = 0", 1, "0 is not in the range x>=1"),
    ],
)  # fmt: skip
def test_refused_with_file_and_line(folder, text, line, says):
    write(text)
    before = contents(folder)
    outcome = run(f"spectrum final.pt --model {NETWORKS}:mlp --data {NETWORKS}:data")
    assert outcome.code == 2, outcome.stderr
    assert outcome.stdout == ""
    assert says in outcome.stderr
    assert f"where: landscape.toml:{line}" in outcome.stderr
    assert "next: " in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert contents(folder) == before


@pytest.mark.parametrize("name", NAMES)
def test_bounds_are_those_of_the_flag(name):
    """One message, whether a setting comes from a file or from the command line."""
    kind = next(one for one in ls.DIAGNOSTICS if one.name == name)
    words = name.replace("-", " ")
    for key, (_, option) in kind.options().items():
        if option.at_least is not None and key != "last_rate":
            low = option.at_least - 1
            value = int(low) if isinstance(getattr(kind(), key), int) else low
            write(f"[{name.replace('-', '.')}]\n{key} = {value}\n")
            with pytest.raises(SettingError) as caught:
                kind(**dict[str, Any]({key: value}))
            told = run(f"{words} final.pt")
            flag = run(f"{words} final.pt --config /dev/null --{key.replace('_', '-')} {value}")
            assert told.code == flag.code == 2
            assert told.stderr.splitlines()[0] == flag.stderr.splitlines()[0]
            assert caught.value.what in told.stderr
            assert f"where: landscape.toml:2, [{name.replace('-', '.')}] {key}" in told.stderr


def test_a_flag_is_blamed_for_itself():
    write("[spectrum]\ntop = 5\n")
    outcome = run("spectrum final.pt --top 0")
    assert outcome.code == 2
    assert "landscape.toml" not in outcome.stderr
    assert "where: --top\n" in outcome.stderr


@pytest.mark.parametrize(
    ("path", "says"),
    [("nowhere.toml", "cannot be read"), (".", "cannot be read"), ("givn.toml", "given.toml?")],
)
def test_a_given_file_that_is_not_there(path, says):
    write("", "given.toml")
    outcome = run(f"spectrum final.pt --config {path}")
    assert outcome.code == 3
    assert says in outcome.stderr


def test_a_byte_order_mark_is_passed_over():
    Path("landscape.toml").write_bytes(b"\xef\xbb\xbfseed = 7\n")
    assert resolved()["seed"] == (7, "landscape.toml:1")


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        "seed = 7\n".encode("utf-16"),
        b"a = " + b"[" * 100_000,
        b"\x00",
        b"x = '\x1b[31m",
    ],
)
def test_a_hostile_file(text):
    Path("landscape.toml").write_bytes(text)
    outcome = run("spectrum final.pt")
    assert outcome.code == 2
    assert "is not TOML" in outcome.stderr
    assert "\x1b" not in outcome.stderr


def test_names_in_a_file_are_shown_and_never_interpreted():
    write('"\\u001b[31mred" = 1\n')
    outcome = run("spectrum final.pt")
    assert outcome.code == 2
    assert "\x1b" not in outcome.stderr
    write('params = "\\u001b[31m[/red]"\n')
    text = done("config --resolved spectrum").stdout + done("config").stdout
    assert "\x1b" not in text
    assert "[/red]" in text


def test_nothing_is_run_by_reading(folder):
    """A specification is the user's own, and is only run when a command studies what it names."""
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')\ndef build(): ...\n")
    write('model = "evil.py:build"\ndata = "evil.py:build"\n')
    for command in ("config", "config --resolved", "config --resolved spectrum", "spectrum --help",
                    "list presets", "inspect final.pt", "weights final.pt"):  # fmt: skip
        done(command)
    assert not (folder / "ran").exists()


def test_help_needs_no_sound_file():
    write("this is no TOML")
    done("spectrum --help")
    done("list presets")
    assert run("config").code == 2


# --- what is told ------------------------------------------------------------------------------


def test_config_lists_the_files():
    assert "no configuration file" in done("config").stdout
    write('seed = 3\n[spectrum]\noperator = "fisher"\n')
    text = done("config").stdout
    for part in ("landscape.toml", "seed", "3", "spectrum", "operator", "fisher"):
        assert part in text
    document = done("config --json").document
    assert [one["file"] for one in document["answer"]["files"]] == ["landscape.toml"]
    assert document["schema"] == "landscape/config/2"
    assert document["provenance"]["command"] == "landscape config --json"
    assert list(document) == list(done("list models --json").document)


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[spectrum]\ntop = 0", 2, "Spectrum.top must be at least 1, got 0"),
        ("[spectrum]\ntop = 'x'", 2, "'x' is not a valid integer"),
        ("\nseed = -1", 2, "-1"),
        ("[tickets.find]\nrounds = 0", 2, "rounds must be at least 1, got 0"),
        ("[coordcheck]\nwidths = [8, 16]", 2, "at least 3 different"),
        ("[coordcheck]\ntolerance = inf", 2, "Coordcheck.tolerance must be above 0 and finite"),
        ("[report]\nseed = -3", 2, "-3"),
    ],
)
def test_values_have_the_bounds_of_the_flags_before_anything_is_asked(text, line, says):
    write(text)
    for flags in ("", "--resolved", "--json"):
        outcome = run(f"config {flags}")
        assert outcome.code == 2, flags
        assert outcome.stdout == "" or "landscape/error/1" in outcome.stdout
        assert says in outcome.stderr
        assert f"where: landscape.toml:{line}" in outcome.stderr


def test_resolved_has_the_bounds_of_flags():
    outcome = run("config --resolved spectrum --top 0")
    assert outcome.code == 2
    assert "Spectrum.top must be at least 1, got 0" in outcome.stderr
    assert "where: --top\n" in outcome.stderr


@pytest.mark.parametrize("name", ["check", "track", "compare"])
def test_a_command_without_a_table_says_so(name):
    write(f"seed = 1\n[{name}]\nforce = true\n")
    outcome = run("config")
    assert outcome.code == 2
    assert f"`landscape {name}` takes no settings from files" in outcome.stderr
    assert "where: landscape.toml:2" in outcome.stderr
    assert "did you mean" not in outcome.stderr


def test_resolved_without_a_command_tells_of_all():
    write("seed = 3\n")
    commands = done("config --resolved --json").document["answer"]["commands"]
    assert {*commands} >= {name.replace("-", " ") for name in NAMES}
    assert commands["ntk"]["seed"] == {"value": 3, "from": "landscape.toml:1"}


def test_resolved_as_json_wherever_it_is_said():
    told = done("config --json --resolved weights --seed 4").document["answer"]
    assert told["commands"]["weights"]["seed"]["value"] == 4
    assert done("config --resolved weights --seed 4 --json").document["answer"] == told


@pytest.mark.parametrize("what", ["models", "data", "diagnostics", "presets"])
def test_lists_as_json(what):
    told = done(f"list {what} --json").document
    lines = done(f"list {what}").stdout.splitlines()
    assert (told["schema"], told["answer"]["what"]) == ("landscape/list/2", what)
    assert told["provenance"]["command"] == f"landscape list {what} --json"
    assert list(told) == list(done("weights final.pt --json").document)
    rows = told["answer"]["rows"]
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert all(value in line for value in row.values())


def test_resolved_of_no_command():
    outcome = run("config --resolved spectrm")
    assert outcome.code == 2
    assert "spectrum" in outcome.stderr
    assert run("config --resolved spectrum --top x").code == 2


def test_the_answer_tells_its_settings():
    write(SUBJECT + "seed = 4\n[gradients]\nsamples = 8\njacobian = 0\nsteps = false\n")
    provenance = done("gradients final.pt --json --width 64").document["provenance"]
    assert provenance["command"] == "landscape gradients final.pt --json --width 64"
    assert provenance["configuration"].items() >= {
        "samples": 8, "jacobian": 0, "steps": False, "width": 64, "seed": 4, "clip": 1.0,
        "loss": "auto", "model": f"{NETWORKS}:mlp", "trust_pickle": False,
    }.items()  # fmt: skip
    assert provenance["configured_by"] == {
        "model": "landscape.toml:1", "data": "landscape.toml:2", "seed": "landscape.toml:3",
        "samples": "landscape.toml:5", "jacobian": "landscape.toml:6",
        "steps": "landscape.toml:7", "width": "command line",
    }  # fmt: skip
    (digest,) = provenance["configuration_files"].values()
    assert len(digest) == 64
    json.dumps(provenance, allow_nan=False)


def test_the_answer_is_that_of_the_flags():
    flags = f"--model {NETWORKS}:mlp --data {NETWORKS}:data --seed 4"
    said = done(f"gradients final.pt {flags} --samples 8 --no-steps --json").document
    write(SUBJECT + "seed = 4\n[gradients]\nsamples = 8\nsteps = false\n")
    written = done("gradients final.pt --json").document
    assert written["answer"] == said["answer"]
    assert written["settings"] == said["settings"]


def test_the_examination_takes_the_files_too():
    write(SUBJECT)
    found = done("doctor final.pt --json -q").document
    assert found["provenance"]["configured_by"]["model"] == "landscape.toml:1"


def test_a_report_takes_the_tables_of_its_sections():
    """A table of a diagnostic gives the settings of that section; a wrong one is told by line."""
    write("[report]\npreset = 'quick'\n[spectrum]\ntop = 0\n")
    outcome = run(f"report final.pt --model {NETWORKS}:mlp --data {NETWORKS}:data --dry-run")
    assert outcome.code == 2
    assert "Spectrum.top must be at least 1, got 0" in outcome.stderr
    assert "where: landscape.toml:4, [spectrum] top" in outcome.stderr
    assert resolved("report")["preset"] == ("quick", "landscape.toml:2")


def test_a_report_tells_its_settings():
    write("[report]\npreset = 'quick'\noutput = 'there'\n")
    provenance = done("report final.pt --json -q").document["provenance"]
    assert provenance["configured_by"] == {"preset": "landscape.toml:2"}
    assert provenance["configuration"]["preset"] == "quick"
    assert provenance["command"] == "landscape report final.pt --json -q"
    assert Path("there/report.html").exists()


# --- the contract of what stands in files -------------------------------------------------------


def test_tables_are_commands():
    tables = tables_of_commands()
    assert {"-".join(table) for table in tables} >= {*NAMES, "doctor"}
    for table, keys in tables.items():
        assert isinstance(load_command("-".join(table)), Configured)
        assert {*keys_of(load_command("-".join(table)))} == keys


def test_common_keys_are_options_of_several():
    tables = tables_of_commands()
    for key in COMMON:
        assert sum(key in keys for keys in tables.values()) >= 2, key


@pytest.mark.parametrize("name", NAMES)
def test_the_source_tells_what_the_class_is(name):
    """What completion and the check of names read without torch is what is there."""
    kind = next(one for one in ls.DIAGNOSTICS if one.name == name)
    sketch = Sketch.of(name)
    assert list(sketch.settings) == list(kind.options())
    for key, (type_, option) in kind.options().items():
        written = sketch.settings[key]
        assert written.help == option.help
        assert written.flag is (type_ is bool)
        choices = get_args(type_) if not isinstance(type_, type) else ()
        assert written.choices == tuple(one for one in choices if isinstance(one, str))
        if type_ is bool:
            assert written.default is getattr(kind(), key)
    assert (sketch.model, sketch.data) == (kind.needs.model, kind.needs.data)
    assert sketch.budgeted is kind.budgeted
    assert sketch.surveyed is kind.surveyed
    assert sketch.presets is bool(kind.presets)
    known, told = (load_command(name, sketched=one) for one in (False, True))
    assert [one.opts for one in known.params] == [one.opts for one in told.params]
