"""`landscape report` and `landscape render`, from the checkpoint to the page."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch

import landscape as ls
from tests.cli.command import NETWORKS, SUBJECT, Outcome, contents, done, run
from tests.cli.networks import mlp, save_checkpoints
from tests.test_contracts import QUICK

SURVEYED = [kind.name for kind in ls.DIAGNOSTICS if kind.surveyed]
TRAINED = "tickets-eval"  # needs a training function
ASKED = [kind for kind in ls.DIAGNOSTICS if kind.surveyed and kind.name != TRAINED]
ORDER = [kind.name for kind in ASKED]
ALONE = [kind.name for kind in ASKED if kind.needs.checkpoints[0] < 2]
PAGES = ("report.html", "report.json", "report.md")
WHOLE = f"report final.pt {SUBJECT} --preset quick -o out"


pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The quick preset, quicker."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ASKED:
            settings = {**kind.presets.get("quick", {}), **QUICK.get(kind.name, {})}
            patch.setattr(kind, "presets", {**kind.presets, "quick": settings})
        yield


@pytest.fixture
def only_in_the_page(monkeypatch) -> None:
    """Figures are drawn in the page, and not once more for each of their files."""
    monkeypatch.setattr("landscape.reports.folder.save", lambda _, path: path.touch())


@dataclass(frozen=True)
class Reported:
    """A report of one checkpoint with seed 3, which every test may read."""

    folder: Path
    outcome: Outcome


@pytest.fixture(scope="module")
def reported(tmp_path_factory) -> Reported:
    before, folder = Path.cwd(), tmp_path_factory.mktemp("reported")
    os.chdir(folder)
    try:
        save_checkpoints(folder)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("landscape.reports.folder.save", lambda _, path: path.touch())
            return Reported(folder / "out", done(f"{WHOLE} --seed 3"))
    finally:
        os.chdir(before)


def pages(folder: str = "out") -> dict[str, bytes]:
    return {name: (Path(folder) / name).read_bytes() for name in PAGES}


def told(document: dict[str, Any]) -> dict[str, Any]:
    """Return the answers of a report."""
    return {name: one["answer"] for name, one in document["answer"]["sections"].items()}


def test_a_checkpoint_alone(folder):
    outcome = done("report final.pt -o out")
    assert "out/report.html" in outcome.stdout
    for name in SURVEYED:
        assert name in outcome.stdout
    assert outcome.stdout.count("skipped, no model was given; --model") == len(SURVEYED) - 1
    page = (folder / "out" / "report.html").read_text()
    assert "--model and --data" in page
    assert "1.weight" in page
    document = json.loads((folder / "out" / "report.json").read_text())
    assert list(document["answer"]["sections"]) == ["weights"]
    unlock = {one["section"]: one["unlock"] for one in document["answer"]["skipped"]}
    assert unlock.pop(TRAINED) == "--model and --data and --train"
    assert unlock.pop("lipschitz") == "--model"
    assert set(unlock.values()) == {"--model and --data"}
    assert "T0" in page
    assert "<dt>Numbers</dt><dd>1,210<small>in 4 tensors of the checkpoint</small>" in page
    figures = {path.name for path in (folder / "out" / "figures").iterdir()}
    assert figures == {"weights.png", "weights.svg"}


@pytest.mark.usefixtures("blank")
def test_the_default_folder(folder):
    done("report final.pt")
    assert (folder / "landscape-report" / "report.html").exists()


@pytest.mark.usefixtures("only_in_the_page")
def test_everything(folder):
    command = WHOLE.replace("final.pt", "initial.pt final.pt")
    outcome = done(f"{command} --json")
    document = outcome.document
    jsonschema.validate(document, ls.Report.schema(), cls=jsonschema.Draft202012Validator)
    assert document == json.loads((folder / "out" / "report.json").read_text())
    untrained = [name for name in ORDER if name != "connect"]
    assert list(document["answer"]["sections"]) == untrained
    skipped = {one["section"]: one for one in document["answer"]["skipped"]}
    assert list(skipped) == ["connect", TRAINED]
    assert "is not a trained network" in skipped["connect"]["reason"]
    assert skipped[TRAINED]["unlock"] == "--train"
    assert {one["agrees"] for one in document["answer"]["agreements"]} == {True}
    for kind in ASKED:
        if kind.name == "connect":
            continue
        section = document["answer"]["sections"][kind.name]
        jsonschema.validate(section, kind.result.schema(), cls=jsonschema.Draft202012Validator)
    page = (folder / "out" / "report.html").read_text()
    for question in ("Convergence", "Speed", "Global quality"):
        assert question in page
    for label in ("initial.pt", "final.pt"):
        assert label in page
        assert label in (folder / "out" / "report.md").read_text()
    assert len(page) < 1_500_000
    assert not re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?https?:""", page)


def test_what_would_be_done(folder):
    before = contents(folder)
    command = f"report initial.pt final.pt {SUBJECT} --preset quick --budget 2m,700hvp --dry-run"
    outcome = done(command)
    for part in (*SURVEYED, "share of the budget", "nothing was computed or written"):
        assert part in outcome.stdout
    told = done(f"{command} --json").document
    rows = {one["section"]: one for one in told["sections"]}
    assert list(rows) == SURVEYED
    assert "products for each of 2" in rows["spectrum"]["expected"]
    assert " s or " in rows["spectrum"]["budget"]
    assert rows["spectrum"]["seconds"] > 0
    assert rows[TRAINED]["seconds"] is None
    assert 0 < told["figures"] < told["drawing_seconds"] * 10
    assert "beyond it, drawing up to" in outcome.stdout
    assert rows[TRAINED]["expected"] == "skipped: no training function was given; --train"
    assert contents(folder) == before


DATA = f"--model {NETWORKS}:mlp --data {NETWORKS}:"


@pytest.mark.parametrize("flags", ["", " --dry-run"])
@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        (f"report final.pt {DATA}label_12", 3, "label 12"),
        (f"report final.pt {DATA}wide_inputs", 3, "could not be called"),
        (f"report final.pt {SUBJECT} --loss mse", 3, "mse"),
        (f"report final.pt {SUBJECT} --held-out {NETWORKS}:empty_batch", 3, "0 samples"),
        (f"report final.pt {SUBJECT} --train {NETWORKS}:number", 3, "number"),
        (f"report final.pt {SUBJECT} --train absent.py:train", 3, "absent.py"),
        (f"spectrum final.pt {DATA}label_12", 3, "label 12"),
        (f"tickets find final.pt {SUBJECT} --train {NETWORKS}:number", 3, "number"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_first_section(
    folder, command, code, says, flags
):
    before = contents(folder)
    outcome = run(f"{command} -o out{flags}")
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert outcome.stdout == ""
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["report", "spectrum", "weights"])
def test_a_dry_run_refuses_what_is_not_finite(command):
    state = mlp().state_dict()
    state["1.weight"][0, 5] = torch.nan
    torch.save(state, "nan.pt")
    flags = "" if command == "weights" else SUBJECT
    outcome = run(f"{command} nan.pt {flags} --dry-run")
    assert outcome.code == 5
    assert "first at [0, 5]" in outcome.stderr
    assert run(f"report final.pt {DATA}nan_inputs --dry-run").code == 5
    held_out = f"--held-out {NETWORKS}:nan_inputs"
    assert run(f"report final.pt {SUBJECT} {held_out} --dry-run").code == 5


def test_a_dry_run_tells_the_section_that_will_fail(folder):
    (folder / "landscape.toml").write_text("spectrum = { precondition = 'absent.npy' }\n")
    outcome = run(f"report final.pt {SUBJECT} --dry-run")
    assert outcome.code == 2
    assert "fails: no preconditioner could be read" in outcome.stdout


def test_a_dry_run_names_the_inputs_found_by_trial():
    told = done(f"report final.pt --model {NETWORKS}:mlp --dry-run --json").document["sections"]
    rows = {one["section"]: one["expected"] for one in told}
    assert rows["lipschitz"].endswith("; on inputs of shape 64 found by trial")


@pytest.mark.parametrize("command", ["report", "weights"])
def test_a_dry_run_mentions_an_answer_that_is_there(folder, command):
    name = f"{command}.json"
    (folder / "out").mkdir()
    (folder / "out" / name).touch()
    outcome = done(f"{command} final.pt -o out --dry-run")
    assert f"note: out already holds {name}" in outcome.stderr
    assert "note" not in done(f"{command} final.pt -o out --dry-run --force").stderr
    assert "no such file" in run(f"{command} absent.pt -o out").stderr, "specs come first"
    assert run(f"{command} final.pt -o final.pt --dry-run").code == 3


@pytest.mark.usefixtures("blank")
def test_the_plan_is_told_on_request(reported):
    assert "plan:" not in reported.outcome.stderr
    verbose = done(f"{WHOLE} -v --budget 1h")
    lines = [line for line in verbose.stderr.splitlines() if line.startswith("plan: ")]
    assert [line.split(": ")[1] for line in lines] == SURVEYED
    assert "time: the budget of 1h; beyond it, drawing up to" in verbose.stderr
    assert "time: about " in reported.outcome.stderr
    assert "the longest: " in reported.outcome.stderr
    assert "a kernel of at most 300 samples" in verbose.stderr


@pytest.mark.full
@pytest.mark.usefixtures("blank")
def test_tickets_are_unlocked_by_training(folder, monkeypatch):
    quick = {"rounds": 1, "controls": "random", "seeds": 1}
    monkeypatch.setattr(ls.TicketsEval, "presets", {"quick": quick})
    (folder / "own.py").write_text(
        "def train(model, *, seed):\n    next(model.parameters()).data.mul_(1.01)\n"
    )
    document = done(f"{WHOLE} --train own.py:train --json").document
    assert document["answer"]["sections"][TRAINED]["answer"]["training"] == "own.py:train"
    assert document["settings"]["train"] == "own.py:train"
    again = done(f"{WHOLE.replace('-o out', '-o more')} --train plain --json").document
    assert again["answer"]["sections"][TRAINED]["answer"]["fresh"]


@pytest.mark.full
def test_a_training_function_that_is_not_there():
    outcome = run(f"{WHOLE} --train absent.py:train")
    assert outcome.code == 3
    assert "absent.py" in outcome.stdout + outcome.stderr


@pytest.mark.usefixtures("blank")
def test_settings_of_sections_come_from_the_files(folder):
    (folder / "landscape.toml").write_text("[ntk]\nsamples = 7\n[spectrum]\nbottom = 2\n")
    document = done(f"{WHOLE} --json").document
    sections = document["answer"]["sections"]
    assert sections["ntk"]["settings"]["samples"] == 7
    assert sections["spectrum"]["settings"]["bottom"] == 2
    assert sections["spectrum"]["settings"]["top"] == 2, "that of the preset"


def test_the_page_says_how_to_repeat_it(reported):
    document = json.loads((reported.folder / "report.json").read_text())
    command = document["provenance"]["command"]
    command = command if isinstance(command, str) else " ".join(command)
    assert command.startswith("landscape report final.pt --model ")
    assert "--seed 3" in command
    assert document["seed"] == 3


@pytest.mark.parametrize("flags", ["", f"--model {NETWORKS}:mlp --data {NETWORKS}:data"])
def test_non_finite_weights(folder, flags):
    """Row 22: what can be said of the weights is reported, and the code says the rest."""
    state = mlp().state_dict()
    state["1.weight"][0, 5] = torch.nan
    torch.save(state, "nan.pt")
    outcome = run(f"report nan.pt {flags} -o out")
    assert outcome.code == 5
    assert "Traceback" not in outcome.stderr
    assert "NaN" in outcome.stdout
    document = json.loads((folder / "out" / "report.json").read_text())
    assert list(document["answer"]["sections"]) == ["weights"]
    assert document["status"] == "not_finite"
    page = (folder / "out" / "report.html").read_text()
    assert "first at [0, 5]" in page
    if flags:
        failed = {one["section"]: one["error"] for one in document["answer"]["failures"]}
        assert list(failed) == [name for name in ALONE if name != "weights"]
        assert failed["gradients"]["exit"] == 5


@pytest.mark.usefixtures("blank")
def test_non_finite_data(folder):
    """Row 33: the weights are reported whatever the data are."""
    outcome = run(f"report final.pt --model {NETWORKS}:mlp --data {NETWORKS}:nan_inputs -o out")
    assert outcome.code == 5
    assert "batch 1, sample 2" in outcome.stdout + outcome.stderr
    document = json.loads((folder / "out" / "report.json").read_text())
    assert list(document["answer"]["sections"]) == ["weights"]


@pytest.mark.usefixtures("blank")
def test_synthetic_data_are_stamped(folder):
    command = f"report final.pt --model {NETWORKS}:mlp --preset quick -o out"
    outcome = done(f"{command} --data random:shape=1x8x8,classes=10,samples=20")
    assert "SYNTHETIC" in outcome.stdout
    assert "SYNTHETIC" in (folder / "out" / "report.html").read_text()


@pytest.mark.usefixtures("blank")
def test_a_trusted_pickle_is_stamped(folder):
    torch.save(mlp(), "whole.pt")
    assert run("report whole.pt -o out").code == 4
    assert not (folder / "out").exists()
    assert "UNSAFE-PICKLE" in done("report whole.pt --trust-pickle -o out").stdout
    assert "UNSAFE-PICKLE" in (folder / "out" / "report.html").read_text()


@pytest.mark.usefixtures("blank")
def test_a_report_is_not_written_over(folder):
    done("report final.pt -o out")
    before = contents(folder)
    outcome = run("report initial.pt -o out")
    assert outcome.code == 3
    assert "--force" in outcome.stderr
    assert contents(folder) == before
    done("report initial.pt -o out --force")
    assert pages() != {name: before[f"out/{name}"] for name in PAGES}
    assert "initial.pt" in (folder / "out" / "report.md").read_text()


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("report absent.pt", 3, "no such file"),
        ("report", 2, "CKPT"),
        ("report empty.pt", 3, "0 bytes"),
        ("report final.pt --model absent.py:build", 3, "there is no file"),
        ("report final.pt --model resnet18", 2, "scheme:rest"),
        (f"report final.pt --model {NETWORKS}:transformer", 3, "is in this checkpoint"),
        (f"report final.pt --model {NETWORKS}:mlp --data {NETWORKS}:no_batches", 3, "0 samples"),
        (f"report final.pt --model {NETWORKS}:mlp --data {NETWORKS}:label_12", 3, "label 12"),
        (f"report final.pt --model {NETWORKS}:mlp --data {NETWORKS}:shuffled", 3, "differ"),
        (f"report final.pt --model {NETWORKS}:frozen --data {NETWORKS}:data", 3, "--params all"),
        (f"report final.pt {SUBJECT} --device tpu", 3, "--device auto"),
        ("report final.pt --preset fast", 2, "quick"),
        ("report final.pt --seed -1", 2, "x>=0"),
        ("report final.pt --data npz:absent.npz", 3, "absent.npz"),
    ],
)
def test_bad_inputs_leave_nothing(folder, command, code, says):
    Path("empty.pt").write_bytes(b"")
    before = contents(folder)
    outcome = run(f"{command} -o out --json")
    assert outcome.code == code, outcome.stderr
    assert outcome.stderr.startswith("error[L")
    assert says in outcome.stderr
    assert outcome.document["schema"] == "landscape/error/1"
    assert outcome.document["exit"] == code
    assert contents(folder) == before


@pytest.mark.full
@pytest.mark.usefixtures("blank")
def test_it_goes_on_where_it_was(folder, monkeypatch):
    """Interrupted in the middle, run again with the same folder: the same answers, not again."""
    whole = done(f"{WHOLE.replace('-o out', '-o whole')} --json").document
    measured: Counter[str] = Counter()
    for kind in ASKED:
        answering = "follow" if kind.follows else "measure"
        original = getattr(kind, answering)

        def counted(self: Any, *studied: Any, original: Any = original) -> Any:
            measured[type(self).name] += 1
            if type(self).name == "spectrum" and measured["spectrum"] == 1:
                raise KeyboardInterrupt
            return original(self, *studied)

        monkeypatch.setattr(kind, answering, counted)
    outcome = run(WHOLE)
    assert outcome.code == 130
    assert "run the command again" in outcome.stderr
    assert not any((folder / "out" / name).exists() for name in PAGES)
    resumed = done(f"{WHOLE} --json").document
    assert measured == Counter({**dict.fromkeys(ALONE, 1), "spectrum": 2})
    assert told(resumed) == told(whole)
    assert resumed["status"] == whole["status"]
    assert told(done(f"{WHOLE} --force --json").document) == told(resumed)
    assert measured["spectrum"] == 3, "--force takes nothing from memory"


# --- render ------------------------------------------------------------------------------------


def test_render_gives_the_same_page(reported):
    assert "again.html" in done(f"render {reported.folder}/report.json -o again.html").stdout
    assert Path("again.html").read_bytes() == (reported.folder / "report.html").read_bytes()


def test_render_of_one_answer():
    done("weights final.pt -o answers")
    done("render answers/weights.json -o weights.html")
    assert "1.weight" in Path("weights.html").read_text()


@pytest.mark.parametrize(
    ("document", "code", "says"),
    [
        (None, 3, "a.json"),
        ("", 3, "not JSON"),
        ("[" * 100_000, 3, "not JSON"),
        ("[]", 3, "not a document of landscape"),
        ('{"schema": "landscape/report/9"}', 3, "landscape/report/1"),
        ('{"schema": "landscape/error/1", "exit": 3}', 3, "landscape/error/1"),
        ('{"schema": "landscape/report/1"}', 3, "a.json"),
        ('{"schema": "landscape/report/1", "answer": {"sections": []}}', 3, "a.json"),
    ],
)
def test_render_refuses(folder, document, code, says):
    if document is not None:
        Path("a.json").write_text(document)
    before = contents(folder)
    outcome = run("render a.json -o a.html")
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert contents(folder) == before


def test_render_into_a_folder_that_is_not_there(folder, reported):
    outcome = run(f"render {reported.folder}/report.json -o missing/folder/x.html")
    assert outcome.code == 3
    assert "mkdir -p missing/folder" in outcome.stderr
    assert not (folder / "missing").exists()


def test_a_setting_of_a_section_is_for_the_configuration():
    outcome = run("report final.pt --top 5")
    assert outcome.code == 2
    assert "[spectrum] top = …" in outcome.stderr
    assert "landscape config" in outcome.stderr
    assert "--dtype" not in outcome.stderr
    assert "`landscape spectrum`" in run("compare a.pt b.pt --top 5").stderr


@pytest.mark.usefixtures("blank")
def test_render_does_not_write_over():
    done("report final.pt -o out")
    Path("page.html").write_text("mine")
    outcome = run("render out/report.json -o page.html")
    assert outcome.code == 3
    assert Path("page.html").read_text() == "mine"
    done("render out/report.json -o page.html --force")
    assert Path("page.html").read_bytes() == pages()["report.html"]


# --- row 42 ------------------------------------------------------------------------------------


def test_hostile_names_are_inert(folder):
    names = (
        "<img src=x onerror=alert(1)>",
        "\x1b[31mred",
        "[/red]",
        "</script><script>x",
        "|a|`b`",
    )
    torch.save({name: torch.full((2, 2), i + 1.0) for i, name in enumerate(names)}, "hostile.pt")
    shown = done("report hostile.pt -o out").stdout
    assert [c for c in shown if ord(c) < 32 and c != "\n"] == []
    page, markdown = ((folder / "out" / name).read_text() for name in ("report.html", "report.md"))
    for text in (page, markdown):
        assert [c for c in text if ord(c) < 32 and c != "\n"] == []
        assert "<img src=x" not in text
        assert "<script>x" not in text
    assert "&lt;img src=x" in page
    svg = (folder / "out" / "figures" / "weights.svg").read_text()
    assert "<img" not in svg
    assert "<script" not in svg
