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


def _members(folder: Path) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in folder.glob("[!_]*.py")))


GROUPS = {
    path.parent.name: _members(path.parent)
    for path in sorted(_diagnostics_folder().glob("[!_]*/__init__.py"))
}
COMMANDS = {
    "Start here": ("demo", "report", "inspect", "doctor"),
    "Diagnostics": tuple(sorted({*_members(_diagnostics_folder()), *GROUPS})),
    "Before training": ("coordcheck",),
    "Answers": ("compare", "check", "track", "plot", "render", "list", "config"),
}


def summaries() -> dict[str, str]:
    """Return the first line of every command's docstring."""
    return {name: _first_line(_source_of(name)) for names in COMMANDS.values() for name in names}


def command_names() -> list[str]:
    """Return all commands that can be run; the members of groups as `tickets-score`."""
    names = [name for section in COMMANDS.values() for name in section if name not in GROUPS]
    return names + [f"{group}-{member}" for group, members in GROUPS.items() for member in members]


def diagnostic_names() -> list[str]:
    """Return the diagnostics; those of groups as `tickets-score`."""
    alone = [name for name in COMMANDS["Diagnostics"] if name not in GROUPS]
    return alone + [f"{group}-{member}" for group, members in GROUPS.items() for member in members]


def load_command(name: str, *, sketched: bool = False) -> click.Command:
    """Return a command: written by hand, or made from the diagnostics of that name.

    A folder of diagnostics is a group of commands; one of them is called `tickets-score` here.

    Args:
        name: Of the command.
        sketched: Take a diagnostic as its source tells of it, without torch: not to be run.
    """
    if name in GROUPS:
        return _group(name)
    if name in COMMANDS["Diagnostics"] or "-" in name:
        from .diagnostic import command_of, sketch_of

        return sketch_of(name) if sketched else command_of(name)
    return import_module(f"{__package__}.commands.{name}").command


def _group(name: str) -> click.Command:
    from .group import Commands

    folder = _diagnostics_folder() / name
    return Commands(
        name,
        sections={"Commands": GROUPS[name]},
        load=lambda member, *, sketched: load_command(f"{name}-{member}", sketched=sketched),
        told=lambda: {member: _first_line(folder / f"{member}.py") for member in GROUPS[name]},
        help=_docstring(folder / "__init__.py"),
        epilog=f"Example: landscape {name} {GROUPS[name][0]} --help",
    )


def _source_of(name: str) -> Path:
    here = Path(__file__).parent / "commands" / f"{name}.py"
    if here.exists():
        return here
    if name in GROUPS:
        return _diagnostics_folder() / name / "__init__.py"
    return _diagnostics_folder() / f"{name}.py"


def _first_line(path: Path) -> str:
    return _docstring(path).split("\n")[0]


def _docstring(path: Path) -> str:
    return ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
