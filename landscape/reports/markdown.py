"""A report as Markdown, short enough for a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from landscape.reports.report import Report, Section, report_of
from landscape.reports.text import clean, plain_cell, shorten

_MARKS = {"critical": "🔴", "warning": "🟡", "notable": "🔵"}
_PUNCTUATION = re.compile(r"([\\`*_{}\[\]()#!|~$])")


def render_markdown(document: Mapping[str, Any]) -> str:
    """Return a report document as Markdown; every string from a file is escaped."""
    report = report_of(document)
    made = (_head, _findings, _numbers, _agreements, _left_out, _foot)
    parts = [one(report) for one in made]
    return "\n\n".join(part for part in parts if part) + "\n"


def escape(text: object, longest: int = 300) -> str:
    """Return text that Markdown shows as it is, on one line: no markup, no HTML, no mention."""
    shown = shorten(clean(str(text)), longest)
    shown = shown.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _PUNCTUATION.sub(r"\\\1", shown)
    return shown.replace("@", "@\u200b").replace("://", ":\u200b//")


def _head(report: Report) -> str:
    checkpoints = report.provenance.get("checkpoints") or ()
    names = ", ".join(escape(one.get("label"), 60) for one in checkpoints)
    model = report.provenance.get("model")
    subject = " · ".join(part for part in (escape(model) if model else "", names) if part)
    stamps = " ".join(f"`{stamp}`" for stamp in report.badges)
    return f"### landscape: {subject or 'report'}\n\n{stamps} {escape(report.message)}"


def _findings(report: Report) -> str:
    lines = [
        f"- {_MARKS[one.severity]} **{escape(one.sentence)}** {escape(one.evidence)} "
        f"*{escape(one.advice)}*"
        for one in report.findings
    ]
    return "\n".join(["#### Findings", "", *lines]) if lines else ""


def _numbers(report: Report) -> str:
    rows = [row for section in report.sections for row in _rows(section)]
    return _table(("section", "quantity", "value", "status"), rows) if rows else ""


def _rows(section: Section) -> Iterable[tuple[str, ...]]:
    status = section.result.status.value.replace("_", " ")
    numbers = section.result.headline() or (("answer", section.result.summary()),)
    for index, (name, value) in enumerate(numbers):
        first = index == 0
        yield (section.name if first else "", name, plain_cell(value), status if first else "")


def _agreements(report: Report) -> str:
    """Return the cross-checks: those that agree in a line, the others each."""
    if not report.agreements:
        return ""
    agreed = sum(one.agrees is True for one in report.agreements)
    lines = [f"Cross-checks: {agreed} of {len(report.agreements)} agree."]
    lines += [
        f"- {escape(one.claim)}: {one.verdict}, {escape(one.evidence)}"
        for one in report.agreements
        if one.agrees is not True
    ]
    return "\n".join(lines[:1] + [""] * (len(lines) > 1) + lines[1:])


def _left_out(report: Report) -> str:
    lines = [
        f"- {escape(one.section)}: skipped, {escape(one.reason)}; unlocked by {escape(one.unlock)}"
        for one in report.skipped
    ]
    lines += [
        f"- {escape(one.section)}: failed ({escape(one.error.get('code', ''))}), "
        f"{escape(one.error.get('what', ''))}"
        for one in report.failures
    ]
    return "\n".join(["#### Not answered", "", *lines]) if lines else ""


def _foot(report: Report) -> str:
    told = report.provenance
    parts = [
        f"landscape {escape(told.get('landscape', ''))}",
        f"seed {report.seed}",
        f"{report.cost.products:,} products",
        f"{report.cost.seconds:.1f} s",
        f"weights {escape(str(told.get('weights_fingerprint') or '–')[:12])}",
        f"data {escape(str(told.get('batches_hash') or '–')[:12])}",
    ]
    return f"<sub>{' · '.join(parts)}</sub>"


def _table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(escape(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)
