"""Where the first NaN or infinity arose: the forward pass is run again, module by module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from landscape.recorder.network import Watched
from landscape.recorder.replay import kept
from landscape.subject.network import unwrapped
from landscape.subject.undisturbed import RandomState

MOST_LOOKS = 50  # of a run


class Origin:
    """Looks, on the CPU, at every gradient that is not finite, before the optimizer takes it.

    The micro-batch that the gradient came from is passed through the network once more; the first
    module with a value that is not finite in its output and none in its inputs is where it arose.
    Buffers, attributes and random state are put back. Of a step the first micro-batch is looked
    at; of a run, the first steps: what a scaler skips is looked at as well.

    On a GPU nothing is looked at, because that would wait for it in every step.

    Args:
        watched: The network.
    """

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._looks = MOST_LOOKS if watched.tensors[0].device.type == "cpu" else 0
        self._step: int | None = None  # that was looked at last
        self._call: tuple[tuple[Any, ...], Mapping[str, Any]] | None = None
        self._found: list[dict[str, Any]] = []

    def called(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Keep what the network was called with, until the step is over."""
        if self._looks:
            self._call = (args, kwargs)

    def forget(self) -> None:
        """Let it go."""
        self._call = None

    def taken(self) -> list[dict[str, Any]]:
        """Return what was found since the last time."""
        found, self._found = self._found, []
        return found

    def after_backward(self, step: int, number: int, norms: Tensor) -> None:
        """Look at the gradient norms of a backward pass."""
        if not self._looks or step == self._step:
            return
        if math.isfinite(float(norms.sum())):
            return
        odd = ~norms.isfinite()
        self._step, self._looks = step, self._looks - 1
        names = [one.name for one in self._watched.layers]
        record: dict[str, Any] = {
            "kind": "origin",
            "step": step,
            "micro_batch": number,
            "gradients": [name for name, bad in zip(names, odd.tolist(), strict=True) if bad],
            "weights": [
                name
                for name, one in zip(names, self._watched.tensors, strict=True)
                if not bool(one.isfinite().all())
            ],
        }
        if self._call is not None:
            record |= _replayed(self._watched.model, *self._call)
        self._found.append(record)


def _replayed(model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the first module whose output is not finite although its inputs are."""
    inner = unwrapped(model)
    found: list[tuple[str, bool]] = []
    handles = [
        module.register_forward_hook(_look(name.replace("_orig_mod.", ""), found))
        for name, module in inner.named_modules()
        if not any(True for _ in module.children())
    ]
    try:
        with torch.no_grad(), kept(inner), RandomState(0).active():
            inner(*args, **kwargs)
    except Exception:
        found = []
    finally:
        for handle in handles:
            handle.remove()
    inputs = not _finite((args, tuple(kwargs.values())))
    first = next((name for name, clean in found if clean), found[0][0] if found else None)
    return {"inputs": inputs, "module": first, "forward": bool(found)}


def _look(name: str, found: list[tuple[str, bool]]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> None:
        del module
        if not _finite(output):
            found.append((name, _finite(inputs)))

    return hook


def _finite(value: Any) -> bool:
    if isinstance(value, Tensor):
        return bool(value.detach().isfinite().all())
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return all(_finite(one) for one in value)
    return True
