"""Data sets of torchvision: `torchvision:CIFAR10,root=data`."""

from __future__ import annotations

import difflib
import inspect
import sys
from contextlib import redirect_stdout
from typing import Any

from torch.utils.data import DataLoader

from landscape.errors import DataError
from landscape.subject.spec.data_source import DataSource, check_count, check_named, check_option
from landscape.subject.spec.factory import call_factory, require
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.schemes import DATA_SCHEMES

_INSTALL = "pip install torchvision"


def torchvision_data(
    spec: Spec, *, allow_download: bool = False, batch_size: int = 256, **options: object
) -> DataSource:
    """Return a data set of torchvision as tensors in [0, 1], in its own order.

    Args:
        spec: Its rest is the name of the class.
        allow_download: Whether torchvision may fetch files that are missing.
        batch_size: Samples in a batch.
        options: The arguments of the class: `root`, `split`; `split=train|test` also where the
            class itself asks for `train=True|False`.

    Raises:
        SpecError: An option has a value that it cannot have.
        DataError: torchvision, the name or the files are missing, or they cannot be fetched.
    """
    check_named(spec, named=True, example=DATA_SCHEMES["torchvision"].example)
    check_count(spec, "batch_size", batch_size)
    check_option(
        spec,
        "download",
        options.get("download"),
        valid=not options.get("download"),
        expected="nothing here: --allow-download lets torchvision fetch what is missing",
    )
    kind = _class_named(spec)
    transforms = require("torchvision.transforms", install=_INSTALL, error=DataError)
    arguments = _arguments(spec, kind, options) | {"transform": transforms.ToTensor()}
    dataset = _made(spec, kind, arguments, allow_download=allow_download)
    return DataSource(
        source=DataLoader(dataset, batch_size=batch_size),
        synthetic=spec.rest == "FakeData",
        description=f"torchvision {spec.rest}: {len(dataset)} samples",
        text=spec.text,
    )


def _class_named(spec: Spec) -> type:
    datasets = require("torchvision.datasets", install=_INSTALL, error=DataError)
    known: list[str] = [*datasets.__all__]
    if spec.rest in known:
        return getattr(datasets, spec.rest)
    near = difflib.get_close_matches(spec.rest, known)
    raise DataError(
        f"torchvision has no data set '{spec.rest}'",
        where=f"'{spec.text}'",
        why=f"the nearest names are {', '.join(near)}" if near else f"it has {len(known)} others",
        hint=f"write for example {DATA_SCHEMES['torchvision'].example}",
    )


def _made(spec: Spec, kind: type, arguments: dict[str, object], *, allow_download: bool) -> Any:
    """Return the data set; files that are missing are fetched where that is allowed."""
    fetches = "download" in inspect.signature(kind).parameters
    try:
        return call_factory(kind, arguments, text=spec.text, error=DataError)
    except DataError as failure:
        if not isinstance(failure.__cause__, RuntimeError | OSError):
            raise
        if fetches and allow_download and not arguments.get("download"):
            with redirect_stdout(sys.stderr):  # stdout is for answers
                more = {**arguments, "download": True}
                return _made(spec, kind, more, allow_download=True)
        unasked = "landscape downloads nothing unasked: --allow-download lets torchvision fetch it"
        asked = "check the network and the root, or put the files there by hand"
        raise DataError(
            f"torchvision finds no {spec.rest}",
            where=f"root={arguments.get('root')}",
            why=str(failure.__cause__),
            hint=unasked if fetches and not allow_download else asked,
        ) from failure


def _arguments(spec: Spec, kind: type, options: dict[str, object]) -> dict[str, object]:
    """Return the options in the words of the class."""
    names = inspect.signature(kind).parameters
    if "train" not in names or "split" in names or "split" not in options:
        return dict(options)
    arguments = dict(options)
    split = arguments.pop("split")
    check_option(spec, "split", split, valid=split in ("train", "test"), expected="train or test")
    return arguments | {"train": split == "train"}
