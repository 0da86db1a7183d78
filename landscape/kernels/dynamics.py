"""How fast gradient descent moves along the modes of a kernel, for the loss that is used.

With ∇²ℓ = S Sᵀ for every sample, the Gauss-Newton matrix G = Jᵀ (S Sᵀ) J / count has the nonzero
eigenvalues of Sᵀ K S / count. On the quadratic model a step η multiplies the residual of a mode by
1 − η μ, so that η < 2 / μ_max. For the squared error of PyTorch (mean over N O elements, without ½)
∇²ℓ = 2, so that η < N O / λ_max(K); for the cross-entropy ∇²ℓ = diag(p) − p pᵀ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate, Interval
from landscape.linalg.eigenpairs import eigenpairs
from landscape.operators.gauss_newton import GaussNewtonOperator
from landscape.spectra.dynamics import dynamics_of as steps_of
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject

TOLERANCE = 1e-4
MOST_PRODUCTS = 300
LEFT = 0.05  # of a mode's residual: when it counts as learned


class SomeGaussNewton(GaussNewtonOperator):
    """The Gauss-Newton matrix of the mean loss of some samples of the data.

    Args:
        subject: Network and loss.
        batches: The samples, on the device.
        count: What their mean loss runs over.
    """

    def __init__(self, subject: Subject, batches: list[Batch], count: int) -> None:
        super().__init__(subject)
        self._batches, self._share = batches, subject.count / count

    def source(self) -> Iterable[Batch]:
        """Return the samples."""
        return self._batches

    def _products(self, rows: Tensor) -> Tensor:
        return super()._products(rows) * self._share


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """What the Gauss-Newton matrix of the chosen samples says of gradient descent.

    Args:
        sharpness: μ_max of G.
        largest_rate: Of the optimizer's rule; 2 / μ_max for gradient descent.
        rule: Whose it is.
        rate: At which the steps of plain gradient descent are told: the optimizer's own, or
            1 / μ_max where it is not known or the optimizer is adaptive.
        modes: μ of Sᵀ K S / count, descending, those above the floor; empty unless the kernel is
            full.
        steps: Until a mode's residual is `LEFT` of what it was, on the quadratic model.
        duality: Relative difference of the largest of `modes` from `sharpness`; None without modes.
    """

    sharpness: Estimate
    largest_rate: Estimate
    rule: str
    rate: float
    modes: np.ndarray
    steps: np.ndarray
    duality: float | None


def dynamics_of(
    subject: Subject, batches: list[Batch], count: int, modes: np.ndarray | None, *, seed: int
) -> Dynamics:
    """Return what G says, from its own products, and from the kernel where that is full.

    Args:
        subject: Network, and a loss apart from it.
        batches: The samples.
        count: What their mean loss runs over.
        modes: Eigenvalues of Sᵀ K S / count, where they are known.
        seed: Of the start vectors.

    Cost: up to `MOST_PRODUCTS` products of G.
    """
    operator = SomeGaussNewton(subject, batches, count)
    generator = torch.Generator().manual_seed(seed)
    found = eigenpairs(
        operator, top=1, generator=generator, tolerance=TOLERANCE, max_products=MOST_PRODUCTS
    )
    value, residual = max(float(found.top.values[0]), 0.0), float(found.top.residuals[0])
    doubt = residual + found.noise
    sharpness = Estimate.within(
        value,
        (max(value - doubt, 0.0), value + doubt),
        "Lanczos on the Gauss-Newton matrix of these samples; residual and the products' noise",
        residual=residual,
        status=found.status,
    )
    steps = steps_of(subject)
    rate, factor, rule = 1 / value if value else math.nan, 2.0, "gradient descent"
    if steps.rule is not None:  # an adaptive optimizer's learning rate is none of these modes
        rate, factor, rule = steps.learning_rate or rate, steps.rule.factor, steps.rule.name
    known = modes if modes is not None else np.zeros(0)
    return Dynamics(
        sharpness=sharpness,
        largest_rate=_over(factor, sharpness),
        rule=rule,
        rate=float(rate),
        modes=known,
        steps=learning_steps(known, float(rate)),
        duality=abs(float(known[0]) / value - 1) if len(known) and value else None,
    )


def dual_modes(kernel: np.ndarray, roots: np.ndarray, count: int) -> np.ndarray:
    """Return the eigenvalues of Sᵀ K S / count (N O,), descending: those of G that are not zero.

    Args:
        kernel: Full, (N O, N O), samples major.
        roots: S (N, O, O).
        count: What the mean loss runs over.
    """
    samples, outputs, _ = roots.shape
    whole = kernel.reshape(samples, outputs, samples, outputs)
    left = np.einsum("nca,ncme->name", roots, whole, optimize=True)
    both = np.einsum("name,meb->namb", left, roots, optimize=True)
    return np.linalg.eigvalsh(both.reshape(kernel.shape))[::-1] / count


def learning_steps(modes: np.ndarray, rate: float) -> np.ndarray:
    """Return t with |1 − η μ|^t = `LEFT`; infinite where the mode does not shrink."""
    factor = np.abs(1 - rate * modes)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.log(LEFT) / np.log(np.maximum(factor, 1e-300))
    return np.where(factor < 1, steps, np.inf)


def _over(factor: float, sharpness: Estimate) -> Estimate:
    """Return the factor over the sharpness, the interval carried through."""
    low, high = sharpness.interval
    value = factor / sharpness.value if sharpness.value else math.inf
    interval: Interval = (factor / high if high else math.inf, factor / low if low else math.inf)
    return Estimate(
        value=value,
        kind="estimate",
        interval=interval,
        level=1.0,
        status=sharpness.status,
        method=f"{factor:.4g} over the largest eigenvalue of the Gauss-Newton matrix",
        reason=None if value < math.inf else "the outputs do not move",
    )
