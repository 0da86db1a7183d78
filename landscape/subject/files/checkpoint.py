"""A named point that training visited, read from a file or taken from a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from landscape.errors import CheckpointError
from landscape.subject.files.candidates import is_tensor
from landscape.subject.files.contents import find_contents
from landscape.subject.files.fingerprint import digest_of, file_sha256, fingerprint, memory
from landscape.subject.files.safetensors_file import load_safetensors
from landscape.subject.files.sharded import files_sha256, load_shards
from landscape.subject.files.shards import read_index
from landscape.subject.files.sniff import Container, name_note, sniff
from landscape.subject.files.torch_file import load_torch
from landscape.subject.files.torch_zip import checksum_note
from landscape.subject.files.wording import cut

if TYPE_CHECKING:
    from torch import Tensor, nn

_NAMELESS = ("", "..")  # a folder by its place: . and ..
_QUANTISED = ("SCB", "qweight", "qzeros", "quant_state", "quant_map", "absmax")
_NUMBERS = ("bool", "int", "uint", "float16", "bfloat16", "float32", "float64")


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A named point that training visited, as its file holds it.

    Args:
        label: The name of the file or folder, or "model" for weights in memory.
        tensors: The weights on the CPU, under the names of the file.
        step: Optimizer steps taken, where the file says so.
        epoch: Epochs finished, where the file says so.
        learning_rate: Of the first parameter group of the optimizer.
        optimizer: The optimizer's state dict, where it is beside the weights.
        path: The file.
        sha256: Of the file; of sharded safetensors that of all files, see `files_sha256`.
        container: The file format.
        producer: What wrote the file, as far as its keys tell.
        notes: What was chosen or left out while reading.
        unsafe: Whether the file was run as a pickle.
    """

    label: str
    tensors: Mapping[str, Tensor]
    step: int | None = None
    epoch: int | None = None
    learning_rate: float | None = None
    optimizer: Mapping[str, Any] | None = None
    path: str | None = None
    sha256: str | None = None
    container: str = "memory"
    producer: str = "state dict"
    notes: tuple[str, ...] = ()
    unsafe: bool = False

    @cached_property
    def fingerprint(self) -> str:
        """Thirty-two digits that are the same for the same weights in any container."""
        return fingerprint(self.tensors)

    @cached_property
    def training(self) -> str:
        """Thirty-two digits that are the same for the same learning rate and optimizer state."""
        return digest_of((self.learning_rate, self.optimizer))

    def provenance(self) -> dict[str, Any]:
        """Return where the weights come from; of the path, only the name of the file."""
        return {
            "label": self.label,
            "sha256": self.sha256,
            "container": str(self.container),
            "producer": self.producer,
            "tensors": len(self.tensors),
            "numbers": sum(tensor.numel() for tensor in self.tensors.values()),
            "step": self.step,
            "epoch": self.epoch,
            "learning_rate": self.learning_rate,
            "trusted_pickle": self.unsafe,
        }

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        state_key: str | None = None,
        ema: bool | None = None,
        trust_pickle: bool = False,
    ) -> Self:
        """Return the checkpoint in a file.

        Args:
            path: A torch.save or safetensors file, under any name; of sharded safetensors the
                index, or a folder that holds it.
            state_key: Dotted path of the weights in it, or the prefix of their names, where
                several could be meant.
            ema: Whether to take the averaged weights; None takes the plain ones and says so.
            trust_pickle: Run the file as a pickle, and mark the checkpoint as unsafe.

        Raises:
            CheckpointError: The file holds no usable weights.
            UnsafeError: The file would run code, or hides what it holds.
        """
        path = Path(path)
        container = sniff(path)
        notes = name_note(path, container)
        if container is Container.TORCH_ZIP:
            notes += checksum_note(path)
        sharded = container is Container.SHARDED
        if sharded:
            raw, told = load_shards(path)
            notes += told
        elif container is Container.SAFETENSORS:
            raw = load_safetensors(path)
        else:
            raw = load_torch(path, container, trust_pickle=trust_pickle)
        contents = find_contents(raw, state_key=state_key, ema=ema, where=str(path))
        _refuse_unusable(contents.tensors, str(path))
        return cls(
            label=name_of(path),
            tensors={name: tensor.detach() for name, tensor in contents.tensors.items()},
            step=contents.step,
            epoch=contents.epoch,
            learning_rate=contents.learning_rate,
            optimizer=contents.optimizer,
            path=str(path),
            sha256=files_sha256(read_index(path)) if sharded else file_sha256(path),
            container=container,
            producer=contents.producer,
            notes=notes + contents.notes,
            unsafe=trust_pickle and container not in (Container.SAFETENSORS, Container.SHARDED),
        )

    @classmethod
    def of_model(cls, model: nn.Module, label: str = "model") -> Self:
        """Return a copy of a model's weights and buffers; tied tensors stay tied.

        Raises:
            CheckpointError: A tensor that is quantised, sparse, complex or without numbers.
        """
        held = {name: value for name, value in model.state_dict().items() if is_tensor(value)}
        _refuse_unusable(held, label)
        copies: dict[tuple[object, ...], Tensor] = {}
        for value in held.values():
            if memory(value) not in copies:
                copies[memory(value)] = value.detach().to("cpu", copy=True)
        return cls(label=label, tensors={name: copies[memory(v)] for name, v in held.items()})


def _refuse_unusable(tensors: Mapping[str, Tensor], where: str) -> None:
    for name, tensor in tensors.items():
        kind = _unusable(name, tensor)
        if kind is not None:
            raise _unusable_as(name, kind, where)


def _unusable_as(name: str, kind: str, where: str) -> CheckpointError:
    return CheckpointError(
        f"tensor '{cut(name)}' is {kind}",
        where=where,
        why="expected dense real weights of 16 bits or more",
        hint="save a float32 copy: {k: v.float() for k, v in model.state_dict().items()}",
    )


def refuse_packed(tensors: Mapping[str, Tensor], where: str) -> None:
    """Refuse weights of eight bits or fewer, whose scale is kept elsewhere.

    Raises:
        CheckpointError: A tensor called weight holds such integers.
    """
    for name, tensor in tensors.items():
        if name.rpartition(".")[2] == "weight" and _dtype(tensor) in ("int8", "uint8"):
            raise _unusable_as(name, f"quantised ({_dtype(tensor)})", where)


def refuse_integers(file: Mapping[str, Tensor], model: Mapping[str, Tensor], where: str) -> None:
    """Refuse a file that holds integers where the network holds real numbers.

    Args:
        file: Tensors of the file by the names of the network.
        model: Tensors of the network.
        where: The file, for the message.

    Raises:
        CheckpointError: Most likely the weights are quantised: their scale is kept elsewhere.
    """
    for name, tensor in file.items():
        if model[name].is_floating_point() and not tensor.is_floating_point():
            raise _unusable_as(name, f"of integers ({_dtype(tensor)}), as quantised weights", where)


def _unusable(name: str, tensor: Tensor) -> str | None:
    if tensor.is_quantized or any(part in _QUANTISED for part in name.split(".")):
        return "quantised"
    if tensor.is_meta:
        return "on the meta device, which holds no numbers"
    if tensor.layout != _strided():
        return f"sparse ({str(tensor.layout).removeprefix('torch.')})"
    dtype = _dtype(tensor)
    if tensor.is_complex():
        return f"complex ({dtype})"
    return None if dtype.startswith(_NUMBERS) else f"of dtype {dtype}"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _strided() -> object:
    import torch

    return torch.strided


def name_of(path: Path) -> str:
    """Return the name of a file or folder, also of the one that a path leads to by dots."""
    return path.resolve().name if path.name in _NAMELESS else path.name
