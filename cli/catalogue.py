"""The commands, listed from source so that `--help` need import neither torch nor a command."""

from __future__ import annotations

import ast
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click


def _diagnostics_folder() -> Path:
    package = find_spec("landscape")
    if package is None or package.origin is None:
        raise ImportError("landscape is not installed")
    return Path(package.origin).parent / "diagnostics"


COMMANDS = {
    "Start here": ("demo", "report", "inspect", "doctor"),
    "Diagnostics": tuple(sorted(path.stem for path in _diagnostics_folder().glob("[!_]*.py"))),
    "Answers": ("plot", "render", "list"),
}


def summaries() -> dict[str, str]:
    """Return the first line of every command's docstring."""
    return {name: _first_line(_source_of(name)) for names in COMMANDS.values() for name in names}


def load_command(name: str) -> click.Command:
    """Return a command: written by hand, or made from the diagnostic of that name."""
    if name in COMMANDS["Diagnostics"]:
        from .diagnostic import command_of

        return command_of(name)
    return import_module(f"{__package__}.commands.{name}").command


def _source_of(name: str) -> Path:
    here = Path(__file__).parent / "commands" / f"{name}.py"
    if here.exists():
        return here
    return _diagnostics_folder() / f"{name}.py"


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    return docstring.split("\n")[0]
