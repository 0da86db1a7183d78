"""Some samples of the data, their single losses, and weighted sums of their gradients."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from landscape.errors import DataError, ModelError
from landscape.linalg.memory import free_bytes
from landscape.subject.batch import Batch
from landscape.subject.per_sample import per_sample
from landscape.subject.point import Point
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention

ROUNDINGS = 100  # units in the last place of 1, for every term of a sample's loss
AGREEMENT = 1e-4  # relative, of a sample's loss alone with its loss in the batch
COMPARED = 3  # samples of every batch that are looked at alone
GROUPS = 16  # of samples, between which numbers are compared
LEAST_GROUPS = 4
SHARE = 4  # gradients of groups take at most one part of so many of the free memory
MISFIT = re.compile(r"shape|size|dim|match|expect|view", re.IGNORECASE)


class UnavailableError(Exception):
    """A part of the answer that cannot be had, with the reason in words."""


def some_samples(subject: Subject, most: int) -> list[Batch]:
    """Return at most so many samples, evenly spaced over the data, in batches of the usual size.

    Where that takes all samples the batches are as they are, which they must be in train mode.
    Cost: one reading of the data.
    """
    if subject.batches is None:
        raise UnavailableError("no data were given")
    whole = subject.batches.samples
    if whole <= most or subject.mode == "train":
        return list(subject.device_batches())
    wanted = torch.linspace(0, whole - 1, most, dtype=torch.float64).round().long()
    picked, start, largest = [], 0, 1
    for batch in subject.device_batches():
        stop = start + batch.samples
        rows = wanted[(wanted >= start) & (wanted < stop)] - start
        if len(rows):
            picked.append(rows_of(batch, rows))
        start, largest = stop, max(largest, batch.samples)
    return list(regrouped(picked, largest))


def rows_of(batch: Batch, rows: Tensor) -> Batch:
    """Return some samples of a batch, by their places (k,)."""
    samples = batch.samples
    return batch.mapped(lambda t: t[rows.to(t.device)] if t.dim() and len(t) == samples else t)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Chosen samples at a point, with gᵢ scaled so that their mean is the mean loss's gradient.

    The loss is Σᵢ ℓᵢ / Σᵢ cᵢ with ℓᵢ the sum over what counts in a sample; gᵢ = N ∇ℓᵢ / Σ c.

    Args:
        subject: What is studied.
        point: Where.
        batches: The samples, on the device.
    """

    subject: Subject
    point: Point
    batches: list[Batch]
    _plain: dict[int, Tensor] = field(default_factory=dict[int, Tensor], repr=False)

    @property
    def number(self) -> int:
        """Return N, the number of samples."""
        return sum(batch.samples for batch in self.batches)

    @cached_property
    def scale(self) -> float:
        """Return N / Σ c. Cost: a forward pass over the samples."""
        with self.quiet(), torch.no_grad():
            count = 0
            for batch in self.batches:
                outputs = self.subject.outputs(self.point, batch)
                count += self.subject.criterion.count(outputs, batch.targets)
        if count == 0:
            raise UnavailableError("nothing counts in the samples that were looked at")
        return self.number / count

    def objective(self, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the summed loss of a batch as a function of the coordinates (n,)."""
        return self.subject.objective(self.point, batch)

    def losses(self, theta: Tensor, batch: Batch) -> Tensor:  # (b,)
        """Return ℓᵢ of every sample of a batch, differentiably."""
        try:
            outputs = self.subject.outputs(self.point.moved(theta), batch)
            return per_sample(self.subject.criterion, outputs, batch.targets).losses
        except ModelError:  # the loss is known of whole batches only
            alone = [
                self.objective(rows_of(batch, torch.tensor([i])))(theta)
                for i in range(batch.samples)
            ]
            return torch.stack(alone).double()

    def check(self) -> None:
        """Refuse networks and losses that mix samples.

        Raises:
            UnavailableError: A sample's loss alone is not its loss in the batch.

        Cost: a forward pass over the samples.
        """
        with self.quiet(), torch.no_grad():
            for batch in self.batches:
                together = self.losses(self.point.theta, batch)
                places = torch.linspace(0, batch.samples - 1, min(COMPARED, batch.samples))
                rows = places.round().long()
                for row in rows.tolist():
                    alone = float(self._alone(batch, row))
                    apart = abs(alone - float(together[row]))
                    large = AGREEMENT * max(abs(alone), float(together.abs().mean()))
                    if not apart <= large + self._rounding:
                        raise UnavailableError(
                            "a sample's loss depends on the other samples of its batch, or the "
                            "loss is not a sum over samples"
                        )

    @property
    def _rounding(self) -> float:
        """Return by how much rounding may move the loss of a sample that is learned by heart."""
        batches = self.subject.batches
        terms = self.subject.count / max(batches.samples if batches is not None else 1, 1)
        return ROUNDINGS * torch.finfo(self.point.theta.dtype).eps * max(terms, 1.0)

    def _alone(self, batch: Batch, row: int) -> Tensor:
        try:
            return self.objective(rows_of(batch, torch.tensor([row])))(self.point.theta)
        except DataError as error:
            if MISFIT.search(error.what) is None:
                raise
            raise UnavailableError(f"the network takes no single sample: {error.what}") from error

    @cached_property
    def gradient(self) -> Tensor:  # (n,), float64
        """Return the mean of the gᵢ. Cost: a forward and backward pass over the samples."""
        mean = self.weighted(torch.ones(self.number))
        if not bool(mean.isfinite().all()):
            raise UnavailableError("the gradient is not finite")
        return mean

    def weighted(self, weights: Tensor) -> Tensor:  # (n,), float64
        """Return the mean of wᵢ gᵢ for weights (N,). Cost: a forward and backward pass."""
        return self.group_means(weights, 1)[0]

    def groups(self) -> int:
        """Return in how many groups the samples are compared: their gradients must fit."""
        room = free_bytes(self.point.theta.device) // SHARE // (16 * len(self.point.theta))
        number = min(GROUPS, self.number // 2, room)
        return self.subject.ranks.from_first(lambda: number, "groups of samples")

    def group_means(self, weights: Tensor, groups: int) -> Tensor:  # (K, n), float64
        """Return the mean of wᵢ gᵢ over each of K groups of one size: every K-th sample.

        What is left over at the end, fewer than K samples, is in no group.

        Args:
            weights: wᵢ (N,).
            groups: K.

        Cost: a forward and backward pass over the samples, K pieces to a batch.
        """
        theta = self.point.theta
        size = self.number // groups
        total = torch.zeros(groups, len(theta), dtype=torch.float64, device=theta.device)
        start = 0
        with self.quiet():
            for batch in self.batches:
                places = torch.arange(start, start + batch.samples)
                for group in range(groups):
                    inside = (places % groups == group) & (places < size * groups)
                    rows = inside.nonzero().flatten()
                    if len(rows):
                        part = batch if groups == 1 else rows_of(batch, rows)
                        total[group] += self._sum(part, weights[places[rows]])
                start += batch.samples
        return total * (self.scale / size)

    def plain(self, groups: int) -> Tensor:  # (K, n), float64
        """Return the mean of gᵢ over each of K groups, computed once."""
        if groups not in self._plain:
            self._plain[groups] = self.group_means(torch.ones(self.number), groups)
        return self._plain[groups]

    def _sum(self, batch: Batch, weights: Tensor) -> Tensor:  # (n,)
        theta = self.point.theta.detach().requires_grad_()
        losses = self.losses(theta, batch)
        if not losses.requires_grad:
            return torch.zeros_like(theta)
        return torch.autograd.grad((weights.to(losses) * losses).sum(), theta)[0]

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Run the network as it is studied, with attention that can be differentiated twice."""
        with self.subject.undisturbed(0), differentiable_attention():
            yield
