"""Training of the linearised network under a cross-entropy: a gradient flow in its outputs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from landscape.estimate import Estimate
from landscape.kernels.flows import DECADES, LEFT, ROUGH, ROUGHER, flows
from landscape.kernels.likelihood import Likelihood
from landscape.kernels.linearised import Linearised
from landscape.signals.intervals import over_samples, share

ROUNDED = 8  # units of ε of the largest output: how far any of the network's may be off


@dataclass(frozen=True, kw_only=True)
class TrainedAt:
    """The linearised network after some training, on training and on held-out samples.

    Args:
        time: Learning rate times steps, of steps that are small.
        training_loss: Of the samples of the kernel, with the error of integration and of rounding.
        accuracy: On held-out samples.
        loss: On held-out samples.
    """

    time: float
    training_loss: Estimate
    accuracy: Estimate
    loss: Estimate


@dataclass(frozen=True, kw_only=True)
class Band:
    """Estimates along the times, their values (t,) and the ends of their intervals."""

    value: np.ndarray
    lower: np.ndarray
    upper: np.ndarray

    @classmethod
    def of(cls, found: Iterable[Estimate]) -> Self:
        """Return some estimates, one after another."""
        value, lower, upper = np.array([(one.value, *one.interval) for one in found]).T
        return cls(value=value, lower=lower, upper=upper)

    def at(self, place: int) -> Estimate:
        """Return the estimate at a place."""
        value, low, high = (float(one[place]) for one in (self.value, self.lower, self.upper))
        return Estimate(value=value, kind="estimate", interval=(low, high))


@dataclass(frozen=True, kw_only=True)
class Training:
    """Gradient flow of the mean cross-entropy of the network linearised at the checkpoint.

    Args:
        start: The network itself.
        end: Where the training loss is at most `LEFT` of what it was, or `DECADES` beyond the time
            of the fastest mode.
        time: From 0 to the end (t,).
        training_loss: At every time, as in `TrainedAt`.
        accuracy: At every time.
        loss: At every time.
        error: Of integration and rounding, the largest of any loss.
        rounded: From when on most of the error is rounding of the kernel; None: never.
        kernel: Which, in words.
        learned: Whether the training loss came to `LEFT`.
    """

    start: TrainedAt
    end: TrainedAt
    time: np.ndarray
    training_loss: Band
    accuracy: Band
    loss: Band
    error: float
    rounded: float | None
    kernel: str
    learned: bool

    @property
    def until(self) -> str:
        """Return in words how long it was trained."""
        if self.learned:
            return f"until the training loss is at most {round(100 * LEFT)} % of what it was"
        return f"for 10^{DECADES} times the time of the fastest mode"

    @property
    def doubted(self) -> str:
        """Return in words from when on it is rounding that the error is of; empty: never."""
        if self.rounded is None:
            return ""
        return f"; from {self.rounded:.2g} on most of the error is rounding (--dtype float64)"

    @property
    def path(self) -> tuple[TrainedAt, ...]:
        """Return what is told at every time."""
        return tuple(
            TrainedAt(
                time=float(time),
                training_loss=self.training_loss.at(k),
                accuracy=self.accuracy.at(k),
                loss=self.loss.at(k),
            )
            for k, time in enumerate(self.time)
        )


def training(
    linearised: Linearised,
    likelihood: Likelihood,
    outputs: np.ndarray,
    held: Likelihood,
    held_outputs: np.ndarray,
) -> Training:
    """Return the path of df/dt = −K ∇ℓ(f) on the samples, and what it does on held-out ones.

    It is integrated in the dual, da/dt = ∇ℓ(f₀ − K a), so that held-out outputs are those of the
    network less K(held-out, samples) a.

    Eigenvalues below the floor of rounding are taken as zero. With K known up to that floor δ, the
    exact kernel is between (K − δ)₊ and K + δ: the flows by both, integrated with a larger
    tolerance, tell the error. That a loss is between those of the two is exact where K and ∇²ℓ
    commute, and not proved elsewhere.

    Args:
        linearised: K.
        likelihood: ℓ, the mean loss of the samples.
        outputs: f₀ of the samples (N, O).
        held: Of the held-out samples.
        held_outputs: f₀ of those (M, O).

    Raises:
        NumericalError: It could not be integrated.

    Cost: about two thousand products of K, and O(n³) to form it from its modes three times.

    Source: Lee et al. 2019, arXiv 1902.06720, §2.2 (the flow); Novak et al. 2020, arXiv 1912.02803.
    """
    found = flows(linearised, likelihood, outputs)
    moved = held_outputs - linearised.held_out(found.duals.reshape(-1, *outputs.shape))
    moved = moved.reshape(3, -1, *held_outputs.shape)
    largest = float(max(abs(outputs).max(), abs(held_outputs).max()))
    doubt = ROUNDED * linearised.modes.precision * largest
    told = _Told(likelihood=likelihood, held=held, doubt=doubt)
    method = f"gradient flow of the linearised network by {linearised.kernel}"
    start = np.stack([outputs] * 3), np.stack([held_outputs] * 3)
    path = [told.at(0.0, *start, "the network itself")]
    path += [
        told.at(float(time), found.outputs[:, k], moved[:, k], method)
        for k, time in enumerate(found.times)
    ]
    losses = (one.solver for at in path for one in (at.training_loss, at.loss))
    return Training(
        start=path[0],
        end=path[-1],
        time=np.array([at.time for at in path]),
        training_loss=Band.of(at.training_loss for at in path),
        accuracy=Band.of(at.accuracy for at in path),
        loss=Band.of(at.loss for at in path),
        error=max((high - low) / 2 for low, high in filter(None, losses)),
        rounded=told.rounded(found.times, found.outputs),
        kernel=linearised.kernel,
        learned=found.learned,
    )


@dataclass(frozen=True, kw_only=True)
class _Told:
    """What is told of outputs, of which the first are by K, the others by its least and most."""

    likelihood: Likelihood
    held: Likelihood
    doubt: float  # of every output

    def at(self, time: float, outputs: np.ndarray, moved: np.ndarray, method: str) -> TrainedAt:
        """Return what is told at a time, from outputs (3, N, O) and held-out ones (3, M, O)."""
        losses = [float(self.likelihood.losses(one).mean()) for one in outputs]
        error = _farthest(losses) + self.doubt * float(
            abs(self.likelihood.slopes(outputs[0])).sum()
        )
        interval = (max(losses[0] - error, 0.0), losses[0] + error)
        told = Estimate(
            value=losses[0],
            kind="estimate",
            interval=interval,
            solver=interval,
            method=f"{method}; against a {ROUGHER} times larger tolerance, by the least and the "
            "most that rounding leaves of the kernel",
        )
        held, method = self.held, f"{method}, held-out samples"
        accuracies = [judged(held.right(one), method) for one in moved]
        means = [over_samples(held.losses(one), method) for one in moved]
        loose = self.doubt * float(abs(held.slopes(moved[0])).sum())
        return TrainedAt(
            time=time,
            training_loss=told,
            accuracy=_widened(accuracies, 0.0),
            loss=_widened(means, loose),
        )

    def rounded(self, times: np.ndarray, outputs: np.ndarray) -> float | None:
        """Return from when on the least and the most differ, and by more than half the error."""
        for k, time in enumerate(times):
            losses = [float(self.likelihood.losses(one).mean()) for one in outputs[:, k]]
            if 2 * abs(losses[1] - losses[2]) > max(_farthest(losses), ROUGH):
                return float(time)
        return None


def _farthest(values: list[float]) -> float:
    """Return how far the first is from any other."""
    return max(abs(one - values[0]) for one in values)


def judged(right: np.ndarray, method: str) -> Estimate:
    """Return the accuracy from the share that is right of every sample (N,)."""
    if np.isin(right, (0, 1)).all():
        return share(int(right.sum()), len(right), f"{method}; Clopper-Pearson")
    return over_samples(right, f"{method}; Student's t")


def _widened(found: list[Estimate], more: float) -> Estimate:
    """Return the first, its interval widened by how far any other is from it, and by more."""
    first = found[0]
    error = _farthest([one.value for one in found]) + more
    low, high = first.interval
    return replace(
        first,
        interval=(low - error, high + error),
        solver=(first.value - error, first.value + error),
    )
