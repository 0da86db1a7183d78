"""The exact Lipschitz constant of small ReLU networks, by enumeration.

Nothing here imports landscape. Every linear region of a ReLU network has a pattern of active
neurons; the Lipschitz constant over ℝⁿ is the largest ‖W_L D_{L−1} W_{L−1} … D_1 W_1‖₂ over the
patterns that some open set of inputs has. The largest over all 2^N patterns, reached or not, bounds
it from above.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from scipy.optimize import linprog

BOX = 1e4  # regions are looked for within |x_i| ≤ BOX
WIDE = 1e-9  # least radius of a ball inside a region, or its input set is taken as empty


@dataclass(frozen=True, eq=False)
class Relu:
    """W_L relu(… relu(W_1 x + b_1) …) + b_L."""

    weights: tuple[np.ndarray, ...]
    biases: tuple[np.ndarray, ...]

    def __call__(self, x: np.ndarray) -> np.ndarray:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = np.maximum(weight @ x + bias, 0)
        return self.weights[-1] @ x + self.biases[-1]


@cache
def gaussian(dims: Sequence[int], seed: int) -> Relu:
    """Weights N(0, 1/fan_in), then biases N(0, 0.09)."""
    draws = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> np.ndarray:
        return torch.randn(*shape, generator=draws, dtype=torch.float64).numpy()

    weights = tuple(normal(n, m) / np.sqrt(m) for m, n in itertools.pairwise(dims))
    return Relu(weights, tuple(0.3 * normal(n) for n in dims[1:]))


@cache
def over_reached_regions(net: Relu) -> tuple[float, int]:
    """The exact constant, and how many regions there are."""
    norms = [float(np.linalg.norm(jacobian, 2)) for jacobian in _regions(net)]
    return max(norms), len(norms)


def over_all_patterns(net: Relu) -> float:
    """The largest norm over every pattern, reached or not."""
    hidden = [len(w) for w in net.weights[:-1]]
    best = 0.0
    for bits in itertools.product((0.0, 1.0), repeat=sum(hidden)):
        jacobian, at = net.weights[0], 0
        for width, after in zip(hidden, net.weights[1:], strict=True):
            jacobian = after @ (np.array(bits[at : at + width])[:, None] * jacobian)
            at += width
        best = max(best, float(np.linalg.norm(jacobian, 2)))
    return best


def _regions(net: Relu) -> Iterator[np.ndarray]:
    """Yield the Jacobian of every region, by depth-first search over the neurons."""
    inputs = net.weights[0].shape[1]
    rows: list[np.ndarray] = []  # a x + c ≥ 0 as (a, c)

    def search(
        layer: int, affine: np.ndarray, active: list[bool], inner: np.ndarray
    ) -> Iterator[np.ndarray]:
        if layer == len(net.weights) - 1:
            yield net.weights[-1] @ affine[:, :-1]
            return
        before = net.weights[layer] @ affine
        before[:, -1] += net.biases[layer]
        if len(active) == len(before):
            yield from search(layer + 1, before * np.array(active)[:, None], [], inner)
            return
        row = before[len(active)]
        for sign in (1.0, -1.0):
            if not row[:-1].any() and sign * row[-1] <= 0:
                continue  # constant, and on the other side
            rows.append(sign * row)
            if (found := _inner(rows, inner)) is not None:
                yield from search(layer, affine, [*active, sign > 0], found)
            rows.pop()

    yield from search(0, np.eye(inputs, inputs + 1), [], np.zeros(inputs))


def _inner(rows: list[np.ndarray], known: np.ndarray) -> np.ndarray | None:
    """The centre of a ball in the polyhedron; None where there is none.

    The one that is known stays while the last row holds there; else it is the Chebyshev centre.
    """
    *_, last = rows
    if not last[:-1].any() or last[:-1] @ known + last[-1] > WIDE * np.linalg.norm(last[:-1]):
        return known
    matrix = np.array([row for row in rows if row[:-1].any()])
    unit = matrix / np.linalg.norm(matrix[:, :-1], axis=1, keepdims=True)
    constraints = np.hstack([-unit[:, :-1], np.ones((len(unit), 1))])
    bounds = [(-BOX, BOX)] * (matrix.shape[1] - 1) + [(0, 1.0)]
    objective = np.zeros(matrix.shape[1])
    objective[-1] = -1
    found = linprog(objective, A_ub=constraints, b_ub=unit[:, -1], bounds=bounds)
    return found.x[:-1] if found.status == 0 and -found.fun > WIDE else None
