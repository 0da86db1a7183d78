"""Attributes of the user's modules and files, found by name.

A module that is missing, a module missing inside the user's module, an attribute that is missing
and code that raises are four different mistakes, and each has a message of its own.
"""

from __future__ import annotations

import contextlib
import difflib
import hashlib
import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from landscape.errors import InputError, LandscapeError
from landscape.subject.files.sniff import why_missing
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.source import Source, record_source, source_of
from landscape.subject.traces import user_frames, user_position, user_traceback

_FILE_MODULE = "landscape_file_"
_LISTED = 8


def load_attribute(spec: Spec, *, error: type[InputError] = InputError) -> object:
    """Import the module or file of a spec and return the attribute that it names.

    A file is executed once per content, under a name of its own in `sys.modules`, with its folder
    on `sys.path` meanwhile; a module is imported with the working directory there.

    Args:
        spec: A spec of scheme `python` or `file`.
        error: The class to raise: what is being loaded.

    Raises:
        InputError: Of the class `error`: there is no such module, file or attribute, or its code
            fails when imported.
    """
    location, _, name = spec.rest.rpartition(":")
    load = _load_file if spec.scheme == "file" else _load_module
    try:
        module = load(location, error)
        attribute = _find(module, name, location, error)
    except LandscapeError:
        raise
    except (Exception, SystemExit) as failure:
        raise _import_failure(failure, location, error) from failure
    record_source(attribute, source_of(module))
    return attribute


@contextlib.contextmanager
def importable_around(function: object) -> Iterator[None]:
    """Put the folder that a loaded function imports from on `sys.path` for a while."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    of_file = module is not None and module.__name__.startswith(_FILE_MODULE)
    with _importable(Path(module.__file__ or "").parent if module and of_file else Path.cwd()):
        yield


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the user's code may have taken it away itself
            sys.path.remove(str(folder))


def _load_file(location: str, error: type[InputError]) -> ModuleType:
    path = Path(location).expanduser().resolve()
    if not path.is_file():
        near = difflib.get_close_matches(
            path.name, [file.name for file in path.parent.glob("*.py")]
        )
        raise error(
            f"there is no file '{location}'",
            where=str(path),
            why=f"its folder holds {', '.join(near)}" if near else why_missing(path),
            hint="check the path; relative ones start at the working directory",
        )
    code = path.read_bytes()
    name = _FILE_MODULE + hashlib.sha256(os.fsencode(path) + b"\0" + code).hexdigest()[:16]
    if name not in sys.modules:
        _execute(name, path, code)
    return sys.modules[name]


def _execute(name: str, path: Path, code: bytes) -> None:
    """Run the bytes of a file as the module `name`; leave nothing behind when it fails."""
    plan = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(cast(Any, plan))
    sys.modules[name] = module
    try:
        with _importable(path.parent):
            exec(compile(code, str(path), "exec", dont_inherit=True), module.__dict__)
    except BaseException:
        del sys.modules[name]
        raise
    record_source(module, Source(path=str(path), sha256=hashlib.sha256(code).hexdigest()))


def _load_module(location: str, error: type[InputError]) -> ModuleType:
    try:
        with _importable(Path.cwd()):
            module = importlib.import_module(location)
    except ModuleNotFoundError as failure:
        if user_frames(failure):  # the module exists: something that it imports does not
            raise
        raise error(
            f"there is no module '{location}'",
            where=f"working directory {Path.cwd()}, and the installed packages",
            why=str(failure),
            hint="check the name, or give the file: path/file.py:factory",
        ) from failure
    path = Path(module.__file__ or "")
    if path.is_file():
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        record_source(module, Source(path=str(path), sha256=digest))
    return module


def _find(module: ModuleType, name: str, location: str, error: type[InputError]) -> object:
    found: object = module
    for part in name.split("."):
        if not hasattr(found, part):
            names = [public for public in dir(found) if not public.startswith("_")]
            names = [public for public in names if not inspect.ismodule(getattr(found, public))]
            near = difflib.get_close_matches(part, names) or names[:_LISTED]
            raise error(
                f"'{location}' has no attribute '{name}'",
                where=module.__file__ or location,
                why=f"it has {', '.join(near)}" if near else "it defines nothing",
                hint="name a function that returns what is wanted",
            )
        found = getattr(found, part)
    return found


def _import_failure(failure: BaseException, location: str, error: type[InputError]) -> InputError:
    if isinstance(failure, ModuleNotFoundError) and failure.name:
        what = f"'{location}' imports the module '{failure.name}', which is missing"
        hint = f"install what provides '{failure.name}' into this environment, or mend the import"
    elif isinstance(failure, ImportError) and "relative import" in str(failure):
        what = f"'{location}' uses a relative import, which a single file cannot"
        hint = "name it as a module of its package: pkg.mod:factory"
    else:
        what = f"'{location}' failed when it was imported"
        hint = "mend the file; --debug shows the whole traceback"
    return error(what, where=user_position(failure), why=user_traceback(failure), hint=hint)
