"""Singular values of the map from the input to the layers: is perturbed input stretched alike?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from landscape import progress
from landscape.estimate import Estimate
from landscape.linalg.eigenpairs import eigenpairs
from landscape.linalg.probes import rademacher
from landscape.operators.jacobian import OUTPUT, InputJacobian
from landscape.signals.intervals import of_squares, over_samples
from landscape.signals.samples import Samples, UnavailableError, rows_of
from landscape.subject.batch import Batch

DENSE = 2**18  # entries of a Jacobian that is computed whole
ROWS = 256  # and most rows, each a backward pass
PROBES = 8  # random signs, of one that is not
LAYERS = 12  # most layers on the way to the output
SEARCHED = 2  # samples whose largest singular value is searched by Lanczos
TOLERANCE = 1e-3  # of that search, relative
ROUNDING = {torch.float32: 5e-6, torch.float64: 1e-14}  # of the largest: what every s is known to


@dataclass(frozen=True, kw_only=True)
class JacobianAt:
    """The singular values s of J = ∂h/∂x at one layer, for single samples.

    Args:
        name: Of the layer.
        outputs: m, the numbers in h.
        mean_square: E‖J‖²_F / min(n, m), the mean of s².
        largest: The largest s of any sample that was looked at; None: not searched.
        median: The mean over samples of the median s; None where J was not computed whole.
        condition: The median over samples of s_max / s_min; None as `median`.
        gap: The largest |s − 1| (0: an isometry); None as `median`.
    """

    name: str
    outputs: int
    mean_square: Estimate
    largest: Estimate | None
    median: Estimate | None
    condition: Estimate | None
    gap: Estimate | None


@dataclass(frozen=True, kw_only=True)
class Jacobian:
    """Singular values from the input to layers and output.

    Args:
        origin: What the input is: the network's, or the module whose output takes its place.
        inputs: n, the numbers in it for each sample.
        samples: How many were looked at.
        layers: On the way; the last is the network's output.
        values: All singular values of the output (N, min(n, m)), descending; of none (0, 0) where
            the Jacobian was not computed whole.
        lower: What they are at least, by the rounding of J (N, min(n, m)).
        upper: What they are at most; of none in documents of before.
    """

    origin: str
    inputs: int
    samples: int
    layers: tuple[JacobianAt, ...]
    values: np.ndarray
    lower: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    upper: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))


def jacobian(
    samples: Samples, names: Sequence[str], *, most: int, generator: torch.Generator
) -> Jacobian:
    """Return the singular values of ∂h/∂x for layers h and single samples x.

    Jacobians of up to 256 rows and 2¹⁸ entries are computed whole. Of larger ones the mean square
    is E‖Jᵀu‖² over random signs u (Hutchinson), and the largest of the network's output is found by
    Lanczos on JᵀJ with its residual.

    Args:
        samples: What they are taken from.
        names: Of layers on the way, in order; at most twelve are taken, evenly spaced.
        most: Samples to look at.
        generator: Draws the signs.

    Raises:
        UnavailableError: Nothing real to differentiate in, or samples mix.

    Cost: for each sample and layer as many backward passes as it has units, or eight.

    Source: Saxe et al. 2014, arXiv 1312.6120; Pennington et al. 2017, arXiv 1711.04735.
    """
    samples.check()
    first = _first(samples, most)
    chosen = _thinned(list(names))
    with samples.quiet():
        found = InputJacobian(samples.subject, samples.point, first, chosen)
        if found.source is None or OUTPUT not in found.targets:
            raise UnavailableError("there are no real inputs or outputs to differentiate")
        layers, values = [], np.zeros((0, 0))
        with progress.task("Jacobians", len(found.targets)) as task:
            for name in found.targets:
                one, whole = _measured(found, name, generator)
                layers.append(one)
                values = whole if name == OUTPUT and whole is not None else values
                task.advance()
    rounding = ROUNDING[found.targets[OUTPUT].dtype] * values.max(initial=0, axis=1, keepdims=True)
    return Jacobian(
        origin=found.origin,
        inputs=found.inputs,
        samples=first.samples,
        layers=tuple(layers),
        values=values,
        lower=np.maximum(values - rounding, 0),
        upper=values + rounding,
    )


def _first(samples: Samples, most: int) -> Batch:
    """Return at most so many samples of one batch, evenly spaced: the largest batch."""
    batch = max(samples.batches, key=lambda one: one.samples)
    rows = torch.linspace(0, batch.samples - 1, min(most, batch.samples)).round().long()
    return rows_of(batch, rows)


def _thinned(names: list[str]) -> list[str]:
    if len(names) <= LAYERS:
        return names
    places = np.linspace(0, len(names) - 1, LAYERS).round().astype(int)
    return [names[place] for place in places]


def _measured(
    found: InputJacobian, name: str, generator: torch.Generator
) -> tuple[JacobianAt, np.ndarray | None]:
    target = found.targets[name]
    size = target[0].numel()
    if size <= ROWS and size * found.inputs <= DENSE:
        return _whole(found, name)
    return _probed(found, name, generator), None


def _whole(found: InputJacobian, name: str) -> tuple[JacobianAt, np.ndarray]:
    matrices = found.dense(name).detach().double()
    values = torch.linalg.svdvals(matrices).cpu().numpy()  # (b, k)
    told = f"the whole Jacobian of {len(values)} samples"
    rounding = ROUNDING[found.targets[name].dtype]
    return (
        JacobianAt(
            name=name,
            outputs=matrices.shape[1],
            mean_square=of_squares(np.square(values).mean(1), told),
            largest=Estimate.exact(float(values.max()), f"{told}: the largest of any"),
            median=over_samples(np.median(values, axis=1), told),
            condition=_condition(values, rounding, told) if values.any() else None,
            gap=Estimate.exact(float(np.abs(values - 1).max()), f"{told}: the largest of any"),
        ),
        values,
    )


def _condition(values: np.ndarray, rounding: float, told: str) -> Estimate:
    """Return the median over samples of s_max / s_min, or its bound where s_min may be rounding."""
    shares = values[:, -1] / np.maximum(values[:, 0], np.finfo(float).tiny)
    with np.errstate(divide="ignore"):
        low, value, high = (
            float(np.median((1 + change) / np.maximum(shares - change, 0)))
            for change in (-rounding, 0.0, rounding)
        )
    if math.isfinite(high):
        method = f"{told}: the median; rounding of the smallest"
        return Estimate.within(value, (low, high), method, samples=len(values))
    return Estimate(
        value=low,
        kind="lower_bound",
        interval=(low, math.inf),
        level=1.0,
        samples=len(values),
        method=f"{told}: the median; some direction of the input does not arrive",
    )


def _probed(found: InputJacobian, name: str, generator: torch.Generator) -> JacobianAt:
    target = found.targets[name]
    number, size = len(target), target[0].numel()
    smaller = min(size, found.inputs)
    signs = rademacher(PROBES * number, size, like=target.detach(), generator=generator)
    pulled = found.pulled(name, signs.view(PROBES, number, size)).double()
    draws = pulled.square().sum(2).cpu().numpy() / smaller  # (p, b)
    told = f"Hutchinson, {PROBES} random signs for each of {number} samples"
    whole = of_squares(draws.mean(0), told)
    error = float(draws.std(0, ddof=1).mean()) / math.sqrt(PROBES * number)
    solver = (whole.value - 2 * error, whole.value + 2 * error)
    return JacobianAt(
        name=name,
        outputs=size,
        mean_square=replace(whole, solver=solver),
        largest=_largest(found, generator) if name == OUTPUT else None,
        median=None,
        condition=None,
        gap=None,
    )


def _largest(found: InputJacobian, generator: torch.Generator) -> Estimate | None:
    """Return the largest singular value of some samples, by Lanczos with its residual."""
    best: Estimate | None = None
    for sample in range(min(SEARCHED, len(found.targets[OUTPUT]))):
        one = _searched(found, sample, generator)
        best = one if best is None or one.value > best.value else best
    return best


def _searched(found: InputJacobian, sample: int, generator: torch.Generator) -> Estimate:
    pairs = eigenpairs(
        found.gram(OUTPUT, sample),
        top=1,
        generator=generator,
        tolerance=TOLERANCE,
        max_products=200,
    )
    square, residual = float(pairs.top.values[0]), float(pairs.top.residuals[0])
    doubt = residual + pairs.noise
    low, value, high = (math.sqrt(max(square + d, 0.0)) for d in (-doubt, 0.0, doubt))
    return Estimate.within(
        value,
        (low, high),
        f"Lanczos on JᵀJ of {SEARCHED} samples at most: the largest of any",
        samples=min(SEARCHED, len(found.targets[OUTPUT])),
        residual=residual,
        status=pairs.status,
    )
