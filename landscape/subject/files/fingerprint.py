"""Digests that say whether two files hold the same weights, whatever wrote them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.subject.files.names import stripped

if TYPE_CHECKING:
    from torch import Tensor

DIGEST_BYTES = 16


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Return 32 hexadecimal digits that depend on names, dtypes, shapes and values alone.

    Container, order, wrappers in names (`module.` …) and one leading prefix common to all names
    do not enter. Tensors that share their memory (tied) enter once, under the first name.
    """
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    seen: set[tuple[object, ...]] = set()
    for name, original in sorted(_canonical(tensors).items()):
        tensor = tensors[original].detach()
        place = memory(tensor)
        if place in seen and tensor.numel():
            continue
        seen.add(place)
        field = name.encode("utf-8", "surrogatepass")
        digest.update(f"{len(field)}:".encode() + field)
        digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def digest_of(state: object) -> str:
    """Return 32 hexadecimal digits that depend on every tensor and number of a nested state."""
    import torch
    from torch import Tensor
    from torch.utils import _pytree as pytree

    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for path, leaf in pytree.tree_flatten_with_path(state)[0]:
        digest.update(repr(path).encode("utf-8", "surrogatepass"))
        if isinstance(leaf, Tensor):
            digest.update(f"{leaf.dtype}{tuple(leaf.shape)}".encode())
            dense = leaf.detach()
            if dense.layout is not torch.strided:
                dense = dense.to_sparse_coo().coalesce()
                digest.update(_bytes(dense.indices()))
                dense = dense.values()
            digest.update(_bytes(dense))
        else:
            digest.update(repr(leaf).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def memory(tensor: Tensor) -> tuple[object, ...]:
    """Return what two tensors have in common when one is the other under a second name."""
    return tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as `sha256sum` prints it."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    import torch

    flat = tensor.cpu().contiguous().reshape(-1).view(torch.uint8)
    return flat.numpy().data


def _canonical(names: Mapping[str, object]) -> dict[str, str]:
    """Return the names by their form without wrappers and without a prefix common to all."""
    short = stripped(names)
    parts = {name: form.split(".") for name, form in short.items()}
    leading = [form[:-1] for form in parts.values()]
    low, high = (min(leading), max(leading)) if leading else ([], [])
    common = 0
    while common < min(len(low), len(high)) and low[common] == high[common]:
        common += 1
    return {".".join(form[common:]): name for name, form in parts.items()}
