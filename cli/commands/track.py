"""A training run as its log tells it: follow it live, or judge and plot it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..configured import command_line
from ..interruption import forgive
from ..output import check_folder, deliver, verbosity_parameters, written_parameters
from ..progress import shown
from ..terminal import plain

if TYPE_CHECKING:
    from landscape.recorder.answer import TrackResult
    from landscape.recorder.log import Follower, Log

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 48  # of a line of bars
LAYERS = 12  # rows of a live table
RECENT = 2000  # records that a live view is of
COLOURS = {"critical": "bold red", "warning": "yellow", "notable": "cyan"}


def run(
    log: Path,
    output: Path | None,
    *,
    follow: bool | None,
    interval: float,
    as_json: bool,
    **more: Any,
) -> None:
    """Follow the log on a terminal until the run is over; then print what it says."""
    from landscape.recorder.answer import TrackResult
    from landscape.recorder.log import Follower
    from landscape.recorder.reading import track

    names = ["track", *(f"track-{name}" for name in TrackResult.picture_names)]
    written = [f"{name}.{suffix}" for name in names for suffix in ("png", "svg")]
    check_folder(output, ["track.json", *written], force=more["force"])
    follower = Follower(log)
    with shown(quiet=more["quiet"] or as_json):
        follower.read()
    live = sys.stdout.isatty() and not as_json and output is None
    if (live if follow is None else follow) and not _over(follower):
        _follow(follower, interval)
    result = track(follower.log())
    result = replace(result, provenance={"command": command_line(), **result.provenance})
    deliver(result, output=output, as_json=as_json, strict=False)


def _over(follower: Follower) -> bool:
    return bool(follower.records) and follower.records[-1]["kind"] == "end"


def _follow(follower: Follower, interval: float) -> None:
    """Show the run again and again, until it says that it is over or the user has seen enough."""
    from rich.console import Console
    from rich.live import Live

    from landscape.recorder.reading import track

    console = Console(highlight=False, stderr=not sys.stdout.isatty())
    with Live(console=console, auto_refresh=False, transient=True) as screen:
        try:
            while not _over(follower):
                if follower.read() or follower.header is None:
                    text = _screen(track(_recent(follower.log()))) if follower.header else "…"
                    screen.update(text, refresh=True)
                if not _over(follower):
                    time.sleep(interval)
        except KeyboardInterrupt:
            forgive()


def _recent(log: Log) -> Log:
    """Return a log without steps that are long past, so that a look costs the same all along."""
    first = len(log.records) - RECENT
    kept = (
        one
        for place, one in enumerate(log.records)
        if place >= first or one["kind"] not in ("step", "detail")
    )
    return replace(log, records=tuple(kept))


def _screen(result: TrackResult) -> Any:
    """Return what is shown while a run goes on."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from landscape.recorder.answers import series_of

    one = result.series_of
    lines = [Text(plain(result.summary()))]
    for name, values in (("loss", one.loss), ("gradient", one.gradient_norm_before)):
        lines.append(Text(f"{name:>9}  {bars(list(values))}"))
    for name, values in series_of(result.answers).items():
        told = " ".join(reversed(name.split("\n")))
        lines.append(Text(plain(f"{told:>9}  {bars(list(values[1]))} at step {values[0, -1]:.0f}")))
    table = Table(box=SIMPLE_HEAD)
    for column in ("tensor", "gradient", "weight", "step / weight", ""):
        table.add_column(column, justify="left" if column == "tensor" else "right", no_wrap=True)
    steep = sorted(result.layers, key=lambda layer: -layer.gradient_norm)[:LAYERS]
    for layer in steep:
        ratio = "" if layer.update_ratio is None else f"{layer.update_ratio:.3g}"
        state = "" if layer.state == "trains" else layer.state
        cells = (f"{layer.gradient_norm:.3g}", f"{layer.weight_norm:.3g}", ratio, state)
        table.add_row(*(Text(plain(cell, longest=60)) for cell in (layer.name, *cells)))
    told = [
        Text(plain(f"{finding.severity}: {finding.sentence}"), style=COLOURS[finding.severity])
        for finding in result.findings()
    ]
    end = Text("Ctrl-C ends the view, not the run", style="dim")
    return Group(*lines, table, *told, end)


def bars(values: list[float]) -> str:
    """Return the last numbers as bars; × where one is not finite."""
    recent = values[-WIDTH:]
    finite = [value for value in recent if abs(value) < float("inf")]
    if not finite:
        return "×" * len(recent)
    low, reach = min(finite), (max(finite) - min(finite)) or 1.0
    places = [
        BARS[int((value - low) / reach * (len(BARS) - 1))] if abs(value) < float("inf") else "×"
        for value in recent
    ]
    return f"{''.join(places)}  {recent[-1]:.4g}"


command = click.Command(
    "track",
    callback=run,
    help=__doc__,
    epilog="Example: landscape track run.jsonl -o run-figures",
    params=[
        click.Argument(["log"], type=click.Path(path_type=Path), metavar="LOG"),
        *written_parameters(),
        click.Option(
            ["--follow/--no-follow"],
            default=None,
            help="go on until the run is over; by default on a terminal, without -o and --json",
        ),
        click.Option(
            ["--interval"],
            type=click.FloatRange(min=0.05),
            default=1.0,
            show_default=True,
            help="seconds between two looks",
        ),
        *verbosity_parameters(),
    ],
)
