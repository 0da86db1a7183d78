"""Forward and backward signals of modules, seen by hooks that are there only for one step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from landscape.recorder.guard import Guard
from landscape.recorder.inert import Hook, graph_pass, traced
from landscape.recorder.network import saturating, unit_axis
from landscape.recorder.norms import norm
from landscape.recorder.overhead import Meter

SATURATED = 0.01  # of the range of an activation function, from its ends


@dataclass
class _Module:
    """What one module was seen to do in a step."""

    forward: list[Tensor] = field(default_factory=list[Tensor])  # norms
    backward: list[tuple[int, Tensor, int]] = field(
        default_factory=list[tuple[int, Tensor, int]]
    )  # pass, norm, numbers
    alive: Tensor | None = None  # (units,), that were not zero on some sample
    saturated: list[Tensor] = field(default_factory=list[Tensor])
    forward_size: int = 0


@dataclass(frozen=True)
class Layout:
    """Which number of a row belongs to which module, and what it counts.

    Args:
        entries: (module, kind, how many numbers the sum of squares or the count runs over).
        order: Modules in the order of their first call.
    """

    entries: tuple[tuple[str, str, int], ...]
    order: tuple[str, ...]


class Signals:
    """Second moments of activations and of the gradients that reach them, by module.

    The hooks return nothing and change nothing. A hook on the output tensor, not on the module,
    sees the backward signal: module hooks fail before an in-place activation.

    Args:
        modules: By name.
        dtype: That squares are summed in.
        meter: Adds up the time that the hooks take.
        guard: Keeps their errors away from the run.

    Cost of a step that is seen: two passes over the activations of the modules, and one over
    the inputs of the linear and convolutional ones.
    """

    def __init__(
        self, modules: Mapping[str, nn.Module], dtype: torch.dtype, meter: Meter, guard: Guard
    ) -> None:
        self.meter = meter
        self.guard = guard
        self._modules = modules
        self._dtype = dtype
        self._handles: list[Any] = []
        self._seen: dict[str, _Module] = {}

    def start(self) -> None:
        """Attach the hooks."""
        self._seen = {}
        for name, module in self._modules.items():
            seen = _Seen(self, name, unit_axis(module), saturating(module))
            self._handles.append(module.register_forward_hook(Hook(seen.forward)))

    def stop(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    @property
    def calls(self) -> int:
        """Return how often the module that came first was called."""
        return next((len(one.forward) for one in self._seen.values()), 0)

    def taken(self, passes: Set[int]) -> tuple[list[Tensor], Layout]:
        """Return what was seen since the start, as scalar tensors and what they are.

        Args:
            passes: That reached the parameters; `autograd.grad`, as of a gradient penalty, does
                not, and what it brings is no signal of the loss.
        """
        scalars: list[Tensor] = []
        entries: list[tuple[str, str, int]] = []
        for name, one in self._seen.items():
            backward = [(value, size) for number, value, size in one.backward if number in passes]
            kinds = (
                ("forward", one.forward, one.forward_size),
                ("backward", [value for value, _ in backward], sum(size for _, size in backward)),
                ("saturated", one.saturated, one.forward_size),
                ("alive", [one.alive.sum()] if one.alive is not None else [], _size(one.alive)),
            )
            for kind, values, size in kinds:
                scalars += values
                entries += [(name, kind, size)] * len(values)
        layout = Layout(tuple(entries), tuple(self._seen))
        self._seen = {}
        return scalars, layout

    def of(self, name: str) -> _Module:
        """Return what is kept of a module."""
        return self._seen.setdefault(name, _Module())

    def hook(self, tensor: Tensor, function: Callable[[Tensor], None]) -> None:
        """Ask for the gradient of a tensor until the end of the step: it may be a parameter."""
        self._handles.append(tensor.register_hook(function))

    def norm(self, tensor: Tensor) -> Tensor:
        """Return ‖x‖₂ in the precision of the sums."""
        return norm(tensor, self._dtype)


class _Seen:
    """What the hooks of one module do."""

    def __init__(
        self, signals: Signals, name: str, axis: int | None, bounds: tuple[float, float] | None
    ) -> None:
        self._signals = signals
        self._name = name
        self._axis = axis
        self._bounds = bounds

    def forward(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Look at an output, and ask for its gradient."""
        if traced() or not torch.is_grad_enabled():
            return
        with self._signals.guard.inside(f"the forward pass of {self._name}"):
            self._forward(_first_tensor(inputs), _first_tensor(output))

    def _forward(self, inputs: Tensor | None, output: Tensor | None) -> None:
        if output is None or not output.is_floating_point() or not output.requires_grad:
            return
        with self._signals.meter.recording(), torch.no_grad():
            values = _dense(output)
            if values is None:
                return
            seen = self._signals.of(self._name)
            seen.forward.append(self._signals.norm(values))
            seen.forward_size += values.numel()
            if self._bounds is not None:
                seen.saturated.append(_saturated(values, self._bounds))
            if self._axis is not None:
                _live(seen, inputs, self._axis)
        self._signals.hook(output, self._backward)

    def _backward(self, gradient: Tensor) -> None:
        with (
            self._signals.guard.inside(f"the backward pass of {self._name}"),
            self._signals.meter.recording(),
            torch.no_grad(),
        ):
            values = _dense(gradient)
            if values is not None:
                one = (graph_pass(), self._signals.norm(values), values.numel())
                self._signals.of(self._name).backward.append(one)


def _live(seen: _Module, inputs: Tensor | None, axis: int) -> None:
    """Note which input units are not zero; the network's own inputs are no units."""
    if inputs is None or not inputs.requires_grad:
        return
    values = _dense(inputs)
    if values is None or values.dim() < 2 or not values.numel():  # of no sample nothing is known
        return
    axis %= values.dim()
    others = [place for place in range(values.dim()) if place != axis]
    values = values.detach()  # ends are many times cheaper to find than any non-zero
    alive = (values.amax(dim=others) != 0) | (values.amin(dim=others) != 0)
    seen.alive = alive if seen.alive is None else seen.alive | alive


def _saturated(values: Tensor, bounds: tuple[float, float]) -> Tensor:
    """Return how many values lie within a hundredth of the range from its ends."""
    low, high = bounds
    middle, reach = (low + high) / 2, (0.5 - SATURATED) * (high - low)
    return ((values.detach() - middle).abs() > reach).sum()


def _size(tensor: Tensor | None) -> int:
    return tensor.numel() if tensor is not None else 0


def _dense(tensor: Tensor) -> Tensor | None:
    """Return the numbers of a tensor, those of a jagged one in a row; None where they have none."""
    if tensor.is_nested and tensor.layout is torch.jagged:
        return tensor.values() if getattr(tensor, "_lengths", None) is None else None
    return tensor if tensor.layout is torch.strided and not tensor.is_nested else None


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, tuple | list):
        return next((one for one in value if isinstance(one, Tensor)), None)
    return None


def reduced(layout: Layout, values: list[float], scale: float) -> dict[str, dict[str, float]]:
    """Return the signals of every module from the numbers that arrived.

    Args:
        layout: What the numbers are.
        values: The numbers.
        scale: Of the loss that was called backward on.
    """
    sums: dict[str, dict[str, float]] = {}
    sizes: dict[tuple[str, str], int] = {}
    for (name, kind, size), value in zip(layout.entries, values, strict=True):
        squared = value * value if kind in ("forward", "backward") else value
        kinds = sums.setdefault(name, {})
        kinds[kind] = kinds.get(kind, 0.0) + squared
        sizes[name, kind] = size
    found: dict[str, dict[str, float]] = {}
    for name, kinds in sums.items():
        one = {kind: total / max(sizes[name, kind], 1) for kind, total in kinds.items()}
        if "backward" in one:
            one["backward"] /= scale * scale
        if "alive" in one:
            one["dead"] = 1.0 - one.pop("alive")
        found[name] = one
    return found
