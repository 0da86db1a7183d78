"""The user's training function from a spec string."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from landscape.errors import InputError, LandscapeError, out_of_memory
from landscape.subject.identity import function_digest
from landscape.subject.spec.attribute import importable_around, load_attribute
from landscape.subject.spec.grammar import parse_spec
from landscape.subject.spec.source import source_of
from landscape.subject.traces import user_position, user_traceback

GIVEN = ("seed", "start", "save", "mask")


@dataclass(frozen=True, kw_only=True)
class TrainFunction:
    """A function that trains a network in place: `train(model, *, seed, start, save, mask)`.

    Of the arguments after the first it takes those that it wants:

    - `seed`: of the order of the data and all else that is random;
    - `start`: the step at which it begins, so that a schedule goes on from there;
    - `save`: a function, to be called with the number of each step before it is taken;
    - `mask`: boolean tensors by parameter name; pruned weights stay zero without it.

    It returns nothing, or a number, which is told.

    Args:
        function: Of the user.
        options: Further arguments, from the spec.
        text: What it is called.
        digest: What tells it from others: its file, or its code.
    """

    function: Callable[..., Any]
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    text: str
    digest: str

    @property
    def takes(self) -> frozenset[str]:
        """Return which of the arguments that are given it wants."""
        parameters = inspect.signature(self.function).parameters
        if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
            return frozenset(GIVEN)
        return frozenset(name for name in GIVEN if name in parameters)

    def __call__(self, model: nn.Module, **given: Any) -> float | None:
        """Train a network; return the number that the function returned.

        Raises:
            InputError: The function raised, returned something else, or changed no weight.
        """
        before = [one.detach().clone() for one in model.parameters()]
        wanted = {name: value for name, value in given.items() if name in self.takes}
        try:
            with importable_around(self.function):
                told = self.function(model, **self.options, **wanted)
        except LandscapeError:
            raise
        except Exception as failure:
            if out_of_memory(failure) is not None:
                raise
            raise InputError(
                f"the training function raised {type(failure).__name__}: {failure}",
                where=user_position(failure) or self.text,
                why=user_traceback(failure),
                hint="mend the function; --debug shows the whole traceback",
            ) from failure
        try:
            number = None if told is None else float(told)
        except (TypeError, ValueError, RuntimeError):
            raise InputError(
                f"the training function returned {type(told).__name__}",
                where=self.text,
                why="a number, such as an accuracy, or nothing was expected",
                hint="train the network in place, and return nothing",
            ) from None
        if all(map(torch.equal, before, model.parameters())):
            raise InputError(
                "the training function changed no weight",
                where=self.text,
                why="it was given the network to train in place",
                hint="train the network that is given, not a copy of it",
            )
        return number


def load_train(text: str) -> TrainFunction:
    """Return the training function that a spec string names.

    Args:
        text: `path/file.py:train` or `pkg.mod:train`, with options.

    Raises:
        SpecError: The string does not follow the grammar.
        InputError: There is no such function, or it cannot be called so.
    """
    spec = parse_spec(text, schemes=(), what="train")
    function = load_attribute(spec, error=InputError)
    source = source_of(function)
    if not callable(function) or isinstance(function, nn.Module):
        raise _unfit(spec.text, f"it is a {type(function).__name__}, not a function")
    _check(function, spec.options, spec.text)
    digest = source.sha256 if source is not None else function_digest(function)
    return TrainFunction(
        function=function, options=spec.options, text=spec.text, digest=f"{digest} {spec.text}"
    )


def of_function(function: Callable[..., Any]) -> TrainFunction:
    """Return a function of the calling program as a training function."""
    name = str(getattr(function, "__qualname__", function))
    _check(function, {}, name)
    return TrainFunction(function=function, text=name, digest=function_digest(function))


def _check(function: Callable[..., Any], options: Mapping[str, object], text: str) -> None:
    """Refuse a function that cannot be called with a network and what it takes besides."""
    parameters = inspect.signature(function).parameters.values()
    given = {**dict.fromkeys(GIVEN), **options}
    if options.keys() & set(GIVEN):
        raise _unfit(text, f"{', '.join(options.keys() & set(GIVEN))} cannot be options")
    names = {one.name for one in parameters}
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    wanted = given if open_ended else {k: v for k, v in given.items() if k in names or k in options}
    try:
        inspect.signature(function).bind(None, **wanted)
    except TypeError as failure:
        raise _unfit(text, str(failure)) from None


def _unfit(text: str, why: str) -> InputError:
    return InputError(
        f"'{text}' is no training function",
        where=text,
        why=why,
        hint="write def train(model, *, seed): ..., which may also take start, save and mask",
    )
