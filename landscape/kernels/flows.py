"""The flows of training by a kernel, and by the least and the most that rounding leaves of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from landscape import progress
from landscape.kernels.likelihood import Likelihood
from landscape.kernels.linearised import Linearised, Product
from landscape.kernels.stabilised import Flow, integrated

LEFT = 0.05  # of the training loss, at which training ends
DECADES = 5  # of time, from that of the fastest mode, in which it must
TIMES = 2  # a decade
TOLERANCE = 1e-4  # of a step, root mean square over the outputs of the samples
ROUGHER = 10  # times that, in the runs that tell the error
ROUGH = ROUGHER * TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Flows:
    """Three flows: by K, and by the least and the most that it may be.

    Args:
        times: At which they are known (t,).
        duals: a, of which K(held-out, samples) a is what the held-out outputs move (3, t, N, O).
        outputs: f₀ − K a (3, t, N, O).
        learned: Whether the training loss came to `LEFT`.
    """

    times: np.ndarray
    duals: np.ndarray
    outputs: np.ndarray
    learned: bool


def flows(linearised: Linearised, likelihood: Likelihood, outputs: np.ndarray) -> Flows:
    """Return the flows da/dt = ∇ℓ(f₀ − K a) from the outputs f₀ (N, O), until K's has learned.

    Raises:
        NumericalError: One could not be integrated.
    """
    least = LEFT * float(likelihood.losses(outputs).mean())
    modes, kept = linearised.modes, linearised.modes.positive
    less, more = np.maximum(kept - modes.floor, 0), np.maximum(modes.values, 0) + modes.floor
    shortest = 1 / (linearised.largest * likelihood.bend)
    times = shortest * np.geomspace(1, 10.0**DECADES, TIMES * DECADES + 1)
    duals, reached, learned = list[np.ndarray](), list[np.ndarray](), False
    with progress.task("linearised training", 3 * len(times)) as task:
        for values, tolerance in ((kept, TOLERANCE), (less, ROUGH), (more, ROUGH)):
            act = linearised.among(values)
            largest = float(values[0]) * likelihood.bend
            for dual in _duals(act, largest, likelihood, outputs, times, tolerance):
                duals.append(dual)
                reached.append(outputs - act(dual))
                task.advance()
                if values is kept and likelihood.losses(reached[-1]).mean() <= least:
                    learned = True
                    break
            times = times[: len(duals)]
    within = linearised.among((kept > 0).astype(float))  # beyond it K(held-out, samples) is zero
    duals[: 2 * len(times)] = map(within, duals[: 2 * len(times)])
    shape = (3, len(times), *outputs.shape)
    return Flows(
        times=times,
        duals=np.stack(duals).reshape(shape),
        outputs=np.stack(reached).reshape(shape),
        learned=learned,
    )


def _duals(
    act: Product,
    largest: float,
    likelihood: Likelihood,
    outputs: np.ndarray,
    times: np.ndarray,
    tolerance: float,
) -> Iterator[np.ndarray]:
    """Yield a (N, O) at every time."""

    def curvature(a: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, float]:
        u = act(v)
        bent = likelihood.curvature(outputs - act(a))(u)  # ∇²ℓ K is symmetric under ⟨·, K ·⟩
        return bent, float((u * bent).sum()) / max(float((v * u).sum()), 1e-300)

    flow = Flow(
        slope=lambda a: likelihood.slopes(outputs - act(a)),
        curvature=curvature,
        size=lambda gap: float(np.sqrt(np.square(act(gap)).mean())),
        largest=largest,
    )
    return integrated(flow, np.zeros_like(outputs), times, tolerance=tolerance)
