"""Answers bound into one document; rendered as HTML and Markdown, never computed anew."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Self

from landscape.answer import Cost, Finding, Result
from landscape.base import Question
from landscape.diagnostics import DIAGNOSTICS, by_name, result_of
from landscape.encode import Schema, decode_fields, encode, schema_of
from landscape.errors import InputError, NumericalError
from landscape.estimate import Status, worst
from landscape.reports.agreement import Agreement

MOST_FINDINGS = 8
_GRAVITY = ("critical", "warning", "notable")


@dataclass(frozen=True)
class Section:
    """One answer, under the name by which the document lists it."""

    name: str
    question: Question
    result: Result

    @classmethod
    def of(cls, result: Result, name: str | None = None) -> Self:
        """Return an answer as a section, under the question that its diagnostic asks."""
        return cls(name or result.name, by_name(result.name).question, result)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return those of the answer, and why it is not settled where none of them is a warning."""
        found, status = self.result.findings(), self.result.status
        if status.settled or any(one.severity != "notable" for one in found):
            return found
        open_end = Finding(
            severity="warning",
            sentence=f"{self.name}: {self.result.message or status.sentence}",
            evidence="",
            advice="What is not settled is marked in the section; read it with its interval.",
        )
        return (open_end, *found)


@dataclass(frozen=True)
class Skipped:
    """A section that could not be asked, or was and refused: why, and what would unlock it."""

    section: str
    reason: str
    unlock: str
    refused: bool = False


@dataclass(frozen=True)
class Failure:
    """A section that was asked and failed: the error as `LandscapeError.to_json` gives it."""

    section: str
    error: dict[str, Any]

    @property
    def finding(self) -> Finding:
        """Return the failure as something that a reader should not miss."""
        parts = (self.error.get("where"), self.error.get("why"))
        return Finding(
            severity="critical",
            sentence=f"{self.section} failed: {self.error.get('what') or 'no reason is known'}",
            evidence="; ".join(str(part) for part in parts if part),
            advice=str(self.error.get("next") or ""),
            section=self.section,
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """The answers to several questions about one subject.

    Args:
        sections: The answers, in the order of the registry.
        skipped: What was not asked, and why.
        failures: What was asked and failed.
        agreements: What sections say of the same numbers.
        settings: The plan by which the questions were asked.
        seed: The seed that the plan gave to every question.
        cost: What all of it cost.
        provenance: That of the subject; `command` and `date` where they are known.
    """

    schema_name: ClassVar[str] = "landscape/report/1"

    sections: tuple[Section, ...]
    skipped: tuple[Skipped, ...] = ()
    failures: tuple[Failure, ...] = ()
    agreements: tuple[Agreement, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seed: int = 0
    cost: Cost = field(default_factory=Cost)
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __repr__(self) -> str:
        return f"<Report: {' '.join(self.badges)}: {self.message}>"

    @classmethod
    def of(cls, result: Result) -> Self:
        """Return one answer as a report."""
        return cls(
            sections=(Section.of(result),),
            settings=result.settings,
            seed=result.seed,
            cost=result.cost,
            provenance=result.provenance,
        )

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Return what a reader should not miss: at most eight, gravest first.

        Of what is equally grave, failures and disagreements come before what single sections
        find, and the first finding of every section before the second of any.
        """
        found = [(0, failure.finding) for failure in self.failures]
        found += [(0, one.finding) for one in self.agreements if one.finding is not None]
        for section in self.sections:
            own = enumerate(section.findings, start=1)
            found += [(place, replace(one, section=section.name)) for place, one in own]
        ranked = sorted(found, key=lambda one: (_GRAVITY.index(one[1].severity), one[0]))
        return tuple(finding for _, finding in ranked[:MOST_FINDINGS])

    @property
    def status(self) -> Status:
        """Return the gravest status of a section; a failure counts as skipped or not finite."""
        failed = (
            Status.NOT_FINITE if one.error.get("exit") == NumericalError.exit else Status.SKIPPED
            for one in self.failures
        )
        return worst(*(section.result.status for section in self.sections), *failed)

    @property
    def message(self) -> str:
        """Return how many sections were answered, skipped and failed."""
        counts = ((len(self.skipped), "skipped"), (len(self.failures), "failed"))
        answered = f"{len(self.sections)} section{'s' * (len(self.sections) != 1)} answered"
        return ", ".join([answered, *(f"{n} {what}" for n, what in counts if n)]) + "."

    @property
    def badges(self) -> tuple[str, ...]:
        """Return the stamps on the report, `OK` when there is nothing to warn of."""
        grave = any(one.severity != "notable" for one in self.findings)
        unsettled = any(not section.result.status.settled for section in self.sections)
        trusted = any(
            bool(one.get("trusted_pickle"))
            for one in self.provenance.get("checkpoints") or ()
            if isinstance(one, Mapping)
        )
        stamps = {
            "WARN": grave or unsettled,
            "PARTIAL": bool(self.failures),
            "TRAIN-MODE": self.provenance.get("mode") == "train",
            "SYNTHETIC": bool(self.provenance.get("synthetic")),
            "UNSAFE-PICKLE": trusted,
        }
        earned = tuple(stamp for stamp, due in stamps.items() if due)
        return earned if stamps["WARN"] or stamps["PARTIAL"] else ("OK", *earned)

    @property
    def exit_code(self) -> int:
        """Return 0, the exit code of the first failure, or 5 where an answer is not finite."""
        if self.failures:
            return int(self.failures[0].error.get("exit") or InputError.exit)
        bad = any(section.result.status is Status.NOT_FINITE for section in self.sections)
        return NumericalError.exit if bad else 0

    def to_json(self) -> dict[str, Any]:
        """Return the whole JSON document."""
        return {
            "schema": self.schema_name,
            "status": self.status.value,
            "message": self.message,
            "settings": encode(self.settings),
            "seed": self.seed,
            "cost": encode(self.cost),
            "answer": {
                "findings": encode(self.findings),
                "sections": {one.name: one.result.to_json() for one in self.sections},
                "skipped": encode(self.skipped),
                "failures": encode(self.failures),
                "agreements": encode(self.agreements),
            },
            "provenance": encode(self.provenance),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the report whose document is given.

        Raises:
            InputError: It is no report, or one of another version.
        """
        if document.get("schema") != cls.schema_name:
            raise InputError(
                f"a document of schema {document.get('schema')!r} is no report",
                where="schema",
                why=f"this version reads {cls.schema_name}",
                hint="write it again with this version of landscape",
            )
        answer = document["answer"]
        return cls(
            sections=tuple(
                Section.of(result_of(one), name) for name, one in answer["sections"].items()
            ),
            skipped=tuple(decode_fields(Skipped, one) for one in answer["skipped"]),
            failures=tuple(decode_fields(Failure, one) for one in answer["failures"]),
            agreements=tuple(decode_fields(Agreement, one) for one in answer.get("agreements", ())),
            settings=document["settings"],
            seed=document["seed"],
            cost=decode_fields(Cost, document["cost"]),
            provenance=document["provenance"],
        )

    @classmethod
    def schema(cls) -> Schema:
        """Return the JSON Schema of the document."""
        listed = {
            "findings": Finding,
            "skipped": Skipped,
            "failures": Failure,
            "agreements": Agreement,
        }
        answer: Schema = {
            key: {"type": "array", "items": schema_of(kind)} for key, kind in listed.items()
        }
        known = [diagnostic.result.schema() for diagnostic in DIAGNOSTICS]
        answer["sections"] = {"type": "object", "additionalProperties": {"anyOf": known}}
        properties: Schema = {
            "schema": {"const": cls.schema_name},
            "status": schema_of(Status),
            "message": {"type": "string"},
            "settings": {"type": "object"},
            "seed": {"type": "integer"},
            "cost": schema_of(Cost),
            "answer": {
                "type": "object",
                "properties": answer,
                "required": [key for key in answer if key != "agreements"],  # came later
            },
            "provenance": {"type": "object"},
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }

    def summary(self) -> str:
        """Return the stamps, one line per section, and the findings, as text."""
        lines = [f"{' '.join(self.badges)}: {self.message}"]
        lines += [f"  {one.name}: {one.result.summary()}" for one in self.sections]
        lines += [f"  {one.section}: skipped, {one.reason}; {one.unlock}" for one in self.skipped]
        lines += [f"  {one.severity}: {one.sentence}" for one in self.findings]
        return "\n".join(lines)

    def save(self, folder: str | Path, force: bool = False) -> Path:
        """Write report.html, report.json, report.md and figures/; return the path of the HTML.

        Args:
            folder: Where to; made when it is not there.
            force: Write over a report that is already there.

        Raises:
            OutputError: A report is already there, or the folder cannot be written.
            ResourceError: The disk is full.
        """
        from landscape.reports.folder import write_report

        return write_report(self, Path(folder), force=force)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        from landscape.figures.card import clean

        return {"text/plain": clean(self.summary()), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        from landscape.reports.html import render_html

        page = html.escape(render_html(self.to_json()), quote=True)
        return (
            f'<iframe sandbox="allow-scripts allow-downloads" srcdoc="{page}" title="landscape '
            'report" style="width:100%;height:80vh;border:1px solid #8884;border-radius:6px">'
            "</iframe>"
        )


def report_of(document: Mapping[str, Any]) -> Report:
    """Return the report whose document is given; the document of one answer becomes a report of it.

    Raises:
        InputError: It is neither.
    """
    if str(document.get("schema")).startswith("landscape/report/"):
        return Report.from_json(document)
    return Report.of(result_of(dict(document)))
