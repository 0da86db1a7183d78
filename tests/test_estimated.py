"""Numbers without a doubt of their own: chosen, exact, or points of a curve with its band."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from landscape.answer import Result
from landscape.estimate import Estimate
from landscape.signals.result import GradientsResult
from landscape.spectra.result import SpectrumResult

BARE = {
    SpectrumResult: {
        "weight_decay", "tolerance", "ridge",  # chosen
        "stability.learning_rate", "stability.threshold", "critical_point.escape.step",
        *(f"{of}.{part}" for of in ("density", "bulk", "distribution")
          for part in ("grid", "value", "lower", "upper")),
        "density.width", "bulk.width",
        "symmetry_defect", "orthogonality",  # doubts themselves
        "outliers.gap_ratio",  # of the values that are listed
        "crosscheck.value",  # what another library said
    },
    GradientsResult: {
        "per_sample.clipped.threshold", "smoothness.steps.rate", "smoothness.steps.distance",
        "jacobian.values", "jacobian.lower", "jacobian.upper",
        "per_sample.quantiles", "per_sample.intervals", "per_sample.lengths",
        "per_sample.mean_gradient",  # of these very samples
        "growth.norms", "growth.smoothness",  # of checkpoints that are listed
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", BARE)
def test_every_other_number_is_an_estimate(kind: type[Result]) -> None:
    hints = get_type_hints(kind, include_extras=True)
    found = {place for name in kind.answer_fields() for place in bare(hints[name], name)}
    assert found == BARE[kind]


def bare(kind: Any, place: str) -> Iterator[str]:
    """Yield where in a type there are floats and arrays outside of estimates."""
    if kind in (float, np.ndarray):
        yield place
    elif dataclasses.is_dataclass(kind):
        if kind is not Estimate:
            for name, hint in get_type_hints(kind, include_extras=True).items():
                yield from bare(hint, f"{place}.{name}")
    else:
        for part in get_args(kind):
            yield from bare(part, place)
