"""Data as fixed, replayable batches, verified once to repeat."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from landscape import progress
from landscape.errors import DataError, LandscapeError, NumericalError, out_of_memory
from landscape.subject.batch import Batch, as_batch
from landscape.subject.traces import user_position, user_traceback
from landscape.subject.undisturbed import RandomState

DEFAULT_BATCH_SIZE = 256
CACHE_LIMIT_BYTES = 2 * 2**30


class Batches:
    """A fixed sequence of batches.

    Args:
        source: A DataLoader, a Dataset, a list of batches, one batch, or an iterator, which is
            read once and kept. A tuple is (inputs, targets); in a mapping `labels` are the
            targets and the rest goes to the model by keyword.
        max_samples: Keep only the first samples.
        seed: Fixes shuffling and augmentation that draw from the global generators.

    What fits in 2 GiB is read once and kept; more is read again in every pass. Whatever can be
    read twice is, once, to verify that it repeats.

    Raises:
        DataError: Nothing in it, a structure that is not understood, or passes that differ.
        NumericalError: NaN or infinity among the inputs.
    """

    def __init__(self, source: object, *, max_samples: int | None = None, seed: int = 0) -> None:
        self._source = _as_iterable(source)
        self._max_samples = max_samples
        self._seed = seed
        once = iter(self._source) is self._source if _is_iterator(self._source) else False
        self._kept, digests, self.samples = self._first_pass(one_shot=once)
        self.length = len(digests)
        if not once and not isinstance(self._source, list):
            self._verify(digests)
        self.hash = _digest(digests)
        self._placed: tuple[torch.device, torch.dtype, list[Batch]] | None = None

    def __iter__(self) -> Iterator[Batch]:
        """Yield the batches as they were given, the same in every pass."""
        return iter(self._kept) if self._kept is not None else self._read()

    def __len__(self) -> int:
        """Return the number of batches."""
        return self.length

    def on(self, device: torch.device, dtype: torch.dtype) -> Iterable[Batch]:
        """Return the batches on a device, kept there when they fit."""
        if self._kept is None:
            return (batch.to(device, dtype) for batch in self)
        if self._placed is None or self._placed[:2] != (device, dtype):
            if not self._fits(device):
                return (batch.to(device, dtype) for batch in self)
            self._placed = (device, dtype, [batch.to(device, dtype) for batch in self._kept])
        return self._placed[2]

    def _fits(self, device: torch.device) -> bool:
        if device.type != "cuda" or self._kept is None:
            return True
        size = sum(t.nbytes for batch in self._kept for t in batch.tensors())
        return size < torch.cuda.mem_get_info(device)[0] // 4

    def _read(self) -> Iterator[Batch]:
        left = self._max_samples
        state = RandomState(self._seed, _generators(self._source))
        with state.active():
            items = iter(self._source)
        number = 0
        while left is None or left > 0:
            with state.active():
                item = _next(items, number)
            if item is _END:
                return
            batch = as_batch(item, number)
            number += 1
            if left is not None:
                batch = batch.head(left)
                left -= batch.samples
            if batch.samples:
                yield batch

    def _first_pass(self, *, one_shot: bool) -> tuple[list[Batch] | None, list[bytes], int]:
        kept: list[Batch] | None = []
        digests: list[bytes] = []
        size = samples = 0
        with progress.task("reading the data") as task:
            for number, batch in enumerate(self._read()):
                _check_finite(batch, number)
                digests.append(_hash(batch))
                samples += batch.samples
                size += sum(t.nbytes for t in batch.tensors())
                if size <= CACHE_LIMIT_BYTES and kept is not None:
                    kept.append(batch)
                elif one_shot:
                    raise _too_large(size)
                else:
                    kept = None
                task.advance()
        if samples == 0:
            raise DataError(
                "data yielded 0 samples",
                where="data",
                why="there was no batch, or every batch was empty",
                hint="check the split, the filter and drop_last of the loader",
            )
        return kept, digests, samples

    def _verify(self, digests: list[bytes]) -> None:
        with progress.task("verifying that the data repeat", len(digests)) as task:
            again = []
            for batch in self._read():
                again.append(_hash(batch))
                task.advance()
        if again == digests:
            return
        differing = (i for i, (a, b) in enumerate(zip(digests, again, strict=False)) if a != b)
        number = next(differing, min(len(digests), len(again)))
        raise DataError(
            f"data differ between passes (batch {number})",
            where="data",
            why="shuffling or augmentation draws from a generator that landscape cannot seed",
            hint="give a loader with shuffle=False and fixed transforms, or a list of batches",
        )


def dealt(
    batches: Iterable[Batch], *, rank: int, size: int, by_sample: bool = True
) -> Iterator[Batch]:
    """Yield one part of several of some batches: of n samples, n / size to within one.

    Args:
        batches: The same for every part.
        rank: Which part.
        size: Number of parts.
        by_sample: Whether a batch may be cut; it is where each tensor has one entry for each
            sample. Other batches are dealt whole, in turn.
    """
    turn = 0
    for batch in batches:
        units = batch.samples if by_sample and _per_sample(batch) else 1
        each, more = divmod(units, size)
        extra = [(one - turn) % size < more for one in range(size)]
        turn += more
        start = rank * each + sum(extra[:rank])
        stop = start + each + extra[rank]
        if stop - start == units:
            yield batch
        elif stop > start:
            yield batch.mapped(lambda tensor, a=start, b=stop: tensor[a:b])


_END = object()


def _per_sample(batch: Batch) -> bool:
    samples = batch.samples
    return all(tensor.dim() and len(tensor) == samples for tensor in batch.tensors())


def _generators(source: Any) -> list[torch.Generator]:
    """Return the generators that a loader and its samplers draw from, each once."""
    batch_sampler = getattr(source, "batch_sampler", None)
    owners = (source, getattr(source, "sampler", None), getattr(batch_sampler, "sampler", None))
    found = [getattr(owner, "generator", None) for owner in owners]
    return list({id(one): one for one in found if isinstance(one, torch.Generator)}.values())


def _next(items: Iterator[Any], number: int) -> Any:
    """Return the next item, or `_END`; what the user's data raise is told as theirs."""
    try:
        return next(items, _END)
    except Exception as error:
        if isinstance(error, LandscapeError) or out_of_memory(error) is not None:
            raise
        raise DataError(
            f"the data raised {type(error).__name__} at batch {number}: {error}",
            where=user_position(error) or "data",
            why=user_traceback(error),
            hint="iterate over the data alone, and mend what is raised there",
        ) from error


def _is_iterator(source: object) -> bool:
    return hasattr(source, "__next__")


def _as_iterable(source: object) -> Iterable[Any]:
    if isinstance(source, Tensor | Mapping) or _is_one_batch(source):
        return [source]
    if isinstance(source, Dataset):
        _check_length(source)
        return DataLoader(source, batch_size=DEFAULT_BATCH_SIZE)
    if isinstance(source, tuple):
        return list(source)
    if isinstance(source, Iterable):
        return source
    raise DataError(
        f"data of type {type(source).__name__} cannot be read",
        where="data",
        why="expected a DataLoader, a Dataset, a list of batches, or one batch",
        hint="return one of these from the factory",
    )


def _check_length(source: Any) -> None:
    if not isinstance(source, IterableDataset) and len(source) == 0:
        raise DataError(
            "data yielded 0 samples",
            where="data",
            why="the dataset is empty",
            hint="check the split and the filter",
        )


def _is_one_batch(source: object) -> bool:
    if not isinstance(source, tuple | list) or len(source) != 2:
        return False
    inputs, targets = source
    return isinstance(targets, Tensor) and isinstance(inputs, Tensor | Mapping)


def _check_finite(batch: Batch, number: int) -> None:
    for tensor in batch.tensors():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            first = (~torch.isfinite(tensor)).nonzero()[0].tolist()
            sample, feature = first[0] if first else 0, first[1:]
            raise NumericalError(
                f"non-finite input in batch {number}, sample {sample}, feature {feature}",
                where="data",
                why=f"the value is {float(tensor[tuple(first)])}",
                hint="clean the data; nothing computed from them would be finite",
            )


def _too_large(size: int) -> DataError:
    return DataError(
        f"the data are an iterator of more than {size / 2**30:.1f} GiB",
        where="data",
        why="an iterator can be read once only, and it is too large to be kept in memory",
        hint="return a DataLoader, or pass --max-samples",
    )


def _hash(batch: Batch) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for path, tensor in batch.named_tensors():
        digest.update(f"{path} {tensor.dtype}{tuple(tensor.shape)}".encode())
        flat = tensor.detach().cpu().contiguous().view(-1)
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    return digest.digest()


def _digest(digests: Iterable[bytes]) -> str:
    return hashlib.blake2b(b"".join(digests), digest_size=16).hexdigest()
