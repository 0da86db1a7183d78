"""Train small networks on real handwritten digits and write their reports."""

from __future__ import annotations

from pathlib import Path

import click

from ..output import check_folder, verbosity_parameters
from ..progress import shown
from ..terminal import plain

SEEDS = (0, 1)


def run(output: Path, *, force: bool, quiet: bool, debug: bool) -> None:
    """Train, save checkpoints, report, and print where everything is."""
    del debug
    import torch

    from landscape.reports.report import Report
    from landscape.survey import report
    from landscape.training.demo import Run, train_run, write_factories

    torch.set_num_threads(1)  # networks this small are fastest on one
    check_folder(output, ("report.html", "report.json", "report.md"), force=force)
    output.mkdir(parents=True, exist_ok=True)
    factories = write_factories(output)

    def train(network: str, seed: int) -> Run:
        return train_run(factories, network, seed, output / "runs" / f"{network}-{seed}")

    def study(run: Run) -> Report:
        first, last = run.checkpoints[0], run.checkpoints[-1]
        model, data = f"{factories}:{run.network}", f"{factories}:data"
        folder = output / "cache"
        return report(first, last, model=model, data=data, preset="quick", folder=folder)

    with shown(quiet=quiet):
        runs = {(n, s): train(n, s) for n in ("cnn", "mlp") for s in SEEDS}
        reports = {output: study(runs["cnn", 0]), output / "mlp": study(runs["mlp", 0])}
    for folder, one in reports.items():
        one.save(folder, force=True)
        click.echo(plain(one.summary(), lines=True))
        click.echo(f"report: {folder / 'report.html'}\n")
    again = f"{output}/runs/cnn-0/epoch00.pt {output}/runs/cnn-0/epoch12.pt"
    click.echo("The same by hand, for networks of your own:")
    click.echo(f"  landscape report {again} --model {factories}:cnn --data {factories}:data")


command = click.Command(
    "demo",
    callback=run,
    help=__doc__,
    epilog="Example: landscape demo -o landscape-demo",
    params=[
        click.Option(
            ["-o", "--output"],
            type=Path,
            default=Path("landscape-demo"),
            show_default=True,
            metavar="DIR",
            help="where runs and reports go",
        ),
        click.Option(["--force"], is_flag=True, help="write over what is there"),
        *verbosity_parameters(),
    ],
)
