"""Networks that differ in their width alone, made by a factory that takes the width."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import nn

from landscape.errors import ModelError
from landscape.subject.attach import attach_model
from landscape.subject.spec.attribute import load_attribute
from landscape.subject.spec.factory import call_factory
from landscape.subject.spec.grammar import parse_spec
from landscape.subject.spec.models import MODEL_SCHEMES, load_model
from landscape.subject.undisturbed import seeded

SHOWN = 3  # names in a message


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks by width.

    Args:
        make: Returns a new network of a width; it draws from the global generators.
        text: What the factory is called.
    """

    make: Callable[[int], nn.Module]
    text: str

    def at(self, width: int, seed: int) -> nn.Module:
        """Return a new network; seeds of the same number are independent between widths."""
        with seeded(drawn_from(seed, width)):
            return self.make(width)


def drawn_from(seed: int, width: int) -> int:
    """Return the seed of all that is random about one network."""
    return int(np.random.SeedSequence([seed, width]).generate_state(1)[0])


def family_of(model: str | Callable[..., nn.Module], argument: str) -> Family:
    """Return the networks that a factory makes.

    Args:
        model: A spec string such as `nets.py:build,depth=3`, or a function.
        argument: The argument of it that is the width.

    Raises:
        SpecError: The string does not follow the grammar.
        ModelError: There is no such factory, or it takes no such argument.
    """
    if not isinstance(model, str):
        return _of_function(model, {}, name_of(model), argument)
    spec = parse_spec(model, schemes=MODEL_SCHEMES, what="model")
    if spec.scheme in ("python", "file"):
        function = load_attribute(spec, error=ModelError)
        return _of_function(function, spec.options, spec.text, argument)
    _refuse_given(spec.options, spec.text, argument)
    return Family(make=lambda width: load_model(f"{model},{argument}={width}"), text=spec.text)


def name_of(function: object) -> str:
    """Return what to call a function of the calling program."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__qualname__", function))


def check_family(family: Family, widths: Sequence[int], seed: int) -> tuple[int, ...]:
    """Return the number of parameters at every width; refuse networks that cannot be compared.

    Raises:
        ModelError: Their modules differ, nothing grows with the width, or the weights do not
            depend on the seed.
    """
    counts, first = list[int](), list[str]()
    for width in widths:
        network = family.at(width, seed)
        names = [name for name, _ in network.named_modules()]
        first = first or names
        refuse_other_modules(first, names, widths[0], width)
        counts.append(sum(one.numel() for one in network.parameters()))
    if len(set(counts)) < len(counts):
        raise ModelError(
            f"the number of parameters does not grow with the width: {', '.join(map(str, counts))}",
            where=family.text,
            why=f"at widths {', '.join(map(str, widths))}",
            hint="let the layers of the factory's network depend on its width",
        )
    _refuse_one_start(family, widths[0], seed)
    return tuple(counts)


def refuse_other_modules(
    first: Sequence[str], names: Sequence[str], reference: int, width: int
) -> None:
    """Refuse networks whose modules differ between widths.

    Raises:
        ModelError: They do.
    """
    gone = [name for name in first if name not in names]
    new = [name for name in names if name not in first]
    if gone or new:
        faults = [f"it lacks {_listed(gone)}"] if gone else []
        faults += [f"it has {_listed(new)} besides"] if new else []
        raise ModelError(
            f"the network of width {width} has other modules than that of width {reference}",
            where=f"width {width}",
            why=" and ".join(faults),
            hint="let the width change sizes only: depth and names stay the same",
        )


def _of_function(
    function: object, options: Mapping[str, object], text: str, argument: str
) -> Family:
    _refuse_given(options, text, argument)
    if not callable(function) or isinstance(function, nn.Module) or not _takes(function, argument):
        raise ModelError(
            f"'{text}' takes no {argument}",
            where=text,
            why="the networks to compare differ in that argument of their factory",
            hint=f"write def build({argument}): ..., or name the argument that is the width: "
            "--argument hidden",
        )

    def make(width: int) -> nn.Module:
        given = {**options, argument: width}
        made = call_factory(function, given, text=text, error=ModelError)
        return attach_model(made)[0]  # type: ignore[arg-type]

    return Family(make=make, text=text)


def _takes(function: Callable[..., object], argument: str) -> bool:
    try:
        parameters = inspect.signature(function).parameters
    except (ValueError, TypeError):  # some callables written in C have none
        return True
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    return open_ended or argument in parameters


def _refuse_given(options: Mapping[str, object], text: str, argument: str) -> None:
    if argument in options:
        raise ModelError(
            f"'{text}' fixes {argument}",
            where="--model",
            why="the command gives it, one width after the other",
            hint=f"leave {argument}={options[argument]} out",
        )


def _refuse_one_start(family: Family, width: int, seed: int) -> None:
    """Refuse a factory whose networks begin alike whatever the seed, or are one and the same."""
    one, other = family.at(width, seed), family.at(width, seed + 1)
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    if one is other or all(torch.equal(a, b) for a, b in pairs):
        raise ModelError(
            "the factory gives the same weights whatever the seed",
            where=family.text,
            why="the interval of a slope comes from networks that are drawn independently",
            hint="return a new network at every call, and do not fix a seed in the factory",
        )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
