"""Every way a command can end badly: four lines on stderr, and an exit code."""

from __future__ import annotations

import difflib
import json
import traceback
from collections.abc import Sequence

import click

from landscape.errors import (
    LandscapeError,
    SettingError,
    failed_file,
    not_differentiable,
    out_of_memory,
)

from .interruption import code_of, told
from .terminal import plain

NOBODY_READS = 141  # of SIGPIPE: `landscape ... | head` is no failed gate


class Failed(Exception):
    """A command that has said what is wrong, and ends with a code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def report_failure(error: BaseException, arguments: Sequence[str]) -> int:
    """Print what went wrong and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if (stopped := code_of(error)) is not None:
        click.echo(plain(told(error)), err=True)
        return stopped
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, BrokenPipeError):  # rich has silenced stdout
            return NOBODY_READS
        return error.code if isinstance(error.code, int) else 1
    if "--debug" in arguments:
        traceback.print_exception(error)
    known = _known(error, arguments)
    if "--json" in arguments:
        click.echo(json.dumps(known.to_json()))
    show_error(known)
    return known.exit


def show_error(error: LandscapeError) -> None:
    """Print an error in its lines: what, where, why, next."""
    lines = [f"error[{error.code}]: {plain(error.what)}"]
    for title, text in (("where", error.where), ("why", error.why), ("next", error.hint)):
        if text:
            lines.append(f"  {title}: {plain(text, lines=title != 'where')}")
    click.echo("\n".join(lines), err=True)


def _known(error: BaseException, arguments: Sequence[str]) -> LandscapeError:
    if isinstance(error, LandscapeError):
        return error
    if isinstance(error, click.ClickException):
        return usage_error(error)
    for understood in (out_of_memory, not_differentiable, failed_file):
        if (known := understood(error)) is not None:
            return known
    return LandscapeError(
        f"{type(error).__name__}: {error}",
        where=" ".join(["landscape", *arguments[:1]]),
        why="this is a defect in landscape, or in code of the model",
        hint="run it again with --debug and send the traceback",
    )


def usage_error(error: click.ClickException) -> SettingError:
    """Return what to tell of an option that cannot be used as it was given."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "landscape"
    parameter = getattr(error, "param", None)
    hint = f"see `{command} --help`"
    if isinstance(parameter, click.Option):
        given = isinstance(parameter.default, int | float | str)
        default = f" (default {parameter.default})" if given else ""
        hint = f"{parameter.opts[-1]}{default}: {parameter.help}; {hint}"
    if isinstance(parameter, click.Parameter) and (near := _nearest(parameter, error.message)):
        hint = f"did you mean {near}? See `{command} --help`"
    if isinstance(error, click.NoSuchOption) and (told := _setting_elsewhere(error, command)):
        return told
    what, why = _said(error)
    return SettingError(what, where=command, why=why, hint=hint)


def _nearest(parameter: click.Parameter, refused: str) -> str:
    """Return the choice that a misspelt one is nearest to; empty where there is none."""
    said, quoted, _ = refused.partition(" is not ")
    if not quoted or not isinstance(parameter.type, click.Choice):
        return ""
    choices = [str(one) for one in parameter.type.choices]
    return next(iter(difflib.get_close_matches(said.strip("'\"").lower(), choices, 1)), "")


def _said(error: click.ClickException) -> tuple[str, str]:
    """Return what is wrong with the arguments, and why, from the words of click."""
    told = error.format_message()
    if isinstance(error, click.MissingParameter):
        return told, "the command cannot begin without it"
    if isinstance(error, click.BadParameter) and told.endswith(f": {error.message}"):
        return told.removesuffix(f": {error.message}"), error.message
    return told, "the command line is read as its help tells"


def _setting_elsewhere(error: click.NoSuchOption, command: str) -> SettingError | None:
    """Return what to tell of an option that is a setting of diagnostics; None where it is none."""
    said = error.option_name
    key = said.lstrip("-").replace("-", "_")
    homes = _diagnostics_with(key)
    tables = [f"[{name.replace('-', '.')}] {key} = …" for name, asked in homes.items() if asked]
    if command == "landscape report" and tables:
        return SettingError(
            f"{said} is a setting of a section, not of the report",
            where=command,
            why="a report asks several diagnostics, each with settings of its own",
            hint=f"write it into landscape.toml: {' or '.join(tables)}; see `landscape config`",
        )
    if not homes:
        return None
    named = " and ".join(f"`landscape {name.replace('-', ' ')}`" for name in homes)
    return SettingError(
        f"No such option {said!r}: it is a setting of {named}",
        where=command,
        why=f"`{command}` asks something else",
        hint=f"ask that command, or see `{command} --help`",
    )


def _diagnostics_with(key: str) -> dict[str, bool]:
    """Return the diagnostics that have a setting, and whether a report asks them."""
    from .catalogue import diagnostic_names
    from .source import Sketch

    sketches = {name: Sketch.of(name) for name in diagnostic_names()}
    return {name: one.surveyed for name, one in sketches.items() if key in one.settings}
