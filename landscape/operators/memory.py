"""How much memory products may take, and freed memory kept for the next one."""

from __future__ import annotations

import ctypes
import sys
import weakref
from functools import cache
from typing import Any

from torch import Tensor

from landscape.linalg.memory import free_bytes

SHARE = 0.4  # of the free memory that kept linearisations may take
BLOCK = 16  # most vectors at a time
VECTORS = 6  # how many copies of a block of vectors one product keeps
_KEEP = (128 * 2**20, 2**30)  # blocks up to this size, and this much at the end of the heap
_DEFAULT = (32 * 2**20, 64 * 2**20)  # glibc: largest dynamic threshold, and twice that
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1


def block_size(vector: Tensor) -> int:
    """Return how many vectors such as the given one a product may take at a time."""
    room = SHARE * free_bytes(vector.device)
    fitting = int(room / (VECTORS * max(vector.nbytes, 1)))
    return min(BLOCK, 1 << max(fitting.bit_length() - 1, 0))


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
            library.mallopt(_MMAP_THRESHOLD, _KEEP[0])
            library.mallopt(_TRIM_THRESHOLD, _KEEP[1])
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
