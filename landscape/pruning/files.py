"""Masks as files: one bit a weight in safetensors, with where they come from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors.torch
import torch

from landscape.encode import encode, write_atomically
from landscape.pruning.mask import Mask
from landscape.subject.files.mask import FORMAT, digest, read_mask


def save(mask: Mask, path: str | Path) -> None:
    """Write a mask atomically.

    Each tensor is its bits in C order, eight to a byte, the first in the highest; shapes and
    provenance stand in the metadata as JSON, and a hash of the bits, which safetensors lacks.
    """
    packed = {n: torch.from_numpy(np.packbits(kept.numpy())) for n, kept in mask.kept.items()}
    metadata = {
        "format": FORMAT,
        "shapes": json.dumps({name: list(kept.shape) for name, kept in mask.kept.items()}),
        "provenance": json.dumps(encode(dict(mask.provenance))),
        "sha256": digest(packed),
    }
    write_atomically(Path(path), safetensors.torch.save(packed, metadata))


def load(path: str | Path) -> Mask:
    """Return the mask of a file.

    A safetensors file of boolean tensors by parameter name, written by another tool, is read too.

    Raises:
        InputError: The file is no mask, or not whole.
    """
    found = read_mask(path)
    return Mask(kept=found.kept, provenance=found.provenance)
