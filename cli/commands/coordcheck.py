"""The coordinate check of a parametrisation (µP): does anything scale with the width?

Networks of several widths take a few steps alike; for every module, the slopes of ln E|x(t)| and
ln E|x(t) - x(0)| in ln(width) are told with their intervals, and those of what a layer's own weight
has changed. Exit code 0: all are zero within the tolerance; 1: one is not; 7: undecided.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from landscape.coordinates.settings import (
    LEAST,
    LEAST_WIDTHS,
    SAMPLES,
    SEEDS,
    STEPS,
    TOLERANCE,
    WIDTHS,
    checked_widths,
)
from landscape.errors import SettingError

from ..attach import allow_download_option, tell_notes
from ..configured import Configured, settled
from ..output import check_folder, deliver, output_parameters, tell_cost, verbose
from ..progress import shown

FILES = (
    "coordcheck.json",
    *(f"coordcheck{name}.{kind}" for name in ("", "-curves") for kind in ("png", "svg")),
)


class _Widths(click.ParamType):
    """Numbers with commas between them."""

    name = "widths"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        parts = value if isinstance(value, tuple | list) else str(value).split(",")
        try:
            widths = [int(part) for part in parts]
        except (TypeError, ValueError):
            self.fail(f"{value!r} is no list of whole numbers such as 64,128,256", param, ctx)
        try:
            return checked_widths(widths)
        except SettingError as error:
            self.fail(f"{error.why}.", param, ctx)


def run(**values: Any) -> None:
    """Check, print the exponents, and end with the code of the verdict."""
    from landscape.coordinates.check import Coordcheck

    output: Path | None = values.pop("output")
    force, quiet = values.pop("force"), values.pop("quiet")
    as_json, strict, _ = values.pop("as_json"), values.pop("strict"), values.pop("debug")
    check_folder(output, FILES, force=force)
    model, data, loss = (values.pop(name) for name in ("model", "data", "loss"))
    allowed = values.pop("allow_download")
    question = Coordcheck(**values)
    with shown(quiet=quiet):
        result = question.run(model, data, loss, allow_download=allowed)
    result = replace(result, provenance={**result.provenance, **settled().provenance()})
    if not quiet:
        tell_notes(result.provenance)
    if verbose():
        tell_cost(result)
    deliver(result, output=output, as_json=as_json, strict=strict)


command = Configured(
    "coordcheck",
    callback=run,
    help=__doc__,
    epilog="Example: landscape coordcheck --model nets.py:build --data nets.py:data "
    "--widths 64,128,256,512 --optimizer nets.py:optimizer",
    params=[
        click.Option(
            ["--model"],
            metavar="SPEC",
            required=True,
            help="the factory, which is called with the width: nets.py:build[,depth=3]",
        ),
        click.Option(
            ["--data"],
            metavar="SPEC",
            required=True,
            help="the data: nets.py:data, sklearn:digits, npz:f.npz",
        ),
        click.Option(
            ["--loss"],
            default="auto",
            show_default=True,
            help="auto, ce, mse, bce, hf or file.py:fn",
        ),
        click.Option(
            ["--widths"],
            type=_Widths(),
            default=",".join(map(str, WIDTHS)),
            show_default=True,
            metavar="W,W,W",
            help=f"at least {LEAST_WIDTHS}",
        ),
        click.Option(
            ["--argument"],
            default="width",
            show_default=True,
            help="argument of the factory that is the width",
        ),
        click.Option(
            ["--optimizer"],
            default="adam",
            show_default=True,
            help="adam, adamw, sgd, or file.py:function, called with the network and, where it "
            "takes them, learning_rate and width",
        ),
        click.Option(
            ["--learning-rate"],
            type=click.FloatRange(min=0, min_open=True),
            metavar="X",
            help="0.01 unless said; of a function its own",
        ),
        click.Option(
            ["--steps"],
            type=click.IntRange(min=LEAST["steps"]),
            default=STEPS,
            show_default=True,
            help="T",
        ),
        click.Option(
            ["--seeds"],
            type=click.IntRange(min=LEAST["seeds"]),
            default=SEEDS,
            show_default=True,
            help="networks of every width",
        ),
        click.Option(
            ["--samples"],
            type=click.IntRange(min=LEAST["samples"]),
            default=SAMPLES,
            show_default=True,
            help="in the one batch that every step uses, at most",
        ),
        click.Option(
            ["--tolerance"],
            type=click.FloatRange(min=0, min_open=True),
            default=TOLERANCE,
            show_default=True,
            help="the slope that still passes as zero; those of theory are multiples of 1/2",
        ),
        click.Option(
            ["--seed"],
            type=click.IntRange(min=LEAST["seed"]),
            default=0,
            show_default=True,
            help="seed of every random draw",
        ),
        click.Option(["--device"], default="auto", show_default=True, help="cpu, cuda, cuda:1 …"),
        click.Option(
            ["--dtype"],
            default="auto",
            type=click.Choice(["auto", "float32", "float64"]),
            show_default=True,
            help="precision; auto: as the factory makes the network",
        ),
        allow_download_option(),
        *output_parameters(),
    ],
)
