"""The small real data sets that come with scikit-learn: `sklearn:digits`."""

from __future__ import annotations

import difflib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from landscape.errors import DataError
from landscape.subject.spec.data_source import (
    DataSource,
    check_count,
    check_named,
    check_option,
    in_batches,
)
from landscape.subject.spec.factory import require
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.schemes import DATA_SCHEMES

_NAMES = ("digits", "wine", "iris", "breast_cancer", "diabetes")
_SPLITS = ("train", "test", "all")


def sklearn_data(
    spec: Spec, *, split: str = "train", batch_size: int = 256, flat: bool = False
) -> DataSource:
    """Return a data set of scikit-learn; with the training split, the test split is held out.

    A fifth of the samples is the test split, the same in every run. Digits are scaled to [0, 1],
    as 1x8x8 images or, `flat`, as vectors; the others are vectors, standardised by the mean and
    deviation of the training split, as are the targets of the regression `diabetes`.

    Args:
        spec: Its rest is the name.
        split: `train`, `test` or `all`.
        batch_size: Samples in a batch.
        flat: Digits as 64 numbers.

    Raises:
        SpecError: An option has a value that it cannot have.
        DataError: scikit-learn or the name is missing.
    """
    check_named(spec, named=True, example=DATA_SCHEMES["sklearn"].example)
    check_option(spec, "split", split, valid=split in _SPLITS, expected=", ".join(_SPLITS))
    check_option(spec, "flat", flat, valid=isinstance(flat, bool), expected="True or False")
    check_count(spec, "batch_size", batch_size)
    inputs, targets, train, test = _read(spec, flat=flat)
    chosen = {"train": train, "test": test, "all": np.arange(len(inputs))}[split]

    def batches(rows: np.ndarray) -> list[tuple[Tensor, Tensor]]:
        return in_batches(inputs[rows], targets[rows], batch_size)

    kind = f"{len(targets.unique())} classes" if targets.dtype is torch.int64 else "regression"
    shape = "x".join(str(size) for size in inputs.shape[1:])
    return DataSource(
        source=batches(chosen),
        held_out=batches(test) if split == "train" else None,
        description=f"sklearn {spec.rest}, {split}: {len(chosen)} samples of {shape}, {kind}",
        text=spec.text,
    )


def _read(spec: Spec, *, flat: bool) -> tuple[Tensor, Tensor, np.ndarray, np.ndarray]:
    """Return inputs, targets, and the rows of the training and of the test split."""
    if spec.rest not in _NAMES:
        near = difflib.get_close_matches(spec.rest, _NAMES)
        raise DataError(
            f"sklearn: has no data set '{spec.rest}'",
            where=f"'{spec.text}'",
            why=f"did you mean '{near[0]}'?" if near else "its small data sets alone can be named",
            hint=f"it has {', '.join(_NAMES)}",
        )
    install = "pip install 'landscape[demo]'"
    datasets = require("sklearn.datasets", install=install, error=DataError)
    load: Callable[..., tuple[np.ndarray, np.ndarray]] = getattr(datasets, f"load_{spec.rest}")
    x, y = load(return_X_y=True)
    order = np.random.RandomState(0).permutation(len(x))  # its stream is frozen by NumPy's policy
    train, test = order[: -(len(x) // 5)], order[-(len(x) // 5) :]
    if spec.rest == "digits":
        x = (x / 16).reshape(len(x), *((64,) if flat else (1, 8, 8)))
    else:
        x = _standardised(x, x[train])
    if spec.rest == "diabetes":
        y = _standardised(y[:, None], y[train, None])
    targets = torch.from_numpy(y.astype(np.float32 if spec.rest == "diabetes" else np.int64))
    return torch.from_numpy(x.astype(np.float32)), targets, train, test


def _standardised(values: np.ndarray, reference: np.ndarray) -> np.ndarray:
    deviation = reference.std(axis=0)
    return (values - reference.mean(axis=0)) / np.where(deviation > 0, deviation, 1)
