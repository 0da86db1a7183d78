"""The data of the benchmarks: random numbers of a given shape, digits, and a Markov chain."""

from __future__ import annotations

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]


def split(inputs: Tensor, targets: Tensor, batch: int) -> list[Batch]:
    return list(zip(inputs.split(batch), targets.split(batch), strict=True))


def vectors(batch: int, width: int, *, classes: int = 10) -> list[Batch]:
    """Return one batch of Gaussian vectors with random labels."""
    source = torch.Generator().manual_seed(1)
    inputs = torch.randn(batch, width, generator=source)
    return [(inputs, torch.randint(classes, (batch,), generator=source))]


def images(batch: int, channels: int, side: int, *, classes: int = 10) -> list[Batch]:
    """Return one batch of Gaussian images with random labels."""
    source = torch.Generator().manual_seed(2)
    inputs = torch.randn(batch, channels, side, side, generator=source)
    return [(inputs, torch.randint(classes, (batch,), generator=source))]


def digits(*, flat: bool, batch: int, samples: int = 1797) -> list[Batch]:
    """Return scikit-learn's handwritten digits in the order in which they are stored."""
    from sklearn.datasets import load_digits

    inputs, labels = load_digits(return_X_y=True)
    pixels = torch.tensor(inputs[:samples], dtype=torch.float32) / 16
    shaped = pixels if flat else pixels.view(-1, 1, 8, 8)
    return split(shaped, torch.tensor(labels[:samples]), batch)


def text(batches: int, batch: int, length: int, *, vocabulary: int) -> list[Batch]:
    """Return tokens of a Markov chain, each with its successor as the target.

    From every token the chain goes to one of four others, with probabilities 8 : 4 : 2 : 1.
    """
    source = torch.Generator().manual_seed(3)
    successors = torch.randint(vocabulary, (vocabulary, 4), generator=source)
    tokens = torch.randint(vocabulary, (batches * batch, 1), generator=source)
    likely = torch.tensor([8.0, 4.0, 2.0, 1.0])
    for _ in range(length):
        drawn = torch.multinomial(likely, len(tokens), replacement=True, generator=source)
        following = successors[tokens[:, -1], drawn]
        tokens = torch.cat([tokens, following[:, None]], dim=1)
    return split(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous(), batch)
