"""Files that `torch.save` writes: checked, judged by the names they mention, then loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from landscape.errors import CheckpointError, UnsafeError
from landscape.subject.files.allowlist import is_dangerous, refused
from landscape.subject.files.encoding import is_utf8
from landscape.subject.files.skeleton import Skeleton, read_skeleton
from landscape.subject.files.sniff import Container
from landscape.subject.files.torch_zip import check_zip
from landscape.subject.files.wording import cut, listed

__all__ = ["check_zip", "load_torch", "refuse_globals"]

SAFE_PROTOCOL = 2
_REMEDIES = (
    'one of: (1) where the class is importable, torch.save(model.state_dict(), "weights.pt"); '
    "(2) save the tensors with safetensors.torch.save_file; "
    "(3) --trust-pickle, which runs the file, if you trust its author"
)


def load_torch(path: Path, container: Container, *, trust_pickle: bool = False) -> object:
    """Return the object in a torch file, on the CPU.

    Args:
        path: The file.
        container: What `sniff` said it is.
        trust_pickle: Run the file as a pickle. Nothing falls back to this by itself.

    Raises:
        CheckpointError: The file is damaged.
        UnsafeError: The file mentions names beyond tensors and plain data.
    """
    import torch

    if container is Container.TORCH_ZIP:
        check_zip(path)
    if not trust_pickle:
        skeleton = read_skeleton(path, container)
        refuse_globals(path, skeleton)
        _check_protocol(path, skeleton)
    # torch hands a path of that name to safetensors, whatever the file holds
    takes = is_utf8(path) and not path.name.endswith(".safetensors")
    mapped = container is Container.TORCH_ZIP and takes
    try:
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(_data_globals()),
            warnings.catch_warnings(action="ignore"),
        ):
            return torch.load(
                path if mapped else file,
                map_location="cpu",
                weights_only=not trust_pickle,
                mmap=mapped,
            )
    except Exception as error:  # torch, or under trust_pickle the file itself, may raise anything
        raise CheckpointError(
            "torch cannot load this file",
            where=str(path),
            why=f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}",
            hint="load it where it was saved and save its state_dict again",
        ) from error


def refuse_globals(path: Path, skeleton: Skeleton) -> None:
    """Refuse a file that mentions names beyond tensors and plain data.

    Raises:
        UnsafeError: With the names, and the ways round.
    """
    names = refused(skeleton.globals)
    if not names:
        return
    if is_dangerous(names[0]):
        raise UnsafeError(
            f"blocked global {cut(names[0])}: this file tries to run code",
            where=str(path),
            why=f"not tensors or plain data: {listed(names)}",
            hint="nothing was run; do not load this file, and ask its author for safetensors",
        )
    raise UnsafeError(
        "this file holds Python objects, which only running it would rebuild",
        where=str(path),
        why=f"not tensors or plain data: {listed(names)}",
        hint=_REMEDIES,
    )


def _check_protocol(path: Path, skeleton: Skeleton) -> None:
    if skeleton.protocol > SAFE_PROTOCOL:
        raise CheckpointError(
            f"this file is written in pickle protocol {skeleton.protocol}",
            where=str(path),
            why=f"torch's safe reader knows protocol {SAFE_PROTOCOL}, the default of torch.save",
            hint=_REMEDIES,
        )


def _data_globals() -> list[Any]:
    """Return the globals beyond torch's own that only hold data, under both NumPy names."""
    import argparse

    import numpy as np
    import torch

    scalar, rebuild = (np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0])
    dtypes = [kind for kind in vars(np.dtypes).values() if isinstance(kind, type)]
    data = [
        argparse.Namespace,
        np.dtype,
        np.ndarray,
        *dtypes,
        *((scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
        *((rebuild, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    ]
    registered = torch.serialization.get_safe_globals()
    return [entry for entry in data if entry not in registered]  # the user's own stay theirs
