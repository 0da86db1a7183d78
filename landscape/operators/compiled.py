"""A recorded product compiled; micro-batches whose recordings are alike share the compilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from landscape.operators.local import Rows
from landscape.operators.tape import Tape


class Compiler:
    """Compiles recordings, each distinct one once.

    What is compiled is the recording, whose operations are all linear in the vectors: nothing is
    differentiated through compiled code, and the user's model is not touched.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, tuple[Any, ...]], Callable[..., Tensor]] = {}

    def __call__(self, tape: Tape) -> Rows:
        """Return a recording's compiled replay."""
        if tape.module is None:
            return torch.zeros_like
        function, constants = _lifted(tape.module)
        key = (function.code, tuple((c.shape, c.stride(), c.dtype) for c in constants))
        if key not in self._known:
            self._known[key] = torch.compile(function, fullgraph=True, dynamic=False)
        run = self._known[key]

        def products(rows: Tensor) -> Tensor:
            with torch.no_grad():
                return run(rows.clone(memory_format=torch.contiguous_format), *constants)

        return products


def _lifted(module: fx.GraphModule) -> tuple[fx.GraphModule, list[Tensor]]:
    """Return a graph whose constants are arguments, and the constants."""
    graph = fx.Graph()
    places: dict[fx.Node, fx.Node] = {}
    names = list(dict.fromkeys(n.target for n in module.graph.nodes if n.op == "get_attr"))
    rows = next(node for node in module.graph.nodes if node.op == "placeholder")
    places[rows] = graph.placeholder("rows")
    inputs = {name: graph.placeholder(f"constant{i}") for i, name in enumerate(names)}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            places[node] = inputs[node.target]
        elif node.op != "placeholder":
            places[node] = graph.node_copy(node, places.__getitem__)
    return fx.GraphModule({}, graph), [module.get_buffer(str(name)) for name in names]
