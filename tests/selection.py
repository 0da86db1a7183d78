"""Which cases of a test run in its quick form; `--full` runs them all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def full(*cases: Any) -> list[Any]:
    """Return cases of one argument that only `--full` asks for."""
    return [pytest.param(case, marks=pytest.mark.full) for case in cases]


def some(cases: Iterable[Any], *quick: Any) -> list[Any]:
    """Return all cases of one argument, those that are not named for `--full` only."""
    every = list(cases)
    assert set(quick) <= set(every), f"{set(quick) - set(every)} are no cases"
    return [one if one in quick else pytest.param(one, marks=pytest.mark.full) for one in every]
