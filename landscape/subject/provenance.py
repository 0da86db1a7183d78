"""The surroundings of a computation: versions, devices and precision flags."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

import numpy as np
import torch


def environment(device: torch.device) -> dict[str, Any]:
    """Return versions, device and flags; nothing that names a host, a user or a folder."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "landscape": version("landscape"),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "system": platform.system(),
        "device": str(device),
        "device_name": name,
        "threads": torch.get_num_threads(),
        "tf32": False,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
