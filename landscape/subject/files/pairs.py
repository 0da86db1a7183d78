"""Pruned weights as `torch.nn.utils.prune` keeps them, a dense tensor and a mask, made into one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from landscape.subject.files.checkpoint import Checkpoint

DENSE, MASK = "_orig", "_mask"


def joined(checkpoint: Checkpoint, own: Collection[str] = ()) -> Checkpoint:
    """Return a checkpoint with `weight` in place of each `weight_orig` and its `weight_mask`.

    Args:
        checkpoint: As its file holds it.
        own: Names of the network's tensors; one that has such pairs itself takes them as they are.
    """
    held = checkpoint.tensors
    pairs = [
        name
        for name in (one.removesuffix(MASK) for one in held if one.endswith(MASK))
        if name not in held
        and f"{name}{DENSE}" in held
        and held[f"{name}{DENSE}"].shape == held[f"{name}{MASK}"].shape
    ]
    if not pairs or any(name.endswith(MASK) for name in own):
        return checkpoint
    short = {f"{name}{DENSE}": name for name in pairs}
    masks = {f"{name}{MASK}" for name in pairs}
    tensors = {short.get(n, n): tensor for n, tensor in held.items() if n not in masks}
    for name in pairs:
        tensors[name] = tensors[name] * held[f"{name}{MASK}"].to(tensors[name].dtype)
    told = f"{checkpoint.label}: pruned weights ({len(pairs)}) are {DENSE} times {MASK}"
    return replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, told))
