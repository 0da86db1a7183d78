"""The options that say what is studied, and the subject that they make."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import path_or
from .terminal import plain

if TYPE_CHECKING:
    from landscape.base import Needs
    from landscape.subject.subject import Subject

    from .source import Sketch

_LOSSES = ("auto", "ce", "mse", "bce", "hf")
_READING = ("state_key", "ema", "trust_pickle")
_STUDIED = (
    "model", "data", "loss", "params", "mask", "device", "dtype", "max_samples", "allow_download"
)  # fmt: skip
_PRODUCTS = ("auto", "reverse", "cached", "linearize", "forward", "compiled", "differences")
_COMPUTING = ("learning_rate", "batch_size", "product", "mode")


def subject_parameters(needs: Needs | Sketch | None = None) -> list[click.Parameter]:
    """Return the checkpoint argument and the options of what is studied.

    Args:
        needs: What the diagnostic needs; without a model, the options of model and data are left
            out. Data may be given wherever a model is.
    """
    parameters: list[click.Parameter] = [
        click.Argument(["checkpoints"], type=click.Path(), nargs=-1, metavar="CKPT...")
    ]
    if needs is None or needs.model:
        parameters += _model_options()
    if needs is None or needs.model or needs.data:
        parameters += _data_options()
    return [*parameters, *_reading_options()]


def attach(values: dict[str, Any], *, folder: Path | None = None) -> Subject:
    """Return the subject that the options describe; its values are taken out of the dictionary."""
    from landscape.subject.subject import Subject

    with redirect_stdout(sys.stderr):  # what the user's files print is no answer
        return Subject(folder=folder, **described(values))


def described(values: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of the subject, taken out of the values of the options."""
    asked = {key: values.pop(key, None) for key in _COMPUTING}
    given = {key: values.pop(key) for key in (*_STUDIED, *_READING) if key in values}
    given |= {key: value for key, value in asked.items() if value not in (None, "auto")}
    if (held_out := values.pop("held_out", None)) is not None:
        given["data"] = {"train": given["data"], "held_out": held_out}
    checkpoints = values.pop("checkpoints")
    _check_weights(checkpoints, given.get("model"))
    return {**given, "checkpoints": checkpoints, "seed": values.get("seed", 0)}


def _check_weights(checkpoints: Sequence[str], model: str | None) -> None:
    """Refuse to study a network as its factory makes it, unless the spec names its weights."""
    if checkpoints:
        return
    from landscape.subject.spec.models import brings_weights

    if model is None or not brings_weights(model):
        ctx = click.get_current_context()
        raise click.MissingParameter(ctx=ctx, param=ctx.command.params[0])


def tell_notes(provenance: Mapping[str, Any]) -> None:
    """Print what was chosen and mapped on the way."""
    for note in provenance["notes"]:
        click.echo(f"note: {plain(note)}", err=True)


def allow_download_option() -> click.Option:
    """Return the option without which nothing is fetched."""
    return click.Option(
        ["--allow-download"],
        is_flag=True,
        help="let torchvision: fetch data that are missing, and weights=DEFAULT; nothing else does",
    )


class _LearningRate(click.FloatRange):
    """A finite number above 0."""

    def __init__(self) -> None:
        super().__init__(min=0, max=math.inf, min_open=True, max_open=True)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        found = super().convert(value, param, ctx)
        return self.fail("nan is no learning rate", param, ctx) if math.isnan(found) else found


class _BatchSize(click.ParamType):
    """`auto`, or a number of samples."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else click.IntRange(min=1).convert(value, param, ctx)


def _model_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--model"],
            metavar="SPEC",
            shell_complete=path_or(),
            help="the network: nets.py:build, torchvision:resnet18",
        ),
        click.Option(
            ["--params"], metavar="GLOB", help="parameters to study: globs, layers, or all"
        ),
        click.Option(
            ["--mask"],
            metavar="FILE",
            shell_complete=path_or(),
            help="a mask that tickets wrote: pruned weights are zero, the others are studied",
        ),
        click.Option(["--device"], default="auto", show_default=True, help="cpu, cuda, cuda:1 …"),
        click.Option(
            ["--dtype"],
            default="auto",
            type=click.Choice(["auto", "float32", "float64"]),
            show_default=True,
            help="precision of the products",
        ),
    ]


def _data_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--data"],
            metavar="SPEC",
            shell_complete=path_or(),
            help="the data: nets.py:data, sklearn:digits, npz:f.npz",
        ),
        click.Option(
            ["--held-out"],
            metavar="SPEC",
            shell_complete=path_or(),
            help="data that training has not seen, for what judges",
        ),
        click.Option(
            ["--loss"],
            default="auto",
            show_default=True,
            shell_complete=path_or(*_LOSSES),
            help="auto, ce, mse, bce, hf or file.py:fn",
        ),
        click.Option(
            ["--max-samples"], type=click.IntRange(min=1), help="use only the first samples"
        ),
        click.Option(
            ["--learning-rate"],
            type=_LearningRate(),
            metavar="X",
            help="of training; the checkpoint's where it holds one",
        ),
        click.Option(
            ["--batch-size"],
            type=_BatchSize(),
            default="auto",
            show_default=True,
            metavar="auto|N",
            help="samples computed at a time; auto goes by the memory, and no number changes "
            "beyond rounding; in train mode, the size of the one batch (auto: the data's first)",
        ),
        click.Option(
            ["--mode"],
            type=click.Choice(["eval", "train"]),
            default="eval",
            show_default=True,
            help="train: BatchNorm normalises by one fixed batch, as in training; random layers "
            "are refused",
        ),
        click.Option(
            ["--product"],
            type=click.Choice(_PRODUCTS),
            default="auto",
            show_default=True,
            help="how curvature products are computed; auto takes the fastest",
        ),
        allow_download_option(),
    ]


def _reading_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--state-key"], metavar="KEY", help="where in the file the weights are, dotted"
        ),
        click.Option(["--ema/--no-ema"], default=None, help="take the averaged weights, or do not"),
        click.Option(
            ["--trust-pickle"], is_flag=True, help="run the file as a pickle: it can do anything"
        ),
    ]
