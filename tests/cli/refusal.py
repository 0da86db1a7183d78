"""A bad input, and what a command must say of it: four lines, one document, no file left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.command import FAST, NETWORKS, SUBJECT, contents, run

Prepare = Callable[[Path], Any]


@dataclass(frozen=True)
class Refusal:
    """A row: what is prepared in the working folder, the command, and what it must say."""

    row: int
    code: int
    command: str
    says: tuple[str, ...]
    prepare: Prepare | None = None
    never: str = "Traceback"
    json: bool = True  # whether the command has --json

    def __str__(self) -> str:
        return shown(self.row, self.command)


def shown(row: int, command: str) -> str:
    for known in (f" {SUBJECT}", f" {FAST}", " -o answers"):
        command = command.replace(known, "")
    return f"{row}: {command.replace(str(NETWORKS), 'nets')}"


def check(folder: Path, refusal: Refusal) -> None:
    """Run the command of a row in a folder, and hold what it says and leaves against the row."""
    if refusal.prepare is not None:
        refusal.prepare(folder)
    before = contents(folder)
    outcome = run(f"{refusal.command} --json" if refusal.json else refusal.command)
    assert outcome.code == refusal.code, outcome.stderr
    what, *rest = outcome.stderr.splitlines()
    assert what.startswith(f"error[L{refusal.code}"), what
    titles = [line.partition(":")[0] for line in rest if line.startswith("  ")]
    assert titles[0] == "  where", outcome.stderr
    assert titles[-1] == "  next", outcome.stderr
    for phrase in refusal.says:
        assert phrase in outcome.stderr
    for phrase in ("Traceback", refusal.never, "Sentinel", "defect in landscape"):
        assert phrase not in outcome.stderr
    assert contents(folder) == before
    if not refusal.json:
        assert outcome.stdout == ""
        return
    document = outcome.document
    assert titles[1:2] == ["  why"] or not document["why"], outcome.stderr
    assert set(document) == {"schema", "code", "exit", "what", "where", "why", "next"}
    assert document["schema"] == "landscape/error/1"
    assert what.startswith(f"error[{document['code']}]: ")
    assert document["exit"] == refusal.code
    assert document["what"]
    assert document["next"], "no next step"
