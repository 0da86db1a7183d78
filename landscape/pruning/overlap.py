"""How alike two masks are, layer by layer, beside what chance makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from landscape.errors import ModelError
from landscape.pruning.mask import Mask


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """What two masks of one tensor have in common.

    Args:
        name: Of the tensor, or of all together.
        size: Weights.
        first: Kept by the first mask.
        second: Kept by the second.
        both: Kept by both.
        expected: Kept by both if they were independent: first · second / size.
        jaccard: both / either; NaN where neither keeps any.
        chance: The same with `expected` for `both`.
        z: (both − expected) over its standard deviation; 0 where chance leaves no choice.
    """

    name: str
    size: int
    first: int
    second: int
    both: int
    expected: float
    jaccard: float
    chance: float
    z: float


def overlaps(first: Mask, second: Mask) -> tuple[Overlap, ...]:
    """Return the overlap of every tensor, and of all together as the last.

    Masks with given counts that are independent overlap by a hypergeometric number: mean ab/n,
    variance ab (n − a)(n − b) / (n² (n − 1)). That of the whole is the sum over the tensors.

    Raises:
        ModelError: The masks are of different networks.
    """
    if {n: k.shape for n, k in first.kept.items()} != {n: k.shape for n, k in second.kept.items()}:
        raise ModelError(
            "the masks are of different networks",
            where="masks",
            why="names or shapes of the masked tensors differ",
            hint="compare masks of one architecture, with the same layers kept dense",
        )
    found = list[Overlap]()
    variance = 0.0
    for name, kept in first.kept.items():
        n, a, b = kept.numel(), first.counts[name], second.counts[name]
        both = int((kept & second.kept[name]).sum())
        spread = a * b * (n - a) * (n - b) / (n * n * (n - 1)) if n > 1 else 0.0
        variance += spread
        found.append(_overlap(name, n, a, b, both, a * b / n, spread))
    whole = _overlap(
        "all",
        sum(one.size for one in found),
        first.total,
        second.total,
        sum(one.both for one in found),
        sum(one.expected for one in found),
        variance,
    )
    return (*found, whole)


def _overlap(
    name: str, size: int, first: int, second: int, both: int, expected: float, variance: float
) -> Overlap:
    def jaccard(common: float) -> float:
        either = first + second - common
        return common / either if either else math.nan

    return Overlap(
        name=name,
        size=size,
        first=first,
        second=second,
        both=both,
        expected=expected,
        jaccard=jaccard(both),
        chance=jaccard(expected),
        z=(both - expected) / math.sqrt(variance) if variance > 0 else 0.0,
    )
