"""What the commands print and write when all is well; stdout carries the answer alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import landscape as ls
from landscape.diagnostics import result_of
from landscape.reports.series import pictures_of
from tests.cli.command import FAST, NETWORKS, SUBJECT, contents, done, run
from tests.cli.networks import filled, mlp

PNG = b"\x89PNG\r\n\x1a\n"
COMMANDS = {
    "spectrum": f"spectrum final.pt {SUBJECT} {FAST}",
    "gradients": f"gradients final.pt {SUBJECT}",
    "weights": "weights final.pt",
}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with a checkpoint of initial and one of final weights."""
    monkeypatch.chdir(tmp_path)
    save_checkpoints(tmp_path)
    return tmp_path


def save_checkpoints(folder: Path) -> None:
    torch.save({"model": filled(mlp(), 1).state_dict(), "epoch": 0}, folder / "initial.pt")
    torch.save({"model": mlp().state_dict(), "epoch": 3}, folder / "final.pt")


def diagnostic(name: str) -> type:
    return next(kind for kind in ls.DIAGNOSTICS if kind.name == name)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_json(folder, name, several):
    command = COMMANDS[name].replace("final.pt", "initial.pt final.pt" if several else "final.pt")
    outcome = done(f"{command} --json")
    kind = diagnostic(name).result
    document = outcome.document
    jsonschema.validate(document, kind.schema(), cls=jsonschema.Draft202012Validator)
    assert document["schema"] == f"landscape/{name}/{kind.version}"
    assert kind.from_json(document).to_json() == document
    assert ("series" in document["answer"]) is (several and diagnostic(name).needs.each)
    assert outcome.stdout.endswith("}\n")
    assert contents(folder).keys() == {"initial.pt", "final.pt"}


@pytest.mark.parametrize("name", COMMANDS)
def test_text(name):
    outcome = done(COMMANDS[name])
    assert outcome.stdout.startswith(("Hessian of final.pt", "final.pt: "))
    assert "1,040" in outcome.stdout or "1.weight" in outcome.stdout
    assert "note:" not in outcome.stdout
    assert "\x1b" not in outcome.stdout + outcome.stderr
    assert max(map(len, outcome.stdout.splitlines())) < 400


@pytest.mark.parametrize(
    ("checkpoints", "name"),
    [
        pytest.param("final.pt", "spectrum", marks=pytest.mark.full),
        ("final.pt", "gradients"),
        ("final.pt", "weights"),
        ("initial.pt final.pt", "spectrum"),
        pytest.param("initial.pt final.pt", "gradients", marks=pytest.mark.full),
        ("initial.pt final.pt", "weights"),
    ],
)
def test_output_folder(folder, name, checkpoints):
    command = COMMANDS[name].replace("final.pt", checkpoints)
    printed = done(f"{command} -o out/answers --json").document
    out = folder / "out" / "answers"
    written = {path.name for path in out.iterdir() if path.is_file()}
    pictures = [one.name for one in pictures_of(result_of(printed))]
    drawn = [name, *(f"{name}-{picture}" for picture in pictures)]
    assert written == {f"{name}.json", *(f"{one}.{s}" for one in drawn for s in ("png", "svg"))}
    assert json.loads((out / f"{name}.json").read_text()) == printed
    assert (out / f"{name}.png").read_bytes().startswith(PNG)
    assert "</svg>" in (out / f"{name}.svg").read_text()
    before = contents(folder)
    refused = run(f"{command} -o out/answers")
    assert refused.code == 3
    assert f"already holds {name}.json" in refused.stderr
    assert "--force" in refused.stderr
    assert refused.stdout == ""
    assert contents(folder) == before
    (out / f"{name}.json").write_text("old")
    done(f"{command} -o out/answers --force")
    again = json.loads((out / f"{name}.json").read_text())
    assert again["answer"] == printed["answer"]


@pytest.mark.usefixtures("blank")
def test_a_second_diagnostic_may_use_the_folder():
    done(f"{COMMANDS['gradients']} -o answers")
    done(f"{COMMANDS['weights']} -o answers")
    assert {path.name for path in Path("answers").iterdir()} >= {"gradients.json", "weights.json"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written():
    Path("closed").mkdir(mode=0o555)
    outcome = run("weights final.pt -o closed/answers")
    assert outcome.code == 3
    assert "permission denied" in outcome.stderr


def test_the_numbers_are_those_of_the_library():
    document = done(f"{COMMANDS['spectrum']} --json").document
    subject = ls.Subject(f"{NETWORKS}:mlp", data=f"{NETWORKS}:data", checkpoints=["final.pt"])
    settings: dict[str, Any] = {
        "top": 2,
        "bottom": 1,
        "probes": 2,
        "lanczos_steps": 8,
        "max_probes": 16,
    }
    result = ls.Spectrum(**settings).run(subject)
    assert result.to_json()["answer"] == document["answer"]
    assert result.to_json()["settings"] == document["settings"]


def test_unconverged_is_said_and_strict_fails():
    command = f"spectrum final.pt {SUBJECT} {FAST} --trace-tolerance 1e-9 --max-probes 2"
    lenient = done(f"{command} --json")
    assert lenient.document["status"] == "not_converged"
    assert "--max-probes" in lenient.document["message"]
    assert done(command).stdout.splitlines()[-1].startswith("not converged: ")
    strict = run(f"{command} --strict")
    assert strict.code == 5
    assert strict.stderr.splitlines()[-4].startswith("error[L500]: spectrum did not converge")
    assert "--max-probes" in strict.stderr
    assert "trace" in strict.stdout, "the answer that was computed is printed all the same"
    assert run(f"{COMMANDS['gradients']} --strict").code == 0


def test_strict_json_is_one_document():
    command = f"spectrum final.pt {SUBJECT} {FAST} --trace-tolerance 1e-9 --max-probes 2"
    outcome = run(f"{command} --strict --json")
    assert outcome.code == 5
    assert outcome.document["schema"] in ("landscape/error/1", "landscape/spectrum/5")


def test_quiet():
    loud, quiet = (done(f"{COMMANDS['gradients']} --json {flag}") for flag in ("", "-q"))
    assert "note: loss ce chosen" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.document["answer"] == loud.document["answer"]
    failed = run("weights nowhere.pt -q")
    assert failed.code == 3
    assert "no such file" in failed.stderr, "quiet does not silence errors"


def test_errors_leave_stdout_empty():
    assert run("weights nowhere.pt").stdout == ""
    assert run("spectrum final.pt --top 0").stdout == ""


def test_a_series_names_every_checkpoint():
    outcome = done(COMMANDS["gradients"].replace("final.pt", "initial.pt final.pt"))
    first, second = (line for line in outcome.stdout.splitlines() if ".pt: loss" in line)
    assert first.startswith("initial.pt")
    assert second.startswith("final.pt")


def test_weights_of_two_checkpoints_are_compared():
    answer = done("weights initial.pt final.pt --json").document["answer"]
    first, last = filled(mlp(), 1).state_dict(), mlp().state_dict()
    changes = {t["name"]: t["change"]["value"] for t in answer["tensors"]}
    for name, value in last.items():
        assert changes[name] == pytest.approx((value - first[name]).norm().item(), rel=1e-5)
    assert answer["reference"] == "initial.pt"


def test_debug_shows_the_traceback():
    outcome = run("weights nowhere.pt --debug")
    assert outcome.code == 3
    assert "Traceback (most recent call last)" in outcome.stderr
    assert "error[L310]" in outcome.stderr


# --- inspect -----------------------------------------------------------------------------------


def test_inspect():
    text = done("inspect final.pt").stdout
    for part in ("final.pt", "training dict", "1,210", "float32", "epoch 3", "1.weight", "16×64"):
        assert part in text
    document = done("inspect final.pt --json").document
    assert list(document) == list(done("weights final.pt --json").document)
    assert document["schema"] == "landscape/inspect/1"
    (checkpoint,) = document["provenance"]["checkpoints"]
    found = document["answer"]
    assert found["parameters"] == 1210
    assert checkpoint["sha256"] == found["sha256"]
    assert document["provenance"]["command"] == "landscape inspect final.pt --json"
    assert found["sha256"] in text
    assert found["epoch"] == 3


# --- list --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "shown"),
    [
        ("models", ("path/file.py:factory", "torchvision:resnet18")),
        ("data", ("sklearn:digits", "npz:", "random:shape=")),
        ("diagnostics", [kind.name.split("-")[0] for kind in ls.DIAGNOSTICS]),
        ("presets", ("quick", "standard", "full", "spectrum")),
    ],
)
def test_list(what, shown):
    text = done(f"list {what}").stdout
    for part in shown:
        assert part in text
    assert all(line == line.rstrip() for line in text.splitlines())


# --- plot --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def documents(tmp_path_factory) -> dict[str, str]:
    """What every diagnostic prints of both checkpoints, by the name of a file."""
    folder = tmp_path_factory.mktemp("documents")
    save_checkpoints(folder)
    return {
        f"{name}-{kind}.json": done(
            f"{command.replace('final.pt', f'{folder}/{name}.pt')} --json"
        ).stdout
        for kind, command in COMMANDS.items()
        for name in ("initial", "final")
    }


@pytest.fixture
def answers(folder, documents) -> Path:
    """The working folder, with the answers."""
    for name, text in documents.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize(
    ("suffix", "name"),
    [
        pytest.param(suffix, name, marks=() if place == other else pytest.mark.full)
        for place, suffix in enumerate(("png", "svg", "pdf"))
        for other, name in enumerate(COMMANDS)
    ],
)
def test_plot_overlays_two_answers(name, suffix):
    paths = f"initial-{name}.json final-{name}.json"
    outcome = done(f"plot {paths} -o both.{suffix} --label initial --label trained")
    assert f"both.{suffix}" in outcome.stdout
    both = Path(f"both.{suffix}").read_bytes()
    done(f"plot final-{name}.json -o one.{suffix}")
    assert both != Path(f"one.{suffix}").read_bytes()
    assert both.startswith({"png": PNG, "svg": b"<?xml", "pdf": b"%PDF"}[suffix])
    if suffix == "svg":
        assert "initial" in both.decode()
        assert "trained" in both.decode()


@pytest.mark.usefixtures("answers")
def test_plot_of_a_series():
    done(f"gradients initial.pt final.pt {SUBJECT} -o series")
    done("plot series/gradients.json -o series.svg")
    text = Path("series.svg").read_text()
    assert "initial.pt" in text
    assert "final.pt" in text


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ("final-gradients.json final-weights.json -o a.png", 2, "different diagnostics"),
        ("final-weights.json -o a.png --label a --label b", 2, "2 labels for 1"),
        ("absent.json -o a.png", 3, "absent.json"),
        ("final.pt -o a.png", 3, "not JSON"),
        ("list.json -o a.png", 3, "not a document of landscape"),
        ("newer.json -o a.png", 3, "landscape/weights/9"),
        ("torn.json -o a.png", 3, "torn.json"),
        ("final-weights.json -o a.bmp", 3, ".png, .svg, .pdf"),
        ("final-weights.json -o final.pt/a.png", 3, "cannot be written"),
        ("final-weights.json -o taken.png", 3, "--force"),
        ("final-weights.json", 2, "--output"),
        ("-o a.png", 2, "ANSWER"),
    ],
)
def test_plot_refuses(answers, arguments, code, says):
    Path("list.json").write_text("[1, 2]")
    Path("newer.json").write_text('{"schema": "landscape/weights/9", "answer": {}}')
    Path("torn.json").write_text('{"schema": "landscape/weights/1", "answer": {"checkpoint": 3}}')
    Path("taken.png").write_bytes(b"x")
    before = contents(answers)
    outcome = run(f"plot {arguments}")
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert outcome.stderr.startswith("error[L")
    assert "defect" not in outcome.stderr
    assert contents(answers) == before


# --- the whole program -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "near"), [("spectrm final.pt", "spectrum"), ("wieghts final.pt", "weights")]
)
def test_a_misspelt_command(command, near):
    outcome = run(command)
    assert outcome.code == 2
    assert f"did you mean `landscape {near}`?" in outcome.stderr


@pytest.mark.parametrize("command", ["", "--bogus", "weights --bogus x.pt", "weights"])
def test_usage(command):
    outcome = run(command)
    assert outcome.code == 2
    assert "Traceback" not in outcome.stderr
    assert "landscape" in outcome.stderr


def test_as_a_module():
    """The same in a process of its own: answer on stdout, notes on stderr, no colour codes."""
    command = [sys.executable, "-W", "error", "-m", "landscape", *COMMANDS["gradients"].split()]
    environment = {**os.environ, "FORCE_COLOR": "1", "NO_COLOR": "1", "COLUMNS": "100"}
    ended = subprocess.run(
        [*command, "--json"], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["schema"] == "landscape/gradients/2"
    note = "note: loss ce chosen: the targets are integers (torch.int64)"
    assert note in ended.stderr.splitlines()  # with lines of progress, where it took long
    assert "\x1b" not in ended.stderr
    failed = subprocess.run(
        [*command[:5], "weights", "nowhere.pt"], capture_output=True, text=True, check=False
    )
    assert failed.returncode == 3
    assert failed.stderr.startswith("error[L310]")


def test_no_color(monkeypatch):
    """NO_COLOR wins where a terminal would get colours."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = done("weights final.pt").stdout
    monkeypatch.setenv("NO_COLOR", "1")
    plain = done("weights final.pt").stdout
    assert "\x1b[3" not in plain, "a colour in spite of NO_COLOR"
    assert "1.weight" in plain
    assert "\x1b[" in coloured, "the test sees no styles at all"


def test_interrupted(folder, monkeypatch):
    """Ctrl-C ends with 130, and with one line."""

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ls.Weights, "measure", interrupt)
    outcome = run("weights final.pt -o answers")
    assert outcome.code == 130
    assert "interrupted" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert contents(folder).keys() == {"initial.pt", "final.pt"}


def test_a_defect_is_called_one(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(ls.Weights, "measure", fail)
    outcome = run("weights final.pt")
    assert outcome.code == 70
    assert "ZeroDivisionError: inside" in outcome.stderr
    assert "--debug" in outcome.stderr


def test_out_of_memory_is_a_resource(monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(ls.Weights, "measure", fail)
    outcome = run("weights final.pt")
    assert outcome.code == 6
    assert "--max-samples" in outcome.stderr
