"""Means, variances and correlations of channels, streamed over batches of any size."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING = 1e-6  # relative: about ten units in the last place of float32


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Count, mean and sum of squared deviations of every channel, in float64."""

    count: int
    mean: Tensor  # (C,)
    square: Tensor  # (C,) Σ (x − mean)²

    @classmethod
    def of(cls, rows: Tensor) -> Moments:
        """Return the moments of rows (N, C)."""
        rows = rows.detach().double()
        mean = rows.mean(0)
        return cls(count=len(rows), mean=mean, square=(rows - mean).square().sum(0))

    def merged(self, other: Moments) -> Moments:
        """Return the moments of both samples together.

        Source: Chan, Golub & LeVeque 1983, The American Statistician 37(3), equation 2.1.
        """
        count = self.count + other.count
        apart = other.mean - self.mean
        share = other.count / count
        between = apart.square() * (self.count * share)
        mean = self.mean + apart * share
        return Moments(count=count, mean=mean, square=self.square + other.square + between)

    @property
    def variance(self) -> Tensor:  # (C,)
        """Return the mean squared deviation."""
        return self.square / self.count

    @property
    def deviation(self) -> Tensor:  # (C,)
        """Return the standard deviation."""
        return self.variance.sqrt()

    @property
    def constant(self) -> Tensor:  # (C,) boolean
        """Return which channels do not vary beyond the rounding of single precision."""
        return self.deviation <= ROUNDING * self.mean.abs()


@dataclass(frozen=True, kw_only=True)
class Comoments:
    """What the correlations of the channels of two networks are computed from."""

    left: Moments
    right: Moments
    cross: Tensor  # (C, D) Σ (x − mean)(y − mean)ᵀ, float64

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> Comoments:
        """Return the moments of paired rows (N, C) and (N, D)."""
        ours, theirs = Moments.of(left), Moments.of(right)
        first = left.detach() - ours.mean.to(left.dtype)
        second = right.detach() - theirs.mean.to(right.dtype)
        return cls(left=ours, right=theirs, cross=(first.T @ second).double())

    def merged(self, other: Comoments) -> Comoments:
        """Return the moments of both samples together. Source: as `Moments.merged`."""
        count = self.left.count + other.left.count
        apart = torch.outer(
            other.left.mean - self.left.mean, other.right.mean - self.right.mean
        ) * (self.left.count * other.left.count / count)
        return Comoments(
            left=self.left.merged(other.left),
            right=self.right.merged(other.right),
            cross=self.cross + other.cross + apart,
        )

    @property
    def correlation(self) -> Tensor:  # (C, D)
        """Return Pearson's correlation of each channel with each; 0 for one that is constant."""
        scale = torch.outer(self.left.square.sqrt(), self.right.square.sqrt())
        varying = torch.outer(~self.left.constant, ~self.right.constant)
        return torch.where(varying, self.cross / scale, 0.0).clamp(-1, 1)
