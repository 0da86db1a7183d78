"""The ways of applying the share of a micro-batch to vectors; all but the last are exact.

- reverse: differentiate the gradient's graph, built anew in every pass;
- cached: keep that graph;
- forward: differentiate the gradient in forward mode, all vectors of a block at once;
- linearize: record forward mode once and replay what depends on the vectors (`Tape`);
- compiled: that recording, compiled by `torch.compile`;
- differences: central differences in float64, exact only to their step. Never chosen by itself.

A way is used only if it agrees with a product of the gradient's graph.
"""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import DataError, ModelError, NumericalError
from landscape.linalg.probes import spherical
from landscape.operators.compiled import Compiler
from landscape.operators.local import Local, Rows, one_by_one, vectorised
from landscape.operators.tape import Tape

AGREEMENT = {torch.float32: 2e-3, torch.float64: 1e-8}  # relative, of a way with the reference
DIFFERENCE = 1e-5  # relative step of central differences: kinks want it small
MISSING = (RuntimeError, DataError, ModelError)  # what PyTorch raises for a missing mode
RECOMPUTED = {  # what a way is when nothing can be kept
    "cached": "reverse",
    "linearize": "forward",
    "compiled": "forward",
    "reverse": "reverse",
    "forward": "forward",
    "differences": "differences",
}


class DisagreementError(NumericalError, RuntimeError):
    """A way that does not agree with the reference."""


def first_product(
    way: str, local: Local, rows: Tensor, compiler: Compiler
) -> tuple[Rows | None, Tensor, int]:
    """Return what can be kept of a way, its product with rows, and the bytes it holds.

    Args:
        way: One of the above.
        local: The share of a micro-batch; for differences in float64.
        rows: The vectors, (k, n).
        compiler: Of recordings.
    """
    if way in ("reverse", "cached"):
        function = local.graph()
        return (function if way == "cached" else None), function(rows), 0
    if way == "differences":
        products = [local.difference(row.double(), DIFFERENCE)[0] for row in rows]
        return None, torch.stack(products).to(rows.dtype), 0
    if way == "forward":
        try:
            return None, vectorised(local)(rows), 0
        except MISSING:
            return None, one_by_one(local)(rows), 0
    tape, found = Tape.record(vectorised(local), rows)
    if way == "linearize" or not len(tape):
        return tape, found, tape.constant_bytes
    function = compiler(tape)
    return function, function(rows), tape.constant_bytes


def compare(way: str, local: Local, rows: Tensor, found: Tensor, function: Rows | None) -> float:
    """Return how far the first row of a product is from the reference, relative to that.

    What is kept is held against it at a random vector, which it was not set up with.

    Raises:
        NumericalError: They differ.
    """
    if function is not None:
        generator = torch.Generator().manual_seed(0)
        probe = spherical(1, rows.shape[1], like=rows, generator=generator)
        rows = torch.cat([probe, rows[1:]])
        found = function(rows)
    try:
        expected = local.graph()(rows[:1])
    except MISSING:
        expected = one_by_one(local)(rows[:1])
    scale = float(torch.linalg.vector_norm(expected, dtype=torch.float64))
    error = float(torch.linalg.vector_norm(found[:1] - expected, dtype=torch.float64))
    relative = error / scale if scale else error
    if not relative <= AGREEMENT[rows.dtype]:
        raise DisagreementError(
            f"the way {way} differs from the reference product by {relative:.2g}",
            where="product engine",
            hint="use --product auto, reverse or cached",
        )
    return relative
