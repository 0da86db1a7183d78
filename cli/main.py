"""What kind of place in the loss landscape has training reached?

A checkpoint goes in, numbers with their doubt come out. Begin with `landscape demo`, or with
`landscape report CKPT --model nets.py:build --data nets.py:data`.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import click

from .catalogue import COMMANDS, load_command, summaries
from .failures import Failed, report_failure


class Commands(click.Group):
    """The commands, each imported only when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help text."""
        del ctx
        return [name for group in COMMANDS.values() for name in group]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, or None."""
        return load_command(cmd_name) if cmd_name in self.list_commands(ctx) else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments name; a wrong name shows the nearest one."""
        import difflib

        name = args[0] if args else ""
        if name not in self.list_commands(ctx) and not name.startswith("-"):
            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1, cutoff=0.5)
            hint = f"did you mean `landscape {near[0]}`?" if near else ""
            raise click.UsageError(f"there is no command {name!r}. {hint}".strip(), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by group, without importing them."""
        del ctx
        told = summaries()
        for title, names in COMMANDS.items():
            with formatter.section(title):
                formatter.write_dl([(name, told[name]) for name in names])


@click.group(cls=Commands, help=__doc__, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="landscape")
def landscape() -> None:  # noqa: D103 - the text is the module's
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, _terminate)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on busy cores, spinning threads starve
    try:
        code = landscape.main(
            arguments, prog_name="landscape", standalone_mode=False, obj=arguments
        )
    except Failed as failed:
        sys.exit(failed.code)
    except BaseException as error:
        sys.exit(report_failure(error, arguments))
    sys.exit(code if isinstance(code, int) else 0)


def _terminate(number: int, frame: object) -> NoReturn:
    del number, frame
    raise SystemExit(143)
