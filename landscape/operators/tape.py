"""A linear function of vectors, recorded once as the tensor operations that depend on them.

Along a product H v everything that does not depend on v, the forward pass and the backward pass at
the fixed weights, is the same for every v. One product is computed while each operation is watched
below autograd; those that v reaches are kept, with the values of everything else as constants. To
replay them is to evaluate the linearised gradient, with no forward pass and no autograd graph.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from landscape.operators.fuse import fuse
from landscape.operators.local import Rows
from landscape.operators.simplify import simplify

aten = torch.ops.aten

_SHAPES_ONLY = {  # operations that ask of a tensor no more than its shape and precision
    aten.zeros_like.default,
    aten.ones_like.default,
    aten.empty_like.default,
    aten.full_like.default,
    aten.new_zeros.default,
    aten.new_ones.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
    aten.new_full.default,
    aten._new_zeros_with_same_feature_meta.default,
}
_TO_PYTHON = {  # operations that tell the values
    aten._local_scalar_dense.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.nonzero.default,
}


class UnrecordableError(RuntimeError):
    """The function decides something by the values of the vectors, so it is not linear."""


class Tape:
    """A linear function of a block of vectors, recorded for one block size.

    Args:
        graph: The operations, from rows to the result; None: the result is zero.
        constants: Owns the tensors that they need beside the rows.
    """

    def __init__(self, graph: fx.Graph | None, constants: nn.Module) -> None:
        self.module = fx.GraphModule(constants, graph) if graph is not None else None

    @classmethod
    def record(cls, function: Rows, rows: Tensor) -> tuple[Tape, Tensor]:
        """Return the recording of a function, and the function's value at the rows.

        Args:
            function: Linear in its argument, rows (k, n), with a result of that shape.
            rows: The vectors to record it with.

        Raises:
            UnrecordableError: The function reads values of the vectors.

        Cost: one evaluation.
        """
        recorder = _Recorder(_plain(rows))
        with recorder:
            value = function(recorder.source)
        result = recorder.node_of(value)
        if result is None:
            return cls(None, recorder.constants), value
        recorder.graph.output(result)
        simplify(recorder.graph, recorder.constants)
        prune(recorder.graph)
        fuse(recorder.graph)
        prune(recorder.graph)
        return cls(recorder.graph, recorder.constants), value

    @property
    def constant_bytes(self) -> int:
        """Return the memory that the constants hold."""
        buffers = self.module.buffers() if self.module is not None else ()
        storages = [constant.untyped_storage() for constant in buffers]
        return sum({one._cdata: one.nbytes() for one in storages}.values())

    def __len__(self) -> int:
        """Return the number of operations in a replay."""
        return len(self.module.graph.nodes) if self.module is not None else 0

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the function's value at other rows of the same number (k, n)."""
        if self.module is None:
            return torch.zeros_like(rows)
        with torch.no_grad():
            return self.module(_plain(rows))


def _plain(rows: Tensor) -> Tensor:
    """Return rows that begin their own memory, as views in a recording take for granted."""
    if rows.is_contiguous() and rows.storage_offset() == 0:
        return rows
    return rows.clone(memory_format=torch.contiguous_format)


class _Recorder(TorchDispatchMode):
    """Keeps the operations that depend on a tensor, in order, with what else they need."""

    def __init__(self, source: Tensor) -> None:
        super().__init__()
        self.source = source
        self.graph = fx.Graph()
        self.constants = nn.Module()
        start = self.graph.placeholder("rows")
        start.meta["layout"] = _layout(source)
        self._nodes = WeakIdKeyDictionary({source: start})
        self._roots: dict[StorageWeakRef, fx.Node] = {_storage(source): start}
        self._held: dict[StorageWeakRef, list[str]] = {}
        self._names = WeakIdKeyDictionary()
        self._numbers = itertools.count()

    def node_of(self, tensor: Tensor) -> fx.Node | None:
        """Return what computes a tensor that depends on the source; None for a constant."""
        if (known := self._nodes.get(tensor)) is not None:
            return known
        root = self._roots.get(_storage(tensor))
        return None if root is None else self._view(tensor, root)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Compute an operation, and keep it if it depends on the source."""
        kwargs = kwargs or {}
        depends = any(self._depends(tensor) for tensor in _tensors(args, kwargs))
        if not depends or func in _SHAPES_ONLY:
            for tensor in _written(func, args, kwargs):
                self._keep_constants(tensor)
            return func(*args, **kwargs)
        if func in _TO_PYTHON:
            raise UnrecordableError(f"{func} reads the values of the vectors")
        for tensor in _written(func, args, kwargs):
            if not self._depends(tensor):
                self._keep_constants(tensor)
                self._copy_in(tensor)
        inputs = (
            tuple(self._given(value) for value in args),
            {name: self._given(value) for name, value in kwargs.items()},
        )
        result = func(*args, **kwargs)
        if isinstance(result, Tensor):
            self._take(func, inputs, result)
        else:
            self._take_all(func, inputs, result if isinstance(result, tuple | list) else ())
        return result

    def _depends(self, tensor: Tensor) -> bool:
        return tensor in self._nodes or _storage(tensor) in self._roots

    def _given(self, value: Any) -> Any:
        """Return an argument with nodes in place of tensors."""
        if isinstance(value, Tensor):
            node = self.node_of(value)
            return node if node is not None else self._constant(value)
        if isinstance(value, tuple | list):
            return [self._given(one) for one in value]
        return value

    def _constant(self, tensor: Tensor) -> fx.Node:
        name = self._names.get(tensor)
        if name is None:
            name = f"constant{next(self._numbers)}"
            self._names[tensor] = name
            self._held.setdefault(_storage(tensor), []).append(name)
            self.constants.register_buffer(name, tensor)
        node = self.graph.get_attr(name)
        node.meta["layout"] = _layout(tensor)
        return node

    def _take(self, func: Any, inputs: Any, result: Tensor) -> None:
        """Keep an operation that returned a tensor: new, a view, or an argument written to."""
        root = self._roots.get(_storage(result))
        if func._schema.is_mutable:
            self.graph.call_function(func, *inputs)
        elif root is not None and _alike(result, root):
            self._view(result, root)
        else:
            self._own(result, self.graph.call_function(func, *inputs))

    def _take_all(self, func: Any, inputs: Any, results: Any) -> None:
        whole = self.graph.call_function(func, *inputs) if func._schema.is_mutable else None
        for place, result in enumerate(results):
            if not isinstance(result, Tensor):
                continue
            root = self._roots.get(_storage(result))
            if root is not None and (func._schema.is_mutable or _alike(result, root)):
                self._view(result, root)
                continue
            if whole is None:
                whole = self.graph.call_function(func, *inputs)
            self._own(result, self.graph.call_function(operator.getitem, (whole, place)))

    def _own(self, tensor: Tensor, node: fx.Node) -> None:
        node.meta["layout"] = _layout(tensor)
        self._nodes[tensor] = node
        self._roots.setdefault(_storage(tensor), node)

    def _view(self, tensor: Tensor, root: fx.Node) -> fx.Node:
        """Keep a view straight from the tensor that owns the memory."""
        if not _alike(tensor, root):
            raise UnrecordableError("a view in another precision, or conjugate, of what is written")
        place = (list(tensor.shape), list(tensor.stride()), tensor.storage_offset())
        node = self.graph.call_function(aten.as_strided.default, (root, *place))
        node.meta["layout"] = _layout(tensor)
        self._nodes[tensor] = node
        return node

    def _copy_in(self, tensor: Tensor) -> None:
        """Let a constant that is about to be written begin anew in every replay."""
        flat = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
        flat.set_(tensor.untyped_storage())
        saved = self._constant(flat.clone())
        self._own(flat, self.graph.call_function(aten.clone.default, (saved,)))

    def _keep_constants(self, written: Tensor) -> None:
        """Copy what the tape holds of a constant that an operation is about to write to."""
        for name in self._held.pop(_storage(written), []):
            held = self.constants.get_buffer(name)
            self._names.pop(held, None)
            self.constants.register_buffer(name, held.clone())


def _tensors(args: Any, kwargs: Any) -> Iterator[Tensor]:
    """Yield the tensors among the arguments of an operation, which holds them singly or in lists.

    Every operation goes through here; PyTorch's own walk over nested containers takes longer than
    the operation.
    """
    for value in itertools.chain(args, kwargs.values()):
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from (one for one in value if isinstance(one, Tensor))


def _layout(tensor: Tensor) -> tuple[list[int], list[int], torch.dtype, torch.device]:
    return list(tensor.shape), list(tensor.stride()), tensor.dtype, tensor.device


def _alike(tensor: Tensor, root: fx.Node) -> bool:
    """Return whether strides alone tell a view: memory is read in the precision of its owner."""
    plain = not tensor.is_conj() and not tensor.is_neg()
    return plain and tensor.dtype == root.meta["layout"][2]


def _storage(tensor: Tensor) -> StorageWeakRef:
    return StorageWeakRef(tensor.untyped_storage())


def _written(func: Any, args: Any, kwargs: Any) -> Iterator[Tensor]:
    """Yield the arguments that an operation writes to."""
    if not func._schema.is_mutable:
        return
    for place, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[place] if place < len(args) else kwargs.get(argument.name)
            yield from (one for one in _listed(value) if isinstance(one, Tensor))


def _listed(value: Any) -> Any:
    return value if isinstance(value, tuple | list) else (value,)


def prune(graph: fx.Graph) -> None:
    """Leave out what the result does not need; operations in place all stay."""
    for node in reversed(graph.nodes):
        schema = getattr(node.target, "_schema", None)
        writes = schema is not None and schema.is_mutable
        if node.op in ("call_function", "get_attr") and not node.users and not writes:
            graph.erase_node(node)
