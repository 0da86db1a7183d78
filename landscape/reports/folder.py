"""A report as a folder: report.html, report.json, report.md and the figures."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

from landscape.encode import to_text, write_atomically
from landscape.errors import LandscapeError, OutputError, ResourceError
from landscape.figures.canvas import save
from landscape.reports.html import render_html
from landscape.reports.markdown import render_markdown
from landscape.reports.report import Report
from landscape.reports.series import figure_of, pictures_of

NAMES = ("report.json", "report.md", "report.html")
_FULL = (errno.ENOSPC, errno.EDQUOT)


def write_report(report: Report, folder: Path, *, force: bool) -> Path:
    """Write all files of a report, the HTML last; return its path.

    Raises:
        OutputError: A report is already there and `force` is not given, or the folder cannot be
            written.
        ResourceError: The disk is full.
    """
    check_folder(folder, force=force)
    try:
        document = report.to_json()
        write_atomically(folder / "report.json", to_text(document))
        for section in report.sections:
            stem = file_stem(section.name)
            figures = {stem: figure_of(section.result)}
            for picture in pictures_of(section.result):
                figures[f"{stem}-{picture.name}"] = picture.figure()
            for name, figure in figures.items():
                for suffix in (".png", ".svg"):
                    save(figure, folder / "figures" / (name + suffix))
        write_atomically(folder / "report.md", render_markdown(document))
        write_atomically(folder / "report.html", render_html(document))
    except OSError as error:
        raise _told(error, folder) from error
    return folder / "report.html"


def file_stem(name: str) -> str:
    """Return the name of a section as the name of a file, whatever it holds."""
    return re.sub(r"[^\w-]+", "-", name, flags=re.ASCII).strip("-")[:80] or "section"


def check_folder(folder: Path, *, force: bool) -> None:
    """Make a folder ready for a report, before anything is computed for it.

    Raises:
        OutputError: A report is already there and `force` is not given, or the folder cannot be
            made or written.
        ResourceError: The disk is full.
    """
    there = [name for name in NAMES if (folder / name).exists()]
    if there and not force:
        raise OutputError(
            f"a report is already there: {', '.join(there)}",
            where=str(folder),
            why="finished reports are not written over unasked",
            hint="choose another folder, or give force (--force)",
        )
    try:
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    except OSError as error:
        raise _told(error, folder) from error


def _told(error: OSError, folder: Path) -> LandscapeError:
    kind = ResourceError if error.errno in _FULL else OutputError
    return kind(
        "the report cannot be written",
        where=str(error.filename or folder),
        why=error.strerror or str(error),
        hint="choose a folder that can be written, with space left",
    )
