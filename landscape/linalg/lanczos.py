"""Gauss quadrature of the spectral measure, from a block Lanczos run over all start vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from landscape import progress
from landscape.budget import affords
from landscape.linalg.memory import basis_budget, bytes_of_rows
from landscape.linalg.operator import LinearOperator
from landscape.linalg.recurrence import Recurrence

CHECK_EVERY = 8  # steps between looks whether everything is finite
ROUNDING = 16  # units of eps times the scale: a coupling below that ends a chain


@dataclass(frozen=True)
class Quadrature:
    """Gauss quadrature of the spectral measure of A seen from one unit start vector."""

    nodes: np.ndarray  # (s,), ascending
    weights: np.ndarray  # (s,), non-negative, sum 1
    residuals: np.ndarray  # (s,), how far each node is from being an eigenvalue
    cut: bool = False  # the budget ended the run before the steps that were asked for


def gauss_quadratures(
    operator: LinearOperator, starts: Tensor, steps: int, memory_bytes: int | None = None
) -> tuple[Quadrature, ...]:
    """Return one quadrature per start vector, exact for polynomials of degree 2·steps − 1.

    Args:
        operator: Symmetric, n × n.
        starts: Unit vectors (p, n).
        steps: Lanczos steps s; fewer are taken where the Krylov space or the budget ends.
        memory_bytes: What the basis may take; a quarter of what is free by default.

    Cost: p·s products, in s blocks when a basis of p·s vectors fits the memory.

    Source: Golub & Meurant 2010, §3; Ubaru, Chen & Saad 2017, arXiv 1711.00439.
    """
    with progress.task("spectral density", len(starts) * steps) as task:
        return block_quadratures(operator, starts, steps, memory_bytes, task)[0]


def block_quadratures(
    operator: LinearOperator,
    starts: Tensor,
    steps: int,
    memory_bytes: int | None,
    task: progress.Task,
) -> tuple[tuple[Quadrature, ...], Recurrence]:
    """Return one quadrature per start vector, and the run of the last group of them.

    One block run gives all its start vectors' quadratures: the projected matrix T agrees with A in
    the moments xᵀAʲx, j < 2s, of every start vector x in its first block, so s Lanczos steps on T
    from the coordinates of x are s steps on A from x.
    """
    memory = basis_budget(operator.device) if memory_bytes is None else memory_bytes
    rows = memory // bytes_of_rows(operator, steps)
    on_host = rows < 1 and operator.device.type != "cpu"
    *groups, last = starts.split(len(starts) if on_host else max(1, rows))
    least = min(steps, operator.shape[0])
    found: list[Quadrature] = []
    for group in groups:
        found.extend(_quadratures(_run(operator, group, steps, task, on_host=on_host), least))
    recurrence = _run(operator, last, steps, task, on_host=on_host)
    return (*found, *_quadratures(recurrence, least)), recurrence


def _run(
    operator: LinearOperator, starts: Tensor, steps: int, task: progress.Task, *, on_host: bool
) -> Recurrence:
    recurrence = Recurrence(
        operator,
        starts,
        capacity=min(len(starts) * steps, operator.shape[0]),
        generator=torch.Generator().manual_seed(0),  # fills up what an invariant subspace leaves
        on_host=on_host,
    )
    for step in range(steps):
        if recurrence.spans or (step > 0 and not affords(len(starts))):
            break
        recurrence.step()
        task.advance(len(starts))
        if step % CHECK_EVERY == 0:
            recurrence.require_finite()
    return recurrence


def _quadratures(recurrence: Recurrence, steps: int) -> list[Quadrature]:
    """Return the quadratures of a run, by as many steps on its projected matrix as it took."""
    matrix, coupling = recurrence.projected.numpy(), recurrence.coupling.numpy()
    coordinates = np.zeros((len(recurrence.coordinates), len(matrix)))
    first = recurrence.coordinates.cpu().numpy()
    coordinates[:, : first.shape[1]] = first
    taken = steps if recurrence.spans else min(steps, len(matrix) // recurrence.width)
    eps = recurrence.precision
    found = [_chain(matrix, row, coupling, taken, eps) for row in coordinates]
    return [replace(one, cut=len(one.nodes) == taken < steps) for one in found]


def _chain(
    matrix: np.ndarray, start: np.ndarray, coupling: np.ndarray, steps: int, eps: float
) -> Quadrature:
    """Return the quadrature that s Lanczos steps on T (m, m) give from a start vector (m,).

    Args:
        matrix: T.
        start: Coordinates of the start vector.
        coupling: How the last b coordinates are coupled to what lies outside (b, b').
        steps: s.
        eps: Precision of the operator.
    """
    basis = np.empty((steps, len(matrix)))
    alphas, betas, length = [], [], 0.0
    row, negligible = start / np.linalg.norm(start), ROUNDING * eps * np.abs(matrix).max()
    for step in range(steps):
        basis[step] = row
        image, done = matrix @ row, basis[: step + 1]
        alphas.append(row @ image)
        image -= done.T @ (done @ image)
        image -= done.T @ (done @ image)
        inside = float(np.linalg.norm(image))
        outside = float(np.linalg.norm(row[len(row) - len(coupling) :] @ coupling))
        length = math.hypot(inside, outside)
        if length <= negligible or inside == 0:
            break
        betas.append(length)
        row = image / inside
    return _gauss(np.array(alphas), np.array(betas[: len(alphas) - 1]), length)


def _gauss(alphas: np.ndarray, betas: np.ndarray, coupling: float) -> Quadrature:
    nodes, vectors = np.linalg.eigh(np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1))
    return Quadrature(nodes, vectors[0] ** 2, coupling * np.abs(vectors[-1]))
