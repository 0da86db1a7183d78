"""Commands known by their names, each imported only when it is asked for."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
from click.shell_completion import CompletionItem


class Load(Protocol):
    """Returns the command of a name."""

    def __call__(self, name: str, /, *, sketched: bool) -> click.Command:
        """Return it; sketched: good for completion alone, and at hand at once."""
        ...


class Commands(click.Group):
    """A group whose help imports none of its commands.

    Args:
        arguments: As `click.Group` takes them.
        sections: Names of the commands under the titles of the help text.
        load: Returns the command of a name.
        told: Returns the first line of help of every command.
        more: As `click.Group` takes them.
    """

    def __init__(
        self,
        *arguments: Any,
        sections: Mapping[str, tuple[str, ...]],
        load: Load,
        told: Callable[[], Mapping[str, str]],
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self._sections, self._load, self._told = sections, load, told

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help text."""
        del ctx
        return [name for names in self._sections.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by name, or None."""
        if cmd_name not in self.list_commands(ctx):
            return None
        return self._load(cmd_name, sketched=ctx.resilient_parsing)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the names that begin so, without importing what they name; or options."""
        told = self._told()
        names = [
            CompletionItem(name, help=told[name])
            for name in self.list_commands(ctx)
            if name.startswith(incomplete)
        ]
        return names or click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command that the arguments name; a wrong name shows the nearest one."""
        name, known = args[0] if args else "", self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean `{ctx.command_path} {near[0]}`?" if near else ""
            raise click.UsageError(f"there is no command {name!r}. {hint}".strip(), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands by section, without importing them."""
        del ctx
        told = self._told()
        for title, names in self._sections.items():
            with formatter.section(title):
                formatter.write_dl([(name, told[name]) for name in names])
