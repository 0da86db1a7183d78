"""Values of configuration files, read as the options would read them."""

from __future__ import annotations

from typing import Any

import click
from click.types import FloatParamType, IntParamType, StringParamType

from landscape.errors import LandscapeError, SettingError

from .configuration import Entry, placed
from .failures import usage_error
from .options import FILES, SPECS


def converted(option: click.Option, entry: Entry, ctx: click.Context) -> Any:
    """Return the value of an entry as its option would read it; refusals name the file."""
    try:
        if option.multiple:
            values = entry.value if isinstance(entry.value, list) else [entry.value]
            return tuple(_read(option, one, entry, ctx) for one in values)
        return _read(option, entry.value, entry, ctx)
    except click.ClickException as refused:
        error = usage_error(refused)
        raise SettingError(
            error.what, where=entry.where, why=error.why, hint=error.hint
        ) from refused
    except LandscapeError as error:
        told = error.why or f"{entry.key} is a setting of {ctx.command_path}"
        raise SettingError(error.what, where=entry.where, why=told, hint=error.hint) from error


def placed_setting(key: str, entry: Entry) -> Any:
    """Return a value for a part of a report, paths as seen from the working directory."""
    value = entry.value
    if isinstance(value, list):
        value = ",".join(map(str, value))
    if isinstance(value, str) and key in (*FILES, *SPECS):
        return placed(value, entry.file.parent, spec=key in SPECS)
    return value


def _read(option: click.Option, value: Any, entry: Entry, ctx: click.Context) -> Any:
    kind = option.type
    if option.is_flag:
        return value if isinstance(value, bool) else _refuse(option, value, "true or false", ctx)
    number = isinstance(kind, IntParamType | FloatParamType)
    if (number and not isinstance(value, int | float)) or isinstance(value, bool):
        wanted = "a valid integer" if isinstance(kind, IntParamType) else "a valid float"
        return _refuse(option, value, wanted if number else "text", ctx)
    if isinstance(value, list) and value and not number:
        return _read(option, ",".join(map(str, value)), entry, ctx)
    text = _is_text(option)
    if not isinstance(value, str if text else str | int | float):
        return _refuse(option, value, "text" if text else "text or a number", ctx)
    if isinstance(value, str):
        value = _placed_text(option, value, entry)
    return option.type_cast_value(ctx, value if isinstance(value, str) else str(value))


def _refuse(option: click.Option, value: Any, wanted: str, ctx: click.Context) -> Any:
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    raise click.BadParameter(f"{shown} is not {wanted}.", ctx=ctx, param=option)


def _is_text(option: click.Option) -> bool:
    return isinstance(option.type, StringParamType | click.Path)


def _placed_text(option: click.Option, value: str, entry: Entry) -> str:
    place = entry.file.parent
    if isinstance(option.type, click.Path) or option.metavar in ("FILE", "DIR"):
        return placed(value, place, spec=False)
    return placed(value, place, spec=True) if _is_text(option) else value
