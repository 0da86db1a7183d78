"""Commands whose options may stand in configuration files, and where each value came from."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from landscape.errors import SettingError

from .configuration import Configuration, Entry, Table, configurations
from .naming import SAID_ONLY, check_names
from .options import Setting, path_or
from .output import verbose
from .terminal import plain
from .values import converted, placed_setting

KEPT = "landscape.settled"  # in the context of a command
COMMON = {
    "batch_size", "budget", "data", "device", "dtype", "ema", "held_out", "learning_rate", "loss",
    "mask", "max_samples", "mode", "model", "params", "preset", "product", "quiet", "seed",
    "state_key", "strict",
}  # fmt: skip
PRINTING = {"config", "debug", "dry_run", "force", "json", "output", "quiet", "strict", "verbose"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A setting of a command: its value, and where it came from."""

    key: str
    value: Any
    origin: str

    @property
    def cells(self) -> tuple[str, str, str]:
        """Return the row for a table."""
        shown = "-" if self.value is None else json.dumps(self.value, ensure_ascii=False)
        return self.key, plain(shown), plain(self.origin)


@dataclass(frozen=True, kw_only=True)
class Settled:
    """Every setting of a command that is about to run.

    Args:
        rows: The settings, in the order of the help.
        files: The configuration files that hold here, the weakest first.
        tables: What the files say in every table, the strongest where several do.
    """

    rows: tuple[Row, ...]
    files: tuple[Configuration, ...]
    tables: Mapping[Table, Mapping[str, Entry]]

    @property
    def asked(self) -> tuple[Row, ...]:
        """Return the settings that say what is asked, and not how the answer comes out."""
        return tuple(row for row in self.rows if row.key not in PRINTING)

    def sections(self) -> dict[str, dict[str, Any]]:
        """Return what the files set in each diagnostic, by its name: for the parts of a report."""
        from landscape.diagnostics import DIAGNOSTICS

        return {
            kind.name: {
                key: placed_setting(key, entry)
                for key, entry in self.tables.get(tuple(kind.name.split("-")), {}).items()
                if key in kind.options() and key != "seed"
            }
            for kind in DIAGNOSTICS
        }

    def provenance(self) -> dict[str, Any]:
        """Return the command line, its settings, and where those come from that are no defaults."""
        told = self.asked
        return {
            "command": command_line(),
            "configuration": {row.key: row.value for row in told},
            "configured_by": {row.key: row.origin for row in told if row.origin != "default"},
            "configuration_files": {one.name: one.sha256 for one in self.files},
        }


def command_line() -> str:
    """Return the command that runs, as it was said."""
    arguments: list[str] = click.get_current_context().find_root().obj or []
    return shlex.join(["landscape", *arguments])


def settled() -> Settled:
    """Return the settings of the command that runs."""
    return click.get_current_context().meta[KEPT]


def key_of(parameter: click.Parameter) -> str:
    """Return what an option is called in a file: its longest name, with _ for -."""
    return max(parameter.opts, key=len).lstrip("-").replace("-", "_")


def keys_of(command: click.Command) -> dict[str, click.Option]:
    """Return the options of a command that a file may give."""
    options = (one for one in command.params if isinstance(one, click.Option))
    return {key: one for one in options if (key := key_of(one)) not in SAID_ONLY}


class Configured(click.Command):
    """A command that takes what is not said on the command line from configuration files.

    Args:
        arguments: As `click.Command` takes them.
        table: Its table in the files; by default its name.
        presets: Settings taken together under a name, weaker than the files.
        more: As `click.Command` takes them.
    """

    def __init__(
        self,
        *arguments: Any,
        table: Table | None = None,
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(*arguments, **more)
        self.table: Table = table or (str(self.name),)
        self._presets = presets or {}
        self.params.append(_config_option())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the files before the options, of which they are the defaults."""
        if not ctx.resilient_parsing:
            said, _, _ = self.make_parser(ctx).parse_args(list(args))
            helping = self.get_help_option(ctx)
            if helping is None or helping.name not in said:
                given = said.get("config")
                self._configure(ctx, said, Path(given) if isinstance(given, str) else None)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a setting that it refuses is told where it was written."""
        now = ctx.meta[KEPT] = self.settled(ctx)
        if verbose() and not ctx.params.get("quiet"):
            tell(now)
        with self.blaming(ctx):
            return super().invoke(ctx)

    @contextmanager
    def blaming(self, ctx: click.Context) -> Iterator[None]:
        """Tell a setting that is refused where it was written: in a file, or as an option."""
        try:
            yield
        except SettingError as error:
            raise self._blamed(error, ctx, self.settled(ctx)) from error

    def settled(self, ctx: click.Context) -> Settled:
        """Return the settings in a context whose arguments have been parsed."""
        files, tables, origins = ctx.meta[Configured.__name__]
        rows = []
        for one in self.params:
            if isinstance(one, click.Option) and one.name in ctx.params:
                source = ctx.get_parameter_source(one.name)
                origin = {
                    ParameterSource.COMMANDLINE: "command line",
                    ParameterSource.DEFAULT_MAP: origins.get(one.name, "default"),
                }.get(source, "default")  # type: ignore[arg-type]
                rows.append(Row(key=key_of(one), value=_json(ctx.params[one.name]), origin=origin))
        return Settled(rows=tuple(rows), files=files, tables=tables)

    def _blamed(self, error: SettingError, ctx: click.Context, now: Settled) -> SettingError:
        """Return an error of `Spectrum.top` with the place where a file or an option says so."""
        owner, _, key = error.where.partition(".")
        for table in (self.table, *now.tables):
            if "".join(part.title() for part in table) == owner:
                entry = now.tables.get(table, {}).get(key) or now.tables.get((), {}).get(key)
                said = ctx.get_parameter_source(key) is ParameterSource.COMMANDLINE
                where = f"--{key.replace('_', '-')}" if said else entry.where if entry else ""
                if where:
                    told = error.why
                    return SettingError(error.what, where=where, why=told, hint=error.hint)
        return error

    def _configure(self, ctx: click.Context, said: Mapping[str, Any], path: Path | None) -> None:
        files = configurations(path)
        if files:
            check_names(files, tables_of_commands(), COMMON)
        tables: dict[Table, dict[str, Entry]] = {}
        given: dict[str, Entry] = {}
        options = keys_of(self)
        for entry in (entry for one in files for entry in one.entries if entry.key):
            tables.setdefault(entry.table, {})[entry.key] = entry
            own = entry.table == self.table or (
                not entry.table and not isinstance(options.get(entry.key), Setting)
            )
            if own and entry.key in options:
                given[entry.key] = entry
        values = {options[k].name: converted(options[k], one, ctx) for k, one in given.items()}
        origins = {options[key].name: entry.place for key, entry in given.items()}
        chosen = said.get("preset", values.get("preset"))
        preset = self._presets.get(chosen, {}) if isinstance(chosen, str) else {}
        ctx.default_map = {**preset, **values}
        origins = {**dict.fromkeys(preset, f"preset {chosen}"), **origins}
        ctx.meta[Configured.__name__] = files, tables, origins


def tables_of_commands() -> dict[Table, set[str]]:
    """Return the keys that each command takes, by its table; no torch is imported."""
    from .catalogue import command_names, load_command

    loaded = {name: load_command(name, sketched=True) for name in command_names()}
    return {
        tuple(name.split("-")): {*keys_of(command)}
        for name, command in loaded.items()
        if isinstance(command, Configured)
    }


def tell(now: Settled) -> None:
    """Print on stderr which files hold, and every setting that is no default."""
    for one in now.files:
        click.echo(f"configuration: {plain(one.name)}", err=True)
    for row in now.rows:
        if row.origin != "default":
            click.echo("setting: {} = {} ({})".format(*row.cells), err=True)


def _config_option() -> click.Option:
    return click.Option(
        ["--config"],
        expose_value=False,
        shell_complete=path_or(),
        metavar="FILE",
        help="settings from this file, over those of landscape.toml and pyproject.toml",
    )


def _json(value: Any) -> Any:
    """Return the value of an option as JSON has it."""
    if isinstance(value, tuple | list):
        return [_json(one) for one in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
