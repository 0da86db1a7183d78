"""The stability margin of an optimizer that rescales coordinates, beside the plain spectrum."""

from __future__ import annotations

from dataclasses import replace

import torch

from landscape import budget, progress
from landscape.linalg.eigenpairs import eigenpairs
from landscape.spectra.curvature import Curvature
from landscape.spectra.dynamics import OPTIMIZER, dynamics_of
from landscape.spectra.ends import eigenvalues
from landscape.spectra.groups import group_forms
from landscape.spectra.sampling import with_groups
from landscape.spectra.stability import StabilityMargin
from landscape.subject.optimizer_state import NoOptimizer, read_optimizer
from landscape.subject.subject import Subject

LEAST = 10  # products that the largest eigenvalue takes, about


def preconditioned_margin(
    subject: Subject,
    curvature: Curvature,
    *,
    generator: torch.Generator,
    tolerance: float,
    max_products: int,
) -> StabilityMargin | None:
    """Return the margin of λ₁(P⁻¹H); None where P is not known or the budget does not last.

    Args:
        subject: With one checkpoint.
        curvature: The plain matrix, H or G.
        generator: Draws the start vectors.
        tolerance: Largest residual, relative.
        max_products: To spend on λ₁.

    Cost: some ten products at least, one more and a forward pass for the sampling interval.

    Source: Cohen et al. 2022, arXiv 2207.14484, §3.
    """
    state = read_optimizer(subject)
    if isinstance(state, NoOptimizer) or state.preconditioner is None or not budget.affords(LEAST):
        return None
    dynamics = dynamics_of(subject, OPTIMIZER)
    rescaled = replace(curvature, preconditioner=dynamics.preconditioner)
    with progress.task("preconditioned sharpness"):
        pairs = eigenpairs(
            rescaled.of(subject),
            top=1,
            bottom=0,
            generator=generator,
            tolerance=tolerance,
            max_products=max_products,
        )
    sharpness = eigenvalues(pairs.top, pairs)
    if not sharpness:
        return None
    if subject.mode == "eval" and budget.affords(1):
        forms = group_forms(subject, rescaled, pairs.top.vectors)
        sharpness = with_groups(sharpness, forms) or sharpness
    return dynamics.margin(sharpness[0])
