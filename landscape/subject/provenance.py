"""What numbers rest on: versions, devices and precision flags, files, data and parameters."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from landscape.subject.batches import Batches
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.mode import Mode
from landscape.subject.network import Network
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


def described_data(batches: Batches | None, held_out: Batches | None) -> dict[str, Any]:
    """Return what tells the data from others."""
    return {
        "batches_hash": batches.hash if batches is not None else None,
        "held_out_samples": held_out.samples if held_out is not None else None,
        "held_out_hash": held_out.hash if held_out is not None else None,
    }


def described_network(
    network: Network | None, dtype: torch.dtype | None, mode: Mode
) -> dict[str, Any]:
    """Return what is studied of a network, in which precision, and what is switched for it."""
    return {
        "parameters": network.counts() if network is not None else None,
        "params": network.parameters.select if network is not None else None,
        "mask": network.pruned.described if network is not None and network.pruned else None,
        "dtype": str(dtype).removeprefix("torch.") if dtype is not None else None,
        "switches": [MODES[mode], *SWITCHES] if network is not None else [],
    }
