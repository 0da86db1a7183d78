"""Curvature products: whether the derivative is right, and every way of computing one, timed."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from landscape import budget
from landscape.doctor.answer import Way
from landscape.doctor.parts import Parts
from landscape.doctor.verdict import Verdict
from landscape.errors import LandscapeError, ModelError
from landscape.linalg.probes import spherical
from landscape.operators.engine import Product
from landscape.operators.hessian import HessianOperator
from landscape.operators.pace import FirstBatches

WAYS: tuple[Product, ...] = ("reverse", "cached", "linearize", "forward")
LAPS = 3  # of which the shortest counts
LONG = 0.3  # seconds after which one lap is enough
BLOCK = 8  # vectors of the block that is timed
PATIENCE = 20.0  # seconds that all timings may take, about
PASSES = 400  # forward passes that they cost, about
NOISY = 1e-3  # relative difference of one product from itself that is worth a warning


def check_derivative(parts: Parts) -> Verdict:
    """Say how far a product is from a central difference of gradients.

    Raises:
        NumericalError: PyTorch's second derivative of this network is wrong.
    """
    found = HessianOperator(parts.subject).check
    if found is None:
        return Verdict(
            "there is none in PyTorch",
            "an operation of this network can be differentiated only once",
            "replace it, or use --product differences",
        )
    return Verdict(found.told)


def time_ways(parts: Parts, seconds: float) -> tuple[Way, ...]:
    """Return every way of computing products, timed where it exists.

    Args:
        parts: What is examined.
        seconds: Of a forward pass over all data; where the timings would take longer than
            `PATIENCE`, they are made on the first batches and extrapolated.

    Cost: up to five products with one vector, and up to four with a block of eight, for each way.
    """
    subject = parts.subject
    length = len(subject.batches or ())
    count = max(1, min(length, int(length * PATIENCE / (PASSES * max(seconds, 1e-9)))))
    found: list[Way] = []
    reference: Tensor | None = None
    for name in WAYS:
        if budget.spent():
            found.append(Way(name=name, missing="not tried: the budget was spent"))
            continue
        try:
            way, product = _timed(FirstBatches(subject, count, product=name), name, reference)
        except LandscapeError as error:
            reason = error.why.removeprefix(f"{name}: ") or error.what
            found.append(Way(name=name, missing=reason))
            continue
        reference = product if reference is None else reference
        found.append(way)
    return tuple(found)


def judge_ways(ways: tuple[Way, ...]) -> Verdict:
    """Say which way is the fastest, which are missing, and whether products repeat.

    Raises:
        ModelError: There is none.
    """
    there = [way for way in ways if not way.missing]
    if not there:
        raise ModelError(
            "no curvature product can be computed",
            where="product engine",
            why="; ".join(f"{way.name}: {way.missing}" for way in ways),
            hint="use --product differences, or replace the operation that is named",
        )
    best = min(there, key=lambda way: way.block_seconds or 0.0)
    repeat = max(way.repeat or 0.0 for way in there)
    same = "bit for bit" if repeat == 0 else f"to {repeat:.1g}"
    text = f"{best.name} is the fastest: {told_seconds(best.block_seconds or 0.0)} a product in "
    text += f"blocks of {best.block}; the same product twice agrees {same}"
    missing = [way.name for way in ways if way.missing]
    text += f"; not there: {', '.join(missing)}" if missing else ""
    if repeat > NOISY:
        return Verdict(text, "products are noisy", "use --dtype float64")
    return Verdict(text)


def told_seconds(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    units = ((7200, 3600, "h"), (120, 60, "min"), (1, 1, "s"), (0, 1e-3, "ms"))
    size, unit = next(one[1:] for one in units if seconds >= one[0])
    return f"{seconds / size:.3g} {unit}"


def _timed(operator: FirstBatches, name: str, reference: Tensor | None) -> tuple[Way, Tensor]:
    """Return a way with its times, and its product with the first vector."""
    theta = operator.point.theta
    size = min(BLOCK, theta.numel(), operator.preferred_block)
    generator = torch.Generator().manual_seed(0)
    rows = spherical(size, theta.numel(), like=theta, generator=generator)
    engine = operator.engine
    engine.products(rows[:1])  # sets up what is kept
    first = engine.products(rows[:1])
    single, again = _clocked(lambda: engine.products(rows[:1]), theta.device)
    if name not in ("reverse", "cached"):
        engine.products(rows)  # records for this size
    block, _ = _clocked(lambda: engine.products(rows), theta.device)
    samples = sum(batch.samples for batch in engine.micro_batches)
    whole = operator.subject.batches
    scale = (whole.samples if whole is not None else samples) / samples
    way = Way(
        name=name,
        seconds=single * scale,
        block=size,
        block_seconds=block * scale / size,
        agreement=_apart(first, reference) if reference is not None else 0.0,
        repeat=_apart(again, first),
        samples=samples,
    )
    return way, first


def _clocked(product: Callable[[], Tensor], device: torch.device) -> tuple[float, Tensor]:
    """Return the shortest time of a few, and what was computed last."""
    laps: list[float] = []
    while True:
        _wait(device)
        started = time.perf_counter()
        found = product()
        _wait(device)
        laps.append(time.perf_counter() - started)
        if len(laps) == LAPS or sum(laps) > LONG:
            return min(laps), found


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _apart(found: Tensor, expected: Tensor) -> float:
    scale = float(torch.linalg.vector_norm(expected, dtype=torch.float64))
    error = float(torch.linalg.vector_norm(found - expected, dtype=torch.float64))
    return error / scale if scale else error
