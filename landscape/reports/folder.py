"""A report as a folder: report.html, report.json, report.md and the figures."""

from __future__ import annotations

import errno
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from landscape import progress
from landscape.encode import to_text, write_atomically
from landscape.errors import LandscapeError, OutputError, failed_file
from landscape.figures.canvas import save
from landscape.reports.html import render_html
from landscape.reports.markdown import render_markdown
from landscape.reports.report import Report
from landscape.reports.series import figure_of, pictures_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAMES = ("report.json", "report.md", "report.html")
FIGURES = "figures"
MEMORY = "cache"  # of the command line, in the folder of a report
STAGE, READY = ".writing", "ready"  # where a report is made, and what says that it is complete
TORN = re.compile(r"\.[0-9a-f]{32}\.npz\.\w{8}")  # a file of the memory that was being written


def write_report(report: Report, folder: Path, *, force: bool) -> Path:
    """Write all files of a report at once; return the path of the HTML.

    They are made in a folder of their own and then moved, the HTML last. A run that dies before
    leaves what was there; one that dies while files are moved has its rest moved by `recover`.

    Raises:
        OutputError: A report is already there and `force` is not given, or the folder cannot be
            written.
        ResourceError: The disk is full.
    """
    check_folder(folder, force=force)
    try:
        stage = folder / STAGE
        (stage / FIGURES).mkdir(parents=True)
        document = report.to_json()
        write_atomically(stage / "report.json", to_text(document))
        _draw(report, stage / FIGURES)
        write_atomically(stage / "report.md", render_markdown(document))
        write_atomically(stage / "report.html", render_html(document))
        write_atomically(stage / READY, "")
        recover(folder)
    except OSError as error:
        raise _told(error, folder) from error
    return folder / "report.html"


def recover(folder: Path) -> None:
    """Finish what a run that died has left: a complete report is moved to its place.

    One that was not yet complete is removed, and so are torn files of the memory beside it.
    """
    stage = folder / STAGE
    if (stage / READY).exists():
        (folder / FIGURES).mkdir(exist_ok=True)
        for figure in sorted((stage / FIGURES).glob("*")):
            figure.replace(folder / FIGURES / figure.name)
        for name in NAMES:
            if (stage / name).exists():
                (stage / name).replace(folder / name)
    if stage.exists():
        shutil.rmtree(stage)
    for path in (folder / MEMORY).glob(".*"):
        if TORN.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _draw(report: Report, folder: Path) -> None:
    """Draw every figure of every section, as PNG and SVG."""
    pictures = {section.name: pictures_of(section.result) for section in report.sections}
    total = len(pictures) + sum(map(len, pictures.values()))
    with progress.task("drawing figures", total) as task:
        for section in report.sections:
            stem = file_stem(section.name)
            _save(figure_of(section.result), folder / stem)
            task.advance()
            for picture in pictures[section.name]:
                _save(picture.figure(), folder / f"{stem}-{picture.name}")
                task.advance()


def _save(figure: Figure, path: Path) -> None:
    for suffix in (".png", ".svg"):
        save(figure, path.with_name(path.name + suffix))


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
    if folder.is_dir():
        recover(folder)
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
    return failed_file(error) or OutputError(
        "the report cannot be written",
        where=str(error.filename or folder),
        why=error.strerror or str(error),
        hint="choose a folder that can be written, with space left",
    )
