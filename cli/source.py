"""What the source of a diagnostic tells of its command, so that completion imports no torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Written:
    """A setting as it is written.

    Args:
        help: What it says of itself.
        flag: Whether it is true or false.
        default: What it is unless said; None where more than a look at the source would tell.
        choices: The words that it may be; none: any value of its type.
    """

    help: str
    flag: bool
    default: Any
    choices: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """A diagnostic as its source tells of it; model and data as `Needs` has them."""

    settings: Mapping[str, Written]
    model: bool
    data: bool
    budgeted: bool
    presets: bool
    surveyed: bool

    @classmethod
    def of(cls, name: str) -> Sketch:
        """Return the sketch of a diagnostic such as `spectrum` or `tickets-score`."""
        module = _read(".".join(["landscape.diagnostics", *name.split("-")]))
        base = _read("landscape.base")
        (found,) = (one for one in _classes(module.tree) if _assigned(one, "question"))
        (contract,) = (one for one in _classes(base.tree) if one.name == "Diagnostic")
        needs = _assigned(found, "needs")
        asked = {one.arg: one.value for one in getattr(needs, "keywords", ())}
        return cls(
            settings={**dict(base.settings(contract)), **dict(module.settings(found))},
            model="model" not in asked or ast.literal_eval(asked["model"]),
            data="data" not in asked or ast.literal_eval(asked["data"]),
            budgeted=_constant(found, "budgeted") is not False,
            surveyed=_constant(found, "surveyed") is not False,
            presets=_assigned(found, "presets") is not None,
        )


@dataclass(frozen=True)
class _Module:
    """The text of a module of landscape."""

    tree: ast.Module

    def settings(self, found: ast.ClassDef) -> Iterator[tuple[str, Written]]:
        """Yield the settings of a class, by name."""
        for one in found.body:
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                home, kind = self.meant(one.annotation)
                if isinstance(kind, ast.Subscript) and _called(kind.value) == "Annotated":
                    yield one.target.id, home.written(kind, one.value)

    def written(self, annotated: ast.Subscript, default: ast.expr | None) -> Written:
        """Return the setting of which `Annotated[type, Option(...)]` is the annotation."""
        assert isinstance(annotated.slice, ast.Tuple)
        kind, option = (self.meant(part)[1] for part in annotated.slice.elts)
        assert isinstance(option, ast.Call)
        choices: Any = ()
        if isinstance(kind, ast.Subscript) and _called(kind.value) == "Literal":
            choices = ast.literal_eval(kind.slice)
        return Written(
            help=ast.literal_eval(option.args[0]),
            flag=_called(kind) == "bool",
            default=default.value if isinstance(default, ast.Constant) else None,
            choices=choices if isinstance(choices, tuple) else (choices,),
        )

    def meant(self, node: ast.expr) -> tuple[_Module, ast.expr]:
        """Return what a name stands for, and the module in which that is written."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            package, name = self._imports()[node.value.id]
            return _read(f"{package}.{name}").meant(ast.Name(node.attr))
        if not isinstance(node, ast.Name):
            return self, node
        for one in self.tree.body:
            if isinstance(one, ast.Assign) and _called(one.targets[0]) == node.id:
                return self.meant(one.value)
        package, name = self._imports().get(node.id, ("", node.id))
        ours = package.startswith("landscape.")
        return _read(package).meant(ast.Name(name)) if ours else (self, node)

    def _imports(self) -> dict[str, tuple[str, str]]:
        return {
            alias.asname or alias.name: (one.module or "", alias.name)
            for one in self.tree.body
            if isinstance(one, ast.ImportFrom)
            for alias in one.names
        }


@cache
def _read(module: str) -> _Module:
    package = find_spec("landscape")
    if package is None or package.origin is None:
        raise ImportError("landscape is not installed")
    path = Path(package.origin).parent.joinpath(*module.split(".")[1:])
    return _Module(ast.parse(path.with_suffix(".py").read_text("utf-8")))


def _classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    return (node for node in tree.body if isinstance(node, ast.ClassDef))


def _assigned(found: ast.ClassDef, name: str) -> ast.expr | None:
    """Return what a class assigns to a name."""
    for one in found.body:
        if isinstance(one, ast.AnnAssign) and _called(one.target) == name:
            return one.value
    return None


def _constant(found: ast.ClassDef, name: str) -> Any:
    value = _assigned(found, name)
    return value.value if isinstance(value, ast.Constant) else None


def _called(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None
