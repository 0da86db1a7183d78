"""Names in configuration files: those that no command knows are refused, with the nearest."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from landscape.errors import SettingError

from .catalogue import command_names
from .configuration import Configuration, Entry, Table, place_of

SAID_ONLY = {
    "allow_download", "config", "debug", "dry_run", "force", "json", "trust_pickle", "verbose"
}  # fmt: skip
_WHY = "keys are the long names of options; common ones stand above all tables"


def check_names(
    found: tuple[Configuration, ...], tables: Mapping[Table, set[str]], common: set[str]
) -> None:
    """Refuse tables and keys that no command knows.

    Args:
        found: The files.
        tables: The keys that each command takes, by its table.
        common: The keys that may stand above all tables.

    Raises:
        SettingError: One is unknown; the nearest name is shown.
    """
    for one in (entry for each in found for entry in each.entries):
        if one.table and one.table not in tables:
            raise _unknown_table(one, tables)
        if one.key and one.key not in (tables[one.table] if one.table else common):
            raise _unknown_key(one, tables, common)


def _unknown_table(entry: Entry, tables: Mapping[Table, set[str]]) -> SettingError:
    names = [".".join(table) for table in tables]
    if len(entry.table) == 1 and "-" not in entry.table[0] and entry.table[0] in command_names():
        return SettingError(
            f"`landscape {entry.table[0]}` takes no settings from files",
            where=place_of(entry.file, entry.table_line),
            why=f"tables are {', '.join(sorted(names))}",
            hint="say its options on the command line, and leave the table out",
        )
    near = difflib.get_close_matches(".".join(entry.table), names, 1, cutoff=0.5)
    return SettingError(
        f"there is no table [{'.'.join(entry.table)}]",
        where=place_of(entry.file, entry.table_line),
        why="tables are named for the commands that they configure",
        hint=f"did you mean [{near[0]}]?" if near else f"tables are {', '.join(sorted(names))}",
    )


def _unknown_key(entry: Entry, tables: Mapping[Table, set[str]], common: set[str]) -> SettingError:
    known = tables[entry.table] if entry.table else common
    near = difflib.get_close_matches(entry.key, sorted(known), 1, cutoff=0.6)
    homes = [f"[{'.'.join(table)}]" for table, keys in tables.items() if entry.key in keys]
    what = "setting that all commands share"
    if entry.table:
        what = f"setting of `{' '.join(['landscape', *entry.table])}`"
    if entry.key in SAID_ONLY:
        what, hint = "setting for files", f"say it as --{entry.key.replace('_', '-')}"
    elif homes and not entry.table:
        hint = f"write it below {' or '.join(homes)}"
    else:
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"
    return SettingError(f"{entry.key!r} is no {what}", where=entry.where, why=_WHY, hint=hint)
