"""The settings of a diagnostic as options of its command, and the budget of a command."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click

from landscape.budget import Budget

if TYPE_CHECKING:
    from landscape.answer import Cost
    from landscape.base import Diagnostic


LONGEST = 70  # characters of choices that help shows in one word


def setting_options(diagnostic: type[Diagnostic[Any]]) -> Iterator[click.Option]:
    """Yield one option per setting, with the type, default and help that the setting has."""
    defaults = {f.name: f.default for f in dataclasses.fields(diagnostic)}
    for key, (kind, option) in diagnostic.options().items():
        bounds = f" ({option.bounds})" if option.bounds else ""
        flag = kind is bool
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        long = len("|".join(choices)) > LONGEST
        yield click.Option(
            [f"--{key.replace('_', '-')}"],
            type=None if flag else _click_type(kind),
            is_flag=flag,
            default=defaults[key],
            show_default=not flag,
            metavar=key.upper() if long else None,
            help=option.help + bounds + (f"; one of {', '.join(choices)}" if long else ""),
        )


def budget_option() -> click.Option:
    """Return the option that bounds time and operator products."""
    return click.Option(
        ["--budget"],
        type=_BudgetType(),
        metavar="2m|500hvp",
        help="spend at most this time (s, m, h), or so many products (hvp), or the first of both: "
        "2m,500hvp; what is cut short says so. Under a time, numbers vary from run to run",
    )


def tell_spent(budget: Budget, cost: Cost) -> None:
    """Say what was spent of a budget that did not last."""
    spent = f"{cost.products:,} products in {cost.seconds:.3g} s"
    click.echo(f"note: the budget of {budget} was spent: {spent}", err=True)


class _BudgetType(click.ParamType):
    name = "budget"

    def convert(self, value: Any, param: Any, ctx: Any) -> Budget:
        return value if isinstance(value, Budget) else Budget.parse(value)


def _click_type(kind: Any) -> Any:
    if isinstance(kind, UnionType):  # with None, the default
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind
