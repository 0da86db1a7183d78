"""Activation matching: units are paired by how alike they respond to the same inputs.

Unlike the matching of weights it needs data, and no descent: the groups are independent of each
other, so that each is one assignment, max Σ_i ρ(a_i, b_π(i)), with ρ Pearson's correlation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from landscape.subject.batch import Batch
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.assignment import assign
from landscape.symmetry.groups import Symmetry
from landscape.symmetry.matching import Matching
from landscape.symmetry.permutation import Permutation
from landscape.symmetry.responses import Place, correlations, sites
from landscape.symmetry.weight_matching import match_weights


def match_activations(
    subject: Subject,
    symmetry: Symmetry,
    a: Point,
    b: Point,
    batches: Iterable[Batch],
    *,
    generator: torch.Generator,
) -> Matching:
    """Return the permutation of b's units that makes them respond as a's do.

    Units are seen where they are computed and where the next layer takes them in, after the
    nonlinearity; the correlations are added up. Groups that no module shows are matched by their
    weights, the others held fixed.

    Args:
        subject: Whose network.
        symmetry: Its groups.
        a: What b is aligned with.
        b: What is permuted.
        batches: Such as `subject.batches`.
        generator: Of the order in which groups are gone through, where it matters.

    Returns:
        The permutation; the objective is the mean correlation of paired units, silent ones 0.

    Raises:
        SettingError: There are no batches.

    Cost: two forward passes over the data, and C² of multiplications for each activation of C
    units at one position; then an assignment for each group, O(n³).

    Source: Li, Yosinski, Clune, Lipson & Hopcroft 2016, arXiv 1511.07543; Ainsworth, Hayase &
    Srinivasa 2023, arXiv 2209.04836, section 3.1. Differs from the sources: correlations are
    streamed, over at most 16 positions of each sample.
    """
    places = sites(subject, symmetry, a, batches)
    found = correlations(subject, places, a, b, batches)
    permutation = assign(symmetry, found, generator=generator)
    unseen = [group.name for group in symmetry.groups if not found.keys() & set(group.places)]
    if unseen:
        first, second = (subject.network.tensors(point) for point in (a, b))
        permutation = match_weights(
            symmetry, first, second, generator=generator, start=permutation, only=unseen
        ).permutation
    objective = _mean_correlation(symmetry, permutation, found)
    return Matching(
        permutation=permutation,
        objective=objective,
        before=_mean_correlation(symmetry, symmetry.identity(), found),
        restarts=(objective,),
        sweeps=1,
    )


def _mean_correlation(
    symmetry: Symmetry, permutation: Permutation, found: Mapping[Place, Tensor]
) -> float:
    paired = [
        similarity.cpu()[torch.arange(len(similarity)), _order(symmetry, permutation, place)]
        for place, similarity in found.items()
    ]
    return float(torch.cat(paired).mean()) if paired else 0.0


def _order(symmetry: Symmetry, permutation: Permutation, place: Place) -> Tensor:  # (C,)
    """Return which old unit stands at each position of an axis."""
    tensor, axis = place
    shape = symmetry.shapes[tensor]
    numbers = torch.arange(shape[axis]).view([-1 if i == axis else 1 for i in range(len(shape))])
    before = numbers.expand(shape).contiguous()
    after = before.clone()
    for block in symmetry.blocks[tensor]:
        block.view(after).copy_(block.permuted(block.view(before), permutation.orders))
    return after.movedim(axis, 0).flatten(1)[:, 0]
