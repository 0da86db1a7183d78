"""Which weights of a network may be pruned: those of layers, not biases and not normalisation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn

from landscape.errors import ModelError
from landscape.subject.subject import Subject

NORMS = (
    nn.modules.batchnorm._NormBase,
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
    nn.LocalResponseNorm,
)
LAYERS = (
    nn.Linear,
    nn.Bilinear,
    nn.modules.conv._ConvNd,
    nn.Embedding,
    nn.EmbeddingBag,
    nn.MultiheadAttention,
    nn.modules.rnn.RNNBase,
    nn.modules.rnn.RNNCellBase,
)


@dataclass(frozen=True, kw_only=True)
class Prunable:
    """A weight tensor that a mask may thin out.

    Args:
        name: The first of its names; tied tensors are one.
        shape: Of the tensor.
        start: Where it begins among all prunable weights.
    """

    name: str
    shape: tuple[int, ...]
    start: int

    @property
    def size(self) -> int:
        """Return the number of weights."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count


def prunable(subject: Subject, *, dense: str = "") -> tuple[Prunable, ...]:
    """Return the prunable tensors among those that the subject studies, in order.

    Weights of linear, convolution, embedding, recurrent and attention layers, and what an unknown
    module calls a weight, if it has two axes or more. Biases, normalisation and everything else
    (positions, class tokens, scales) stay dense.

    Args:
        subject: Names the studied parameters.
        dense: Comma-separated globs over parameters or layers that stay dense as well.

    Raises:
        ModelError: Nothing is left to prune.
    """
    chosen = set(subject.parameters.names)
    globs = [part.strip() for part in dense.split(",") if part.strip()]
    found, start = list[Prunable](), 0
    for name, shape in _weights(subject.network.model):
        if name not in chosen or any(
            fnmatchcase(name, g) or fnmatchcase(name, f"{g}.*") for g in globs
        ):
            continue
        found.append(Prunable(name=name, shape=shape, start=start))
        start += found[-1].size
    if not found:
        raise ModelError(
            "no weight of the network may be pruned",
            where="prunable",
            why="biases and normalisation stay dense, and so does what is named to stay so",
            hint="study layers with weights (--params), or name fewer that stay dense",
        )
    return tuple(found)


def _weights(model: nn.Module) -> Iterator[tuple[str, tuple[int, ...]]]:
    seen = set[int]()
    for prefix, module in model.named_modules():
        for leaf, tensor in module.named_parameters(recurse=False):
            if id(tensor) in seen or isinstance(module, NORMS) or tensor.dim() < 2:
                continue
            if "bias" in leaf or not (isinstance(module, LAYERS) or "weight" in leaf):
                continue
            seen.add(id(tensor))
            yield f"{prefix}.{leaf}" if prefix else leaf, tuple(tensor.shape)
