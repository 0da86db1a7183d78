"""Files of masks: which weights are kept, one bit each, in safetensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.errors import InputError
from landscape.subject.files.sniff import did_you_mean, why_missing

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "landscape/mask/1"


@dataclass(frozen=True, kw_only=True)
class MaskFile:
    """What a file of a mask holds.

    Args:
        kept: Boolean tensors by parameter name; true weights are kept.
        provenance: Where it comes from, as far as the file tells.
    """

    kept: dict[str, Tensor]
    provenance: dict[str, Any]


def read_mask(path: str | Path) -> MaskFile:
    """Return the mask in a file.

    Each tensor is its bits in C order, eight to a byte, the first in the highest, with its shape
    in the metadata. Boolean tensors by parameter name, as other tools write them, are read too.

    Raises:
        InputError: The file is no mask, or not whole.
    """
    from safetensors import SafetensorError, safe_open

    if not Path(path).exists():
        raise InputError(
            "no such file",
            where=str(path),
            why=why_missing(Path(path)),
            hint=did_you_mean(Path(path)),
        )
    try:
        with safe_open(Path(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata.get("sha256", found := digest(tensors)) != found:
            raise ValueError("its bits changed after they were written")
        shapes = json.loads(metadata.get("shapes", "{}"))
        return MaskFile(
            kept={name: _kept(name, tensor, shapes) for name, tensor in tensors.items()},
            provenance=dict(json.loads(metadata.get("provenance", "{}"))),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "the file is not a mask",
            where=str(path),
            why=str(error).split("\n")[0],
            hint="give a file that landscape tickets wrote, or boolean tensors in safetensors",
        ) from error


def digest(packed: Mapping[str, Tensor]) -> str:
    """Return a hash of the bits of a mask and of their names."""
    found = hashlib.sha256()
    for name in sorted(packed):
        found.update(f"{name}\0{packed[name].numel()}\0".encode(errors="replace"))
        found.update(packed[name].contiguous().numpy().tobytes())
    return found.hexdigest()


def is_mask(path: str | Path) -> bool:
    """Return whether a file is one of masks, not of weights."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(Path(path), framework="pt") as file:
            names = list(file.keys())
            dtypes = {file.get_slice(name).get_dtype() for name in names}
            return (file.metadata() or {}).get("format") == FORMAT or dtypes == {"BOOL"}
    except (SafetensorError, OSError):
        return False


def _kept(name: str, stored: Tensor, shapes: dict[str, Any]) -> Tensor:
    import numpy as np
    import torch

    if stored.dtype is torch.bool:
        return stored
    if stored.dtype is not torch.uint8 or name not in shapes:
        raise ValueError(f"{name} holds {stored.dtype}, not bits")
    shape = [int(extent) for extent in shapes[name]]
    count = int(np.prod(shape))
    if stored.numel() != -(-count // 8):
        raise ValueError(f"{name} holds {stored.numel()} bytes, and {shape} needs {-(-count // 8)}")
    return torch.from_numpy(np.unpackbits(stored.numpy(), count=count).astype(bool)).view(shape)
