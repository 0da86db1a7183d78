"""The settings of a diagnostic as options of its command, and the budget of a command."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

import click
from click.shell_completion import CompletionItem

from landscape.budget import Budget

if TYPE_CHECKING:
    from landscape.answer import Cost
    from landscape.base import Diagnostic

    from .source import Sketch

LONGEST = 70  # characters of choices that help shows in one word
PRESETS = ("quick", "standard", "full")
FILES = ("certificate", "export", "kernel_file", "mask", "override", "verify", "witness")
SPECS = ("precondition", "train")  # words, or what names a file


class Setting(click.Option):
    """An option that is a setting of one diagnostic, whatever others mean by its name."""


def setting_options(diagnostic: type[Diagnostic[Any]]) -> Iterator[click.Option]:
    """Yield one option per setting, with the type, default and help that the setting has."""
    defaults = {f.name: f.default for f in dataclasses.fields(diagnostic)}
    for key, (kind, option) in diagnostic.options().items():
        flag = kind is bool
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        long = len("|".join(choices)) > LONGEST
        bounds = f" ({option.bounds})" if option.bounds else ""
        yield _setting(
            key,
            flag=flag,
            default=defaults[key],
            type=None if flag else _click_type(kind),
            show_default=not flag,
            help=option.help + bounds + (f"; one of {', '.join(choices)}" if long else ""),
            metavar=key.upper() if long else None,
        )


def sketched_options(sketch: Sketch) -> Iterator[click.Option]:
    """Yield the options of the settings as the source tells of them."""
    for key, one in sketch.settings.items():
        kind = click.Choice(one.choices) if one.choices else None
        yield _setting(key, flag=one.flag, default=one.default, type=kind, help=one.help)


def preset_option(*, default: str = "standard") -> click.Option:
    """Return the option that takes settings together."""
    return click.Option(
        ["--preset"],
        type=click.Choice(PRESETS),
        default=default,
        show_default=True,
        help="how much to spend: settings that are not given; see `landscape list presets`",
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


def path_or(*words: str) -> Any:
    """Return what completes an option that is a path, a spec, or one of some words."""

    def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> Any:
        del ctx, param
        said = [CompletionItem(word) for word in words if word.startswith(incomplete)]
        return said or [CompletionItem(incomplete, type="file")]

    return complete


class _BudgetType(click.ParamType):
    name = "budget"

    def convert(self, value: Any, param: Any, ctx: Any) -> Budget:
        return value if isinstance(value, Budget) else Budget.parse(value)


def _setting(key: str, *, flag: bool, default: Any, **more: Any) -> click.Option:
    written = key.replace("_", "-")
    if flag and default is True:
        written = f"{written}/--no-{written}"
    if key in FILES or key in SPECS:
        more |= {"metavar": "FILE" if key in FILES else "SPEC", "shell_complete": path_or()}
    kind = click.Option if key == "seed" else Setting
    return kind([f"--{written}"], is_flag=flag, default=default, **more)


def _click_type(kind: Any) -> Any:
    if isinstance(kind, UnionType):  # with None, the default
        (kind,) = (one for one in get_args(kind) if one is not NoneType)
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind
