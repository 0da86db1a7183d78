from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import jsonschema
import pytest

from landscape.answer import Result
from landscape.errors import InputError, OutputError
from landscape.estimate import Status
from landscape.reports.report import Failure, Report, Section, report_of
from landscape.reports.series import pictures_of


def with_status(report: Report, status: Status) -> Report:
    result = dataclasses.replace(report.sections[0].result, status=status)
    return dataclasses.replace(report, sections=(Section.of(result), *report.sections[1:]))


def test_document_round_trip(one: Report, several: Report) -> None:
    for report in (one, several):
        document = json.loads(json.dumps(report.to_json(), allow_nan=False))
        assert Report.from_json(document).to_json() == document
        jsonschema.validate(document, Report.schema())


def test_sections_are_whole_documents(one: Report) -> None:
    sections = one.to_json()["answer"]["sections"]
    for section in one.sections:
        jsonschema.validate(sections[section.name], type(section.result).schema())


def test_questions_come_from_the_registry(one: Report) -> None:
    found = {section.name: section.question for section in one.sections}
    assert found == {"gradients": "convergence", "spectrum": "speed", "weights": "weights"}


def test_other_documents_are_refused(one: Report) -> None:
    with pytest.raises(InputError, match="no report"):
        Report.from_json({**one.to_json(), "schema": "landscape/report/99"})
    with pytest.raises(InputError, match="cannot be read"):
        report_of({"schema": "something else"})


def test_one_answer_becomes_a_report(one: Report) -> None:
    document = one.sections[1].result.to_json()
    report = report_of(document)
    assert [section.name for section in report.sections] == ["spectrum"]
    assert report.sections[0].result.to_json() == document


def test_findings_are_ranked_and_few(several: Report) -> None:
    failures = tuple(Failure(f"s{i}", {"what": "no"}) for i in range(10))
    many = dataclasses.replace(several, failures=failures)
    assert len(many.findings) == 8
    order = ["critical", "warning", "notable"]
    ranks = [order.index(finding.severity) for finding in several.findings]
    assert ranks == sorted(ranks)
    assert several.findings[0].section == "lipschitz"
    assert "memory ran out" in several.findings[0].sentence
    assert all(finding.section for finding in several.findings)


def test_badges(one: Report, several: Report) -> None:
    settled = with_status(one, Status.CONVERGED)
    assert ("OK" in settled.badges) != ("WARN" in settled.badges)
    assert "WARN" in with_status(one, Status.BUDGET_SPENT).badges
    assert "PARTIAL" in several.badges
    stamped = dataclasses.replace(
        one, provenance={"synthetic": True, "checkpoints": [{"trusted_pickle": True}]}
    )
    assert stamped.badges[-2:] == ("SYNTHETIC", "UNSAFE-PICKLE")


@pytest.mark.parametrize("status", [Status.NOT_CONVERGED, Status.BUDGET_SPENT])
def test_a_warning_has_a_line_that_explains_it(one: Report, status: Status) -> None:
    result = dataclasses.replace(
        one.sections[0].result, status=status, message="init.pt: 512 probes were not enough."
    )
    report = dataclasses.replace(one, sections=(Section.of(result),))
    assert "WARN" in report.badges
    warnings = [found for found in report.findings if found.severity == "warning"]
    assert warnings
    assert "warning: " in report.summary()
    if not any(found.severity != "notable" for found in result.findings()):
        assert "init.pt: 512 probes were not enough." in warnings[0].sentence
        assert "init.pt: 512 probes were not enough." in report.summary()


def test_no_budget_is_told_of_where_none_was_given() -> None:
    assert "budget" not in Status.NOT_CONVERGED.sentence


def test_exit_codes(one: Report, several: Report) -> None:
    assert one.exit_code == 0
    assert several.exit_code == 6
    assert with_status(one, Status.NOT_FINITE).exit_code == 5
    assert with_status(several, Status.NOT_FINITE).exit_code == 6


def test_status_is_the_gravest(one: Report, several: Report) -> None:
    assert with_status(one, Status.NOT_FINITE).status is Status.NOT_FINITE
    bad = dataclasses.replace(several, failures=(Failure("x", {"exit": 5}),))
    assert bad.status is Status.NOT_FINITE


def test_summary_names_every_section(several: Report) -> None:
    text = several.summary()
    assert all(word in text for word in ("spectrum", "weights", "surface", "lipschitz", "PARTIAL"))


def test_save_writes_everything(several: Report, tmp_path: Path) -> None:
    path = several.save(tmp_path / "deep" / "out")
    names = {str(p.relative_to(path.parent)) for p in path.parent.rglob("*") if p.is_file()}
    drawn = [s.name for s in several.sections]
    drawn += [f"{s.name}-{p.name}" for s in several.sections for p in pictures_of(s.result)]
    figures = {f"figures/{name}{suffix}" for name in drawn for suffix in (".png", ".svg")}
    assert names == {"report.html", "report.json", "report.md"} | figures
    assert json.loads((path.parent / "report.json").read_text("utf-8")) == several.to_json()


@pytest.mark.usefixtures("blank")
def test_save_does_not_write_over_a_report(one: Report, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text("{}")
    with pytest.raises(OutputError, match="already there"):
        one.save(tmp_path)
    assert (tmp_path / "report.json").read_text() == "{}"
    one.save(tmp_path, force=True)
    assert (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("blank")
def test_save_into_a_file_is_an_error(one: Report, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        one.save(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_save_into_a_locked_folder_is_an_error(one: Report, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError):
        one.save(tmp_path)


@pytest.mark.usefixtures("blank")
def test_names_of_sections_cannot_leave_the_folder(one: Report, tmp_path: Path) -> None:
    section = dataclasses.replace(one.sections[0], name="../../evil/$(x)")
    path = dataclasses.replace(one, sections=(section,)).save(tmp_path / "out")
    names = {p.name for p in (path.parent / "figures").iterdir()}
    assert {"evil-x.png", "evil-x.svg"} <= names
    assert all(name.startswith("evil-x") for name in names)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


@pytest.mark.usefixtures("blank")
def test_notebook_shows_a_sandboxed_page(one: Report) -> None:
    shown = one._repr_html_()
    assert 'sandbox="allow-scripts allow-downloads"' in shown
    assert shown.count("<") == 2  # the iframe's own tags: the page is escaped


def test_an_answer_shows_itself(one: Report) -> None:
    result: Result = one.sections[0].result
    assert "<svg" in result._repr_html_()
