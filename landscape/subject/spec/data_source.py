"""What a data spec stands for, and what the built-in ones share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from landscape.errors import SpecError
from landscape.subject.spec.grammar import Spec


@dataclass(frozen=True, kw_only=True, eq=False)
class DataSource:
    """Data as a spec string named them, not read yet.

    Args:
        source: A DataLoader, a Dataset, a list of batches, one batch or another iterable.
        held_out: The same for the data that training has not seen; None when none are known.
        synthetic: Whether they are random numbers; the report says so.
        description: What they are, in a line.
        text: The spec string.
    """

    source: object
    held_out: object | None = None
    synthetic: bool = False
    description: str
    text: str


def in_batches(inputs: Tensor, targets: Tensor, batch_size: int) -> list[tuple[Tensor, Tensor]]:
    """Return views of (inputs, targets) in their order; the last batch may be smaller."""
    return list(zip(inputs.split(batch_size), targets.split(batch_size), strict=True))


def check_option(spec: Spec, key: str, value: object, *, valid: bool, expected: str) -> None:
    """Refuse the value of an option.

    Raises:
        SpecError: It is not valid.
    """
    if not valid:
        raise SpecError(
            f"{key} is {value!r}; expected {expected}",
            where=f"'{spec.text}'",
            why="the option takes no other value",
            hint=f"correct {key}=..., or leave it out if it has a default",
        )


def check_count(spec: Spec, key: str, value: object) -> None:
    """Refuse a count that is not a positive integer.

    Raises:
        SpecError: It is not one.
    """
    check_option(spec, key, value, valid=_is_count(value), expected="a positive integer")


def check_named(spec: Spec, *, named: bool, example: str) -> None:
    """Refuse a spec that lacks, or has, something between the colon and the options.

    Raises:
        SpecError: It has none and needs one, or has one and takes none.
    """
    if bool(spec.rest) != named:
        raise SpecError(
            f"{spec.scheme}: {'needs a name' if named else 'takes only key=value options'}",
            where=f"'{spec.text}'",
            why="between the colon and the first comma stands what is loaded"
            if named
            else "nothing is named there: everything is said by options",
            hint=f"write for example {example}",
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
