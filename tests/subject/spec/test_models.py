import socket
import sys
import urllib.error

import pytest
import torch
from torch import nn

from landscape.errors import ModelError, SpecError
from landscape.subject.spec.models import MODEL_SCHEMES, brings_weights, load_model
from landscape.subject.spec.source import source_of


@pytest.fixture
def factories(tmp_path):
    file = tmp_path / "factories.py"
    file.write_text(
        "from torch import nn\n"
        "def build(width=3): return nn.Linear(2, width)\n"
        "class Net(nn.Linear):\n    def __init__(self): super().__init__(1, 1)\n"
        "ready = nn.Linear(4, 4)\n"
        "def of_class(): return nn.Linear\n"
        "def of_text(): return 'network'\n"
        "def forgotten(): nn.Linear(1, 1)\n"
        "def wrong(): return nn.Linear('two', 1)\n"
    )
    return str(file)


def refused(text: str) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_model(text)
    assert caught.value.exit == 3
    return caught.value


def test_a_factory_of_a_file(factories):
    model = load_model(f"{factories}:build,width=5")
    assert model.out_features == 5
    source = source_of(model)
    assert source is not None
    assert source.path == factories


def test_a_class_and_a_ready_network_of_a_file(factories):
    assert load_model(f"{factories}:Net").in_features == 1
    assert load_model(f"{factories}:ready").in_features == 4


def test_a_factory_of_a_module():
    assert isinstance(load_model("torch.nn:Linear,in_features=2,out_features=3"), nn.Linear)


def test_what_is_no_network_is_refused(factories):
    assert "returned str; expected torch.nn.Module" in refused(f"{factories}:of_text").what
    assert "returned NoneType" in refused(f"{factories}:forgotten").what


def test_a_returned_class_has_its_own_hint(factories):
    failure = refused(f"{factories}:of_class")
    assert "returned the class Linear" in failure.what
    assert "Network()" in failure.hint


def test_a_factory_that_raises_inside_torch_is_blamed_at_its_own_line(factories):
    failure = refused(f"{factories}:wrong")
    assert failure.where == f"{factories}:9"
    assert "site-packages" not in failure.why


@pytest.mark.parametrize("name", [name for name, row in MODEL_SCHEMES.items() if row.instead])
def test_reserved_schemes(name):
    failure = refused(f"{name}:some/name")
    assert "not supported in this version" in failure.what
    assert "def build():" in failure.hint


def test_the_grammar_is_checked_first():
    with pytest.raises(SpecError) as caught:
        load_model("torchvison:resnet18")
    assert caught.value.exit == 2
    with pytest.raises(SpecError):
        load_model("torchvision:num_classes=3")


def test_an_architecture_of_torchvision():
    model = load_model("torchvision:squeezenet1_1,num_classes=3")
    assert model.num_classes == 3


def test_a_backbone_is_not_downloaded(monkeypatch):
    def refuse(*_):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    model = load_model("torchvision:lraspp_mobilenet_v3_large,num_classes=2")
    assert isinstance(model, nn.Module)


def test_an_unknown_architecture_names_the_nearest():
    failure = refused("torchvision:resnet19")
    assert "no architecture 'resnet19'" in failure.what
    assert "resnet18" in failure.why


def test_an_option_that_the_architecture_refuses():
    assert "unexpected keyword argument 'depth'" in refused("torchvision:resnet18,depth=3").why


@pytest.mark.parametrize("option", ["weights=DEFAULT", "pretrained=True", "weights_backbone=x"])
def test_weights_are_not_fetched_unasked(option):
    failure = refused(f"torchvision:resnet18,{option}")
    assert "takes no" in failure.what
    assert "checkpoint" in failure.why
    assert "--allow-download" in failure.hint


def test_weights_are_fetched_where_that_is_allowed(monkeypatch):
    from torchvision.models import _api, squeezenet1_1

    asked = []

    def fetched(url, **_):
        asked.append(url)
        return {name: torch.full_like(t, 0.5) for name, t in squeezenet1_1().state_dict().items()}

    monkeypatch.setattr(_api, "load_state_dict_from_url", fetched)
    model = load_model("torchvision:squeezenet1_1,weights=DEFAULT", allow_download=True)
    assert all((weight == 0.5).all() for weight in model.parameters())
    assert len(asked) == 1
    load_model("torchvision:squeezenet1_1,weights=None", allow_download=True)
    assert len(asked) == 1
    with pytest.raises(ModelError, match="has no weights 'BEST'") as caught:
        load_model("torchvision:squeezenet1_1,weights=BEST", allow_download=True)
    assert "IMAGENET1K_V1" in caught.value.why
    with pytest.raises(ModelError, match="takes no pretrained"):
        load_model("torchvision:squeezenet1_1,pretrained=True", allow_download=True)


def test_weights_that_cannot_be_fetched(monkeypatch):
    from torchvision.models import _api

    def refuse(*_, **__):
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(_api, "load_state_dict_from_url", refuse)
    with pytest.raises(ModelError, match="could not be fetched") as caught:
        load_model("torchvision:squeezenet1_1,weights=DEFAULT", allow_download=True)
    assert "no route to host" in caught.value.why


def test_which_specs_bring_weights():
    assert brings_weights("torchvision:resnet18,weights=DEFAULT")
    for text in ("torchvision:resnet18", "torchvision:resnet18,weights=None", "nets.py:build"):
        assert not brings_weights(text)


def test_without_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.models", raising=False)
    failure = refused("torchvision:resnet18")
    assert failure.what == "torchvision is not installed"
    assert failure.hint == "pip install torchvision"
