"""How much memory there is, and how much of it a basis may take."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from landscape.linalg.operator import LinearOperator

SHARE = 4  # a basis takes at most one part of so many of what is free
MOST_BYTES = 16 * 2**30
LEAST_BYTES = 64 * 2**20
UNKNOWN_BYTES = 8 * 2**30  # where the system does not tell: as on a small machine


def basis_budget(device: torch.device) -> int:
    """Return the bytes that a basis may take on a device: a quarter of what is free, capped."""
    return min(max(free_bytes(device) // SHARE, LEAST_BYTES), MOST_BYTES)


def free_bytes(device: torch.device) -> int:
    """Return the memory that is free: of the device on CUDA, of the machine or group elsewhere."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(_machine_bytes(), _group_bytes())


def _machine_bytes() -> int:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable"))
        return int(found.split()[1]) * 1024
    except (OSError, StopIteration):
        return UNKNOWN_BYTES


def _group_bytes() -> int:
    """Return what a control group leaves; without one, no bound."""
    folder = Path("/sys/fs/cgroup")
    try:
        limit = (folder / "memory.max").read_text("ascii").strip()
        used = int((folder / "memory.current").read_text("ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(int(limit) - used, 0)


def bytes_of_rows(operator: LinearOperator, count: int) -> int:
    """Return the bytes of some rows of the operator's length and precision."""
    return count * operator.shape[1] * operator.dtype.itemsize
