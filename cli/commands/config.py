"""What configuration files say here, and every setting with the place that it came from."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ..catalogue import GROUPS, load_command
from ..configuration import Configuration, configurations
from ..configured import COMMON, Configured, Settled, tables_of_commands
from ..documents import enveloped
from ..naming import check_names
from ..options import path_or
from ..tables import print_table
from ..terminal import plain

NONE = "no configuration file holds here: landscape.toml, or [tool.landscape] in pyproject.toml"


def run(command: tuple[str, ...], config: Path | None, *, resolved: bool, as_json: bool) -> None:
    """Print the files, or what they and everything else come to."""
    began = time.perf_counter()
    as_json = as_json or "--json" in command  # wherever it stands, it asks how this is printed
    command = tuple(word for word in command if word != "--json")
    if resolved or command:
        commands = [_named(command)] if command else [(one, []) for one in _configurable()]
        told = {name: _settled(name, list(rest), config) for name, rest in commands}
        _show(told, began if as_json else None)
        return
    found = configurations(config)
    check_names(found, tables_of_commands(), COMMON)
    if found:
        for name in _configurable():
            _settled(name, [], config)  # so that a value that its command refuses is refused here
    _list(found, began if as_json else None)


def _named(words: tuple[str, ...]) -> tuple[str, list[str]]:
    """Return the name of the command that begins the words, and what follows it."""
    count = 2 if words[0] in GROUPS else 1
    name = "-".join(words[:count])
    if name not in _configurable():
        known = ", ".join(one.replace("-", " ") for one in _configurable())
        raise click.UsageError(f"{' '.join(words[:count])!r} is not one of {known}.")
    return name, list(words[count:])


def _configurable() -> list[str]:
    return ["-".join(table) for table in tables_of_commands()]


def _settled(name: str, arguments: list[str], config: Path | None) -> Settled:
    """Return the settings of a command; its checkpoints need not be named.

    Raises:
        SettingError: The command would refuse one.
    """
    command = copy.copy(load_command(name))
    assert isinstance(command, Configured)
    command.params = [copy.copy(one) for one in command.params]
    for one in command.params:
        one.required = False
    given = ["--config", str(config), *arguments] if config is not None else arguments
    words = " ".join(name.split("-"))
    with command.make_context(words, given, parent=click.get_current_context().find_root()) as ctx:
        with command.blaming(ctx):
            _ask(name, ctx.params)
        return command.settled(ctx)


def _ask(name: str, values: Mapping[str, Any]) -> None:
    """Make the question of a command, which checks its settings; of some there is none."""
    from landscape.coordinates.check import Coordcheck
    from landscape.diagnostics import DIAGNOSTICS

    kinds: dict[str, Any] = {**{one.name: one for one in DIAGNOSTICS}, "coordcheck": Coordcheck}
    if (kind := kinds.get(name)) is not None:
        kind(**{one.name: values[one.name] for one in dataclasses.fields(kind)})


def _show(told: dict[str, Settled], began: float | None) -> None:
    """Print settings; as a document, where it is said when that began."""
    if began is not None:
        commands: dict[str, Any] = {
            name.replace("-", " "): {
                row.key: {"value": row.value, "from": row.origin} for row in one.rows
            }
            for name, one in told.items()
        }
        files = next(iter(told.values())).files
        answer, said = {"files": _files(files), "commands": commands}, "What every setting is."
        document = enveloped("config", 2, answer, said, began=began)
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    for name, one in told.items():
        rows = [row.cells for row in one.rows]
        print_table(("setting", "value", "from"), rows, title=name.replace("-", " "))


def _list(found: tuple[Configuration, ...], began: float | None) -> None:
    """Print files; as a document, where it is said when that began."""
    if began is not None:
        said = "The files that hold here." if found else NONE
        document = enveloped("config", 2, {"files": _files(found)}, said, began=began)
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    for one in found:
        rows = [
            (".".join(entry.table), entry.key, plain(entry.value), str(entry.line or ""))
            for entry in one.entries
        ]
        print_table(("table", "key", "value", "line"), rows, title=plain(one.name))
    if not found:
        click.echo(NONE)


def _files(found: tuple[Configuration, ...]) -> list[dict[str, str]]:
    return [{"file": one.name, "sha256": one.sha256} for one in found]


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Return the commands that begin so, without torch; after the name of a group, its members."""
    del param
    said: tuple[str, ...] = ctx.params.get("command") or ()
    rest = [table[len(said) :] for table in tables_of_commands() if table[: len(said)] == said]
    return sorted({one[0] for one in rest if one and one[0].startswith(incomplete)})


command = click.Command(
    "config",
    callback=run,
    help=f"{__doc__}\n\nCOMMAND may have options of its own: they are resolved with the rest.",
    epilog="Example: landscape config --resolved spectrum --top 5",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    params=[
        click.Argument(
            ["command"],
            nargs=-1,
            type=click.UNPROCESSED,
            metavar="[COMMAND]...",
            shell_complete=_complete,
        ),
        click.Option(
            ["--resolved"], is_flag=True, help="every setting, with its value and where it is from"
        ),
        click.Option(
            ["--config"],
            type=click.Path(path_type=Path),
            metavar="FILE",
            shell_complete=path_or(),
            help="a file over those that are found",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
