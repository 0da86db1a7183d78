"""The settings of a diagnostic, as options of its command."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import click

from landscape.base import Diagnostic


def setting_options(diagnostic: type[Diagnostic[Any]]) -> Iterator[click.Option]:
    """Yield one option per setting, with the type, default and help that the setting has."""
    defaults = {f.name: f.default for f in dataclasses.fields(diagnostic)}
    for key, (kind, option) in diagnostic.options().items():
        bounds = f" ({option.bounds})" if option.bounds else ""
        flag = kind is bool
        yield click.Option(
            [f"--{key.replace('_', '-')}"],
            type=None if flag else _click_type(kind),
            is_flag=flag,
            default=defaults[key],
            show_default=not flag,
            help=option.help + bounds,
        )


def _click_type(kind: Any) -> Any:
    return click.Choice(get_args(kind)) if get_origin(kind) is Literal else kind
