"""A pruned network as a checkpoint that anything can load."""

from __future__ import annotations

import io
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from landscape.encode import require_folder, write_atomically
from landscape.errors import OutputError
from landscape.pruning.mask import Mask
from landscape.subject.subject import Subject

SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")


def check_export(path: str | Path) -> Path:
    """Return where a checkpoint is written to.

    Raises:
        OutputError: The suffix is not one of a checkpoint, or there is no such folder.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"no checkpoint format is called {path.suffix or 'nothing'!r}",
            where=str(path),
            why="the suffix decides the format",
            hint=f"give a name that ends in one of {', '.join(SUFFIXES)}",
        )
    require_folder(path, "the checkpoint")
    return path


def export(subject: Subject, mask: Mask, path: str | Path) -> None:
    """Write the state dict of the last checkpoint with every pruned weight zero, atomically.

    It loads with `load_state_dict(..., strict=True)`; tensors have the precision of the network's
    own. In safetensors tied tensors stand under the first of their names, as its format asks.

    Raises:
        OutputError: The path cannot be written.
        ModelError: The mask does not fit.
    """
    path = check_export(path)
    network = subject.network
    tensors = mask.applied(network.tensors(subject.point))
    own = {n: t.detach().cpu().to(network.own[n].dtype).contiguous() for n, t in tensors.items()}
    first = {alias: name for name, more in network.aliases.items() for alias in (name, *more)}
    state = {name: own[first.get(name, name)] for name in network.saved_shapes()}
    write_atomically(path, _packed(state, path.suffix.lower()))


def _packed(state: dict[str, Tensor], suffix: str) -> bytes:
    if suffix == ".safetensors":
        once = {id(tensor): name for name, tensor in reversed(list(state.items()))}
        return safetensors.torch.save(
            {name: tensor for name, tensor in state.items() if once[id(tensor)] == name},
            {"format": "pt"},
        )
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()
