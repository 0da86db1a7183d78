"""The proof accepts what preserves a function to rounding, and names what does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torchvision.models as vision
from torch import Tensor, nn

from landscape.errors import ModelError
from landscape.subject.subject import Subject
from landscape.symmetry.groups import infer
from landscape.symmetry.override import Override
from landscape.symmetry.proof import prove
from tests.cases import labels, normal, seeded
from tests.oracles import generator
from tests.subject.test_undisturbed import assert_same, delicate, global_state, state_of
from tests.symmetry.networks import CASES, Encoder, Language


def tokens() -> Tensor:
    return labels(3, 6, classes=11, seed=1)


def wide_mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 100), nn.ReLU(), nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10)
    )


def vision_transformer() -> nn.Module:
    return vision.VisionTransformer(64, 16, 2, 4, 64, 128, num_classes=10)


IMAGES = normal(3, 3, 64, 64, seed=1)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Tensor, float]] = {
    "MLP": (wide_mlp, normal(3, 64, seed=1), 0.999),
    "VGG11-BN": (vision.vgg11_bn, IMAGES, 0.999),
    "ResNet-18": (vision.resnet18, IMAGES, 0.999),
    "ResNet-50": (vision.resnet50, IMAGES, 0.999),
    "ResNeXt-50": (vision.resnext50_32x4d, IMAGES, 0.999),
    "DenseNet-121": (vision.densenet121, IMAGES, 0.999),
    "GoogLeNet": (lambda: vision.googlenet(init_weights=False), IMAGES, 0.999),
    "MobileNetV2": (vision.mobilenet_v2, IMAGES, 0.999),
    "EfficientNet-B0": (vision.efficientnet_b0, IMAGES, 0.999),
    "ShuffleNetV2": (vision.shufflenet_v2_x1_0, IMAGES, 0.96),
    "ConvNeXt-T": (vision.convnext_tiny, IMAGES, 0.999),
    "ViT": (vision_transformer, IMAGES, 0.99),
    "tied GPT": (Language, tokens(), 0.999),
    "MultiheadAttention": (Encoder, normal(3, 4, 6, seed=1), 0.99),
    "Swin-T": (vision.swin_t, IMAGES, 0.999),
}
QUICK = {"MLP", "ResNet-18", "ViT", "tied GPT", "MultiheadAttention", "ShuffleNetV2"}
SLOW = [name if name in QUICK else pytest.param(name, marks=pytest.mark.full) for name in NETWORKS]


@pytest.mark.parametrize("name", SLOW)
def test_networks_are_proved_in_float64(name: str) -> None:
    build, inputs, moved = NETWORKS[name]
    model = seeded(build, 1)
    shape = tuple(inputs.shape) if name == "tied GPT" else (3,)
    subject = Subject(model, "ce", [(inputs, labels(*shape, classes=2, seed=1))], device="cpu")
    symmetry = infer(subject)
    proof = prove(subject, symmetry, generator(2))
    assert proof.error <= 1e-10
    assert len(proof.groups) == len(symmetry.groups) > 1
    assert symmetry.moved_share >= moved
    assert not symmetry.unknown


def test_a_group_that_is_none_is_named() -> None:
    subject = CASES["mlp"].subject()
    wrong = Override(groups=(("2.weight:0", "2.bias:0"),))  # and not the next layer's inputs
    symmetry = infer(subject, override=wrong)
    with pytest.raises(ModelError, match="changes the network's function") as caught:
        prove(subject, symmetry, generator(1))
    assert "2.weight:0" in caught.value.where
    assert "0.weight:0" not in caught.value.where


class Hidden(nn.Module):
    """Looks at its first hidden unit, through a scale that starts at zero."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 5), nn.Linear(5, 3)
        self.scale = nn.Parameter(torch.zeros(5))

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        return self.last(hidden) + (hidden * self.scale).sum(-1, keepdim=True)


def test_zeros_hide_nothing() -> None:
    data = [(normal(4, 4, seed=1), labels(4, classes=3, seed=1))]
    subject = Subject(seeded(Hidden, 1), "ce", data, device="cpu")
    places = ("first.weight:0", "first.bias:0", "last.weight:1")
    symmetry = infer(subject, override=Override(groups=(places,)))
    with pytest.raises(ModelError, match="changes the network's function"):
        prove(subject, symmetry, generator(1))


@pytest.mark.parametrize("size", [1e-8, 1e-4])
def test_a_small_change_is_a_change(size: float) -> None:
    class Slightly(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            hidden = self[0](x).relu()
            return self[1](hidden) + size * hidden[:, :3]

    data = [(normal(4, 4, seed=1), labels(4, classes=3, seed=1))]
    model = seeded(lambda: Slightly(nn.Linear(4, 5), nn.Linear(5, 3)), 1)
    subject = Subject(model, "ce", data, device="cpu")
    places = ("0.weight:0", "0.bias:0", "1.weight:1")
    symmetry = infer(subject, override=Override(groups=(places,)))
    with pytest.raises(ModelError, match="changes the network's function"):
        prove(subject, symmetry, generator(1))


class Single(nn.Module):
    """Computes in float32 within, in the ways that are found in the wild, whatever its dtype."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.first, self.middle, self.last = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.scale = nn.Parameter(torch.ones(6))

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        if self.way == "rms norm":
            z = y.to(torch.float32)
            y = self.scale * (z * (z.square().mean(-1, keepdim=True) + 1e-6).rsqrt()).to(y.dtype)
        elif self.way == "layer norm":
            y = nn.functional.layer_norm(y.float(), (6,), self.scale.float()).type_as(y)
        elif self.way == "softmax":
            y = y.softmax(-1, dtype=torch.float32).to(y.dtype)
        elif self.way == "sum":
            y = y / y.sum(-1, keepdim=True, dtype=torch.float32)
        elif self.way == "half":
            y = nn.functional.linear(y.bfloat16(), self.middle.weight.bfloat16()).to(y.dtype)
        elif self.way == "made":
            y = y + torch.zeros(len(x), 6).float() @ self.middle.weight
        else:
            with torch.autocast("cpu", torch.bfloat16):
                y = self.middle(y.relu())
            y = y.to(x.dtype)
        with torch.no_grad():
            shift = y.mean(-1, keepdim=True)
        return self.last((y - shift).relu())


@pytest.mark.parametrize(
    "way", ["rms norm", "layer norm", "softmax", "sum", "half", "made", "autocast"]
)
def test_networks_that_compute_in_less_are_proved_in_float64(way: str) -> None:
    data = [(normal(4, 4, seed=1), labels(4, classes=3, seed=1))]
    subject = Subject(seeded(lambda: Single(way), 1), "ce", data, device="cpu")
    symmetry = infer(subject)
    assert not symmetry.unknown
    assert 6 in [group.size for group in symmetry.groups]
    dtype = torch.get_default_dtype()
    assert prove(subject, symmetry, generator(1)).error < 1e-13
    assert torch.get_default_dtype() == dtype


class Refusing(nn.Linear):
    """Cannot be run in float64."""

    def forward(self, input: Tensor) -> Tensor:
        if input.dtype == torch.float64:
            raise RuntimeError("no kernel for double")
        return super().forward(input)


def test_a_network_that_cannot_be_run_in_float64_is_told_as_such() -> None:
    data = [(normal(4, 4, seed=1), labels(4, classes=3, seed=1))]
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), Refusing(5, 3))
    subject = Subject(model, "ce", data, device="cpu")
    with pytest.raises(ModelError, match="could not be proved") as caught:
        prove(subject, infer(subject), generator(1))
    assert "no kernel for double" in caught.value.why


class Logarithm(nn.Module):
    """Takes logarithms of its weights, so that random ones give no number."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(6, 4) + 0.5)
        self.last = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x @ self.weight.log().t())


def test_own_weights_where_random_ones_give_no_numbers() -> None:
    data = [(normal(4, 4, seed=1), labels(4, classes=3, seed=1))]
    subject = Subject(seeded(Logarithm, 1), "ce", data, device="cpu")
    symmetry = infer(subject)
    assert [group.name for group in symmetry.groups] == ["weight:0"]
    assert prove(subject, symmetry, generator(1)).error < 1e-13


def test_the_subject_is_left_as_it_was() -> None:
    model = delicate()
    data = [(labels(4, 3, classes=6, seed=1), labels(4, classes=6, seed=2))]
    subject = Subject(model, "ce", data, device="cpu")
    states = []
    for _ in range(2):
        states.append((global_state(), state_of(model)))
        prove(subject, infer(subject), generator(1))
    for before, after in zip(*states, strict=True):
        assert_same(before, after)
