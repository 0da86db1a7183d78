"""Which is better: two answers or reports by their intervals, or networks side by side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import click

from landscape.errors import SettingError

from ..documents import guarded, made_by, read_document
from ..failures import Failed
from ..output import check_folder, deliver, output_parameters, verbose
from ..terminal import plain

WORSE_EXIT, UNDECIDED_EXIT = 1, 7
LEAST = 2  # documents or networks
FILES = ("compare.json", "compare.png", "compare.svg")


class Ranked(Protocol):
    """An answer that knows whether anything is worse."""

    @property
    def worse(self) -> bool:
        """Return whether a number is."""
        ...

    @property
    def unknown(self) -> str:
        """Return why it is undecided whether a number is; empty where it is decided."""
        ...


def run(given: tuple[str, ...], **values: Any) -> None:
    """Compare documents, or the networks of checkpoints."""
    documents = [_is_document(Path(one)) for one in given if not one.startswith("-")]
    if not documents:
        raise SettingError(
            "nothing to compare was given",
            where="landscape compare",
            why="documents or checkpoints are compared, two or more of them",
            hint=_HINT,
        )
    fail_on, anyway = values.pop("fail_on"), values.pop("anyway")
    if documents[0]:
        if len(given) != LEAST or not all(documents):
            raise SettingError(
                "documents are compared two at a time",
                where="landscape compare",
                why=f"got {' '.join(given)}",
                hint=_HINT,
            )
        found = _documents(Path(given[0]), Path(given[1]), anyway=anyway, **values)
    else:
        found = _networks([*given, *_said(values)])
    if fail_on == "worse" and found is not None:
        _gate(found)


def _gate(found: Ranked) -> None:
    """End as `--fail-on worse` asks: nothing worse is no pass where it could not be seen.

    Raises:
        Failed: A number is worse, or it is undecided whether one is.
    """
    if found.worse:
        raise Failed(WORSE_EXIT)
    if found.unknown:
        click.echo(plain(f"--fail-on worse: undecided: {found.unknown}"), err=True)
        raise Failed(UNDECIDED_EXIT)


_HINT = "landscape compare A.json B.json, or landscape compare A.pt B.pt --model S --data S"


def _is_document(path: Path) -> bool:
    """Return whether a file holds JSON: by its name, else by its content; a pipe, always."""
    if path.suffix == ".json" or path.is_fifo():
        return True
    try:
        with path.open("rb") as file:
            return file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")
    except OSError:
        return False


def _documents(
    a: Path,
    b: Path,
    *,
    anyway: bool,
    output: Path | None,
    force: bool,
    as_json: bool,
    strict: bool,
    **_: Any,
) -> Ranked:
    from landscape.comparison.documents import compare_documents

    check_folder(output, FILES, force=force)
    names = (str(a), str(b))
    documents = {path: read_document(path) for path in (a, b)}
    with guarded(documents):
        found = compare_documents(
            documents[a].content, documents[b].content, names=names, anyway=anyway
        )
    by = made_by({path: one.sha256 for path, one in documents.items()})
    found = replace(found, provenance={**by, **found.provenance})
    deliver(found, output=output, as_json=as_json, strict=strict)
    return found


def _networks(arguments: list[str]) -> Ranked | None:
    """Ask what `landscape solutions` asks, and return the answer; None after a dry run."""
    from ..diagnostic import command_of

    inner = command_of("solutions")
    context = inner.make_context("compare", arguments, parent=click.get_current_context().parent)
    with context:
        if len(given := context.params["checkpoints"]) < LEAST:
            raise SettingError(
                "two or more networks are compared",
                where="landscape compare",
                why=f"got {' '.join(map(str, given))}",
                hint=_HINT,
            )
        return inner.invoke(context)


def _said(values: dict[str, Any]) -> list[str]:
    """Return the options that were parsed here, as they were said."""
    said = ["--verbose"] if verbose() else []
    for one in output_parameters():
        value = values.get(str(one.name))
        if value and isinstance(one, click.Option):
            said += [one.opts[0]] if one.is_flag else [one.opts[0], str(value)]
    return said


command = click.Command(
    "compare",
    callback=run,
    context_settings={"ignore_unknown_options": True},
    help=f"""{__doc__}

    Two JSON documents of one diagnostic, or two reports: every number of B is better, worse or
    different, when the interval of the difference leaves out zero, else indistinguishable; and
    undecided, where a side did not converge or is a bound that does not decide. What was not made
    alike is refused, setting by setting.

    Checkpoints, with --model and --data: quality, sharpness, distances, disagreement and barriers
    in one table, and each beside the first; all options of `landscape solutions`.""",
    epilog="Example: landscape compare before/report.json after/report.json --fail-on worse",
    params=[
        click.Argument(
            ["given"], nargs=-1, type=click.UNPROCESSED, metavar="A.json B.json | CKPT..."
        ),
        click.Option(["--anyway"], is_flag=True, help="also when they were not made alike"),
        click.Option(
            ["--fail-on"],
            type=click.Choice(["worse"]),
            help="exit code 1 when a number is worse; 7 when that is undecided, as where a section "
            "or number is missing in one of the two, or did not converge",
        ),
        *output_parameters(),
    ],
)
