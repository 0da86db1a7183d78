"""In which mode a network is studied: eval, or train, which needs one fixed batch."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils.data import DataLoader, Dataset, IterableDataset

from landscape.errors import DataError, SettingError
from landscape.subject.batch import Batch
from landscape.subject.batches import DEFAULT_BATCH_SIZE, Batches
from landscape.subject.regrouping import regrouped

Mode = Literal["eval", "train"]

DEPENDENT = "in train mode the samples of the batch may depend on one another (BatchNorm)"


def check_mode(mode: str, *, processes: int) -> Mode:
    """Return a mode that is one, and that so many processes can study.

    Raises:
        SettingError: It is none, or several processes would share one batch.
    """
    if mode not in get_args(Mode):
        raise SettingError(
            f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}",
            where="--mode",
            why="eval: running statistics; train: those of one fixed batch",
            hint="the default is 'eval'",
        )
    if mode == "train" and processes > 1:
        raise SettingError(
            "several processes cannot share the one batch of train mode",
            where="--mode train",
            why=DEPENDENT,
            hint="run it without torchrun; in Python: Subject(..., ranks=Ranks())",
        )
    return "train" if mode == "train" else "eval"


def put_in_train_mode(model: nn.Module) -> None:
    """Let a network compute as a training step does, its running statistics left alone.

    BatchNorm normalises by the batch and is told not to track. Whoever calls this restores the
    modules' attributes (`undisturbed`).
    """
    model.train()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.track_running_stats = False


def one_batch(
    source: object, samples: int | None, *, max_samples: int | None, seed: int
) -> tuple[Batches, str]:
    """Return one batch of some data, and in words which it is.

    Args:
        source: The data, as `Batches` takes them.
        samples: How many, from the first on; None: the first batch, as it comes.
        max_samples: Keep only the first samples.
        seed: Of shuffled data.

    Raises:
        SettingError: There are fewer samples than were asked for.
        DataError: They cannot be joined.
    """
    bounds = [size for size in (samples or _batch_size(source), max_samples) if size is not None]
    most = min(bounds, default=None)
    found = Batches(source, max_samples=most, seed=seed)
    batch = next(iter(found)) if samples is None else _joined(found, samples)
    whole = most is None and batch.samples == found.samples
    which = f"all {batch.samples:,}" if whole else f"the first {batch.samples:,}"
    return Batches([_item(batch)]), f"one fixed batch of {which} samples"


def _batch_size(source: object) -> int | None:
    """Return how many samples a batch of some data holds at most, where that is known."""
    if isinstance(source, DataLoader):
        return source.batch_size
    if isinstance(source, Dataset) and not isinstance(source, IterableDataset):
        return DEFAULT_BATCH_SIZE
    return None


def _joined(batches: Batches, samples: int) -> Batch:
    if batches.samples < samples:
        raise SettingError(
            f"a batch of {samples:,} samples was asked for, and there are {batches.samples:,}",
            where="--batch-size",
            why="in train mode it is the size of the one batch that is studied",
            hint="give more data, a larger --max-samples, or a smaller batch",
        )
    batch = next(regrouped(batches, samples))
    if batch.samples < samples:
        raise DataError(
            f"no batch of {samples:,} samples can be made of the data",
            where="--batch-size",
            why=f"batches of {batch.samples:,} samples differ in shape from the next, or hold "
            "tensors without one entry per sample",
            hint="give data that come as one batch of that size",
        )
    return batch


def _item(batch: Batch) -> Any:
    """Return a batch as a data source yields it."""
    if batch.args:
        return (batch.args[0], batch.targets)
    if batch.target_key is None:
        return dict(batch.kwargs)
    return {**batch.kwargs, batch.target_key: batch.targets}
