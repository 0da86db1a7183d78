"""Many questions about one subject: what is asked, what is skipped, what survives a failure."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import DataError, ModelError, NumericalError, OutputError, SettingError
from landscape.estimate import Status
from landscape.progress import listening
from landscape.reports.series import pictures_of
from landscape.subject.subject import Subject
from landscape.surfaces.result import SurfaceResult
from landscape.survey import survey
from landscape.tickets.judgement import EvalResult
from tests.cli.networks import data, filled, label_12, mlp, nan_inputs
from tests.selection import full, some
from tests.test_contracts import QUICK
from tests.test_progress import Told

SURVEYED = [kind.name for kind in ls.DIAGNOSTICS if kind.surveyed]
TRAINED = "tickets-eval"  # needs a training function
ASKED = [kind for kind in ls.DIAGNOSTICS if kind.surveyed and kind.name != TRAINED]
ORDER = [kind.name for kind in ASKED]
SINGLE = [kind for kind in ASKED if kind.needs.checkpoints[0] < 2]
ALONE = [kind.name for kind in SINGLE]  # what can be asked of one checkpoint
DATALESS = [kind.name for kind in SINGLE if kind.needs.shape or not kind.needs.data]
FAST = {name: QUICK[name] for name in QUICK if name in ORDER}


def saved(folder: Path, name: str = "final.pt", seed: int = 0) -> Path:
    torch.save(filled(mlp(), seed).state_dict(), folder / name)
    return folder / name


def subject(*checkpoints: Any, **more: Any) -> Subject:
    more = {"product": "cached", **more}  # the clock would choose, and rounding with it
    return Subject(mlp(), "ce", data(), checkpoints, device="cpu", **more)


def asked(studied: Subject, **more: Any) -> ls.Report:
    return survey(studied, preset="quick", settings=FAST, **more)


def answering(kind: Any) -> str:
    """The method in which a diagnostic answers: those that follow a series have their own."""
    return "follow" if kind.follows else "measure"


@pytest.fixture
def measured(monkeypatch) -> Counter[str]:
    """How often each diagnostic has measured."""
    counts: Counter[str] = Counter()
    for kind in ls.DIAGNOSTICS:
        original = getattr(kind, answering(kind))

        def counted(self: Any, *studied: Any, original: Any = original) -> Any:
            counts[type(self).name] += 1
            return original(self, *studied)

        monkeypatch.setattr(kind, answering(kind), counted)
    return counts


def failing(monkeypatch: pytest.MonkeyPatch, kind: Any, error: BaseException) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(kind, answering(kind), fail)


def told(report: ls.Report) -> dict[str, Any]:
    """Return the document without what the clock and the calendar put into it."""
    document = json.loads(json.dumps(report.to_json(), allow_nan=False))
    sections = document["answer"]["sections"].values()
    for part in (document, *sections):
        part["cost"] = part["cost"]["samples"]  # work that is shared is paid for once
    document["provenance"].pop("date")
    return document


# --- what is asked -----------------------------------------------------------------------------


def test_a_checkpoint_alone(tmp_path):
    report = ls.report(saved(tmp_path))
    assert [section.name for section in report.sections] == ["weights"]
    skipped = {one.section: one for one in report.skipped}
    assert list(skipped) == [name for name in SURVEYED if name != "weights"]
    for one in skipped.values():
        assert "no model" in one.reason
        assert "--model" in one.unlock
        assert ("--data" in one.unlock) == (one.section not in DATALESS)
        assert ("--train" in one.unlock) == (one.section == TRAINED)
    assert report.exit_code == 0
    assert report.status is Status.CONVERGED


def test_a_checkpoint_and_a_model(tmp_path):
    report = ls.report(saved(tmp_path), model=mlp())
    assert [section.name for section in report.sections] == DATALESS
    assert report.badges == ("OK",)
    assert any("found by trial" in note for note in report.provenance["notes"])
    assert any("found by trial" in one.sentence for one in report.findings)
    unlock = {one.section: one.unlock for one in report.skipped}
    assert unlock.pop(TRAINED) == "--data and --train"
    assert set(unlock.values()) == {"--data"}


def test_everything(tmp_path):
    ends = saved(tmp_path, "first.pt", 1), saved(tmp_path)
    studied, progress = subject(*ends), Told()
    with listening(progress):
        report = asked(studied)
    named = [name for name in progress.begun if name.startswith("spectrum (")]
    for label in ("first.pt (1 of 2)", "final.pt (2 of 2)"):
        assert any(f" of {len(ALONE) + 2}), {label}: " in name for name in named), label
    untrained = [name for name in ORDER if name != "connect"]
    assert [section.name for section in report.sections] == untrained
    assert [one.section for one in report.skipped] == ["connect", TRAINED]
    assert not report.failures
    assert report.cost.products == sum(one.result.cost.products for one in report.sections)
    assert report.seed == 0
    assert report.settings == {"preset": "quick"}
    assert {one.agrees for one in report.agreements} == {True}
    by_name = {section.name: section.result for section in report.sections}
    for kind in ASKED:
        if kind.name == "connect":
            continue
        alone = kind.preset("quick", **FAST.get(kind.name, {})).run(subject(*ends))
        assert by_name[kind.name].to_json()["answer"] == alone.to_json()["answer"]
        assert len(by_name[kind.name].series) == (2 if kind.needs.each else 0)
    assert [one["label"] for one in report.provenance["checkpoints"]] == ["first.pt", "final.pt"]


def test_untrained_ends_are_no_pair_to_connect(tmp_path):
    """One plain sentence, and no finding: the verdict is refused, not a barrier."""
    report = asked(subject(saved(tmp_path, "first.pt", 1), saved(tmp_path)))
    skipped = next(one for one in report.skipped if one.section == "connect")
    assert skipped.reason.startswith("an end of first.pt – final.pt is not a trained network")
    assert skipped.unlock == "checkpoints of trained networks"
    assert [one.section for one in report.skipped if one.refused] == ["connect"]
    assert all(one.section != "connect" for one in report.findings)


def test_tickets_are_asked_where_something_trains(tmp_path, measured):
    """From the first checkpoint, and remembered as other sections are."""
    ends = saved(tmp_path, "first.pt", 1), saved(tmp_path)
    quick = {"rounds": 1, "controls": "random", "steps": 2, "seeds": 1}
    settings = {**FAST, "tickets-eval": quick}
    cache = tmp_path / "cache"
    _, report = (
        survey(subject(*ends, folder=cache), preset="quick", settings=settings, train="plain")
        for _ in range(2)
    )
    found = next(one.result for one in report.sections if one.name == TRAINED)
    assert isinstance(found, EvalResult)
    assert found.checkpoint == "first.pt"
    assert found.training.startswith("SGD")
    assert measured[TRAINED] == 1
    assert report.settings == {"preset": "quick", "train": "plain"}


def test_the_training_function_of_a_report_reaches_the_tickets(tmp_path):
    shrinks = "for one in model.parameters(): one.data.mul_(0.9)"
    (tmp_path / "own.py").write_text(f"def train(model, *, seed):\n    {shrinks}\n")
    quick = {"rounds": 1, "controls": "random", "seeds": 1}
    train = f"{tmp_path}/own.py:train"
    report = survey(
        subject(), preset="quick", settings={**FAST, "tickets-eval": quick}, train=train
    )
    found = next(one.result for one in report.sections if one.name == TRAINED)
    assert isinstance(found, EvalResult)
    assert found.training == train


def test_eigenvectors_are_found_once():
    """What the spectrum has found, the surface along eigenvectors does not look for again."""
    along = {**FAST, "surface": {"directions": "eigenvectors", "points": 3}}
    settings = {**along, "spectrum": {**FAST["spectrum"], "top": 2, "bottom": 1}}
    report = survey(subject(), preset="quick", settings=settings)
    by_name = {section.name: section.result for section in report.sections}
    alone = ls.Surface.preset("quick", **along["surface"]).run(subject())
    assert by_name["surface"].cost.products == 2, "one product along each axis, to check it"
    assert alone.cost.products > 20
    shared, own = by_name["surface"], alone
    assert isinstance(shared, SurfaceResult)
    assert shared.loss == pytest.approx(own.loss, rel=1e-2)
    checks = [one.product.value for one in shared.checks if one.product is not None]
    top = by_name["spectrum"].to_json()["answer"]["eigenvalues"]["top"][0]["value"]
    assert checks[0] == pytest.approx(top, rel=1e-3)


def test_a_model_as_it_is():
    report = asked(subject())
    assert [section.name for section in report.sections] == ALONE
    assert report.provenance["checkpoints"][0]["label"] == "model"


def test_the_seed_reaches_every_question():
    report = asked(subject(), seed=7)
    assert report.seed == 7
    assert {section.result.seed for section in report.sections} == {7}
    other = asked(subject())
    spectra = [next(s.result for s in r.sections if s.name == "spectrum") for r in (report, other)]
    assert spectra[0].to_json()["answer"]["trace"] != spectra[1].to_json()["answer"]["trace"]


def test_the_document(tmp_path):
    report = asked(subject(saved(tmp_path)))
    document = report.to_json()
    json.dumps(document, allow_nan=False)
    validator = jsonschema.Draft202012Validator(ls.Report.schema())
    validator.validate(document)
    assert ls.Report.from_json(json.loads(json.dumps(document))).to_json() == document
    assert document["schema"] == "landscape/report/1"
    assert list(document["answer"]["sections"]) == ALONE
    assert not validator.is_valid({**document, "answer": {}})


def test_the_same_twice():
    assert told(asked(subject())) == told(asked(subject()))


# --- what is wrong -----------------------------------------------------------------------------


def test_unusable_data_are_refused_before_anything_is_computed(measured):
    with pytest.raises(DataError, match="label 12"):
        survey(Subject(mlp(), "ce", label_12(), device="cpu"))
    assert not measured


def test_an_unknown_preset_is_refused(measured):
    with pytest.raises(SettingError, match="fast"):
        survey(subject(), preset="fast")  # type: ignore[arg-type]
    assert not measured


def test_a_setting_out_of_bounds_is_refused(measured):
    with pytest.raises(SettingError, match="at least 1"):
        survey(subject(), settings={"spectrum": {"top": 0}})
    assert not measured


def test_a_model_smaller_than_the_preset():
    """Fewer parameters than eigenvalues that a preset asks for are no reason to fail."""
    model = filled(nn.Sequential(nn.Flatten(), nn.Linear(2, 2)))
    batches = [(torch.tensor([[0.5, -1.0], [2.0, 0.1], [1.0, 1.0]]), torch.tensor([0, 1, 1]))]
    report = survey(Subject(model, "ce", batches, device="cpu"), preset="quick")
    assert not report.failures
    assert report.exit_code == 0


def test_non_finite_weights(tmp_path):
    state = mlp().state_dict()
    state["1.weight"][0, 5] = torch.nan
    torch.save(state, tmp_path / "nan.pt")
    report = asked(subject(tmp_path / "nan.pt"))
    assert [section.name for section in report.sections] == ["weights"]
    failures = {one.section: one.error for one in report.failures}
    assert list(failures) == [name for name in ALONE if name != "weights"]
    assert {error["code"] for error in failures.values()} == {"L500"}
    assert "first at [0, 5]" in failures["spectrum"]["what"]
    assert report.exit_code == 5
    assert report.status is Status.NOT_FINITE
    assert any("NaN" in finding.sentence for finding in report.findings)


@pytest.mark.usefixtures("blank")
def test_non_finite_data(tmp_path):
    """The weights can be told whatever the data are."""
    studied = Subject(mlp(), "ce", nan_inputs(), device="cpu")
    report = asked(studied)
    assert [section.name for section in report.sections][-1] == "weights"
    assert {"gradients", "spectrum"} <= {one.section for one in report.failures}
    assert "lipschitz" in {one.section for one in report.failures}, "not of inputs made up instead"
    assert {one.error["exit"] for one in report.failures} == {5}
    assert report.exit_code == 5
    assert ls.Report.from_json(report.to_json()).exit_code == 5
    assert report.save(tmp_path / "out").exists()


@pytest.mark.parametrize("name", some(ALONE, "spectrum", "ntk"))
def test_a_failed_section_does_not_lose_the_others(monkeypatch, name):
    kind = next(one for one in ls.DIAGNOSTICS if one.name == name)
    failing(monkeypatch, kind, ZeroDivisionError("inside"))
    report = asked(subject())
    assert [section.name for section in report.sections] == [n for n in ALONE if n != name]
    (failure,) = report.failures
    assert failure.section == name
    assert "ZeroDivisionError: inside" in failure.error["what"]
    assert "--debug" in failure.error["next"]
    assert report.exit_code == 70
    assert report.findings[0].section == name
    assert ls.Report.from_json(report.to_json()).exit_code == 70


@pytest.mark.usefixtures("blank")
def test_a_failure_is_shown(monkeypatch, tmp_path):
    failing(monkeypatch, ls.Spectrum, ZeroDivisionError("inside"))
    page = asked(subject()).save(tmp_path / "out")
    assert "ZeroDivisionError" in page.read_text()
    assert "ZeroDivisionError" in (page.parent / "report.md").read_text()


def test_what_one_section_refuses_does_not_lose_the_others(monkeypatch):
    failing(monkeypatch, ls.Surface, ModelError("one parameter makes no plane", hint="none"))
    report = asked(subject())
    assert [section.name for section in report.sections] == [n for n in ALONE if n != "surface"]
    assert report.exit_code == 3


def test_what_every_section_refuses_is_refused(monkeypatch):
    """Nothing could be made of the inputs: that is an error, and no report of errors."""
    for kind in SINGLE:
        if kind.needs.model:
            failing(monkeypatch, kind, ModelError(f"{kind.name} refuses", hint="none"))
    with pytest.raises(ModelError, match="gradients refuses"):
        asked(subject())


def test_the_exit_code_is_that_of_the_first_failure(monkeypatch):
    failing(monkeypatch, ls.Gradients, NumericalError("a", hint="b"))
    failing(monkeypatch, ls.Spectrum, torch.OutOfMemoryError("CUDA out of memory"))
    report = asked(subject())
    assert [one.section for one in report.failures] == ["gradients", "spectrum"]
    assert report.exit_code == 5


def test_out_of_memory_is_a_resource(monkeypatch):
    failing(monkeypatch, ls.Spectrum, torch.OutOfMemoryError("CUDA out of memory"))
    assert asked(subject()).exit_code == 6


# --- interrupted, and gone on with -------------------------------------------------------------


ENDS = {"Ctrl-C": KeyboardInterrupt(), "killed": SystemExit(143)}
SOME = (("killed", "spectrum"), ("Ctrl-C", ALONE[-1]))  # the rest is full


@pytest.fixture(scope="module")
def usual() -> dict[str, Any]:
    """What a survey tells that nothing interrupts."""
    return told(asked(subject()))


@pytest.mark.parametrize(
    ("error", "number"),
    [
        pytest.param(
            ENDS[end],
            number,
            marks=() if (end, name) in SOME else pytest.mark.full,
            id=f"{name}-{end}",
        )
        for number, name in enumerate(ALONE)
        for end in ENDS
    ],
)
def test_it_goes_on_where_it_was(monkeypatch, tmp_path, usual, measured, error, number):
    folder = tmp_path / "interrupted"
    with monkeypatch.context() as patch:
        failing(patch, SINGLE[number], error)
        with pytest.raises(type(error)):
            asked(subject(folder=folder))
    assert measured == Counter(ALONE[:number])
    resumed = asked(subject(folder=folder))
    assert measured == Counter(ALONE), "a finished answer was computed again"
    assert told(resumed) == usual


@pytest.mark.full
def test_an_interruption_inside_a_series(monkeypatch, tmp_path, measured):
    """The first checkpoint's work is not lost when the second is interrupted."""
    ends = saved(tmp_path, "first.pt", 1), saved(tmp_path)
    whole = asked(subject(*ends))
    folder = tmp_path / "cache"
    measured.clear()
    with monkeypatch.context() as patch:
        original = ls.Gradients.follow

        def once(self: Any, *studied: Any) -> Any:
            if measured["gradients"]:
                raise KeyboardInterrupt
            return original(self, *studied)

        patch.setattr(ls.Gradients, "follow", once)
        with pytest.raises(KeyboardInterrupt):
            asked(subject(*ends, folder=folder))
    resumed = asked(subject(*ends, folder=folder))
    assert measured["gradients"] == 2, "the first checkpoint was studied again"
    assert told(resumed) == told(whole)


def test_a_finished_survey_is_remembered(tmp_path, measured):
    first = asked(subject(folder=tmp_path))
    again = asked(subject(folder=tmp_path))
    assert measured == Counter(ALONE)
    assert [one.result.to_json() for one in first.sections] == [
        one.result.to_json() for one in again.sections
    ]


@pytest.mark.parametrize(
    "change",
    ["settings", *full("seed", "weights", "data", "loss", "params")],
)
def test_another_question_is_not_answered_from_memory(tmp_path, measured, change):
    asked(subject(folder=tmp_path))
    measured.clear()
    model, loss, batches, settings = mlp(), "ce", data(), dict(FAST)
    more: dict[str, Any] = {}
    if change == "weights":
        model = filled(model, 1)
    if change == "data":
        batches = batches[:1]
    if change == "loss":
        loss = "mse"
        batches = [(x, nn.functional.one_hot(y, 10).float()) for x, y in batches]
    if change == "params":
        more = {"params": "3"}
    if change == "settings":
        settings = {"spectrum": {**FAST["spectrum"], "top": 1}}
    more["product"] = "cached"
    studied = Subject(model, loss, batches, device="cpu", folder=tmp_path, **more)
    seed = 1 if change == "seed" else 0
    report = survey(studied, preset="quick", settings=settings, seed=seed)
    assert measured["spectrum"] == 1
    fresh = Subject(model, loss, batches, device="cpu", **more)
    assert told(report) == told(survey(fresh, preset="quick", settings=settings, seed=seed))


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04torn", None], ids=["empty", "torn", "cut"])
def test_a_damaged_memory_is_computed_again(tmp_path, measured, damage):
    whole = asked(subject(folder=tmp_path))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    measured.clear()
    assert told(asked(subject(folder=tmp_path))) == told(whole)
    assert measured == Counter(ALONE)


def test_a_failure_is_not_remembered(monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        failing(patch, ls.Spectrum, ZeroDivisionError("inside"))
        assert asked(subject(folder=tmp_path)).failures
    assert not asked(subject(folder=tmp_path)).failures


# --- saved -------------------------------------------------------------------------------------


@pytest.mark.full
def test_save(tmp_path):
    report = asked(subject(saved(tmp_path)))
    page = report.save(tmp_path / "out")
    assert page == tmp_path / "out" / "report.html"
    files = {str(p.relative_to(page.parent)) for p in page.parent.rglob("*") if p.is_file()}
    drawn = [
        *ALONE,
        *(f"{s.name}-{p.name}" for s in report.sections for p in pictures_of(s.result)),
    ]
    figures = {f"figures/{name}.{suffix}" for name in drawn for suffix in ("png", "svg")}
    assert files == {"report.html", "report.json", "report.md", *figures}
    assert json.loads((page.parent / "report.json").read_text()) == report.to_json()
    before = page.read_bytes()
    with pytest.raises(OutputError, match="already there"):
        report.save(tmp_path / "out")
    report.save(tmp_path / "out", force=True)
    assert page.read_bytes() == before
    assert not [p for p in page.parent.rglob(".*")], "a temporary file was left"
