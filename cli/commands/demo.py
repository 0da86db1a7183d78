"""Train small networks on real handwritten digits and write their reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..configured import Configured
from ..output import check_folder, tell, verbosity_parameters
from ..progress import shown

if TYPE_CHECKING:
    from landscape.subject.files.checkpoint import Checkpoint

SEEDS = (0, 1)
NETWORKS = ("cnn", "mlp")
FILES = ("report.html", "report.json", "report.md")


def run(output: Path, *, force: bool, quiet: bool, debug: bool) -> None:
    """Train, save checkpoints, report, and print where everything is."""
    del debug
    import torch

    from landscape.reports.folder import recover
    from landscape.survey import report
    from landscape.training.demo import train_run, write_factories

    torch.set_num_threads(1)  # networks this small are fastest on one
    if output.is_dir():
        recover(output)
    check_folder(output, FILES, force=force)
    output.mkdir(parents=True, exist_ok=True)
    factories = write_factories(output)
    written = []
    with shown(quiet=quiet):
        for network in NETWORKS:
            first, *others = (
                train_run(factories, network, seed, output / "runs" / f"{network}-{seed}")
                for seed in SEEDS
            )
            last = [one.checkpoints[-1] for one in (first, *others)]
            folder = output if network == NETWORKS[0] else output / network
            found = report(
                *(_named(path) for path in (first.checkpoints[0], *last)),
                model=f"{factories}:{network}",
                data=f"{factories}:data",
                train="plain",
                preset="quick",
                folder=output / "cache",
            )
            found.save(folder, force=True)
            written.append((folder, found.summary(), (first.checkpoints[0], *last)))
    for folder, summary, _ in written:
        tell(summary)
        click.echo(f"report: {folder / 'report.html'}\n")
    files = " ".join(map(str, written[0][2]))
    click.echo("The same by hand, for networks of your own:")
    click.echo(
        f"  landscape report {files} --model {factories}:{NETWORKS[0]} --data {factories}:data "
        "--train plain --preset quick"
    )


def _named(path: Path) -> Checkpoint:
    """Return a checkpoint under a name that tells its run too."""
    from landscape.subject.files.checkpoint import Checkpoint

    return replace(Checkpoint.read(path), label=f"{path.parent.name}/{path.name}")


command = Configured(
    "demo",
    callback=run,
    help=__doc__,
    epilog="Example: landscape demo -o landscape-demo",
    params=[
        click.Option(
            ["-o", "--output"],
            type=click.Path(path_type=Path),
            default=Path("landscape-demo"),
            show_default=True,
            metavar="DIR",
            help="where runs and reports go",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        *verbosity_parameters(),
    ],
)
