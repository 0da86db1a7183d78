"""Every way a command can end badly: up to four lines on stderr, and an exit code."""

from __future__ import annotations

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

from .terminal import plain

INTERRUPTED = 130
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
    if isinstance(error, SystemExit):
        if isinstance(error.__context__, BrokenPipeError):  # rich has silenced stdout
            return NOBODY_READS
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, KeyboardInterrupt | click.Abort):
        click.echo("interrupted; what was finished is kept: run the command again", err=True)
        return INTERRUPTED
    if "--debug" in arguments:
        traceback.print_exception(error)
    known = _known(error, arguments)
    if "--json" in arguments:
        click.echo(json.dumps(known.to_json()))
    show_error(known)
    return known.exit


def show_error(error: LandscapeError) -> None:
    """Print an error in its lines: what, where, why, next; those that say nothing left out."""
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
        if (told := understood(error)) is not None:
            return told
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
        default = f", default {parameter.default}" if given else ""
        hint = f"{parameter.opts[-1]}: {parameter.help}{default}; see `{command} --help`"
    return SettingError(error.format_message(), where=command, hint=hint)
