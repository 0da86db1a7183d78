from __future__ import annotations

import itertools
import math
import random
from collections import OrderedDict, UserDict
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, TensorDataset

from landscape.errors import DataError, NumericalError
from landscape.subject import batches as module
from landscape.subject.batch import as_batch
from landscape.subject.batches import Batches
from tests.cases import labels, normal
from tests.oracles import generator

CPU = torch.device("cpu")


def pair(samples: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return normal(samples, 3, seed=seed), labels(samples, classes=4, seed=seed)


def dataset(samples: int = 10) -> TensorDataset:
    return TensorDataset(*pair(samples))


def inputs(batches: Batches) -> list[Tensor]:
    return [batch.args[0] for batch in batches]


def assert_repeats(batches: Batches) -> None:
    for one, two in zip(inputs(batches), inputs(batches), strict=True):
        assert torch.equal(one, two)


class Again:
    """An iterable that is no list, so that it is read twice."""

    def __init__(self, make: Any) -> None:
        self.make = make

    def __iter__(self) -> Any:
        return iter(self.make())


# --- what can be read --------------------------------------------------------------------------


def mapping(samples: int) -> dict[str, Tensor]:
    return {
        "input_ids": labels(samples, 5, classes=7, seed=0),
        "labels": labels(samples, classes=2, seed=1),
    }


SOURCES: dict[str, tuple[Any, int, int]] = {  # source, batches, samples
    "one pair": (pair(4), 1, 4),
    "one pair as list": (list(pair(4)), 1, 4),
    "list": ([pair(4), pair(3), pair(2)], 3, 9),
    "two batches": ([pair(4), pair(3)], 2, 7),
    "tuple of batches": ((pair(4), pair(3), pair(1)), 3, 8),
    "pairs as lists": ([list(pair(4)), list(pair(3))], 2, 7),
    "mapping": (mapping(4), 1, 4),
    "user dict": (UserDict(mapping(4)), 1, 4),
    "mappings": ([mapping(4), OrderedDict(mapping(3)), UserDict(mapping(2))], 3, 9),
    "dataset": (dataset(300), 2, 300),
    "loader": (DataLoader(dataset(), batch_size=4), 3, 10),
    "loader that drops": (DataLoader(dataset(), batch_size=4, drop_last=True), 2, 8),
    "iterable": (Again(lambda: [pair(4), pair(3)]), 2, 7),
    "inputs in a mapping": (({"x": normal(4, 3, seed=0)}, labels(4, classes=2, seed=0)), 1, 4),
}


@pytest.mark.parametrize("name", SOURCES)
def test_source_is_read_whole_and_repeats(name):
    source, count, samples = SOURCES[name]
    batches = Batches(source)
    assert (len(batches), batches.samples) == (count, samples)
    assert len(list(batches)) == count
    assert sum(batch.samples for batch in batches) == samples
    assert batches.hash == Batches(source).hash


def test_a_generator_is_read_once_and_kept():
    pulled = []

    def stream():
        for i in range(3):
            pulled.append(i)
            yield pair(2, seed=i)

    batches = Batches(stream())
    assert_repeats(batches)
    assert len(list(batches)) == 3
    assert pulled == [0, 1, 2]


def test_targets_and_inputs_keep_their_places():
    x, y = pair(4)
    (batch,) = Batches((x, y))
    assert batch.args == (x,)
    assert batch.targets is y
    assert not batch.kwargs
    named = mapping(3)
    (batch,) = Batches(named)
    assert batch.args == ()
    assert set(batch.kwargs) == {"input_ids"}
    assert torch.equal(batch.targets, named["labels"])
    assert batch.target_key == "labels"
    assert "labels" in named  # the user's mapping is left alone


@pytest.mark.parametrize("key", ["labels", "label", "targets", "target"])
def test_targets_are_found_under_their_usual_names(key):
    batch = as_batch({"x": torch.ones(2, 3), key: torch.zeros(2)}, 0)
    assert torch.equal(batch.targets, torch.zeros(2))
    assert batch.target_key == key


def test_a_mapping_without_labels_has_no_targets():
    batch = as_batch({"x": torch.ones(2, 3)}, 0)
    assert batch.targets is None
    assert batch.target_key is None


# --- fixed, whatever shuffles ------------------------------------------------------------------


class Augmented(Dataset):
    """Draws from every global generator."""

    def __len__(self) -> int:
        return 9

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        noise = random.random() + float(np.random.random()) + float(torch.rand(()))
        return torch.full((2,), index + noise), index % 3


LOADERS = {
    "shuffled": lambda: DataLoader(dataset(), batch_size=4, shuffle=True),
    "own generator": lambda: DataLoader(
        dataset(), batch_size=4, shuffle=True, generator=generator(5)
    ),
    "augmented": lambda: DataLoader(Augmented(), batch_size=4, shuffle=True),
    "random iterable": lambda: Again(lambda: [(torch.rand(3, 2), torch.zeros(3))] * 2),
}


@pytest.mark.parametrize("limit", [2**31, 0], ids=["kept", "read again"])
@pytest.mark.parametrize("name", LOADERS)
def test_what_draws_from_seedable_generators_is_fixed_by_the_seed(name, limit, monkeypatch):
    monkeypatch.setattr(module, "CACHE_LIMIT_BYTES", limit)
    torch.rand(3)  # the global state does not matter
    one = Batches(LOADERS[name](), seed=1)
    torch.rand(5)
    two = Batches(LOADERS[name](), seed=1)
    assert_repeats(one)
    assert one.hash == two.hash
    assert one.hash != Batches(LOADERS[name](), seed=2).hash


@pytest.mark.parametrize("name", LOADERS)
def test_reading_leaves_the_global_generators_alone(name):
    loader = LOADERS[name]()
    own = getattr(loader, "generator", None)
    before = (torch.get_rng_state(), random.getstate(), [*np.random.get_state(legacy=True)][2])
    own_before = own.get_state() if own is not None else torch.empty(0)
    Batches(loader)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert [*np.random.get_state(legacy=True)][2] == before[2]
    if own is not None:
        assert torch.equal(own.get_state(), own_before)


def test_a_source_that_really_differs_is_refused_with_its_batch():
    counter = itertools.count()

    def drifting():
        yield pair(4)
        yield torch.full((4, 3), float(next(counter))), labels(4, classes=4, seed=0)

    with pytest.raises(DataError, match=r"differ between passes \(batch 1\)"):
        Batches(Again(drifting))


def test_a_source_that_grows_is_refused_with_its_batch():
    counter = itertools.count(2)
    with pytest.raises(DataError, match=r"differ between passes \(batch 2\)"):
        Batches(Again(lambda: [pair(4)] * next(counter)))


def test_labels_alone_may_not_differ_either():
    counter = itertools.count()
    x, _ = pair(4)
    with pytest.raises(DataError, match="differ between passes"):
        Batches(Again(lambda: [(x, torch.full((4,), next(counter)))]))


def test_a_sampler_with_a_generator_of_its_own_is_refused_or_fixed_and_restored():
    own = generator(3)
    sampler = RandomSampler(dataset(), generator=own)
    before = own.get_state()
    refusal = ""
    try:
        assert_repeats(Batches(DataLoader(dataset(), batch_size=4, sampler=sampler)))
    except DataError as error:
        refusal = str(error)
    assert not refusal or "differ between passes (batch 0)" in refusal
    assert torch.equal(own.get_state(), before)


def test_workers_read_what_one_process_reads():
    one = Batches(DataLoader(dataset(), batch_size=4))
    two = Batches(DataLoader(dataset(), batch_size=4, num_workers=1))
    assert one.hash == two.hash


# --- large data --------------------------------------------------------------------------------


def test_large_data_are_read_again_in_every_pass(monkeypatch):
    reads = []

    def counted():
        reads.append(None)
        return [pair(4), pair(3)]

    monkeypatch.setattr(module, "CACHE_LIMIT_BYTES", 60)
    batches = Batches(Again(counted))
    assert len(reads) == 2  # read, and verified
    assert_repeats(batches)
    assert len(reads) == 4


def test_a_large_iterator_is_refused(monkeypatch):
    monkeypatch.setattr(module, "CACHE_LIMIT_BYTES", 60)
    with pytest.raises(DataError, match="iterator"):
        Batches(iter([pair(4), pair(3)]))


# --- max_samples -------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [1, 4, 5, 9, 10, 100])
def test_only_the_first_samples_are_kept(kept):
    x, y = pair(10)
    source = list(zip(x.split(4), y.split(4), strict=True))
    batches = Batches(source, max_samples=kept)
    expected = min(kept, 10)
    assert batches.samples == expected
    assert torch.equal(torch.cat(inputs(batches)), x[:expected])
    assert torch.equal(torch.cat([b.targets for b in batches]), y[:expected])
    assert all(batch.samples > 0 for batch in batches)


def test_an_endless_iterator_is_read_no_further_than_needed():
    pulled = []

    def endless():
        for i in itertools.count():
            pulled.append(i)
            yield pair(4, seed=i)

    batches = Batches(endless(), max_samples=6)
    assert batches.samples == 6
    assert pulled == [0, 1]


def test_named_inputs_are_cut_together():
    batches = Batches({**mapping(6), "attention_mask": torch.ones(6, 5)}, max_samples=2)
    (batch,) = batches
    assert {len(tensor) for tensor in batch.tensors()} == {2}


# --- on the device -----------------------------------------------------------------------------


def test_floating_inputs_take_the_precision_of_the_model_and_labels_stay():
    batches = Batches([pair(4)])
    (batch,) = batches.on(CPU, torch.float64)
    assert batch.args[0].dtype == torch.float64
    assert batch.targets.dtype == torch.int64
    (original,) = batches
    assert original.args[0].dtype == torch.float32


# --- what is refused ---------------------------------------------------------------------------

EMPTY = {
    "list": list,
    "generator": lambda: iter([]),
    "dataset": lambda: TensorDataset(torch.zeros(0, 3), torch.zeros(0)),
    "loader": lambda: DataLoader(dataset(3), batch_size=4, drop_last=True),
    "batches without samples": lambda: [(torch.zeros(0, 3), torch.zeros(0))],
    "iterable": lambda: Again(list),
}


@pytest.mark.parametrize("name", EMPTY)
def test_data_without_samples_are_refused(name):
    with pytest.raises(DataError, match="0 samples"):
        Batches(EMPTY[name]())


def test_an_empty_iterable_dataset_is_refused():
    class Nothing(IterableDataset):
        def __iter__(self):
            return iter(())

    with pytest.raises(DataError, match="0 samples"):
        Batches(Nothing())


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_an_input_that_is_not_finite_is_located(value):
    source = [pair(4), pair(4, seed=1)]
    source[1][0][2, 1] = value
    with pytest.raises(NumericalError, match=r"batch 1, sample 2, feature \[1\]") as raised:
        Batches(source)
    assert str(value) in raised.value.why


def test_named_inputs_are_checked_too():
    named = {"x": torch.ones(3, 2), "extra": torch.ones(3), "labels": torch.zeros(3)}
    named["extra"][1] = math.nan
    with pytest.raises(NumericalError, match=r"batch 0, sample 1"):
        Batches(named)


def test_three_tuples_are_refused_with_their_structure():
    x, y = pair(4)
    with pytest.raises(DataError) as raised:
        Batches([(x, y, torch.ones(4))])
    text = str(raised.value)
    assert "batch 0" in text
    assert "tuple of 3: (float32 4×3, int64 4, float32 4)" in text


@pytest.mark.parametrize(
    "item", [torch.ones(4, 3), "text", 5, None, (torch.ones(2),), {"x": "text"}, ("a", "b")]
)
def test_what_is_no_batch_is_refused(item):
    with pytest.raises(DataError, match="batch 0"):
        as_batch(item, 0)


@pytest.mark.parametrize("source", [5, None, object()], ids=["number", "nothing", "object"])
def test_what_cannot_be_read_is_refused(source):
    with pytest.raises(DataError, match="cannot be read"):
        Batches(source)


# --- identity ----------------------------------------------------------------------------------


def test_hash_depends_on_values_shapes_types_and_order():
    x, y = pair(4)
    hashes = [
        Batches(source).hash
        for source in (
            [(x, y)],
            [(x + 1, y)],
            [(x, y.flip(0))],
            [(x.double(), y)],
            [(x[:2], y[:2]), (x[2:], y[2:])],
            [(x[2:], y[2:]), (x[:2], y[:2])],
            [(x.reshape(4, 3, 1), y)],
        )
    ]
    assert len(set(hashes)) == len(hashes)


def test_hash_of_named_inputs_depends_on_the_names():
    x, y = pair(4)
    assert Batches({"a": x, "labels": y}).hash != Batches({"b": x, "labels": y}).hash


@pytest.mark.parametrize("dtype", [torch.bool, torch.bfloat16, torch.float16, torch.uint8])
def test_tensors_of_any_type_are_hashed(dtype):
    assert Batches((torch.ones(3, 2).to(dtype), torch.zeros(3))).hash
