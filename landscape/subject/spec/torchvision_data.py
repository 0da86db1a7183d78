"""Data sets of torchvision that lie on this disk: `torchvision:CIFAR10,root=data`."""

from __future__ import annotations

import difflib
import inspect
from typing import Any

from torch.utils.data import DataLoader

from landscape.errors import DataError
from landscape.subject.spec.data_source import DataSource, check_count, check_named, check_option
from landscape.subject.spec.factory import call_factory, require
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.schemes import DATA_SCHEMES

_INSTALL = "pip install torchvision"


def torchvision_data(spec: Spec, *, batch_size: int = 256, **options: object) -> DataSource:
    """Return a data set of torchvision as tensors in [0, 1], in its own order.

    Args:
        spec: Its rest is the name of the class.
        batch_size: Samples in a batch.
        options: The arguments of the class: `root`, `split`; `split=train|test` also where the
            class itself asks for `train=True|False`.

    Raises:
        SpecError: An option has a value that it cannot have.
        DataError: torchvision, the name or the files are missing. Nothing is ever downloaded.
    """
    check_named(spec, named=True, example=DATA_SCHEMES["torchvision"].example)
    check_count(spec, "batch_size", batch_size)
    check_option(
        spec,
        "download",
        options.get("download"),
        valid=not options.get("download"),
        expected="False: landscape downloads nothing",
    )
    kind = _class_named(spec)
    transforms = require("torchvision.transforms", install=_INSTALL, error=DataError)
    arguments = _arguments(spec, kind, options) | {"transform": transforms.ToTensor()}
    dataset = _made(spec, kind, arguments)
    return DataSource(
        source=DataLoader(dataset, batch_size=batch_size),
        synthetic=spec.rest == "FakeData",
        description=f"torchvision {spec.rest}: {len(dataset)} samples",
        text=spec.text,
    )


def _class_named(spec: Spec) -> type:
    datasets = require("torchvision.datasets", install=_INSTALL, error=DataError)
    if spec.rest in datasets.__all__:
        return getattr(datasets, spec.rest)
    near = difflib.get_close_matches(spec.rest, datasets.__all__)
    raise DataError(
        f"torchvision has no data set '{spec.rest}'",
        where=f"'{spec.text}'",
        why=f"the nearest names are {', '.join(near)}" if near else "",
        hint=f"write for example {DATA_SCHEMES['torchvision'].example}",
    )


def _made(spec: Spec, kind: type, arguments: dict[str, object]) -> Any:
    try:
        return call_factory(kind, arguments, text=spec.text, error=DataError)
    except DataError as failure:
        if isinstance(failure.__cause__, RuntimeError | OSError):
            raise DataError(
                f"torchvision finds no {spec.rest}",
                where=f"root={arguments.get('root')}",
                why=str(failure.__cause__),
                hint="landscape downloads nothing: fetch the files once by "
                f"torchvision.datasets.{spec.rest}(root, download=True)",
            ) from failure
        raise


def _arguments(spec: Spec, kind: type, options: dict[str, object]) -> dict[str, object]:
    """Return the options in the words of the class."""
    names = inspect.signature(kind).parameters
    if "train" not in names or "split" in names or "split" not in options:
        return dict(options)
    arguments = dict(options)
    split = arguments.pop("split")
    check_option(spec, "split", split, valid=split in ("train", "test"), expected="train or test")
    return arguments | {"train": split == "train"}
