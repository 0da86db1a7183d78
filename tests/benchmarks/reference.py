"""The right answer, in float64, by differentiating the gradient's graph: no contender's code."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.benchmarks.data import Batch, split
from tests.benchmarks.problems import Problem, build, train

TOP = 10


class Reference:
    """H V over all batches.

    Args:
        problem: On its device; it is copied.
        dtype: The precision; float32 shows what rounding alone makes.
    """

    def __init__(self, problem: Problem, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self.problem = replace(
            problem,
            model=copy.deepcopy(problem.model).to(dtype),
            batches=_all_samples(problem, dtype),
        )

    def products(self, columns: Tensor) -> Tensor:  # (n, k) -> (n, k)
        problem = self.problem
        total = torch.zeros(columns.shape, dtype=torch.float64, device=columns.device)
        count = sum(len(inputs) for inputs, _ in problem.batches)
        with sdpa_kernel(SDPBackend.MATH):
            for inputs, targets in problem.batches:
                loss = problem.loss(problem.model(inputs), targets)
                parts = torch.autograd.grad(loss, problem.parameters, create_graph=True)
                gradient = problem.vector(parts)
                for j in range(columns.shape[1]):
                    images = torch.autograd.grad(
                        gradient,
                        problem.parameters,
                        columns[:, j].to(self.dtype),
                        retain_graph=True,
                        materialize_grads=True,
                    )
                    total[:, j] += problem.vector(images) * (len(inputs) / count)
        return total

    def dense(self) -> np.ndarray:  # (n, n)
        size = self.problem.size
        matrix = self.products(torch.eye(size, device=self.problem.parameters[0].device))
        return matrix.cpu().numpy()

    def largest(self, count: int) -> np.ndarray:  # (count,), descending
        """Return the largest eigenvalues by ARPACK."""
        size, device = self.problem.size, self.problem.parameters[0].device

        def product(vector: np.ndarray) -> np.ndarray:
            column = torch.as_tensor(vector, device=device).reshape(-1, 1)
            return self.products(column)[:, 0].cpu().numpy()

        known: dict[str, Any] = {"matvec": product, "dtype": np.dtype("float64")}
        settings: dict[str, Any] = {"k": count, "which": "LA", "tol": 1e-5}
        operator = LinearOperator(shape=(size, size), **known)
        values = eigsh(operator, return_eigenvectors=False, **settings)
        return np.sort(np.asarray(values))[::-1]


def _all_samples(problem: Problem, dtype: torch.dtype) -> list[Batch]:
    """Return the samples of all batches, in as many chunks as fit."""
    inputs, targets = (torch.cat(parts) for parts in zip(*problem.batches, strict=True))
    values = inputs.to(dtype) if inputs.is_floating_point() else inputs
    return split(values, targets, problem.chunk)


@dataclass(frozen=True)
class Truth:
    """What contenders are compared with, as kept in a folder."""

    weights: dict[str, Tensor]
    images: Tensor  # (n, 2): products with the first and the last of the problem's columns
    rounding: float  # relative error of these products in float32
    top: np.ndarray | None  # (TOP,), descending
    spectrum: np.ndarray | None  # (n,), where the matrix is small


def prepare(name: str, file: Path, *, device: str, quick: bool, tasks: Sequence[str]) -> int:
    """Train a problem, compute what is true of it, write both to a file, and return n."""
    problem = build(name, device=device, quick=quick)
    train(problem, quick=quick)
    reference = Reference(problem)
    columns = problem.columns()[:, [0, -1]]
    images = reference.products(columns)
    rounding = relative_error(Reference(problem, torch.float32).products(columns), images)
    spectrum, top = None, None
    if {"trace", "density"} & set(tasks):
        spectrum = np.linalg.eigvalsh(reference.dense())
    if "top10" in tasks:
        top = spectrum[::-1][:TOP].copy() if spectrum is not None else reference.largest(TOP)
    weights = {key: value.cpu() for key, value in problem.model.state_dict().items()}
    truth = Truth(weights, images.float().cpu(), rounding, top, spectrum)
    torch.save(truth.__dict__, file)
    return problem.size


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Return the largest ‖difference‖ / ‖expected‖ among columns (n, k)."""
    gaps = torch.linalg.vector_norm(got.double() - expected.double(), dim=0)
    return float((gaps / torch.linalg.vector_norm(expected.double(), dim=0)).max())


def recall(name: str, file: Path, *, device: str, quick: bool) -> tuple[Problem, Truth]:
    """Return the problem with the weights of the file, and the truth."""
    truth = Truth(**torch.load(file, weights_only=False))
    problem = build(name, device=device, quick=quick)
    problem.model.load_state_dict(truth.weights)
    return problem, truth
