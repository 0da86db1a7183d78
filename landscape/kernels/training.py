"""Training of the linearised network under a cross-entropy: a gradient flow in its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from landscape import progress
from landscape.estimate import Estimate
from landscape.kernels.likelihood import Likelihood
from landscape.kernels.linearised import Linearised
from landscape.kernels.stabilised import Flow, integrated
from landscape.signals.intervals import over_samples, share

LEFT = 0.05  # of the training loss, at which training ends
DECADES = 5  # of time, from that of the fastest mode, in which it must
TIMES = 2  # a decade
TOLERANCE = 1e-4  # of a step, root mean square over the outputs of the samples
ROUGHER = 10  # times that, in the run that tells the error of integration


@dataclass(frozen=True, kw_only=True)
class TrainedAt:
    """The linearised network after some training, on training and on held-out samples.

    Args:
        time: Learning rate times steps, of steps that are small.
        training_loss: Of the samples of the kernel, with the error of integration.
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
        error: Of integration, the largest of any loss.
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
    kernel: str
    learned: bool

    @property
    def until(self) -> str:
        """Return in words how long it was trained."""
        if self.learned:
            return f"until the training loss is at most {round(100 * LEFT)} % of what it was"
        return f"for 10^{DECADES} times the time of the fastest mode"

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

    Args:
        linearised: K.
        likelihood: ℓ, the mean loss of the samples.
        outputs: f₀ of the samples (N, O).
        held: Of the held-out samples.
        held_outputs: f₀ of those (M, O).

    Raises:
        NumericalError: It could not be integrated.

    Cost: about a thousand products of K.

    Source: Lee et al. 2019, arXiv 1902.06720, §2.2 (the flow); Novak et al. 2020, arXiv 1912.02803.
    """

    def loss(dual: np.ndarray) -> float:
        return float(likelihood.losses(outputs - linearised.product(dual)).mean())

    start = loss(np.zeros_like(outputs))
    shortest = 1 / (linearised.largest * likelihood.bend)
    times = shortest * np.geomspace(1, 10.0**DECADES, TIMES * DECADES + 1)
    fine, rough, learned = list[np.ndarray](), list[np.ndarray](), False
    with progress.task("linearised training", 2 * len(times)) as task:
        for dual in _duals(linearised, likelihood, outputs, times, TOLERANCE):
            fine.append(dual)
            task.advance()
            if learned := loss(dual) <= LEFT * start:
                break
        times = times[: len(fine)]
        for dual in _duals(linearised, likelihood, outputs, times, ROUGHER * TOLERANCE):
            rough.append(dual)
            task.advance()
    moved = held_outputs - linearised.held_out(np.stack([*fine, *rough]))
    method = f"gradient flow of the linearised network by {linearised.kernel}"
    path = [_at(0.0, (start, start), (held_outputs, held_outputs), held, "the network itself")]
    for k, time in enumerate(times):
        pair = (moved[k], moved[len(times) + k])
        path.append(_at(float(time), (loss(fine[k]), loss(rough[k])), pair, held, method))
    losses = (one.solver for at in path for one in (at.training_loss, at.loss))
    return Training(
        start=path[0],
        end=path[-1],
        time=np.array([at.time for at in path]),
        training_loss=Band.of(at.training_loss for at in path),
        accuracy=Band.of(at.accuracy for at in path),
        loss=Band.of(at.loss for at in path),
        error=max((high - low) / 2 for low, high in filter(None, losses)),
        kernel=linearised.kernel,
        learned=learned,
    )


def _duals(
    linearised: Linearised,
    likelihood: Likelihood,
    outputs: np.ndarray,
    times: np.ndarray,
    tolerance: float,
) -> Iterator[np.ndarray]:
    """Yield a (N, O) at every time."""
    act = linearised.product

    def curvature(a: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
        u = act(v)
        bent = likelihood.curvature(outputs - act(a))(u)  # ∇²ℓ K is symmetric under ⟨·, K ·⟩
        return bent, float((u * bent).sum()) / max(float((v * u).sum()), 1e-300)

    flow = Flow(
        slope=lambda a: likelihood.slopes(outputs - act(a)),
        curvature=curvature,
        size=lambda gap: float(np.sqrt(np.square(act(gap)).mean())),
        largest=linearised.largest * likelihood.bend,
    )
    return integrated(flow, np.zeros_like(outputs), times, tolerance=tolerance)


def _at(
    time: float,
    losses: tuple[float, float],
    outputs: tuple[np.ndarray, np.ndarray],
    held: Likelihood,
    method: str,
) -> TrainedAt:
    """Return what is told at a time, from the fine and from the rough integration."""
    error = abs(losses[0] - losses[1])
    interval = (max(losses[0] - error, 0.0), losses[0] + error)
    told = Estimate(
        value=losses[0],
        kind="estimate",
        interval=interval,
        level=1.0,
        solver=interval,
        method=f"{method}; against a {ROUGHER} times larger tolerance",
    )
    accuracies = [judged(held.right(one), f"{method}, held-out samples") for one in outputs]
    means = [over_samples(held.losses(one), f"{method}, held-out samples") for one in outputs]
    return TrainedAt(time=time, training_loss=told, accuracy=_both(*accuracies), loss=_both(*means))


def judged(right: np.ndarray, method: str) -> Estimate:
    """Return the accuracy from the share that is right of every sample (N,)."""
    if np.isin(right, (0, 1)).all():
        return share(int(right.sum()), len(right), f"{method}; Clopper-Pearson")
    return over_samples(right, f"{method}; Student's t")


def _both(fine: Estimate, rough: Estimate) -> Estimate:
    """Return the first, its interval widened by how far the second is from it."""
    error = abs(fine.value - rough.value)
    low, high = fine.interval
    return replace(
        fine,
        interval=(low - error, high + error),
        solver=(fine.value - error, fine.value + error),
    )
