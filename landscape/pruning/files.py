"""Masks as files: one bit a weight in safetensors, with where they come from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from landscape.encode import encode, write_atomically
from landscape.errors import InputError
from landscape.pruning.mask import Mask

FORMAT = "landscape/mask/1"


def save(mask: Mask, path: str | Path) -> None:
    """Write a mask atomically.

    Each tensor is its bits in C order, eight to a byte, the first in the highest; shapes and
    provenance stand in the metadata as JSON.
    """
    packed = {n: torch.from_numpy(np.packbits(kept.numpy())) for n, kept in mask.kept.items()}
    metadata = {
        "format": FORMAT,
        "shapes": json.dumps({name: list(kept.shape) for name, kept in mask.kept.items()}),
        "provenance": json.dumps(encode(dict(mask.provenance))),
    }
    write_atomically(Path(path), safetensors.torch.save(packed, metadata))


def load(path: str | Path) -> Mask:
    """Return the mask of a file.

    A safetensors file of boolean tensors by parameter name, written by another tool, is read too.

    Raises:
        InputError: The file is no mask, or not whole.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        shapes = json.loads(metadata.get("shapes", "{}"))
        told = json.loads(metadata.get("provenance", "{}"))
        return Mask(kept={n: _kept(n, t, shapes) for n, t in tensors.items()}, provenance=told)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "the file is not a mask",
            where=str(path),
            why=str(error).split("\n")[0],
            hint="give a file that landscape tickets wrote, or boolean tensors in safetensors",
        ) from error


def _kept(name: str, stored: Tensor, shapes: dict[str, Any]) -> Tensor:
    if stored.dtype is torch.bool:
        return stored
    if stored.dtype is not torch.uint8 or name not in shapes:
        raise ValueError(f"{name} holds {stored.dtype}, not bits")
    shape = [int(extent) for extent in shapes[name]]
    count = int(np.prod(shape))
    if stored.numel() != -(-count // 8):
        raise ValueError(f"{name} holds {stored.numel()} bytes, and {shape} needs {-(-count // 8)}")
    return torch.from_numpy(np.unpackbits(stored.numpy(), count=count).astype(bool)).view(shape)
