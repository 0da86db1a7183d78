"""The network's forward as a graph of ATen operations, from one batch."""

from __future__ import annotations

import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx import Graph, Node
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from landscape.errors import ModelError, out_of_memory
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.inlining import inlined
from landscape.subject.losses import Loss
from landscape.subject.outputs import logits_of
from landscape.subject.undisturbed import differentiable_attention, undisturbed

WRAPPED = "model."


@dataclass(frozen=True)
class Exported:
    """A graph of ATen operations, and which of its placeholders are tensors of the network."""

    graph: Graph
    names: Mapping[str, str]  # of placeholders and attributes: the tensor's name in the network
    route: str  # export | export strict | trace


Outputs = Callable[[Any], list[Tensor]]


def read_by(loss: Loss) -> Outputs:
    """Return which tensors of the model's output a loss reads: all, for a loss of the user's."""
    return _every_tensor if isinstance(loss, CustomLoss) else lambda outputs: [logits_of(outputs)]


def _every_tensor(outputs: Any) -> list[Tensor]:
    """Return the tensors in containers and in the attributes of objects, each once."""
    found: dict[int, Tensor] = {}
    _gather(outputs, found, {})
    return list(found.values()) or [logits_of(outputs)]


def _gather(value: Any, found: dict[int, Tensor], seen: dict[int, Any]) -> None:
    if isinstance(value, Tensor):
        found[id(value)] = value
    if isinstance(value, _CLOSED) or id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that no two share an id
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, tuple | list | set | frozenset):
        parts = list(value)
    else:
        parts = []
    slots = [name for one in type(value).__mro__ for name in _slots(one)]
    parts += [getattr(value, name) for name in slots if hasattr(value, name)]
    for part in [*parts, *getattr(value, "__dict__", {}).values()]:
        _gather(part, found, seen)


_CLOSED = (Tensor, nn.Module, type, str, bytes, int, float, complex, type(None))


def _slots(kind: type) -> tuple[str, ...]:
    slots = kind.__dict__.get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


class _Read(nn.Module):
    """The network, with the tensors that the loss reads as its only outputs."""

    def __init__(self, model: nn.Module, outputs: Outputs) -> None:
        super().__init__()
        self.model = model
        self._outputs = outputs

    def forward(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        return self._outputs(self.model(*args, **kwargs))


def exported(
    model: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], loss: Loss
) -> Exported:
    """Return the graph of the forward in eval mode; the model is left as it was.

    Routes, in order: `torch.export` without and with its bytecode analysis, and a trace of one
    real call. A trace follows the branches that this batch takes.

    Args:
        model: The network.
        args: Positional inputs, on the model's device.
        kwargs: Named inputs.
        loss: What reads the outputs: the others are no part of the graph.

    Raises:
        ModelError: No route gives a graph.
    """
    reasons = []
    routes: dict[str, Callable[..., Exported]] = {
        "export": _export,
        "export strict": _strict,
        "trace": _trace,
    }
    for name, route in routes.items():
        try:
            with undisturbed(model, 0), differentiable_attention(), torch.no_grad(), _quiet():
                return route(model, args, dict(kwargs), read_by(loss))
        except Exception as error:  # an exporter may fail in any way: the next one is tried
            if out_of_memory(error) is not None:
                raise
            reasons.append(f"{name}: {str(error).strip().splitlines()[:1] or [type(error)]}")
    raise ModelError(
        "no graph of the network could be made",
        where=f"{type(model).__name__}.forward",
        why="; ".join(reasons),
        hint="name the groups in an override file",
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what exporters print, log and warn of: each failure is told in a reason."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            redirect_stdout(io.StringIO()),
            redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(before)


def _export(
    model: nn.Module, args: Any, kwargs: Any, outputs: Outputs, *, strict: bool = False
) -> Exported:
    program = torch.export.export(_Read(model, outputs), args, kwargs, strict=strict)
    signature = program.graph_signature
    inputs = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    names = {key: name.removeprefix(WRAPPED) for key, name in inputs.items()}
    return Exported(
        inlined(program.graph_module).graph, names, "export strict" if strict else "export"
    )


def _strict(model: nn.Module, args: Any, kwargs: Any, outputs: Outputs) -> Exported:
    return _export(model, args, kwargs, outputs, strict=True)


def _trace(model: nn.Module, args: Any, kwargs: Any, outputs: Outputs) -> Exported:
    own = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    tensors = {name: tensor.detach().clone() for name, tensor in own.items()}
    inputs = pytree.tree_map_only(Tensor, torch.clone, (args, kwargs))
    recorder = _Recorder()
    names = {recorder.placeholder(tensor).name: name for name, tensor in tensors.items()}
    with recorder:
        read = outputs(functional_call(model, tensors, *inputs))
    recorder.graph.output([recorder.node(each) for each in read])
    return Exported(recorder.graph, names, "trace")


class _Recorder(TorchDispatchMode):
    """Writes down the operations of one real call; tensors from elsewhere become placeholders.

    A number taken out of a tensor is a constant of the graph: it cannot depend on the order of
    units, for an operation that picks one of them freezes them all.
    """

    def __init__(self) -> None:
        super().__init__()
        self.graph = Graph()
        self._nodes: dict[int, Node] = {}
        self._kept: list[Tensor] = []  # so that no two tensors share an id

    def placeholder(self, tensor: Tensor) -> Node:
        """Return a new placeholder for a tensor."""
        return self._told(self.graph.placeholder(f"tensor_{len(self._kept)}"), tensor)

    def node(self, tensor: Tensor) -> Node:
        """Return the node of a tensor."""
        return self._nodes.get(id(tensor)) or self.placeholder(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        result = func(*args, **(kwargs or {}))
        mapped = pytree.tree_map_only(Tensor, self.node, (args, kwargs or {}))
        node = self.graph.call_function(func, *mapped)
        if isinstance(result, Tensor):
            self._told(node, result)
        else:
            node.meta["val"] = result
            for i, part in enumerate(result if isinstance(result, tuple | list) else ()):
                if isinstance(part, Tensor):
                    item = self.graph.call_function(operator.getitem, (node, i))
                    self._told(item, part)
        return result

    def _told(self, node: Node, tensor: Tensor) -> Node:
        node.meta["val"] = tensor
        self._nodes[id(tensor)] = node
        self._kept.append(tensor)
        return node


def name_of(node: Node) -> str:
    """Return the name of an operation, without that of its overload."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def arguments_of(node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an operation by the names of its schema, defaults included."""
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return dict(kwargs)
    defaults = {one.name: one.default_value for one in schema.arguments}
    return {**defaults, **dict(zip(defaults, args, strict=False)), **kwargs}


def shape_of(value: Any) -> Any:
    """Return the shape of what an operation gives, or of each part; None of what is no tensor."""
    if isinstance(value, Tensor):
        return tuple(int(size) for size in value.shape)
    if isinstance(value, tuple | list):
        return [shape_of(one) for one in value]
    return None


def module_of(node: Node) -> str:
    """Return the name of the module in whose forward an operation stands; empty where unknown."""
    stack = node.meta.get("nn_module_stack") or {}
    innermost = list(stack.values())[-1][0] if stack else ""
    return innermost.removeprefix("model").lstrip(".")
