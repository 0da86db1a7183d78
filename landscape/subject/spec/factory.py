"""The user's factories: called with the options of a spec, and blamed precisely when they fail."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import cast

from landscape.errors import InputError, LandscapeError
from landscape.subject.spec.attribute import importable_around, load_attribute
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.source import record_source, source_of
from landscape.subject.traces import user_position, user_traceback


def build(spec: Spec, *, error: type[InputError]) -> object:
    """Load what a `python` or `file` spec names and call it with the options of the spec."""
    attribute = load_attribute(spec, error=error)
    return call_factory(attribute, spec.options, text=spec.text, error=error)


def call_factory(
    function: object, options: Mapping[str, object], *, text: str, error: type[InputError]
) -> object:
    """Call a factory with options; what is not a factory is returned as it is.

    Args:
        function: A function or class; or a ready network, list or loader.
        options: The keyword arguments.
        text: The spec, for the messages.
        error: The class to raise.

    Raises:
        InputError: Of the class `error`: options are missing or unknown, or the factory raises.
    """
    if not _is_factory(function):
        _refuse_options(function, options, text, error)
        return function
    factory = cast(Callable[..., object], function)
    _check_options(factory, options, text, error)
    try:
        with importable_around(factory):
            made = factory(**options)
    except LandscapeError:
        raise
    except (Exception, SystemExit) as failure:
        raise error(
            f"'{text}' failed when it was called",
            where=user_position(failure),
            why=user_traceback(failure),
            hint="mend the factory or its options; --debug shows the whole traceback",
        ) from failure
    record_source(made, source_of(function))
    return made


def require(name: str, *, install: str, error: type[InputError]) -> ModuleType:
    """Import an optional package.

    Args:
        name: The module, such as `torchvision.models`.
        install: The command that installs its package.
        error: The class to raise.

    Raises:
        InputError: Of the class `error`: it is not installed, or it cannot be imported.
    """
    package = name.partition(".")[0]
    try:
        importlib.import_module(package)
        return importlib.import_module(name)
    except Exception as failure:  # a broken binary package may raise anything
        absent = isinstance(failure, ModuleNotFoundError) and failure.name == package
        raise error(
            f"{package} is not installed" if absent else f"{package} cannot be imported",
            where=f"import {name}",
            why=str(failure),
            hint=install if absent else f"reinstall it: {install}",
        ) from failure


def _is_factory(function: object) -> bool:
    """Return whether to call it: a network is callable too, and known by its `forward`."""
    return callable(function) and not hasattr(type(function), "forward")


def _refuse_options(
    ready: object, options: Mapping[str, object], text: str, error: type[InputError]
) -> None:
    if options:
        raise error(
            f"'{text}' is a ready {type(ready).__name__} and takes no options",
            where=f"'{text}'",
            why=f"got {', '.join(options)}",
            hint="leave the options out, or name a function that makes it",
        )


def _check_options(
    factory: Callable[..., object],
    options: Mapping[str, object],
    text: str,
    error: type[InputError],
) -> None:
    try:
        signature = inspect.signature(factory)
    except (ValueError, TypeError):  # some callables written in C have none
        return
    parameters = signature.parameters.values()
    single = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    named = {p.name for p in single if p.kind is not p.POSITIONAL_ONLY}
    required = [p.name for p in single if p.default is p.empty]
    missing = [name for name in required if name not in named.intersection(options)]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    unknown = [] if open_ended else [key for key in options if key not in named]
    if missing or unknown:
        faults = ["needs " + ", ".join(missing)] if missing else []
        faults += ["takes no " + ", ".join(unknown)] if unknown else []
        raise error(
            f"'{text}' {' and '.join(faults)}",
            where=_shown(factory, signature),
            why="every argument without a default must be given, and no others can be",
            hint=f"add {missing[0]}=VALUE to it" if missing else "leave it out, or correct it",
        )


def _shown(factory: Callable[..., object], signature: inspect.Signature) -> str:
    """Return the name and the signature without its annotations."""
    named = factory.func if isinstance(factory, partial) else factory
    bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    plain = signature.replace(parameters=bare, return_annotation=signature.empty)
    return f"{getattr(named, '__name__', type(named).__name__)}{plain}"
