"""The names and the exit codes that others build on."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

import landscape as ls
from landscape import errors
from landscape.base import Diagnostic

TREE = re.compile(r"^ {4}([│ ├└─]*)(\w+)(?: +exit (\d+))?")


def in_order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions: ruff's RUF022."""
    kind = 0 if name.isupper() else 1 if name[0].isupper() else 2
    return kind, name


def test_names_are_sorted():
    assert ls.__all__ == sorted(set(ls.__all__), key=in_order)


@pytest.mark.parametrize("name", ls.__all__)
def test_every_name_can_be_imported(name):
    found = getattr(ls, name)
    assert found is not None
    if isinstance(found, type):
        assert found.__name__ == name
        assert found.__doc__


def test_names_are_the_same_everywhere():
    """`__all__`, `dir`, and the imports that type checkers see."""
    assert dir(ls) == sorted(ls.__all__)
    tree = ast.parse(Path(str(ls.__file__)).read_text())
    (seen,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {
        alias.name for node in seen.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert imported == set(ls.__all__)


def test_every_diagnostic_is_public():
    for kind in ls.DIAGNOSTICS:
        assert getattr(ls, kind.__name__) is kind


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Spektrum'"):
        _ = ls.Spektrum  # type: ignore[attr-defined]


# --- errors ------------------------------------------------------------------------------------


def subclasses(kind: type[errors.LandscapeError]) -> set[type[errors.LandscapeError]]:
    below = {one for one in kind.__subclasses__() if one.__module__ == errors.__name__}
    return below.union(*(subclasses(one) for one in below))


def drawn() -> dict[str, tuple[str | None, int | None]]:
    """Return parent and exit code of every class in the tree that the docstring draws."""
    found: dict[str, tuple[str | None, int | None]] = {}
    branch: list[str] = []
    for line in str(errors.__doc__).splitlines():
        if not (match := TREE.match(line)):
            continue
        depth = len(match[1]) // 4
        branch[depth:] = [match[2]]
        parent = branch[depth - 1] if depth else None
        code = int(match[3]) if match[3] else found[parent][1] if parent else None
        found[match[2]] = (parent, code)
    return found


def test_the_tree_in_the_docstring_is_the_tree():
    expected = {
        kind.__name__: (str(kind.__mro__[1].__name__), kind.exit)
        for kind in subclasses(errors.LandscapeError)
    }
    tree = drawn()
    assert tree.pop("LandscapeError") == (None, None)
    assert tree == expected
    assert len(tree) >= 11


def test_exit_codes_are_those_that_scripts_rely_on():
    codes = {
        errors.LandscapeError: 70,
        errors.SettingError: 2,
        errors.SpecError: 2,
        errors.InputError: 3,
        errors.UnsafeError: 4,
        errors.NumericalError: 5,
        errors.ResourceError: 6,
    }
    assert {kind: kind.exit for kind in codes} == codes


def test_codes_are_unique_and_begin_with_the_exit_code():
    kinds = subclasses(errors.LandscapeError)
    codes = [kind.code for kind in kinds]
    assert len(set(codes)) == len(codes)
    for kind in kinds:
        assert re.fullmatch(rf"L{kind.exit}\d\d", kind.code)
        assert kind.__doc__


def test_an_error_says_what_where_why_and_next():
    error = errors.DataError("a", where="b", why="c", hint="d")
    assert str(error) == "a\n  where: b\n  why: c\n  next: d"
    assert error.to_json() == {
        "schema": "landscape/error/1",
        "code": "L330",
        "exit": 3,
        "what": "a",
        "where": "b",
        "why": "c",
        "next": "d",
    }
    assert isinstance(error, errors.InputError)
    assert isinstance(errors.SettingError("a", hint="b"), ValueError)
    assert isinstance(errors.SpecError("a", hint="b"), ValueError)


def test_an_error_without_a_next_step_cannot_be_made():
    with pytest.raises(TypeError):
        errors.DataError("a")  # type: ignore[call-arg]


def test_a_diagnostic_is_abstract():
    with pytest.raises(TypeError):
        Diagnostic()  # type: ignore[abstract]


def test_every_package_is_installed():
    """A folder that the build does not name is missing from what a user installs."""
    root = Path(__file__).parents[1]
    named = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {one.parent.relative_to(root) for one in root.glob("landscape/**/__init__.py")}
    found = {".".join(folder.parts) for folder in folders}
    assert {one for one in named if one.split(".")[0] == "landscape"} == found


# --- what a person sees in Python --------------------------------------------------------------


def test_a_model_instead_of_a_subject_is_told():
    import torch

    import landscape as ls

    with pytest.raises(ls.LandscapeError, match="asked of a Subject, not of Linear") as raised:
        ls.Spectrum().run(torch.nn.Linear(2, 2))  # type: ignore[arg-type]
    assert "ls.Subject(model, loss, data)" in raised.value.hint


def test_a_setting_that_does_not_exist_is_told_with_the_nearest():
    import landscape as ls

    with pytest.raises(ls.LandscapeError, match="Spectrum has no setting 'topp'") as raised:
        ls.Spectrum(topp=3)  # type: ignore[call-arg]
    assert raised.value.hint == "did you mean top?"


def test_a_result_that_lacks_a_part_is_told_when_its_diagnostic_is_defined():
    from landscape.answer import Result

    class Brief(Result):
        def summary(self) -> str:
            return ""

    with pytest.raises(TypeError, match=r"Brief, the result of Asking, lacks draw, tables"):

        class Asking(Diagnostic[Brief]):  # pyright: ignore[reportUnusedClass]
            result = Brief


def test_answers_and_subjects_are_shown_in_a_line():
    import torch

    import landscape as ls

    torch.manual_seed(0)
    data = torch.randn(20, 3), torch.randint(2, (20,))
    subject = ls.Subject(torch.nn.Linear(3, 2), "ce", data, device="cpu")
    assert repr(subject) == (
        "<Subject: Linear, 8 parameters studied; 1 checkpoint: model; loss ce; eval mode on cpu>"
    )
    result = ls.Weights().run(subject)
    assert repr(result) == f"<WeightsResult: {result.summary()}>"
    assert repr(ls.Subject(checkpoints=[ls.Checkpoint(label="a", tensors={})])).startswith(
        "<Subject: weights alone; 1 checkpoint: a; no data"
    )


def test_an_error_is_told_in_named_lines():
    from landscape.errors import DataError

    error = DataError("no labels", where="data", why="they are missing", hint="give some")
    assert str(error) == "no labels\n  where: data\n  why: they are missing\n  next: give some"
    assert str(DataError("no labels", hint="give some")) == "no labels\n  next: give some"
