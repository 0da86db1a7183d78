"""What is measured on: a network, its loss and its batches, the same for every contender."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from tests.benchmarks import networks
from tests.benchmarks.data import Batch, digits, images, text, vectors
from tests.benchmarks.networks import GPT


class TokenCrossEntropy(nn.CrossEntropyLoss):
    """The mean cross entropy over samples, or over the tokens of all samples."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input.flatten(0, -2), target.flatten())


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A network in eval mode, the mean loss and batches, on one device in float32."""

    name: str
    model: nn.Module
    batches: list[Batch]
    loss: nn.Module
    block: int  # vectors of a block product
    chunk: int  # samples that the reference takes at a time

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters, tied ones once."""
        return list(self.model.parameters())

    @property
    def size(self) -> int:
        """Return n."""
        return sum(parameter.numel() for parameter in self.parameters)

    def columns(self) -> Tensor:  # (n, block)
        """Return what is multiplied, the same in every process."""
        source = torch.Generator().manual_seed(4)
        rows = torch.randn(self.block, self.size, generator=source)
        return rows.T.to(self.parameters[0].device)

    def vector(self, parts: Iterable[Tensor]) -> Tensor:  # (n,)
        """Return tensors shaped like the parameters as one vector."""
        return torch.cat([part.reshape(-1) for part in parts])

    def parts(self, vector: Tensor) -> list[Tensor]:
        """Return a vector (n,) as tensors shaped like the parameters."""
        sizes = [parameter.numel() for parameter in self.parameters]
        pieces = vector.split(sizes)
        return [piece.view_as(p) for piece, p in zip(pieces, self.parameters, strict=True)]

    def gradient(self) -> Tensor:  # (n,)
        """Return the gradient of the mean loss, as any training loop computes it."""
        total, count = torch.zeros((), device=self.parameters[0].device), 0
        for inputs, targets in self.batches:
            loss = self.loss(self.model(inputs), targets)
            total = total + len(inputs) * self.vector(torch.autograd.grad(loss, self.parameters))
            count += len(inputs)
        return total / count


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a problem is made, at full size or as a toy for a smoke test."""

    network: Callable[[], nn.Module]
    data: Callable[[], list[Batch]]
    toy: tuple[Callable[[], nn.Module], Callable[[], list[Batch]]]
    training: int = 0  # steps of Adam before the measurement
    block: int = 16  # vectors of a block product
    chunk: int = 2048  # samples that the reference takes at a time


def build(name: str, *, device: str, quick: bool) -> Problem:
    """Return a problem with its initial weights; the same on every call."""
    recipe = PROBLEMS[name]
    network, data = recipe.toy if quick else (recipe.network, recipe.data)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = network()
    batches = [(inputs.to(device), targets.to(device)) for inputs, targets in data()]
    model.to(device)
    _settle(model, batches[0][0])
    return Problem(
        name=name,
        model=model,
        batches=batches,
        loss=TokenCrossEntropy(),
        block=recipe.block,
        chunk=recipe.chunk,
    )


def train(problem: Problem, *, quick: bool) -> None:
    """Take the recipe's optimizer steps, batch after batch, in eval mode."""
    optimizer = torch.optim.Adam(problem.parameters, lr=3e-3)
    for step in range(PROBLEMS[problem.name].training // (20 if quick else 1)):
        inputs, targets = problem.batches[step % len(problem.batches)]
        optimizer.zero_grad()
        problem.loss(problem.model(inputs), targets).backward()
        optimizer.step()
    optimizer.zero_grad()


def _settle(model: nn.Module, inputs: Tensor) -> None:
    """Give BatchNorm the statistics of one batch, then leave the model in eval mode."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(inputs)
    model.eval()


def _resnet50(blocks: tuple[int, int, int, int], classes: int) -> nn.Module:
    from torchvision.models.resnet import Bottleneck, ResNet

    return ResNet(Bottleneck, list(blocks), num_classes=classes)


_small_gpt = partial(GPT, layers=2, width=64, heads=4, vocabulary=256, length=64)
_toy_gpt = partial(GPT, layers=1, width=8, heads=2, vocabulary=16, length=8)
_toy_mlp = partial(networks.mlp, 8, 6, 4)
_toy_text = partial(text, 1, 2, 8, vocabulary=16)
_toy_images = partial(images, 4, 3, 8)

PROBLEMS = {
    "mlp": Recipe(
        network=partial(networks.mlp, 784, 512, 512, 10),
        data=partial(vectors, 1024, 784),
        toy=(_toy_mlp, partial(vectors, 16, 8, classes=4)),
    ),
    "resnet-small": Recipe(
        network=partial(networks.resnet, (8, 16, 32), 1),
        data=partial(images, 64, 3, 16),
        toy=(partial(networks.resnet, (2, 3), 1), _toy_images),
    ),
    "gpt-small": Recipe(
        network=_small_gpt,
        data=partial(text, 1, 8, 64, vocabulary=256),
        toy=(_toy_gpt, _toy_text),
    ),
    "resnet18": Recipe(
        network=partial(networks.resnet, (64, 128, 256, 512), 2),
        data=partial(images, 512, 3, 32),
        chunk=128,
        toy=(partial(networks.resnet, (2, 3, 4, 5), 2), _toy_images),
    ),
    "resnet50": Recipe(
        network=partial(_resnet50, (3, 4, 6, 3), 1000),
        data=partial(images, 64, 3, 224, classes=1000),
        chunk=16,
        toy=(partial(_resnet50, (1, 1, 1, 1), 10), partial(images, 2, 3, 32)),
    ),
    "gpt-124m": Recipe(
        network=partial(GPT, layers=12, width=768, heads=12, vocabulary=50304, length=1024),
        data=partial(text, 1, 4, 1024, vocabulary=50304),
        toy=(_toy_gpt, _toy_text),
        block=4,
        chunk=1,
    ),
    "digits-mlp": Recipe(
        network=partial(networks.mlp, 64, 32, 10),
        data=partial(digits, flat=True, batch=1797),
        toy=(partial(networks.mlp, 64, 4, 10), partial(digits, flat=True, batch=100, samples=100)),
        training=100,
    ),
    "digits-cnn": Recipe(
        network=partial(networks.digits_cnn, (64, 128)),
        data=partial(digits, flat=False, batch=120),
        toy=(
            partial(networks.digits_cnn, (2, 3)),
            partial(digits, flat=False, batch=50, samples=120),
        ),
        training=150,
    ),
    "digits-deep": Recipe(
        network=partial(networks.strided_cnn, 16, 16, 32, 32, 64, 64),
        data=partial(digits, flat=False, batch=120),
        toy=(
            partial(networks.strided_cnn, 2, 3),
            partial(digits, flat=False, batch=50, samples=120),
        ),
        training=200,
    ),
    "gpt-deep": Recipe(
        network=partial(GPT, layers=6, width=32, heads=4, vocabulary=64, length=16),
        data=partial(text, 16, 8, 16, vocabulary=64),
        toy=(_toy_gpt, partial(text, 2, 2, 8, vocabulary=16)),
        training=200,
    ),
    "gpt-text": Recipe(
        network=partial(GPT, layers=2, width=64, heads=4, vocabulary=64, length=64),
        data=partial(text, 8, 8, 64, vocabulary=64),
        toy=(_toy_gpt, partial(text, 2, 2, 8, vocabulary=16)),
        training=200,
    ),
}
