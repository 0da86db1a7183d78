import math
import sys
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from landscape.errors import DataError, LandscapeError, SpecError
from landscape.subject.spec.data import DATA_SCHEMES, load_data
from landscape.subject.spec.source import source_of

FACTORIES = """
import torch
from torch.utils.data import DataLoader, TensorDataset
x, y = torch.zeros(5, 2), torch.zeros(5, dtype=torch.int64)
pairs = TensorDataset(x, y)
def loader(size=2): return DataLoader(pairs, batch_size=size)
def dataset(): return pairs
def batches(): return [(x, y), (x, y)]
def batch(): return x, y
def mapping(): return {"input_ids": x, "labels": y}
def both(): return {"train": loader(), "held_out": [(x, y)]}
def train_only(): return {"train": loader()}
def no_train(): return {"held_out": loader()}
def wrong_key(): return {"train": loader(), "test": loader()}
def two_loaders(): return loader(), loader()
def nothing(): return None
def text(): return "data"
def number(): return 3
def of_class(): return DataLoader
def generator():
    yield x, y
ready = [(x, y)]
"""


@pytest.fixture
def factories(tmp_path):
    file = tmp_path / "factories.py"
    file.write_text(FACTORIES)
    return str(file)


def load(text: str) -> Any:
    return load_data(text)


def refused(text: str, error: type[LandscapeError] = DataError) -> LandscapeError:
    with pytest.raises(error) as caught:
        load_data(text)
    assert type(caught.value) is error
    assert caught.value.exit == (3 if error is DataError else 2)
    return caught.value


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("loader,size=3", DataLoader),
        ("dataset", Dataset),
        ("batches", list),
        ("batch", tuple),
        ("mapping", dict),
        ("train_only", DataLoader),
        ("ready", list),
    ],
)
def test_what_a_factory_may_return(factories, name, kind):
    data = load(f"{factories}:{name}")
    assert isinstance(data.source, kind)
    assert data.held_out is None
    assert not data.synthetic
    assert kind.__name__ in data.description or kind is Dataset


def test_a_generator_is_passed_on(factories):
    assert len(list(load(f"{factories}:generator").source)) == 1


def test_held_out_data_of_a_factory(factories):
    data = load(f"{factories}:both")
    assert isinstance(data.source, DataLoader)
    assert isinstance(data.held_out, list)
    source = source_of(data)
    assert source is not None
    assert source.path == factories


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("nothing", "returned None"),
        ("text", "returned an object of type str"),
        ("number", "returned an object of type int"),
        ("of_class", "returned the class DataLoader"),
        ("two_loaders", "a tuple of loaders"),
        ("no_train", "a mapping with the keys held_out"),
        ("wrong_key", "a mapping with the keys train, test"),
    ],
)
def test_what_a_factory_may_not_return(factories, name, got):
    failure = refused(f"{factories}:{name}")
    assert got in failure.what
    assert "held_out" in failure.why


def test_a_missing_factory_is_an_error_of_the_data(factories):
    assert "has no attribute" in refused(f"{factories}:absent").what


def test_reserved_and_misspelt_schemes():
    assert "not supported in this version" in refused("hf:imdb").what
    assert "sklearn" in refused("sklern:digits", SpecError).hint


def stacked(batches):
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs), torch.cat(targets)


def test_digits():
    data = load("sklearn:digits")
    inputs, targets = stacked(data.source)
    assert inputs.shape == (1438, 1, 8, 8)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    assert (inputs.min(), inputs.max()) == (0, 1)
    assert [len(x) for x, _ in data.source] == [256] * 5 + [158]
    assert data.description == "sklearn digits, train: 1438 samples of 1x8x8, 10 classes"
    assert not data.synthetic


def test_digits_are_split_the_same_way_each_time():
    train, test, whole = (load(f"sklearn:digits,split={s}") for s in ("train", "test", "all"))
    held_out = stacked(train.held_out)
    for mine, theirs in zip(held_out, stacked(test.source), strict=True):
        assert torch.equal(mine, theirs)
    assert test.held_out is None
    assert whole.held_out is None
    images = {x.numpy().tobytes() for x in stacked(whole.source)[0]}
    apart = [{x.numpy().tobytes() for x in stacked(d.source)[0]} for d in (train, test)]
    assert apart[0] | apart[1] == images
    assert sum(len(stacked(d.source)[0]) for d in (train, test)) == 1797
    assert stacked(test.source)[1][:6].tolist() == [9, 4, 7, 0, 2, 6]


def test_flat_digits_are_the_same_numbers():
    images = stacked(load("sklearn:digits,split=test").source)[0]
    vectors = stacked(load("sklearn:digits,split=test,flat=True,batch_size=100").source)[0]
    assert torch.equal(images.flatten(1), vectors)


@pytest.mark.parametrize(("name", "size"), [("wine", 13), ("iris", 4), ("breast_cancer", 30)])
def test_vectors_are_standardised(name, size):
    inputs, targets = stacked(load(f"sklearn:{name}").source)
    assert inputs.shape[1:] == (size,)
    assert targets.dtype is torch.int64
    torch.testing.assert_close(inputs.mean(0), torch.zeros(size), atol=1e-5, rtol=0)
    torch.testing.assert_close(inputs.std(0, correction=0), torch.ones(size), atol=1e-4, rtol=0)


def test_regression_targets_are_a_column_of_floats():
    data = load("sklearn:diabetes")
    inputs, targets = stacked(data.source)
    assert targets.shape == (len(inputs), 1)
    assert targets.dtype is torch.float32
    assert abs(float(targets.mean())) < 1e-5
    assert "regression" in data.description


def test_sklearn_refusals(monkeypatch):
    assert "did you mean 'digits'" in refused("sklearn:digit").why
    assert "takes no splitt" in refused("sklearn:digits,splitt=test").what
    for options in ("split=dev", "flat=false", "flat=1", "batch_size=0", "batch_size=True"):
        assert options.partition("=")[0] in refused(f"sklearn:digits,{options}", SpecError).what
    refused("sklearn:split=test", SpecError)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.datasets", raising=False)
    failure = refused("sklearn:digits")
    assert failure.what == "sklearn is not installed"
    assert failure.hint == "pip install 'landscape[demo]'"


@pytest.fixture
def archive(tmp_path):
    def save(**arrays):
        path = tmp_path / "arrays.npz"
        np.savez(path, **arrays)
        return f"npz:{path}"

    return save


def test_npz(archive):
    text = archive(images=np.ones((5, 2, 3)), labels=np.arange(5, dtype=np.uint8))
    data = load(f"{text},batch_size=2")
    assert [tuple(x.shape) for x, _ in data.source] == [(2, 2, 3), (2, 2, 3), (1, 2, 3)]
    inputs, targets = stacked(data.source)
    assert (inputs.dtype, targets.dtype) == (torch.float32, torch.int64)
    assert targets.tolist() == [0, 1, 2, 3, 4]
    assert data.description == "arrays.npz: 5 samples of 2x3"


def test_npz_by_name_and_byte_order(archive):
    text = archive(a=np.arange(3), b=np.array([0.5, 1, 2], ">f8"), x=np.zeros(3), y=np.zeros(3))
    inputs, targets = stacked(load(f"{text},x=a,y=b").source)
    assert inputs.tolist() == [0, 1, 2]
    assert inputs.dtype is torch.int64
    assert targets.tolist() == [0.5, 1, 2]


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x": np.ones(3), "y": np.ones(4)}, "differ in length"),
        ({"x": np.float64(1), "y": np.float64(1)}, "differ in length"),
        ({"x": np.ones((0, 2)), "y": np.ones(0)}, "0 samples"),
        ({"x": np.ones(3)}, "no array named y or Y or targets or labels"),
        ({"q": np.ones(3)}, "it holds q"),
        ({"x": np.ones(3), "y": np.array([{}, 1, 2])}, "Object arrays"),
        ({"x": np.ones(3), "y": np.array(["a", "b", "c"])}, "expected real numbers"),
        ({"x": np.ones(3, complex), "y": np.ones(3)}, "expected real numbers"),
    ],
)
def test_npz_refusals(archive, arrays, said):
    assert said in str(refused(archive(**arrays)))


def test_npz_files_that_are_none(tmp_path):
    (tmp_path / "images.npz").write_bytes(b"")
    assert "images.npz" in refused(f"npz:{tmp_path}/image.npz").why
    assert "cannot be read" in refused(f"npz:{tmp_path}/images.npz").what
    (tmp_path / "images.npz").write_bytes(b"PK\x03\x04 torn")
    assert "cannot be read" in refused(f"npz:{tmp_path}/images.npz").what
    np.save(tmp_path / "one.npy", np.ones(3))
    assert "single array" in refused(f"npz:{tmp_path}/one.npy").why
    refused("npz:x=a", SpecError)
    refused(f"npz:{tmp_path}/one.npy,batch_size=-1", SpecError)


def test_random_data():
    text = "random:shape=3x4x4,classes=7,samples=10,batch_size=4"
    data, again = load(text), load(text)
    assert data.synthetic
    inputs, targets = stacked(data.source)
    assert inputs.shape == (10, 3, 4, 4)
    assert [len(x) for x, _ in data.source] == [4, 4, 2]
    assert int(targets.max()) < 7
    assert torch.equal(inputs, stacked(again.source)[0])
    assert not torch.equal(inputs, stacked(load(f"{text},seed=1").source)[0])


def test_random_data_leave_the_global_generator_alone():
    before = torch.random.get_rng_state()
    load_data("random:shape=3")
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("shape", "size"), [("5", (5,)), ("(3,4)", (3, 4)), ("[3]", (3,)), ("2x3", (2, 3))]
)
def test_shapes(shape, size):
    assert load(f"random:shape={shape}").source[0][0].shape[1:] == size


def test_random_tokens():
    inputs, _ = stacked(load("random:shape=16,tokens=50").source)
    assert inputs.dtype is torch.int64
    assert 0 <= int(inputs.min()) <= int(inputs.max()) < 50


def test_random_refusals():
    failure = refused("random:classes=3")
    assert failure.what.endswith("needs shape")
    assert failure.where.startswith("random_data(*, shape, classes=10")
    for options in (
        "shape=3x",
        "shape=0",
        "shape=()",
        "shape=-3",
        "shape=3x2.5",
        "shape=3,classes=0",
        "shape=3,samples=1.5",
        "shape=3,seed=x",
        "shape=3,tokens=0",
    ):
        refused(f"random:{options}", SpecError)
    refused("random:normal,shape=3", SpecError)


def test_torchvision_data():
    data = load("torchvision:FakeData,size=5,image_size=(3,4,4),batch_size=2")
    assert data.synthetic
    assert [tuple(x.shape) for x, _ in data.source] == [(2, 3, 4, 4), (2, 3, 4, 4), (1, 3, 4, 4)]
    inputs, _ = stacked(data.source)
    assert 0 <= float(inputs.min()) <= float(inputs.max()) <= 1
    assert data.description == "torchvision FakeData: 5 samples"


def test_torchvision_refusals(tmp_path, monkeypatch):
    assert "CIFAR10" in refused("torchvision:CIFAR11").why
    assert "needs root" in refused("torchvision:CIFAR10").what
    absent = refused(f"torchvision:CIFAR10,root={tmp_path},split=test")
    assert "finds no CIFAR10" in absent.what
    assert "landscape downloads nothing unasked" in absent.hint
    assert "--allow-download" in absent.hint
    assert "takes no year" in refused(f"torchvision:CIFAR10,root={tmp_path},year=1").what
    assert not list(tmp_path.iterdir())
    for options in ("split=dev", "download=True", "batch_size=x"):
        refused(f"torchvision:CIFAR10,root={tmp_path},{options}", SpecError)
    refused("torchvision:root=x", SpecError)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.datasets", raising=False)
    assert refused("torchvision:CIFAR10").hint == "pip install torchvision"


def test_torchvision_fetches_where_that_is_allowed(tmp_path, monkeypatch, capsys):
    from torchvision.datasets import mnist

    asked = []

    def fetch(url, download_root, **_):
        asked.append(url)
        print("extracting")  # as some versions of torchvision do
        name, images = Path(url).stem, "images" in url
        sizes = [2, 28, 28] if images else [2]
        head = [2048 + len(sizes), *sizes]
        body = bytes(math.prod(sizes))
        content = b"".join(one.to_bytes(4, "big") for one in head) + body
        (Path(download_root) / name).write_bytes(content)

    monkeypatch.setattr(mnist, "download_and_extract_archive", fetch)
    text = f"torchvision:MNIST,root={tmp_path},split=test"
    assert "finds no MNIST" in refused(text).what
    assert not asked
    assert load_data(text, allow_download=True).description == "torchvision MNIST: 2 samples"
    assert len(asked) == 4
    load_data(text, allow_download=True)
    load_data(text)
    assert len(asked) == 4
    assert capsys.readouterr().out == ""


def test_torchvision_data_that_cannot_be_fetched(tmp_path, monkeypatch):
    from torchvision.datasets import cifar

    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(cifar, "download_and_extract_archive", refuse)
    with pytest.raises(DataError, match="finds no CIFAR10") as caught:
        load_data(f"torchvision:CIFAR10,root={tmp_path}", allow_download=True)
    assert "no route to host" in caught.value.why
    assert "network" in caught.value.hint


def test_the_training_split_of_torchvision(tmp_path, monkeypatch):
    from torchvision import datasets

    seen = {}

    class Recorded(datasets.FakeData):
        def __init__(self, root, train=True, transform=None, download=False):
            seen.update(root=root, train=train, download=download)
            super().__init__(size=1, image_size=(1, 2, 2), transform=transform)

    monkeypatch.setattr(datasets, "MNIST", Recorded)
    load_data(f"torchvision:MNIST,root={tmp_path},split=test")
    assert seen == {"root": str(tmp_path), "train": False, "download": False}


def test_every_supported_scheme_is_loaded_by_something():
    for name, scheme in DATA_SCHEMES.items():
        if not scheme.instead:
            assert "returned" not in refused(f"{name}:??").what
