"""Quadratic forms of a curvature by groups of the data, so that samples can be compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice, pairwise

import numpy as np
import torch
from torch import Tensor

from landscape.errors import DataError, out_of_memory
from landscape.operators.curvature import CurvatureOperator
from landscape.operators.local import one_by_one
from landscape.operators.ways import DIFFERENCE
from landscape.spectra.curvature import Curvature
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention

GROUPS = 16  # at least so many, where there are samples enough
ENOUGH = 8  # batches that are groups as they are
MOST = 64


@dataclass(frozen=True)
class GroupForms:
    """Quadratic forms vᵀA_b v of k vectors, by groups b of the data.

    A_b is the mean over the group; the whole is Σ c_b A_b / Σ c_b.
    """

    forms: np.ndarray  # (b, k)
    counts: np.ndarray  # (b,), what counts in each group

    @property
    def whole(self) -> np.ndarray:  # (k,)
        """Return the forms over all of the data."""
        return self.counts @ self.forms / self.counts.sum()


def group_forms(subject: Subject, curvature: Curvature, rows: Tensor) -> GroupForms:
    """Return vᵀA_b v of some vectors for every group of the data.

    Args:
        subject: What is studied.
        curvature: A.
        rows: v (k, n).

    Cost: k products over the data, and a forward pass.
    """
    inward = curvature.inward(rows)
    counts = _counts(subject)
    total = np.zeros((len(counts), len(rows)))
    for weight, term in curvature.terms(subject):
        total += weight * _sums(subject, term, inward)
    kept = counts > 0
    square = inward.double().square().sum(1).cpu().numpy()
    forms = total[kept] / counts[kept, None] + curvature.weight_decay * square
    return GroupForms(forms, counts[kept])


def data_groups(batches: Iterable[Batch], number: int) -> Iterator[list[Batch]]:
    """Yield batches in 16 groups or more: as they come, cut into pieces, or several together.

    Samples that depend on one another (frames of a film, pages of a book) should stand in the same
    batch, or the spread between groups is too small.

    Args:
        batches: The batches.
        number: How many they are.
    """
    pieces = 1 if number >= ENOUGH else math.ceil(GROUPS / max(number, 1))
    cut = (piece for batch in batches for piece in _cut(batch, pieces))
    size = math.ceil(max(number, 1) / MOST)
    while group := list(islice(cut, size)):
        yield group


def _counts(subject: Subject) -> np.ndarray:  # (b,)
    """Return how much counts in each group."""
    counts = []
    with subject.undisturbed(0), torch.no_grad(), differentiable_attention():
        for group in data_groups(subject.device_batches(), _number(subject)):
            outputs = [(subject.outputs(subject.point, batch), batch.targets) for batch in group]
            counts.append(sum(subject.criterion.count(*pair) for pair in outputs))
    return np.array(counts, dtype=float)


def _sums(subject: Subject, term: CurvatureOperator, rows: Tensor) -> np.ndarray:  # (b, k)
    """Return vᵀ(Σ over the group) v, not divided by what counts."""
    sums = []
    with subject.undisturbed(0), differentiable_attention():
        for group in data_groups(term.source(), _number(subject)):
            parts = [(_products(term, batch, rows).double() * rows).sum(1) for batch in group]
            sums.append(torch.stack(parts).sum(0).cpu().numpy())
    count_products(len(rows))
    return np.stack(sums)


def _products(term: CurvatureOperator, batch: Batch, rows: Tensor) -> Tensor:
    """Return the products of one batch by reverse mode, or by forward mode where there is none.

    By differences where the subject asks for them.
    """
    if term.subject.product == "differences":
        exact = term.exact(batch)
        return torch.stack([exact.difference(row.double(), DIFFERENCE)[0] for row in rows])
    local = term.local(batch)
    try:
        return local.graph()(rows)
    except (RuntimeError, NotImplementedError, DataError) as error:
        if out_of_memory(error) is not None:
            raise
        return one_by_one(local)(rows)


def _number(subject: Subject) -> int:
    return len(subject.batches) if subject.batches is not None else 0


def _cut(batch: Batch, pieces: int) -> Iterator[Batch]:
    """Yield a batch in so many pieces, as even as can be; at least one sample in each."""
    samples = batch.samples
    pieces = max(min(pieces, samples), 1)
    edges = [samples * i // pieces for i in range(pieces + 1)]
    for start, stop in pairwise(edges):
        yield batch if pieces == 1 else batch.mapped(partial(_sliced, samples, start, stop))


def _sliced(samples: int, start: int, stop: int, tensor: Tensor) -> Tensor:
    return tensor[start:stop] if tensor.dim() and len(tensor) == samples else tensor
