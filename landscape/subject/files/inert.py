"""A pickle machine that builds what a pickle describes and never calls or imports anything.

Names become `Stub`s, calls become `Stub`s that remember their arguments, and the few calls by
which torch builds a tensor become `TensorStub`s. Every opcode is read by the standard library's
disassembler, which checks each length against the bytes that are there.
"""

from __future__ import annotations

import pickletools
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable, Iterable
from typing import IO, Any

from landscape.subject.files.allowlist import is_tensor_class
from landscape.subject.files.rebuild import call_stub
from landscape.subject.files.stubs import Stub

MAX_OPERATIONS = 20_000_000
MAX_INTEGER = 2**64
_ATOMS = (str, int, float, bytes, type(None), Stub)


class PickleMachine:
    """Read pickles from a stream, one after the other.

    Args:
        persistent: Returns what stands for an object kept outside the pickle, by its identifier.
    """

    def __init__(self, persistent: Callable[[Any], Any]) -> None:
        self.globals: dict[str, None] = {}  # in order of appearance
        self.protocol = 0
        self._persistent = persistent
        self._clear()

    def load(self, stream: IO[bytes]) -> Any:
        """Return the object tree of the next pickle in the stream.

        Raises:
            Exception: Of many kinds, where the bytes are not what `torch.save` writes.
        """
        self._clear()
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):
            if count > MAX_OPERATIONS:
                raise ValueError(f"more than {MAX_OPERATIONS:,} pickle operations")
            if opcode.name == "STOP":
                return self._stack.pop()
            if opcode.arg is None:
                _ACTIONS[opcode.name](self)
            else:  # without an action of its own, an opcode pushes its argument: a constant
                _ARGUMENT_ACTIONS.get(opcode.name, PickleMachine._push)(self, argument)
        raise ValueError("the pickle does not end")

    def _clear(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []  # the stacks under each mark
        self._memo: dict[int, Any] = {}

    def _proto(self, protocol: int) -> None:
        self.protocol = max(self.protocol, protocol)

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _mark(self) -> None:
        self._below.append(self._stack)
        self._stack = []

    def _to_mark(self) -> list[Any]:
        items, self._stack = self._stack, self._below.pop()
        return items

    def _last(self, count: int) -> list[Any]:
        return [self._stack.pop() for _ in range(count)][::-1]

    def _remember(self, index: int) -> None:
        self._memo[index] = self._stack[-1]

    def _extend(self, items: Iterable[Any]) -> None:
        if type(self._stack[-1]) is not list:
            raise TypeError("entries are appended to something that is no list")
        self._stack[-1].extend(items)

    def _set(self, items: list[Any]) -> None:
        if type(self._stack[-1]) is not dict:
            raise TypeError("entries are set in something that is no dictionary")
        self._stack[-1].update(_mapping(_pairs(items)))

    def _name(self, module: str, name: str) -> None:
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        self.globals[f"{module}.{name}"] = None
        self._push(Stub(name=f"{module}.{name}"))

    def _call(self, function: Any, arguments: Any) -> None:
        if not isinstance(function, Stub) or function.called:
            raise TypeError("something is called that is no name")
        arguments = tuple(arguments)
        if is_tensor_class(function.name) and arguments:
            raise ValueError(f"{function.name} is called, which torch.save does not write")
        if function.name == "builtins.bytearray" and not all(
            isinstance(argument, str | Stub) for argument in arguments
        ):
            raise ValueError("a bytearray is given by its length")
        if function.name in ("collections.OrderedDict", "collections.Counter"):
            self._push(_mapping(pairs) if (pairs := next(iter(arguments), ())) else {})
        else:
            self._push(call_stub(function.name, arguments))

    def _object(self, items: list[Any]) -> None:
        self._call(items[0], items[1:])

    def _instance(self, module: str, name: str) -> None:
        arguments = self._to_mark()
        self._name(module, name)
        self._call(self._stack.pop(), arguments)

    def _build(self) -> None:
        target, state = self._last(2)
        if isinstance(target, Stub) and target.called:
            target.state = state
        elif isinstance(target, Stub):
            raise TypeError("a state is given to a name")
        self._push(target)  # a mapping or tensor keeps its entries only


def _pairs(items: list[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2], strict=True)


def _mapping(pairs: Any) -> dict[Any, Any]:
    """Return the pairs as a dictionary; a key that is costly to hash or compare is refused."""
    entries = [tuple(pair) for pair in (pairs.items() if isinstance(pairs, dict) else pairs)]
    for key, _ in entries:
        parts = key if isinstance(key, tuple) else (key,)
        if len(parts) > 16 or not all(_is_atom(part) for part in parts):
            raise TypeError("a dictionary key is neither a name nor a number")
    return dict(entries)


def _is_atom(value: Any) -> bool:
    return isinstance(value, _ATOMS) and not (isinstance(value, int) and abs(value) >= MAX_INTEGER)


_ACTIONS: dict[str, Callable[[PickleMachine], Any]] = {
    "NONE": lambda m: m._push(None),
    "NEWTRUE": lambda m: m._push(True),
    "NEWFALSE": lambda m: m._push(False),
    "MARK": lambda m: m._mark(),
    "POP": lambda m: m._stack.pop() if m._stack else m._to_mark(),
    "POP_MARK": lambda m: m._to_mark(),
    "DUP": lambda m: m._push(m._stack[-1]),
    "EMPTY_LIST": lambda m: m._push([]),
    "EMPTY_DICT": lambda m: m._push({}),
    "EMPTY_SET": lambda m: m._push([]),
    "EMPTY_TUPLE": lambda m: m._push(()),
    "TUPLE": lambda m: m._push(tuple(m._to_mark())),
    "TUPLE1": lambda m: m._push(tuple(m._last(1))),
    "TUPLE2": lambda m: m._push(tuple(m._last(2))),
    "TUPLE3": lambda m: m._push(tuple(m._last(3))),
    "LIST": lambda m: m._push(m._to_mark()),
    "FROZENSET": lambda m: m._push(m._to_mark()),
    "DICT": lambda m: m._push(_mapping(_pairs(m._to_mark()))),
    "APPEND": lambda m: m._extend(m._last(1)),
    "APPENDS": lambda m: m._extend(m._to_mark()),
    "ADDITEMS": lambda m: m._extend(m._to_mark()),
    "SETITEM": lambda m: m._set(m._last(2)),
    "SETITEMS": lambda m: m._set(m._to_mark()),
    "MEMOIZE": lambda m: m._remember(len(m._memo)),
    "STACK_GLOBAL": lambda m: m._name(*m._last(2)),
    "OBJ": lambda m: m._object(m._to_mark()),
    "REDUCE": lambda m: m._call(*m._last(2)),
    "NEWOBJ": lambda m: m._call(*m._last(2)),
    "NEWOBJ_EX": lambda m: m._call(*m._last(3)[:2]),
    "BUILD": lambda m: m._build(),
    "BINPERSID": lambda m: m._push(m._persistent(m._stack.pop())),
}
_ARGUMENT_ACTIONS: dict[str, Callable[[PickleMachine, Any], Any]] = {
    "PROTO": lambda m, a: m._proto(a),
    "PUT": lambda m, a: m._remember(a),
    "BINPUT": lambda m, a: m._remember(a),
    "LONG_BINPUT": lambda m, a: m._remember(a),
    "GET": lambda m, a: m._push(m._memo[a]),
    "BINGET": lambda m, a: m._push(m._memo[a]),
    "LONG_BINGET": lambda m, a: m._push(m._memo[a]),
    "GLOBAL": lambda m, a: m._name(*a.split(" ", 1)),
    "PERSID": lambda m, a: m._push(m._persistent(a)),
    "INST": lambda m, a: m._instance(*a.split(" ", 1)),
    "FRAME": lambda m, a: None,  # noqa: ARG005 - the length of what follows
}
