"""How much memory there is, and freed memory kept for the next product."""

from __future__ import annotations

import ctypes
import sys
import weakref
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

SHARE = 0.4  # of the free memory that kept linearisations may take
BLOCK = 16  # most vectors at a time
VECTORS = 6  # how many copies of a block of vectors one product keeps
_KEEP = 2**31 - 1  # bytes: no block is too large to be kept
_DEFAULT = (32 * 2**20, 64 * 2**20)  # glibc: largest dynamic threshold, and twice that
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free: of the device on CUDA, of the machine or group elsewhere."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min(_machine_bytes(), _group_bytes())


def block_size(vector: Tensor) -> int:
    """Return how many vectors such as the given one a product may take at a time."""
    room = SHARE * free_bytes(vector.device)
    fitting = int(room / (VECTORS * max(vector.nbytes, 1)))
    return min(BLOCK, 1 << max(fitting.bit_length() - 1, 0))


def _machine_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration):
        return 8 * 2**30  # unknown: as on a small machine


def _group_bytes() -> int:
    """Return what a control group leaves; without one, no bound."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text("ascii").strip()
        used = int((folder / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(int(limit) - used, 0)


class KeptPages:
    """Lets freed memory stay with the process while some object lives.

    The blocks of a product are of tens of MiB. The C library gives those back to the system as soon
    as they are freed, and every product would fault all their pages in again, which costs more than
    its arithmetic. On CUDA PyTorch keeps freed memory itself.
    """

    _holders = 0

    @classmethod
    def during(cls, owner: object) -> None:
        """Keep freed memory until the owner is gone."""
        if (library := _glibc()) is None:
            return
        if cls._holders == 0:
            library.mallopt(_MMAP_THRESHOLD, _KEEP)
            library.mallopt(_TRIM_THRESHOLD, _KEEP)
        cls._holders += 1
        weakref.finalize(owner, cls._release, library).atexit = False

    @classmethod
    def _release(cls, library: Any) -> None:
        cls._holders -= 1
        if cls._holders == 0:
            library.mallopt(_MMAP_THRESHOLD, _DEFAULT[0])
            library.mallopt(_TRIM_THRESHOLD, _DEFAULT[1])
            library.malloc_trim(0)


@cache
def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    known = all(
        hasattr(library, name) for name in ("mallopt", "malloc_trim", "gnu_get_libc_version")
    )
    return library if known else None
