"""Which of several processes records, where, and how many a gradient is the mean of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def rank() -> int:
    """Return the rank of this process; 0 where it is alone."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


def place(log: str | Path | None) -> tuple[Path | None, bool]:
    """Return the log of this process, and whether it records at all."""
    own = rank()
    if log is not None and "{rank}" in str(log):
        return Path(str(log).replace("{rank}", str(own))), True
    return (Path(log) if log is not None else None), own == 0


def averaged(model: nn.Module) -> int:
    """Return how many processes a gradient is the mean of; 0 where that cannot be seen."""
    inner: Any = model
    while inner is not None and not isinstance(inner, DistributedDataParallel):
        inner = getattr(inner, "_orig_mod", None)
    if inner is not None:
        return dist.get_world_size(inner.process_group)
    alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    return int(alone)
