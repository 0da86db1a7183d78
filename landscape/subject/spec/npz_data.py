"""Arrays of a NumPy file: `npz:file.npz`."""

from __future__ import annotations

import difflib
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from landscape.errors import DataError
from landscape.subject.files.sniff import why_missing
from landscape.subject.spec.data_source import DataSource, check_count, check_named, in_batches
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.schemes import DATA_SCHEMES

_INPUTS = ("x", "X", "inputs", "images", "data")
_TARGETS = ("y", "Y", "targets", "labels")


def npz_data(
    spec: Spec, *, x: str | None = None, y: str | None = None, batch_size: int = 256
) -> DataSource:
    """Return the inputs and targets of an .npz file.

    Floating-point arrays become float32, integer and boolean ones int64; nothing is scaled.

    Args:
        spec: Its rest is the path.
        x: The name of the inputs; by default the first of x, X, inputs, images, data.
        y: The name of the targets; by default the first of y, Y, targets, labels.
        batch_size: Samples in a batch.

    Raises:
        SpecError: An option has a value that it cannot have.
        DataError: The file or an array is missing, unreadable, empty or of another length.
    """
    check_named(spec, named=True, example=DATA_SCHEMES["npz"].example)
    check_count(spec, "batch_size", batch_size)
    path = Path(spec.rest).expanduser()
    _check_file(path)
    try:
        inputs, targets = _read(path, x, y)
    except (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error) as failure:
        raise DataError(
            "the arrays cannot be read",
            where=str(path),
            why=str(failure),
            hint="save numbers, not objects, by numpy.savez(path, x=inputs, y=targets)",
        ) from failure
    _check_lengths(inputs, targets, path)
    shape = "x".join(str(size) for size in inputs.shape[1:]) or "one number"
    return DataSource(
        source=in_batches(inputs, targets, batch_size),
        description=f"{path.name}: {len(inputs)} samples of {shape}",
        text=spec.text,
    )


def _check_file(path: Path) -> None:
    if path.is_file():
        return
    near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.npz")])
    raise DataError(
        f"there is no file '{path}'",
        where=str(path.absolute()),
        why=f"its folder holds {', '.join(near)}" if near else why_missing(path),
        hint="check the path; relative ones start at the working directory",
    )


def _read(path: Path, x: str | None, y: str | None) -> tuple[Tensor, Tensor]:
    with path.open("rb") as file:  # numpy leaves a path open when it holds no archive
        arrays = np.load(file, allow_pickle=False)
        if not isinstance(arrays, np.lib.npyio.NpzFile):
            raise ValueError("it holds a single array, not an archive of named ones")
        names = [_choose(arrays.files, x, _INPUTS, path), _choose(arrays.files, y, _TARGETS, path)]
        inputs, targets = (_as_tensor(arrays[name], name) for name in names)
    return inputs, targets


def _choose(names: list[str], asked: str | None, usual: tuple[str, ...], path: Path) -> str:
    wanted = usual if asked is None else (str(asked),)
    for name in wanted:
        if name in names:
            return name
    raise DataError(
        f"there is no array named {' or '.join(wanted)}",
        where=str(path),
        why=f"it holds {', '.join(names) or 'nothing'}",
        hint=f"say which array it is: {usual[0]}=NAME",
    )


def _as_tensor(array: np.ndarray, name: str) -> Tensor:
    if array.dtype.kind not in "fiub":
        raise ValueError(f"'{name}' is of type {array.dtype}; expected real numbers")
    return torch.from_numpy(array.astype(np.float32 if array.dtype.kind == "f" else np.int64))


def _check_lengths(inputs: Tensor, targets: Tensor, path: Path) -> None:
    if not inputs.dim() or not targets.dim() or len(inputs) != len(targets):
        raise DataError(
            "inputs and targets differ in length",
            where=str(path),
            why=f"the shapes are {tuple(inputs.shape)} and {tuple(targets.shape)}",
            hint="both need one entry per sample on their first axis",
        )
    if not len(inputs):
        raise DataError(
            "data yielded 0 samples",
            where=str(path),
            why="its arrays have no entries on their first axis",
            hint="check how it was saved",
        )
