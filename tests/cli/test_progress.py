"""Lines of progress hold names from files, which are shown and never obeyed."""

from __future__ import annotations

import re
from importlib.metadata import entry_points
from typing import Any

import pytest

from landscape import progress
from tests.cli.test_terminal import ATTACK


def module() -> Any:
    (command,) = entry_points(group="console_scripts", name="landscape")
    command.load()
    from landscape_cli import progress as shown  # pyright: ignore[reportMissingImports]

    return shown


def test_a_line_names_the_place_and_is_harmless(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = module()
    monkeypatch.setattr(shown, "INTERVAL", 0.0)
    with (
        shown.shown(quiet=False),
        progress.within("spectrum", 3, 8),
        progress.within(ATTACK),
        progress.task("trace", 512) as task,
    ):
        task.advance(48)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("spectrum (3 of 8), a")
    assert ": trace: 48/512, " in line
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]", line)
