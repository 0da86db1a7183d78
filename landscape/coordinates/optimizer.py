"""The optimizer of a coordinate check: one by name, or the user's own function."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from landscape.coordinates.family import name_of
from landscape.errors import InputError, LandscapeError, SettingError
from landscape.subject.spec.attribute import importable_around, load_attribute
from landscape.subject.spec.grammar import parse_spec
from landscape.subject.traces import user_position, user_traceback

BUILT_IN: dict[str, Callable[..., Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
LEARNING_RATE = 1e-2  # of those by name
GIVEN = ("learning_rate", "width")


@dataclass(frozen=True, kw_only=True)
class OptimizerFactory:
    """A function that returns the optimizer of a network: `optimizer(model, *, ...)`.

    Of the arguments after the first it takes those that it wants: `learning_rate`, `width`. The
    learning rates of single parameters are its own: they are part of a parametrisation.

    Args:
        function: Of the user, or PyTorch's own class.
        text: What it is called.
        learning_rate: None: the function's own.
        options: Further arguments, from the spec.
        by_name: Whether it is one of PyTorch's, for all trainable parameters alike.
    """

    function: Callable[..., Any]
    text: str
    learning_rate: float | None
    options: Mapping[str, object] = field(default_factory=dict[str, object])
    by_name: bool = False

    def __call__(self, model: nn.Module, width: int) -> Optimizer:
        """Return the optimizer of a network.

        Raises:
            InputError: The function raised, or returned no optimizer of the network's parameters.
        """
        trainable = [one for one in model.parameters() if one.requires_grad]
        if self.by_name:
            return self.function(trainable, lr=self.learning_rate)
        made = self._called(model, width)
        if not isinstance(made, Optimizer):
            raise InputError(
                f"'{self.text}' returned {type(made).__name__}; expected torch.optim.Optimizer",
                where=self.text,
                why="it is asked for steps, as PyTorch's optimizers take them",
                hint="return for example torch.optim.Adam(groups)",
            )
        held = {id(one) for group in made.param_groups for one in group["params"]}
        if not held & {id(one) for one in trainable}:
            raise InputError(
                f"the optimizer of '{self.text}' holds no parameter of the network",
                where=self.text,
                why="its steps would not move the network",
                hint="make it of the parameters of the network that is given",
            )
        return made

    def _called(self, model: nn.Module, width: int) -> object:
        given = {"learning_rate": self.learning_rate, "width": width}
        wanted = {k: v for k, v in given.items() if v is not None and k in _names(self.function)}
        try:
            with importable_around(self.function):
                return self.function(model, **self.options, **wanted)
        except LandscapeError:
            raise
        except Exception as failure:
            raise InputError(
                f"the optimizer function raised {type(failure).__name__}: {failure}",
                where=user_position(failure) or self.text,
                why=user_traceback(failure),
                hint="mend the function; --debug shows the whole traceback",
            ) from failure


def optimizer_of(
    optimizer: str | Callable[..., Any], learning_rate: float | None
) -> OptimizerFactory:
    """Return the optimizer that is meant.

    Args:
        optimizer: `sgd`, `adam`, `adamw`, a spec string such as `nets.py:optimizer`, or a function.
        learning_rate: None: 0.01, and of a function its own.

    Raises:
        SettingError: There is no such name, or the function takes no learning rate.
        SpecError: The string does not follow the grammar.
        InputError: There is no such function, or it cannot be called so.
    """
    if isinstance(optimizer, str) and optimizer in BUILT_IN:
        rate = LEARNING_RATE if learning_rate is None else learning_rate
        return OptimizerFactory(
            function=BUILT_IN[optimizer],
            text=f"{optimizer}, learning rate {rate:g}",
            learning_rate=rate,
            by_name=True,
        )
    if not isinstance(optimizer, str):
        return _checked(optimizer, {}, name_of(optimizer), learning_rate)
    if ":" not in optimizer:
        near = difflib.get_close_matches(optimizer.lower(), BUILT_IN, n=1)
        raise SettingError(
            f"there is no optimizer {optimizer!r}",
            where="--optimizer",
            why=f"known are {', '.join(BUILT_IN)}, or file.py:function for one of your own",
            hint=f"did you mean {near[0]}?" if near else "the default is adam",
        )
    spec = parse_spec(optimizer, schemes=(), what="train")
    function = load_attribute(spec, error=InputError)
    return _checked(function, spec.options, spec.text, learning_rate)


def _checked(
    function: object, options: Mapping[str, object], text: str, learning_rate: float | None
) -> OptimizerFactory:
    """Refuse a function that cannot be called with a network and what it takes besides."""
    if not callable(function) or isinstance(function, nn.Module):
        raise _unfit(text, f"it is a {type(function).__name__}, not a function")
    names = _names(function)
    if learning_rate is not None and "learning_rate" not in names:
        raise SettingError(
            f"'{text}' takes no learning rate",
            where="--learning-rate",
            why="it sets its own",
            hint="leave --learning-rate out, or let the function take learning_rate",
        )
    given = {"learning_rate": learning_rate, "width": 0}
    wanted = {k: v for k, v in given.items() if k in names and v is not None}
    try:
        inspect.signature(function).bind(None, **options, **wanted)
    except TypeError as failure:
        raise _unfit(text, str(failure)) from None
    return OptimizerFactory(
        function=function, text=text, learning_rate=learning_rate, options=options
    )


def _names(function: Callable[..., Any]) -> frozenset[str]:
    """Return which of the arguments that are given a function wants."""
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return frozenset(GIVEN)
    return frozenset(name for name in GIVEN if name in parameters)


def _unfit(text: str, why: str) -> InputError:
    return InputError(
        f"'{text}' is no optimizer function",
        where=text,
        why=why,
        hint="write def optimizer(model): ..., which may also take learning_rate and width",
    )
