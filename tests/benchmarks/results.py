"""What was measured, as it is kept in JSON."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import torch

SCHEMA = "landscape/benchmarks/1"
PACKAGES = ("landscape", "torch", "curvlinops-for-pytorch", "PyHessian", "scipy", "numpy")
Status = Literal["measured", "disqualified", "failed"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """What one product costs; `ratio` is to the gradient in the same process and turn."""

    status: Status
    reason: str = ""
    relative_error: float | None = None  # of the product, against float64
    seconds: float | None = None  # a vector
    ratio: float | None = None  # a vector; median over turns
    low: float | None = None  # the smallest turn
    high: float | None = None
    warm_up_seconds: float | None = None  # beyond the same number of steady calls
    mebibytes: float | None = None  # peak above what the problem itself takes


@dataclass(frozen=True, kw_only=True)
class ProductRow:
    """The products of one contender on one problem."""

    problem: str
    parameters: int
    contender: str
    told: str  # what it chose on the way
    setup_seconds: float | None
    gradient_seconds: float | None
    gradient_mebibytes: float | None
    vectors: int  # of a block
    single: Timing
    block: Timing


@dataclass(frozen=True, kw_only=True)
class AnswerRow:
    """Time to an accuracy of one contender on one problem."""

    task: str
    problem: str
    parameters: int
    contender: str
    effort: float | None  # the cheapest setting that was accurate; else the last one tried
    reason: str
    seconds: list[float]  # one a seed, set-up included
    deviations: list[float]  # in the measure of the task
    details: list[str]
    accurate: int  # how many of them


@dataclass(frozen=True, kw_only=True)
class Results:
    """One run of the benchmarks."""

    schema: str
    date: str
    machine: dict[str, str | int | None]
    versions: dict[str, str]
    settings: dict[str, str | int | float | bool]
    products: list[ProductRow]
    answers: list[AnswerRow]

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self), indent=1, allow_nan=False) + "\n")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def machine(device: str) -> dict[str, str | int | None]:
    """Return what the numbers were measured on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def _cpu() -> str:
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
