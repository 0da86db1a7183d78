"""A report as one HTML file that needs no network: a pure function of the JSON document."""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from landscape.answer import Result, Table
from landscape.diagnostics import DIAGNOSTICS, by_name
from landscape.estimate import Estimate
from landscape.reports import live, text
from landscape.reports.glossary import terms_of
from landscape.reports.report import Report, Section, report_of
from landscape.reports.series import figure_of, pictures_of, table_of_series
from landscape.reports.template import environment, packaged

QUESTIONS = (
    ("convergence", "Convergence: can it train?"),
    ("speed", "Speed: how fast?"),
    ("quality", "Global quality: how good is the place it found?"),
)


@dataclass(frozen=True)
class Drawing:
    """A figure beside the main one, with its title and method."""

    title: str
    figure: Markup
    text: str


@dataclass(frozen=True)
class Panel:
    """One section as the page shows it."""

    section: Section
    figure: Markup
    drawings: tuple[Drawing, ...]
    tables: tuple[Table, ...]

    @property
    def name(self) -> str:
        """Return the name of the section."""
        return self.section.name

    @property
    def result(self) -> Result:
        """Return the answer; of several checkpoints, that of the last."""
        return self.section.result

    @property
    def title(self) -> str:
        """Return what was asked, in one sentence."""
        lines = (by_name(self.result.name).__doc__ or self.name).strip().splitlines()
        return lines[0]

    @property
    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the numbers that are shown large."""
        return self.result.headline()

    @property
    def lives(self) -> bool:
        """Return whether a figure can be read or turned, for which there are scripts."""
        return any(map(live.is_live, (self.figure, *(one.figure for one in self.drawings))))

    @classmethod
    def of(cls, section: Section) -> Panel:
        """Return a section with its figure drawn again."""
        result = section.result
        figure = figure_of(result, caption=False)
        drawing = live.drawn(figure, name=section.name, title=text.clean(result.summary()))
        series = table_of_series(result)
        tables = ((series,) if series else ()) + result.tables()
        return cls(section, drawing, _drawings(section), tables)

    def under(self, question: str) -> tuple[Table, ...]:
        """Return the tables that stand under a question."""
        own = self.section.question
        return tuple(one for one in self.tables if (one.question or own) == question)


def _drawings(section: Section) -> tuple[Drawing, ...]:
    return tuple(
        Drawing(
            title=picture.title,
            figure=live.drawn(
                picture.figure(caption=False),
                name=f"{section.name}-{picture.name}",
                title=text.clean(picture.title),
            ),
            text=picture.text,
        )
        for picture in pictures_of(section.result)
    )


def render_html(report_document: Mapping[str, Any]) -> str:
    """Return the page of a report document, or of the document of a single answer."""
    report = report_of(report_document)
    panels = [Panel.of(section) for section in report.sections]
    scripts, styles = [packaged("script.js")], [packaged("style.css")]
    if any(panel.lives for panel in panels):
        scripts.append(live.script())
        styles.append(live.style())
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            panels=panels,
            questions=[(key, title, _would_fill(key, report)) for key, title in QUESTIONS],
            terms=terms_of(section.result.name for section in report.sections),
            settings=_settings(report),
            command=_command(report.provenance.get("command")),
            tier=_tier(report),
            style=Markup("\n".join(styles)),
            scripts=[Markup(one) for one in scripts],
            hashes=[script_hash(one) for one in scripts],
            island=Markup(live.packed(report_document)),
        )
    )


def script_hash(script: str) -> str:
    """Return the source expression by which the security policy admits an inline script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _would_fill(question: str, report: Report) -> str:
    """Return, in a sentence, what would fill a question without sections."""
    asked = {d.name: d for d in DIAGNOSTICS if d.question == question and d.surveyed}
    if not asked:
        return "No diagnostic of this version of landscape answers this question yet."
    reasons = {one.section: f"{one.reason}; unlocked by {one.unlock}" for one in report.skipped}
    reasons |= {one.section: "it failed, see Trust" for one in report.failures}
    told = [f"{name} ({reasons.get(name, 'was not asked for')})" for name in asked]
    return f"Would be answered by {', '.join(told)}."


def _settings(report: Report) -> list[str]:
    """Return the settings of the plan and of every section, each in the manner of TOML."""
    parts = [("plan", report.settings)] if report.settings and len(report.sections) != 1 else []
    parts += [(section.name, section.result.settings) for section in report.sections]
    return ["\n".join([f"[{name}]", *_assignments(settings)]) for name, settings in parts]


def _assignments(settings: Mapping[str, Any]) -> Iterable[str]:
    return (
        text.clean(f"{key} = {json.dumps(value, ensure_ascii=False)}")
        for key, value in settings.items()
        if value is not None
    )


def _command(given: Any) -> str:
    return shlex.join(map(str, given)) if isinstance(given, list | tuple) else str(given or "")


def _tier(report: Report) -> str:
    told = report.provenance
    if not told.get("model"):
        return "T0: checkpoint only"
    if not told.get("data"):
        return "T1: checkpoint and model"
    several = len(told.get("checkpoints") or ()) > 1
    return (
        "T3: several checkpoints, model and data" if several else "T2: checkpoint, model and data"
    )
