"""What kind of place in the loss landscape has training reached?

A checkpoint goes in, numbers with their doubt come out. Begin with `landscape demo`, or with
`landscape report CKPT --model nets.py:build --data nets.py:data`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import (
    AbstractContextManager,
    ExitStack,
    contextmanager,
    nullcontext,
    redirect_stderr,
    redirect_stdout,
)
from pathlib import Path
from typing import Any, NoReturn

import click

from .catalogue import COMMANDS, load_command, summaries
from .failures import NOBODY_READS, Failed, report_failure
from .group import Commands
from .interruption import heed, listen
from .output import processes, speaks

STOPPED = 128  # exit codes from here on are those of signals


class Landscape(Commands):
    """All commands; under `torchrun`, those whose work processes can share."""

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments name."""
        found = super().resolve_command(ctx, args)
        if processes() > 1 and found[0] not in _sharing():
            raise click.UsageError(f"{found[0]} shares no work: run it without torchrun", ctx)
        return found

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; when nobody reads what it prints, end with the code of that."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # click would end with 1, the code of a failed gate
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(NOBODY_READS) from None


@click.group(
    cls=Landscape,
    sections=COMMANDS,
    load=load_command,
    told=summaries,
    help=__doc__,
    epilog="Example: landscape report run/final.pt --model nets.py:build --data nets.py:data",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="landscape")
def landscape() -> None:  # noqa: D103 - the text is the module's
    pass


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    listen()
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on busy cores, spinning threads starve
    sys.exit(_run_as_rank(arguments) if processes() > 1 else _run(arguments, nullcontext()))


def _run(arguments: list[str], around: AbstractContextManager[None]) -> int:
    try:
        with around:
            code = landscape.main(
                arguments, prog_name="landscape", standalone_mode=False, obj=arguments
            )
            heed()
    except Failed as failed:
        return failed.code
    except BaseException as error:
        return report_failure(error, arguments)
    return code if isinstance(code, int) else 0


def _run_as_rank(arguments: list[str]) -> int:
    """Run a command as one of the processes of `torchrun`, of which rank 0 alone speaks."""
    from landscape.subject.ranks import Ranks

    ranks = Ranks.current()
    with _silent(but_errors="--debug" in arguments) if not speaks() else nullcontext():
        code = _run(arguments, ranks.together("the command"))
    if code < STOPPED:
        ranks.leave()  # once rank 0 has spoken: torchrun stops everything when one process fails
    return code


def _sharing() -> set[str]:
    """Return the commands whose work processes can share."""
    return {"report", *COMMANDS["Diagnostics"]}


@contextmanager
def _silent(*, but_errors: bool) -> Iterator[None]:
    with ExitStack() as stack:
        nowhere = stack.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
        stack.enter_context(redirect_stdout(nowhere))
        if not but_errors:
            stack.enter_context(redirect_stderr(nowhere))
        yield
