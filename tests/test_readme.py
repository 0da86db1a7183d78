"""The README's quick start, run exactly as it is written."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sklearn.datasets
import torch
from torch import nn

from tests.cli.command import done
from tests.test_contracts import QUICK

README = Path(__file__).resolve().parents[1] / "README.md"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README.read_text("utf-8"), re.M | re.S)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder with the README's factory file and two checkpoints of its network."""
    folder = tmp_path
    (folder / "nets.py").write_text(_blocks("python")[0], "utf-8")
    for name, scale in (("init.pt", 0.5), ("final.pt", 1.0)):
        model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            drawn = torch.randn(parameter.shape, generator=generator)
            parameter.data = scale * drawn / parameter.shape[-1] ** 0.5
        torch.save(model.state_dict(), folder / name)
    return folder


def _run(arguments: list[str], folder: Path) -> str:
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_factory_file_has_twenty_lines_at_most() -> None:
    assert len(_blocks("python")[0].splitlines()) <= 20


@pytest.fixture
def quick(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Inside this process, with few digits and settings that are answered in a moment."""
    load = sklearn.datasets.load_digits

    def few(**settings: bool) -> list[object]:
        return [part[:128] for part in load(**settings)]

    tables = [
        "\n".join([f"[{name.replace('-', '.')}]", *(f"{k} = {v!r}" for k, v in settings.items())])
        for name, settings in QUICK.items()
    ]
    (workplace / "landscape.toml").write_text("\n".join(tables), "utf-8")
    monkeypatch.setattr(sklearn.datasets, "load_digits", few)
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(workplace)
    yield
    sys.modules.pop("nets", None)


@pytest.mark.usefixtures("quick")
def test_commands_in_a_moment(workplace: Path) -> None:
    for line in _blocks("console")[0].splitlines():
        done(line.removeprefix("landscape "))
    assert (workplace / "landscape-report" / "report.html").exists()
    assert (workplace / "spectrum" / "spectrum.png").exists()


@pytest.mark.usefixtures("quick")
def test_library_in_a_moment(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(_blocks("python")[1], {})
    printed = capsys.readouterr().out
    assert "λ_max" in printed
    assert "±" in printed
    assert (workplace / "spectrum.pdf").read_bytes().startswith(b"%PDF")
    assert (workplace / "report" / "report.html").exists()


@pytest.mark.full
def test_commands(workplace: Path) -> None:
    for line in _blocks("console")[0].splitlines():
        command, *arguments = shlex.split(line)
        assert command == "landscape"
        _run(
            [sys.executable, "-m", "landscape", *arguments, "--max-samples", "256"],
            workplace,
        )
    assert (workplace / "landscape-report" / "report.html").exists()
    assert (workplace / "spectrum" / "spectrum.png").exists()


@pytest.mark.full
def test_library(workplace: Path) -> None:
    printed = _run([sys.executable, "-c", _blocks("python")[1]], workplace)
    assert "λ_max" in printed
    assert "±" in printed
    assert (workplace / "spectrum.pdf").read_bytes().startswith(b"%PDF")
    assert (workplace / "report" / "report.html").exists()


def test_every_command_is_listed() -> None:
    from landscape_cli.catalogue import COMMANDS

    text = README.read_text("utf-8")
    for names in COMMANDS.values():
        for name in names:
            assert f"`landscape {name}" in text, name
