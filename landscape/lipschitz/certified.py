"""Certified upper bounds of a chain's Lipschitz constant, without an SDP solver."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch

from landscape import progress
from landscape.errors import NumericalError
from landscape.estimate import Status
from landscape.lipschitz.certificate import Certificate
from landscape.lipschitz.chain import Chain
from landscape.lipschitz.proof import prove
from landscape.lipschitz.search import Method, Moment, Search

SLACKS = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4)  # relative, over what the recursion gave
RATE = 1e10  # operations in a second, by which it is judged whether the closed form is worth it
MIXTURES = (0.0, 1e-4, 1e-2, 1.0)  # share of the closed form's multipliers, where a proof fails


@dataclass(frozen=True, kw_only=True)
class Certified:
    """An upper bound of the Lipschitz constant, proved, and how it came about.

    Args:
        upper: Holds for every pair of inputs.
        method: That gave it.
        bounds: Of every method, each at most that of the one before.
        history: Bound against time.
        status: Converged, or cut by the budget; the bound holds either way.
        certificate: From which it is proved again; None where it is the product of the norms.
    """

    upper: float
    method: Method
    bounds: dict[Method, float]
    history: tuple[Moment, ...]
    status: Status
    certificate: Certificate | None


def certify(
    chain: Chain,
    *,
    seconds: float | None = 10.0,
    steps: int | None = None,
    start: Certificate | None = None,
    device: torch.device | str = "cpu",
) -> Certified:
    """Return an upper bound of the ℓ₂ Lipschitz constant of a chain over all inputs.

    The product of the norms comes first, then ECLipsE-Fast in closed form, LipSDP-Layer from there
    and LipSDP-Neuron from there, by descent over the logarithms of the multipliers. Every point
    that is visited is a bound, so that the search may end at any time; the best is kept, and proved
    in float64 with rounding accounted for.

    Args:
        chain: Any slopes.
        seconds: Of wall-clock time, after which the search ends; None: when it converges. Where
            even the closed form is expected to take longer, the product is all there is.
        steps: Of the descent, after which it ends; None: when it converges.
        start: The certificate of a similar chain, to begin with where it is better.
        device: Where to compute; the proof is made on the CPU.

    Raises:
        NumericalError: Even the product of the norms overflows.

    Cost: that of `Recursion` for each step, about a hundred of them; that of `prove` once or twice.
    """
    product = chain.product()
    if not math.isfinite(product):
        raise NumericalError(
            "the product of the layers' norms overflows",
            where=f"layers {', '.join(chain.names)}",
            why="a bound beyond the range of float64 says nothing",
            hint="look at the norms of the layers: landscape weights",
        )
    search = Search(
        chain, product=product, seconds=seconds, steps=steps, device=torch.device(device)
    )
    if product > 0 and len(chain.weights) > 1 and search.affords(operations(chain.widths) / RATE):
        with progress.task("certified Lipschitz bound") as task:
            search.run(start, task)
    certificate = _certificate(chain, search)
    upper = product if certificate is None else certificate.upper
    return Certified(
        upper=upper,
        method="product" if certificate is None else search.method,
        bounds={
            name: product if certificate is None else max(bound, upper)
            for name, bound in search.bounds.items()
        },
        history=tuple(search.history),
        status=search.status,
        certificate=certificate,
    )


def operations(widths: Sequence[int]) -> float:
    """Return about how many operations the closed form and its proof take, from n_0 … n_L."""
    first, *others = widths
    widths = (min(first, others[0]), *others)
    return sum(20.0 * (a + b) * a * b for a, b in pairwise(widths))


def _certificate(chain: Chain, search: Search) -> Certificate | None:
    """Return the proof of the best bound, or of one a little above; None where none holds."""
    for share in MIXTURES:
        found = search.mixed(share)
        if found is None:
            continue
        multipliers, bound = found
        for slack in SLACKS:
            upper = bound * (1 + slack)
            if upper >= search.bounds["product"]:
                break
            proof = prove(chain, multipliers, upper, exponents=search.exponents)
            if proof is not None:
                return Certificate.of(chain, multipliers, search.exponents, proof, search.method)
    return None
