"""Whether a run goes on with the one that its log ends with, or begins anew."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer

from landscape.recorder.network import Watched
from landscape.recorder.norms import accumulation, norms
from landscape.recorder.ring import Parcels

SAME = 1e-4  # relative difference of norms that another device or order of summation may make


class Beginning:
    """Holds the weights before the first step against those that a log ends with.

    A run begins anew when the norm of some tensor is another one and the optimizer has no state.
    Seen at the first step, not before, since a loop may load its checkpoint after attaching.

    Args:
        watched: What is recorded.
        optimizer: Whose first step is looked at.
        end: The record with which the log ends; None: there is nothing to go on with.

    Cost: one pass over the weights, once; nothing waits for the device.
    """

    def __init__(
        self, watched: Watched, optimizer: Optimizer, end: Mapping[str, Any] | None
    ) -> None:
        self._watched = watched
        self._optimizer = optimizer
        self._weights = None if end is None else end.get("weight")
        self._parcels: Parcels[None] = Parcels()
        self._looked = self._weights is None

    def look(self) -> None:
        """Take the norms, before the first step."""
        if self._looked:
            return
        self._looked = True
        if not self._optimizer.state:
            self._parcels.send(_weights(self._watched), None)

    def anew(self, *, waiting: bool = False) -> bool:
        """Return whether the run was found to begin anew; true once."""
        found = self._parcels.rest() if waiting else self._parcels.arrived()
        return any(_other(np.array(now), self._weights) for _, now in found)


def weights_at_the_end(watched: Watched) -> list[float]:
    """Return the norms of the weights (N,), waiting for them as for other rows."""
    parcels: Parcels[None] = Parcels()
    parcels.send(_weights(watched), None)
    return parcels.rest()[0][1]


@torch.no_grad()
def _weights(watched: Watched) -> torch.Tensor:
    """Return the norms of the weights (N,), on the device."""
    home, dtype = watched.tensors[0].device, accumulation(watched.tensors)
    found = norms(watched.tensors, dtype)
    return torch.stack([one.to(home, non_blocking=True) for one in found])


def _other(now: np.ndarray, then: Any) -> bool:
    """Return whether norms differ by more than rounding; not judged where they are not finite."""
    then = np.asarray(then, dtype=float)
    if now.shape != then.shape:
        return True
    with np.errstate(invalid="ignore"):
        return bool((np.abs(now - then) > SAME * np.maximum(np.abs(now), np.abs(then))).any())
