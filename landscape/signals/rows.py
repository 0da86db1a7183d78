"""Rows of a layer's inputs and backward signals, as many as tell their second moments."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MOST_ROWS = 2048  # of one layer
TOGETHER = 8  # samples whose patches are cut at a time

Weighted = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


class Rows:
    """Input patches a and backward signals δ at some positions of every sample.

    Args:
        module: The layer: Linear, or a convolution without groups.
        samples: How many there will be.
        width: Longer rows are not kept.
    """

    def __init__(self, module: Weighted, *, samples: int, width: int) -> None:
        self._module, self._width = module, width
        self._positions = max(MOST_ROWS // samples, 1)
        self.incoming: list[Tensor] = []  # each (b, positions, n_in)
        self.outgoing: list[Tensor] = []  # each (b, positions, n_out)
        self.reason = ""

    def add(self, given: Tensor, output: Tensor, scale: float) -> None:
        """Keep what passes in one batch: the inputs now, the signals when they come back."""
        if self.reason:
            return
        module = self._module
        linear = isinstance(module, nn.Linear)
        if not linear and not (isinstance(module, nn.Conv2d) and module.groups == 1):
            self.reason = "patches of such a convolution are not cut"
        elif max(module.weight[0].numel(), len(module.weight)) > self._width:
            self.reason = f"it is wider than {self._width}"
        if self.reason:
            return
        conv = module if isinstance(module, nn.Conv2d) else None
        rows = _flat(given, self._positions) if conv is None else self._patches(conv, given)
        self.incoming.append(rows.cpu())
        if output.requires_grad:
            output.register_hook(lambda signal: self._returned(signal * scale, linear=linear))

    def _returned(self, signal: Tensor, *, linear: bool) -> None:
        flat = signal if linear else signal.flatten(2).movedim(1, -1)
        self.outgoing.append(_flat(flat, self._positions).cpu())

    def _patches(self, conv: nn.Conv2d, given: Tensor) -> Tensor:
        padded, padding = _padded(conv, given)
        cut = (
            F.unfold(part, conv.kernel_size, conv.dilation, padding, conv.stride)
            for part in padded.split(TOGETHER)
        )
        return torch.cat([_flat(part.movedim(1, -1), self._positions) for part in cut])


def _padded(conv: nn.Conv2d, given: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Return the input with padding that is not a number of zeros put on, and what is left."""
    if conv.padding_mode == "zeros" and not isinstance(conv.padding, str):
        return given, (conv.padding[0], conv.padding[1])
    mode = "constant" if conv.padding_mode == "zeros" else conv.padding_mode
    return F.pad(given, conv._reversed_padding_repeated_twice, mode), (0, 0)


def _flat(values: Tensor, most: int) -> Tensor:  # (b, positions, n)
    """Return the last axis at most so many evenly spaced positions of every sample."""
    rows = values.detach().reshape(len(values), -1, values.shape[-1])
    if rows.shape[1] <= most:
        return rows
    chosen = torch.linspace(0, rows.shape[1] - 1, most).round().long()
    return rows[:, chosen.to(rows.device)]
