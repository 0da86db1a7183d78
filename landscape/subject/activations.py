"""Activations of a network's modules, seen and replaced by hooks that are gone afterwards."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from landscape.errors import ModelError
from landscape.subject.subject import Subject

Side = Literal["input", "output"]
See = Callable[[str, Tensor], Tensor | None]
Passing = Callable[[str, nn.Module, Tensor | None], None]


@contextmanager
def watching(
    subject: Subject, names: Iterable[str], see: See, *, side: Side = "output"
) -> Iterator[None]:
    """Show the activations of some modules to a function for the length of a block.

    Every forward pass inside the block is seen, in the order of computation; a module that is
    called twice is seen twice. Of a tuple the first tensor is shown.

    Args:
        subject: Whose network.
        names: Of modules, as `named_modules` gives them; `""` is the whole network.
        see: Called with the module's name and its activation; a tensor that it returns takes the
            activation's place.
        side: What is shown: the module's output, or its first tensor input.

    Raises:
        ModelError: There is no module of that name, or no tensor in its activation.
    """
    modules = {name: _module(subject.network.model, name) for name in names}
    if subject.batches is not None:
        _ = subject.criterion  # chosen by a forward pass of its own, which is not to be seen
    attach = _on_output if side == "output" else _on_input
    handles: list[Any] = []
    try:
        for name, module in modules.items():
            handles.append(attach(module, name, see))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def observing(subject: Subject, entered: Passing, left: Passing) -> Iterator[None]:
    """Show every call of every module for the length of a block.

    Args:
        subject: Whose network.
        entered: Called before a module's forward with its name (`""` is the whole network), the
            module, and its first tensor input, None where there is none.
        left: Called after it with its first tensor output; not after an error.
    """
    if subject.batches is not None:
        _ = subject.criterion  # chosen by a forward pass of its own, which is not to be seen
    handles: list[Any] = []
    try:
        for name, module in subject.network.model.named_modules():
            handles += _around(module, name, entered, left)
        yield
    finally:
        for handle in handles:
            handle.remove()


def sizes(subject: Subject, *, samples: int = 2) -> list[tuple[nn.Module, int, int]]:
    """Return every call of a module that has a weight: numbers that enter and leave, for a sample.

    Args:
        subject: With data.
        samples: How many are passed.

    Cost: a forward pass of these.
    """
    entering, found = list[int](), list[tuple[nn.Module, int, int]]()

    def entered(name: str, module: nn.Module, given: Tensor | None) -> None:
        del name, module
        entering.append(_each(given))

    def left(name: str, module: nn.Module, output: Tensor | None) -> None:
        del name
        before = entering.pop()
        if isinstance(getattr(module, "weight", None), Tensor):
            found.append((module, before, _each(output)))

    with subject.undisturbed(0), torch.no_grad():
        batch = next(iter(subject.device_batches())).head(samples)
        with observing(subject, entered, left):
            subject.outputs(subject.point, batch)
    return found


def _each(tensor: Tensor | None) -> int:
    """Return how many numbers there are for each sample."""
    return tensor[0].numel() if tensor is not None and tensor.dim() and len(tensor) else 0


def _around(module: nn.Module, name: str, entered: Passing, left: Passing) -> list[Any]:
    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        entered(name, module, tensor_in((*args, *kwargs.values())))

    def after(module: nn.Module, args: Any, output: Any) -> None:
        del args
        left(name, module, tensor_in((output,)))

    return [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after),
    ]


def tensor_in(values: Any) -> Tensor | None:
    """Return the first tensor of what a module takes or gives; None where there is none."""
    if isinstance(values, Tensor):
        return values
    if isinstance(values, Mapping):
        values = tuple(values.values())
    if isinstance(values, tuple | list):
        return next((one for part in values if (one := tensor_in(part)) is not None), None)
    return None


def channel_axis(module: nn.Module, activation: Tensor) -> int:
    """Return the axis of a module's activation that counts its channels.

    It is the second of what convolutions and BatchNorm compute, and the last of everything else. A
    module made of others goes by the last of these, or by the only axis of that one's length.
    """
    natural, channels = _layout(module, activation)
    fitting = [axis for axis, size in enumerate(activation.shape) if axis and size == channels]
    if len(fitting) == 1 and activation.shape[natural] != channels:
        return fitting[0]
    return natural


def by_channel(activation: Tensor, axis: int) -> Tensor:  # (N, channels)
    """Return an activation as one row per sample and position."""
    return activation.movedim(axis, -1).flatten(0, -2)


def _layout(module: nn.Module, activation: Tensor) -> tuple[int, int | None]:
    """Return the usual axis of the channels, and their number where the last layer tells it."""
    leaves = [leaf for leaf in module.modules() if not any(leaf.children())]
    for leaf in reversed(leaves):
        match leaf:
            case _ConvNd():
                return 1, leaf.out_channels
            case _BatchNorm():
                return 1, leaf.num_features
            case nn.GroupNorm():
                return 1, leaf.num_channels
            case nn.Linear():
                return -1, leaf.out_features
            case nn.LayerNorm():
                return -1, leaf.normalized_shape[-1]
            case _:
                continue
    return (1 if activation.dim() > 3 else -1), None


def _module(model: nn.Module, name: str) -> nn.Module:
    known = dict(model.named_modules())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or list(known)[1:4]
        raise ModelError(
            f"the network has no module {name!r}",
            where=type(model).__name__,
            why=f"nearest names: {', '.join(near)}",
            hint="give names as named_modules() lists them",
        )
    return known[name]


def _on_output(module: nn.Module, name: str, see: See) -> Any:
    def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
        del inputs
        if isinstance(output, Tensor):
            return see(name, output)
        place = _first_tensor(output, name, module)
        shown = see(name, output[place])
        return None if shown is None else _replaced(output, place, shown)

    return module.register_forward_hook(hook)


def _on_input(module: nn.Module, name: str, see: See) -> Any:
    def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
        key = next((key for key, value in kwargs.items() if isinstance(value, Tensor)), None)
        if not args and key is not None:
            shown = see(name, kwargs[key])
            return None if shown is None else (args, {**kwargs, key: shown})
        place = _first_tensor(args, name, module)
        shown = see(name, args[place])
        return None if shown is None else (_replaced(args, place, shown), kwargs)

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _first_tensor(values: Any, name: str, module: nn.Module) -> int:
    if isinstance(values, tuple | list):
        for place, value in enumerate(values):
            if isinstance(value, Tensor):
                return place
    raise ModelError(
        f"no activation of {name or 'the network'} could be seen",
        where=type(module).__name__,
        why=f"it is {type(values).__name__}, expected a tensor or a tuple that holds one",
        hint="name a module inside it",
    )


def _replaced(values: Any, place: int, shown: Tensor) -> Any:
    parts = [*values[:place], shown, *values[place + 1 :]]
    if hasattr(values, "_fields"):  # a named tuple
        return type(values)(*parts)
    return type(values)(parts)
