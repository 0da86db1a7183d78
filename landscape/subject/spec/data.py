"""Data from spec strings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import cast

from torch.utils.data import DataLoader, Dataset

from landscape.errors import DataError
from landscape.subject.spec.attribute import load_attribute
from landscape.subject.spec.data_source import DataSource
from landscape.subject.spec.factory import call_factory
from landscape.subject.spec.grammar import Spec, parse_spec
from landscape.subject.spec.npz_data import npz_data
from landscape.subject.spec.random_data import random_data
from landscape.subject.spec.schemes import DATA_SCHEMES, reserved
from landscape.subject.spec.sklearn_data import sklearn_data
from landscape.subject.spec.source import record_source, source_of
from landscape.subject.spec.torchvision_data import torchvision_data

__all__ = ["DATA_SCHEMES", "DataSource", "load_data"]

_BUILT_IN: Mapping[str, Callable[..., DataSource]] = {
    "sklearn": sklearn_data,
    "npz": npz_data,
    "random": random_data,
    "torchvision": torchvision_data,
}
_PARTS = {"train", "held_out"}


def load_data(text: str, *, allow_download: bool = False) -> DataSource:
    """Return the data that a spec string names.

    Args:
        text: `pkg.mod:factory`, `path/file.py:factory`, `sklearn:digits`, `npz:file.npz`,
            `random:shape=3x32x32` or `torchvision:CIFAR10,root=...`, with options.
        allow_download: Whether torchvision may fetch files that are missing.

    Raises:
        SpecError: The string does not follow the grammar, or an option has a wrong value.
        DataError: There are no such data, or a factory fails or returns something else.
    """
    spec = parse_spec(text, schemes=DATA_SCHEMES, what="data")
    if spec.scheme in ("python", "file"):
        return _made_by_factory(spec)
    if spec.scheme in _BUILT_IN:
        load = partial(_BUILT_IN[spec.scheme], spec)
        if spec.scheme == "torchvision":
            load = partial(torchvision_data, spec, allow_download=allow_download)
        made = call_factory(load, spec.options, text=spec.text, error=DataError)
        return cast(DataSource, made)
    scheme = DATA_SCHEMES[spec.scheme]
    raise reserved(spec.scheme, scheme, rest=spec.rest, text=spec.text, error=DataError)


def _made_by_factory(spec: Spec) -> DataSource:
    factory = load_attribute(spec, error=DataError)
    made = call_factory(factory, spec.options, text=spec.text, error=DataError)
    train, held_out = _parts(made, spec)
    data = DataSource(
        source=train,
        held_out=held_out,
        description=f"{type(train).__name__} of {spec.rest}",
        text=spec.text,
    )
    record_source(data, source_of(factory))
    return data


def _parts(made: object, spec: Spec) -> tuple[object, object | None]:
    """Return the training and the held-out data."""
    if not isinstance(made, Mapping) or not _PARTS & {*made}:
        return _checked(made, spec), None
    if "train" not in made or not {*made} <= _PARTS:
        raise _unusable(spec, f"a mapping with the keys {', '.join(str(key) for key in made)}")
    held_out = made.get("held_out")
    return _checked(made["train"], spec), None if held_out is None else _checked(held_out, spec)


def _checked(made: object, spec: Spec) -> object:
    if isinstance(made, tuple) and any(isinstance(part, DataLoader | Dataset) for part in made):
        raise _unusable(spec, "a tuple of loaders, where a tuple is one batch")
    if isinstance(made, type):
        raise _unusable(spec, f"the class {made.__name__}, not an instance of it")
    if isinstance(made, str | bytes) or not isinstance(made, Iterable | Dataset):
        raise _unusable(
            spec, "None" if made is None else f"an object of type {type(made).__name__}"
        )
    return made


def _unusable(spec: Spec, got: str) -> DataError:
    return DataError(
        f"'{spec.text}' returned {got}",
        where=f"'{spec.text}'",
        why="expected a DataLoader, a Dataset, a list of batches, one batch, "
        "or {'train': ..., 'held_out': ...} of these",
        hint="return one of these from the factory",
    )
