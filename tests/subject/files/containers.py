"""One network saved in every way that training code saves it, and files that are none."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn


def network() -> nn.Module:
    """A network with parameters, buffers and a nested block; the same at every call."""
    generator = torch.Generator().manual_seed(3)
    model = nn.Sequential(
        nn.Linear(6, 5),
        nn.BatchNorm1d(5),
        nn.Sequential(nn.Linear(5, 4), nn.ReLU()),
        nn.Linear(4, 3),
    )
    for parameter in model.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return model


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in network().state_dict().items()}


def optimizer_state() -> dict[str, Any]:
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    model(torch.ones(2, 6)).sum().backward()
    optimizer.step()
    return optimizer.state_dict()


def lightning() -> dict[str, Any]:
    return {
        "epoch": 12,
        "global_step": 340,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": prefixed("model."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"best": {"best_model_score": torch.tensor(0.25)}},
        "optimizer_states": [optimizer_state()],
        "lr_schedulers": [],
        "hyper_parameters": {"width": 5, "name": "small"},
    }


def training() -> dict[str, Any]:
    return {
        "epoch": 3,
        "step": 90,
        "loss": torch.tensor(0.5),
        "model_state_dict": prefixed(""),
        "optimizer_state_dict": optimizer_state(),
    }


def save_legacy(content: object, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


def save_safetensors(path: Path) -> None:
    save_file(prefixed(""), path)


WAYS: dict[str, Callable[[Path], None]] = {
    "plain": lambda p: torch.save(prefixed(""), p),
    "legacy": lambda p: save_legacy(prefixed(""), p),
    "safetensors": save_safetensors,
    "ddp": lambda p: torch.save(prefixed("module."), p),
    "compiled": lambda p: torch.save(prefixed("_orig_mod."), p),
    "ddp of compiled": lambda p: torch.save(prefixed("module._orig_mod."), p),
    "fsdp": lambda p: torch.save(prefixed("_fsdp_wrapped_module.module."), p),
    "inner wrapper": lambda p: torch.save(
        {n.replace("2.0", "2._checkpoint_wrapped_module.0"): v for n, v in prefixed("").items()}, p
    ),
    "parameters": lambda p: torch.save(network().state_dict(keep_vars=True), p),
    "lightning": lambda p: torch.save(lightning(), p),
    "lightning compiled": lambda p: torch.save(
        lightning() | {"state_dict": prefixed("model._orig_mod.")}, p
    ),
    "training": lambda p: torch.save(training(), p),
    "nested": lambda p: torch.save({"model": {"state_dict": prefixed("net.")}, "epoch": 1}, p),
    "unusual key": lambda p: torch.save({"generator": prefixed(""), "epoch": 1}, p),
    "without checksums": lambda p: _save_without_checksums(p),
}


def _save_without_checksums(path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(prefixed(""), path)
    finally:
        torch.serialization.set_crc32_options(True)


class RunsOnLoad:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def zip_with(path: Path, pickled: bytes, **members: bytes) -> None:
    """Write a torch-like zip around any pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", pickled)
        archive.writestr("a/version", b"3\n")
        archive.writestr("a/byteorder", b"little")
        for name, content in members.items():
            archive.writestr(f"a/data/{name}", content)


def pickled(content: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    pickle.Pickler(buffer, protocol=protocol).dump(content)
    return buffer.getvalue()
