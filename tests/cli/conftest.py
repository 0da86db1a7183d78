"""The working folder of a command."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.networks import save_checkpoints


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a checkpoint of initial and one of final weights."""
    monkeypatch.chdir(tmp_path)
    save_checkpoints(tmp_path)
    return tmp_path
