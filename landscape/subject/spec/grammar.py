r"""Spec strings, the one grammar for models, data, losses and training functions.

    scheme:rest[,key=value...]    torchvision:resnet18,num_classes=10
    pkg.mod:factory[,...]         zoo.nets:build,width=64
    path/file.py:factory[,...]    C:\runs\net.py:build

A scheme is a known word of two letters or more, so a drive letter begins a path. The rest may be
empty (`random:shape=3x32x32`). A value is a Python literal (`1e-3`, `True`, `(3, 32)`, `'a,b'`) and
otherwise a plain string (`3x32x32`, `test`); nothing is evaluated. A comma inside brackets, or
inside quotes that open a value, belongs to the value.
"""

from __future__ import annotations

import ast
import difflib
import warnings
from collections.abc import Collection
from dataclasses import dataclass

from landscape.errors import SpecError
from landscape.subject.spec.schemes import example_of, supported

GRAMMAR = "scheme:rest[,key=value...], pkg.mod:factory or path/file.py:factory"

_TYPO = 0.8  # similarity from which an unknown word counts as a misspelt scheme


@dataclass(frozen=True, kw_only=True)
class Spec:
    """A spec string, taken apart.

    Args:
        scheme: A known scheme, or `python` or `file` for a factory.
        rest: What follows the scheme; for a factory the whole `location:attribute`.
        options: The values by key, in the order given.
        text: The string itself.
    """

    scheme: str
    rest: str
    options: dict[str, object]
    text: str


def parse_spec(text: str, *, schemes: Collection[str], what: str) -> Spec:
    """Take a spec string apart.

    Args:
        text: The string as the user wrote it.
        schemes: The words that may stand before the colon.
        what: What is specified, for the message: `model`, `data`, `loss`.

    Raises:
        SpecError: The string does not follow the grammar.
    """
    text = text.strip()
    prefix, _, body = text.partition(":")
    try:
        if prefix in schemes:
            rest, options = _parse_body(body)
            return Spec(scheme=prefix, rest=rest, options=options, text=text)
        if _nearest(prefix, schemes, _TYPO):
            raise ValueError(f"'{prefix}' is not a scheme; a module of that name needs its path")
        rest, options = _parse_body(text)
        return Spec(scheme=_factory_scheme(rest), rest=rest, options=options, text=text)
    except ValueError as fault:
        raise _malformed(text, str(fault), schemes=schemes, what=what) from None


def _malformed(text: str, fault: str, *, schemes: Collection[str], what: str) -> SpecError:
    schemes = supported(what, schemes)
    nearest = _nearest(text.partition(":")[0], schemes)
    known = f"the nearest scheme is '{nearest}'" if nearest else f"schemes: {', '.join(schemes)}"
    return SpecError(
        f"the {what} spec does not parse",
        where=f"'{text}'",
        why=f"{fault}; expected {GRAMMAR}",
        hint=f"write for example {example_of(what, nearest)}" + (f" ({known})" if schemes else ""),
    )


def _nearest(word: str, schemes: Collection[str], cutoff: float = 0.6) -> str | None:
    return next(iter(difflib.get_close_matches(word.lower(), schemes, 1, cutoff)), None)


def _parse_body(body: str) -> tuple[str, dict[str, object]]:
    """Return the rest and the options; a first part that is itself `key=value` leaves no rest."""
    first, *others = _split(body)
    key, equals, _ = first.partition("=")
    if equals and key.strip().isidentifier():
        return "", _parse_options([first, *others])
    if not first.strip():
        raise ValueError("it names nothing")
    return first.strip(), _parse_options(others)


def _parse_options(parts: list[str]) -> dict[str, object]:
    options: dict[str, object] = {}
    for part in parts:
        key, value = _parse_option(part)
        if key in options:
            raise ValueError(f"'{key}' is given twice")
        options[key] = value
    return options


def _split(body: str) -> list[str]:
    """Split at the commas that stand outside brackets and outside quoted values."""
    parts, start, depth, quote = [], 0, 0, ""
    for position, letter in enumerate(body):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and (depth or body[:position].endswith("=")):
            quote = letter
        elif letter in "([{":
            depth += 1
        elif letter in ")]}":
            depth -= 1
        elif letter == "," and not depth:
            parts.append(body[start:position])
            start = position + 1
    if quote or depth:
        raise ValueError("a bracket or a quote has no partner")
    return [*parts, body[start:]]


def _parse_option(part: str) -> tuple[str, object]:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    if not part.strip():
        raise ValueError("a part between commas is empty")
    if not equals:
        raise ValueError(f"'{key}' is not key=value")
    if not key.isidentifier():
        raise ValueError(f"'{key}' is not a name")
    if not value:
        raise ValueError(f"'{key}' has no value (an empty string is '')")
    return key, _parse_value(value)


def _parse_value(value: str) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # unknown escapes, as in 'C:\data', keep their backslash
            return ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return value


def _factory_scheme(head: str) -> str:
    """Return `file` or `python` for `location:attribute`."""
    location, colon, attribute = head.rpartition(":")
    if not colon:
        raise ValueError("no colon parts a scheme, module or file from what it names")
    if not _is_dotted_name(attribute):
        raise ValueError(
            f"'{location}' is not a scheme and '{attribute}' not the name of a factory"
        )
    if location.endswith(".py"):
        return "file"
    if not _is_dotted_name(location):
        raise ValueError(f"'{location}' is neither a module nor a path that ends in .py")
    return "python"


def _is_dotted_name(text: str) -> bool:
    return all(part.isidentifier() for part in text.split("."))
