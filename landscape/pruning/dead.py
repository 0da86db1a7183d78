"""Units of a layer that keep no weight: outputs that nothing feeds, inputs that nothing reads."""

from __future__ import annotations

from torch import Tensor, nn

TURNED = (nn.modules.conv._ConvTransposeNd, nn.Embedding, nn.EmbeddingBag)  # inputs come first


def dead_units(kept: Tensor, layer: nn.Module | None) -> tuple[int, int]:
    """Return how many outputs and how many inputs of a layer keep nothing.

    Args:
        kept: Of its weights, (outputs, inputs per group, …); transposed convolutions and
            embeddings have (inputs, outputs per group, …).
        layer: None: not known, one group, outputs first.
    """
    groups = getattr(layer, "groups", 1)
    units = kept.flatten(2).any(2) if kept.dim() > 2 else kept  # (first axis, second axis)
    first = int((~units.any(1)).sum())
    second = int((~units.unflatten(0, (groups, -1)).any(1)).sum())
    return (second, first) if isinstance(layer, TURNED) else (first, second)


def layer_of(model: nn.Module, name: str) -> nn.Module | None:
    """Return the layer that has a tensor; None where there is none of that name."""
    return dict(model.named_modules()).get(name.rpartition(".")[0])
