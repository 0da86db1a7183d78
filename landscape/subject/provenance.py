"""The surroundings of a computation: versions, devices and precision flags."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.mode import Mode
from landscape.subject.spec.source import source_of

MODES: Mapping[Mode, str] = {
    "eval": "eval mode",
    "train": "train mode: normalised by the batch, running statistics left alone",
}
SWITCHES = (
    "TF32 off",
    "attention on the MATH backend while second-order products are computed",
)


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


def described_sources(**items: object) -> dict[str, dict[str, str] | None]:
    """Return name and hash of the factory file behind each item; None where there is none."""
    found = {name: source_of(item) for name, item in items.items()}
    return {
        name: {"file": Path(source.path).name, "sha256": source.sha256} if source else None
        for name, source in found.items()
    }


def described_checkpoints(prints: Sequence[tuple[Checkpoint, str]]) -> dict[str, Any]:
    """Return where the weights come from, and the fingerprint of the last."""
    files = [{**one.provenance(), "weights_fingerprint": digest} for one, digest in prints]
    return {
        "checkpoints": files,
        "weights_fingerprint": files[-1]["weights_fingerprint"] if files else None,
    }
