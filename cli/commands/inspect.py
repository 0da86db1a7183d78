"""What a checkpoint file holds: format, tensors, sizes, hashes. Nothing in it is run."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..documents import enveloped
from ..tables import print_table
from ..terminal import plain

if TYPE_CHECKING:
    from landscape.subject.files.inspection import Inspection


def run(checkpoint: Path, *, as_json: bool) -> None:
    """Print what the file holds."""
    from landscape.subject.files.inspection import inspect_file

    began = time.perf_counter()
    found = inspect_file(checkpoint)
    if as_json:
        said = "The file was read; nothing in it was run."
        files = [{"label": Path(found.path).resolve().name, "sha256": found.sha256}]
        document = enveloped("inspect", 1, found.to_json(), said, began=began, checkpoints=files)
        click.echo(json.dumps(document, indent=1, allow_nan=False))
        return
    click.echo(f"{plain(found.path)}: {found.producer}, {found.container}, {found.bytes:,} bytes")
    for name, value in _facts(found):
        click.echo(f"  {name}: {plain(value)}")
    rows = tuple((t.name, "×".join(map(str, t.shape)) or "scalar", t.dtype) for t in found.tensors)
    print_table(("tensor", "shape", "dtype"), rows)


def _facts(found: Inspection) -> list[tuple[str, str]]:
    facts = [
        ("numbers", f"{found.parameters:,} in {len(found.tensors)} tensors"),
        ("dtypes", ", ".join(f"{dtype} ×{count}" for dtype, count in found.dtypes.items())),
        ("sha256", found.sha256 or "-"),
        ("optimizer", "its state is beside the weights" if found.optimizer else "none"),
    ]
    if found.epoch is not None or found.step is not None:
        facts.append(("training", f"epoch {found.epoch}, step {found.step}"))
    if found.unsafe_globals:
        facts.append(("would run", ", ".join(found.unsafe_globals)))
    facts += [(str(name), str(value)) for name, value in found.metadata.items()]
    return [*facts, *(("note", note) for note in found.notes)]


command = click.Command(
    "inspect",
    callback=run,
    help=__doc__,
    epilog="Example: landscape inspect model.safetensors",
    params=[
        click.Argument(["checkpoint"], type=click.Path(path_type=Path), metavar="CKPT"),
        click.Option(["--json", "as_json"], is_flag=True, help="print one JSON document"),
        click.Option(["--debug"], is_flag=True, expose_value=False, help="show tracebacks"),
    ],
)
