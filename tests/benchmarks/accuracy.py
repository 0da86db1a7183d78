"""Whether an answer is as accurate as was asked for, found out outside the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from tests.benchmarks.contenders.contract import Contender, Measure, Top
from tests.benchmarks.problems import Problem
from tests.benchmarks.reference import Reference, Truth

PRODUCT = 2e-3  # relative error of a product in float32
ROUNDED = 3.0  # or so many times what rounding alone makes of it, where that is more
RESIDUAL = 1e-3  # of the largest eigenvalue
TRACE = 0.02  # relative
DISTANCE = 0.01  # of the range, Wasserstein-1
TASKS = {
    "top10": "ten largest eigenpairs, shown to have residuals ≤ 1e-3 λ_max, none missed",
    "trace": "trace to ± 2 %",
    "density": "density to a Wasserstein-1 distance of 1 % of the range",
}


@dataclass(frozen=True)
class Verdict:
    """How accurate an answer is, in the measure of its task."""

    deviation: float
    accurate: bool
    detail: str


def judged(
    task: str, contender: Contender, problem: Problem, truth: Truth, answer: object
) -> Verdict:
    """Return how far the answer is from the truth."""
    if isinstance(answer, Top):
        return _top(answer, problem, truth)
    if isinstance(answer, Measure):
        return _density(answer, truth)
    if not isinstance(answer, float):
        raise TypeError(f"{type(contender).__name__} answers {task} with {type(answer).__name__}")
    assert truth.spectrum is not None
    error = abs(answer / float(truth.spectrum.sum()) - 1)
    return Verdict(error, error <= TRACE, f"{answer:.6g}")


def _top(answer: Top, problem: Problem, truth: Truth) -> Verdict:
    """Judge by ‖Hv − λv‖ with the float64 reference, and by the reference's own eigenvalues.

    Small residuals do not show that nothing was missed, so both must hold; and the contender must
    know its residuals, with its clock running: who is not told cannot rely on them.
    """
    assert truth.top is not None
    device = problem.parameters[0].device
    vectors = answer.vectors.to(device).double()
    images = Reference(problem).products(vectors.T).T
    values = torch.as_tensor(answer.values, device=device).double()
    gaps = torch.linalg.vector_norm(images - values[:, None] * vectors, dim=1)
    largest = float(truth.top[0])
    error = float(gaps.max()) / largest
    off = np.abs(np.sort(answer.values)[::-1] - truth.top) > RESIDUAL * largest
    detail = f"{int(off.sum())} of {len(off)} values off by more than 1e-3 λ_max"
    shown = float(answer.residuals.max()) / largest
    accurate = max(error, shown) <= RESIDUAL and not off.any()
    return Verdict(error, accurate, detail)


def _density(answer: Measure, truth: Truth) -> Verdict:
    assert truth.spectrum is not None
    extent = float(truth.spectrum.max() - truth.spectrum.min())
    distance = wasserstein_distance(answer.nodes, truth.spectrum, answer.weights)
    return Verdict(
        float(distance / extent), bool(distance <= DISTANCE * extent), f"{len(answer.nodes)} nodes"
    )
