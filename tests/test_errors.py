"""Errors have four parts, and a command prints each on a line: what, where, why, next."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

from landscape import errors
from landscape.budget import BudgetError
from landscape.errors import LandscapeError
from landscape_cli.failures import report_failure, show_error

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("landscape/**/*.py"), *ROOT.glob("cli/**/*.py")])
CLASSES = [
    one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, LandscapeError)
]


@pytest.mark.parametrize("kind", [*CLASSES, BudgetError])
def test_four_lines(kind, capsys):
    made = kind("too late") if kind is BudgetError else kind("a", where="b", why="c", hint="d")
    show_error(made)
    told = capsys.readouterr().err.splitlines()
    heads = [line.split(":")[0] for line in told]
    assert heads == [f"error[{kind.code}]", "  where", "  why", "  next"]


def test_what_is_no_error_of_ours_has_four_lines_too(capsys):
    for error in (ValueError("x"), MemoryError("out of memory"), OSError(28, "no space", "f")):
        report_failure(error, ["weights"])
        assert len(capsys.readouterr().err.splitlines()) == 4


def test_every_error_is_made_with_four_parts():
    names = {one.__name__ for one in CLASSES} | {"error"}  # a class that a function is given
    found = [
        (f"{path.relative_to(ROOT)}:{call.lineno}", parts)
        for path in SOURCES
        for call, parts in _errors(ast.parse(path.read_text("utf-8")), names)
    ]
    assert len(found) > 300
    assert not [
        place
        for place, parts in found
        if not parts.keys() >= {"where", "why", "hint"}
        or not all(_says_something(one) for part in parts.values() for one in _chosen(part))
    ]


def _errors(
    tree: ast.AST, names: set[str]
) -> Iterator[tuple[ast.Call, dict[str | None, ast.expr]]]:
    """Yield the calls that make an error, with their parts by name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "id", None)
            parts = {one.arg: one.value for one in node.keywords}
            if called in names and (called != "error" or "hint" in parts):
                yield node, parts


def _chosen(part: ast.expr) -> Iterator[ast.expr]:
    """Yield what a part may be."""
    if isinstance(part, ast.IfExp):
        yield from _chosen(part.body)
        yield from _chosen(part.orelse)
    else:
        yield part


def _says_something(part: ast.expr) -> bool:
    return not isinstance(part, ast.Constant) or bool(part.value)
