"""What recording adds to a training step: `python -m tests.benchmarks.recorder`, run by a person.

    python -m tests.benchmarks.recorder --out tests/benchmarks/results/cpu-recorder.json
    python -m tests.benchmarks.recorder --device cuda --out …/cuda-recorder.json

On the CPU a small residual network with BatchNorm, on CUDA ResNet-18 with a 3 × 3 stem; 32 × 32,
batch 128. Runs with and without the recorder take turns step by step, each on its own copy of the
network. A cadence repeats every ten steps: each of the ten has its median over the blocks, and the
sums of these medians are compared, so that what disturbs a step now and then does not count. Where
in memory a network lies makes it a little faster or slower: all are built anew several times.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.recorder.overhead import Overhead
from landscape.recorder.recorder import Recorder
from tests.benchmarks import networks
from tests.benchmarks.results import machine, now, versions

SCHEMA = "landscape/benchmarks-recorder/1"
RESAMPLES = 1000  # of the blocks, for the intervals
SESSIONS = 8  # in which every network is built anew
BLOCK = 10  # steps, so that the default cadence falls into every block once
ARMS: dict[str, dict[str, Any] | None] = {
    "without": None,
    "norms at every step": {"details_every": 0},
    "default": {},
    "everything at every step": {"details_every": 1},
}

# Schneider, Dangel & Hennig 2021 (arXiv 2102.06604), results_grid.zip: time of a step over that
# without, CIFAR-10 3c3d on an RTX 2080 Ti, tracking at every step and at every 16th
COCKPIT = {
    "economy": {"every": 1.51, "16th": 1.04},
    "business": {"every": 2.02, "16th": 1.08},
    "full": {"every": 21.1, "16th": 2.23},
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way of recording."""

    name: str
    milliseconds: float  # of a step: the mean of the ten medians
    ratio: float  # of it to that without
    low: float  # 95 % interval of the ratio, by resampling blocks
    high: float
    told: float | None  # time in its hooks over the rest, as the recorder measured it


def main() -> int:
    options = _options()
    device = torch.device(options.device)
    torch.set_num_threads(options.threads)
    build, shape = _problem(options)
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    rows = measured(build, shape, device, blocks=options.blocks, clock=clock)
    results = {
        "schema": SCHEMA,
        "date": now(),
        "machine": machine(options.device),
        "versions": versions(),
        "settings": {
            "sessions": SESSIONS,
            "blocks": options.blocks,
            "threads": options.threads,
            "clock": options.clock,
            "shape": list(shape),
        },
        "rows": [asdict(row) for row in rows],
        "cockpit": COCKPIT,
    }
    for row in rows:
        told = "" if row.told is None else f", says {row.told:.1%}"
        print(
            f"{row.name:<26} {row.milliseconds:8.1f} ms  {row.ratio:.3f} "
            f"[{row.low:.3f}, {row.high:.3f}]{told}"
        )
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    return 0


def measured(
    build: Callable[[], nn.Module],
    shape: tuple[int, ...],
    device: torch.device,
    *,
    blocks: int,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Row]:
    """Return what each way of recording adds, over blocks of steps; the first ones do not count."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(*shape, generator=generator).to(device)
    labels = torch.randint(10, shape[:1], generator=generator).to(device)
    names, order = list(ARMS), np.random.default_rng(0)
    taken = np.empty((len(names), 0, BLOCK))
    costs: dict[str, list[Overhead]] = {name: [] for name in names}
    for session in range(SESSIONS):
        first = names[session % len(names) :] + names[: session % len(names)]
        runs = {name: _Run(build().to(device), ARMS[name]) for name in first}
        found = np.empty((len(names), blocks + 1, BLOCK))
        for block in range(blocks + 1):
            for turn in range(BLOCK):
                for name in order.permutation(names).tolist():
                    step = partial(runs[name].step, images, labels)
                    seconds = _seconds(step, device, clock)
                    found[names.index(name), block, turn] = seconds
        taken = np.concatenate([taken, found[:, 1:]], 1)
        for name, run in runs.items():
            costs[name] += [cost] if (cost := run.close()) is not None else []
    medians, low, high = _compared(taken)
    return [
        Row(
            name=name,
            milliseconds=1e3 * float(medians[place]),
            ratio=float(medians[place] / medians[0]),
            low=float(low[place]),
            high=float(high[place]),
            told=_told(costs[name], medians[place]) if clock is time.perf_counter else None,
        )
        for place, name in enumerate(names)
    ]


def _told(costs: list[Overhead], step: float) -> float | None:
    """Return the time in the recorder's hooks over the rest, as it measured them itself.

    Args:
        costs: Of the sessions.
        step: Seconds of a step: the recorder's own clock runs on while others take their turns.
    """
    if not costs:
        return None
    own = sum(one.recording for one in costs) / sum(one.steps for one in costs)
    return own / (step - own)


def _compared(taken: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return seconds of a step, and 95 % intervals of their ratio to the first's, of each run.

    Args:
        taken: Seconds (runs, blocks, turns).
    """
    drawn = np.random.default_rng(0).integers(taken.shape[1], size=(RESAMPLES, taken.shape[1]))
    again = np.stack([np.median(taken[:, one], axis=1).mean(1) for one in drawn])
    low, high = np.quantile(again / again[:, :1], (0.025, 0.975), axis=0)
    return np.median(taken, axis=1).mean(1), low, high


class _Run:
    """A training run of its own."""

    def __init__(self, model: nn.Module, settings: dict[str, Any] | None) -> None:
        self._model = model
        self._optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
        self._recorder = None
        if settings is not None:
            self._recorder = Recorder(model, self._optimizer, quiet=True, **settings).attach()

    def step(self, images: Tensor, labels: Tensor) -> None:
        self._optimizer.zero_grad()
        loss = F.cross_entropy(self._model(images), labels)
        if self._recorder is not None:
            self._recorder.loss(loss)
        loss.backward()
        self._optimizer.step()

    def close(self) -> Overhead | None:
        if self._recorder is None:
            return None
        self._recorder.detach()
        return self._recorder.overhead


def _seconds(
    function: Callable[[], object], device: torch.device, clock: Callable[[], float]
) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started = clock()
    function()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - started


def _problem(options: argparse.Namespace) -> tuple[Callable[[], nn.Module], tuple[int, ...]]:
    if options.quick:
        return partial(networks.resnet, (4, 8), 1), (8, 3, 8, 8)
    if options.device == "cuda":
        return partial(networks.resnet, (64, 128, 256, 512), 2), (128, 3, 32, 32)
    return partial(networks.resnet, (8, 16, 32), 1), (128, 3, 32, 32)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--blocks", type=int, default=6, help="of ten steps, in each session")
    help_text = "wall time, or that of the processor where others use the cores as well"
    parser.add_argument("--clock", default="wall", choices=["wall", "cpu"], help=help_text)
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    parser.add_argument("--quick", action="store_true", help="toy sizes: does everything run?")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
