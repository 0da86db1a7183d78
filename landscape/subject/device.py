"""Where and in which precision the network is evaluated."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from landscape.errors import DeviceError, SettingError

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}


def choose_device(device: str | torch.device) -> torch.device:
    """Return a device that is there; `auto` is CUDA where there is one.

    Raises:
        DeviceError: The device is not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise DeviceError(
            f"device {str(device)!r} is not available",
            where="--device",
            why=f"this machine has {', '.join(there)}",
            hint="use --device auto",
        ) from error
    return chosen


def choose_dtype(dtype: str) -> torch.dtype | None:
    """Return a precision by name; None for `auto`, which the weights decide.

    Raises:
        SettingError: It is not a precision that curvature can be computed in.
    """
    if dtype == "auto":
        return None
    if dtype not in PRECISIONS:
        raise SettingError(
            f"dtype must be one of auto, {', '.join(PRECISIONS)}, got {dtype!r}",
            where="--dtype",
            why="eigenvalues and derivatives need at least single precision",
            hint="the default is auto: the checkpoint's, half precision raised to float32",
        )
    return PRECISIONS[dtype]


def working_dtype(tensors: Iterable[Tensor]) -> torch.dtype:
    """Return float64 when every floating tensor has it, float32 otherwise."""
    floating = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    return torch.float64 if floating == {torch.float64} else torch.float32
