"""The tangent kernel beside other ways to it: `python -m tests.benchmarks.ntk`, run by a person.

    python -m tests.benchmarks.ntk --out tests/benchmarks/results/cpu-ntk.json
    python -m tests.benchmarks.ntk --device cuda --out …/cuda-ntk.json

The full kernel of N samples and 10 outputs, of an MLP 3072-512-512-10 and of small convolutional
networks: ours with everything that it does (choice of blocks, certificate of every parameter
against autograd, float64), our factors alone without either, `vmap(jacrev)` with Jacobian times
Jacobian as in PyTorch's tutorial, and nngeometry where it is installed. The quick ones take turns
until the time is spent; a slow one runs as often as `--slow` says. Peak memory is what a call takes
beyond what was there before it. Its block of three samples is held against a plain loop of autograd
in float64.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap
from torch.utils.data import DataLoader, TensorDataset

from landscape.subject.subject import Subject
from landscape.tangent.blocks import factored
from landscape.tangent.contraction import Products, cheapest, contracted, costs
from landscape.tangent.kernel import kernel
from tests.benchmarks.clock import Peak, seconds_of
from tests.benchmarks.results import machine, now, versions

SCHEMA = "landscape/benchmarks-ntk/1"
CLASSES = 10
HELD = 3  # samples whose kernel is held against a plain loop
SLOW = 2.0  # seconds, from which a way runs only as often as asked
Way = Callable[[], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """A network and how many samples of which shape."""

    name: str
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    samples: int


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to the kernel of one problem."""

    problem: str
    parameters: int
    way: str
    seconds: float | None  # median
    least: float | None
    calls: int
    mebibytes: float | None
    error: float | None  # relative, Frobenius, from a plain loop in float64
    times: float | None  # our time goes so often into this
    reason: str = ""


def mlp() -> nn.Module:
    layers = [nn.Linear(3072, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(512, CLASSES))


def tutorial() -> nn.Module:
    """The network of PyTorch's tutorial on tangent kernels."""
    convs = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU()]
    last = [nn.Conv2d(32, 32, 3), nn.Flatten(), nn.Linear(32 * 26 * 26, CLASSES)]
    return nn.Sequential(*convs, *last)


def pooled(width: int = 16) -> nn.Module:
    """Two convolutions with pooling."""
    first = [nn.Conv2d(3, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(width, 2 * width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*first, *second, nn.Flatten(), nn.Linear(2 * width * 64, CLASSES))


def strided() -> nn.Module:
    """Four convolutions down to 4 × 4 places, whose last ones have many weights."""
    widths = [3, 16, 32, 64, 64]
    layers: list[nn.Module] = []
    for k, (inward, outward) in enumerate(pairwise(widths)):
        layers += [nn.Conv2d(inward, outward, 3, stride=2 if k < 3 else 1, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 16, CLASSES))


PROBLEMS = (
    Problem(name="MLP 3072-512-512-10", build=mlp, shape=(3072,), samples=64),
    Problem(name="tutorial CNN", build=tutorial, shape=(3, 32, 32), samples=20),
    Problem(name="pooled CNN", build=pooled, shape=(3, 32, 32), samples=32),
    Problem(name="strided CNN", build=strided, shape=(3, 32, 32), samples=32),
)
TOYS = (
    Problem(name="toy MLP", build=partial(nn.Linear, 6, CLASSES), shape=(6,), samples=4),
    Problem(name="toy CNN", build=partial(pooled, 2), shape=(3, 32, 32), samples=2),
)


def main() -> int:
    options = _options()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    rows = []
    for problem in TOYS if options.quick else PROBLEMS:
        if options.only in problem.name:
            rows += measured(problem, device, seconds=options.seconds, slow=options.slow)
            _print(rows, problem.name)
    if options.out is not None:
        kept = _kept(options.out, {row.problem for row in rows})
        settings = {"threads": options.threads, "seconds": options.seconds, "slow": options.slow}
        results = {
            "schema": SCHEMA,
            "date": now(),
            "machine": machine(options.device),
            "versions": versions(),
            "settings": settings,
            "rows": [*kept, *(asdict(row) for row in rows)],
        }
        options.out.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n")
    return 0


def _kept(path: Path, measured: set[str]) -> list[dict[str, Any]]:
    """Return the rows of other problems that a file has already."""
    if not path.exists():
        return []
    rows = json.loads(path.read_text())["rows"]
    return [row for row in rows if row["problem"] not in measured]


def measured(problem: Problem, device: torch.device, *, seconds: float, slow: int) -> list[Row]:
    """Return what each way takes; ways that are quick take turns until the time is spent."""
    torch.manual_seed(0)
    model = problem.build().eval().to(device)
    inputs = torch.randn(problem.samples, *problem.shape)
    truth = _loop(model, inputs[:HELD].to(device))
    ways = _ways(model, inputs, device)
    taken: dict[str, list[float]] = {}
    memory, errors, reasons = dict[str, float | None](), dict[str, float](), dict[str, str]()
    for name, way in ways.items():
        found: list[np.ndarray] = []
        peak = Peak(device)
        peak.mark()
        try:
            first = seconds_of(lambda w=way, f=found: f.append(w()), device)
        except Exception as error:
            reasons[name] = f"{type(error).__name__}: {error}"[:200]
            continue
        memory[name] = peak.mebibytes()
        part = found[0][: len(truth), : len(truth)]
        errors[name] = float(np.linalg.norm(part - truth) / np.linalg.norm(truth))
        taken[name] = [first] if first > SLOW else []
    until = time.perf_counter() + seconds
    while True:
        turn = [name for name, each in taken.items() if not each or each[0] <= SLOW]
        turn += [name for name, each in taken.items() if name not in turn and len(each) < slow]
        for name in turn:
            taken[name].append(seconds_of(ways[name], device))
        if time.perf_counter() > until:
            break
    own = statistics.median(taken[OURS])
    parameters = sum(one.numel() for one in model.parameters())
    rows = []
    for name in ways:
        each = taken.get(name, [])
        median = statistics.median(each) if each else None
        row = Row(
            problem=problem.name,
            parameters=parameters,
            way=name,
            seconds=median,
            least=min(each) if each else None,
            calls=len(each),
            mebibytes=memory.get(name),
            error=errors.get(name),
            times=median / own if median is not None else None,
            reason=reasons.get(name, ""),
        )
        rows.append(row)
    return rows


OURS = "ours, with certificate"


def _ways(model: nn.Module, inputs: Tensor, device: torch.device) -> dict[str, Way]:
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    subject = Subject(model, "ce", [(inputs, labels)], device=str(device))
    given = inputs.to(device)
    ways: dict[str, Way] = {
        OURS: lambda: kernel(subject, kind="full").values,
        "ours, factors alone": partial(_alone, subject),
        "vmap(jacrev)": partial(_jacrev, model, given),
    }
    try:
        matrices = import_module("nngeometry.gram")
        layers = import_module("nngeometry.layercollection")
    except ImportError:
        return ways
    loader = DataLoader(TensorDataset(given), batch_size=len(given))
    arguments: dict[str, Any] = {
        "layer_collection": layers.LayerCollection.from_model(model),
        "function": lambda *d: model(d[0]),
    }

    def nngeometry() -> np.ndarray:
        found = matrices.GramMatrix(model, loader, **arguments).to_torch()  # (O, N, O, N)
        size = len(given) * CLASSES
        return found.detach().permute(1, 0, 3, 2).reshape(size, size).double().cpu().numpy()

    return {**ways, "nngeometry": nngeometry}


def _alone(subject: Subject) -> np.ndarray:
    """Return the kernel of one block from its factors: nothing is checked, nothing chosen."""
    (batch,) = subject.device_batches()
    found, outputs = factored(subject, subject.point, batch)
    products, total = Products(), None
    for factors in found.values():
        order = cheapest(costs(factors, factors, outputs=outputs, traced=False)).order
        part = contracted(factors, factors, order, products=products)
        total = part.double() if total is None else total.add_(part)
    if total is None:
        raise ValueError("no parameter has factors")
    return total.flatten(2).flatten(0, 1).cpu().numpy()


def _jacrev(model: nn.Module, inputs: Tensor) -> np.ndarray:
    """Return Σ_l J_l J_lᵀ of stored Jacobians, as PyTorch's tutorial does, without its stacking."""
    parameters = {name: tensor.detach() for name, tensor in model.named_parameters()}

    def outputs(given: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(model, given, (one[None],))[0]

    found = vmap(jacrev(outputs), (None, 0))(parameters, inputs)
    flat = [one.flatten(2).flatten(0, 1) for one in found.values()]
    total = torch.zeros(len(flat[0]), len(flat[0]), device=inputs.device)
    for one in flat:
        total += one @ one.T
    return total.double().cpu().numpy()


def _loop(model: nn.Module, inputs: Tensor) -> np.ndarray:
    """Return the kernel of some samples by one backward pass for every output, in float64."""
    exact = copy.deepcopy(model).double()
    parameters = list(exact.parameters())
    rows = []
    for one in inputs.double():
        for output in exact(one[None]).flatten():
            grads = torch.autograd.grad(output, parameters, retain_graph=True)
            rows.append(torch.cat([grad.flatten() for grad in grads]))
    jacobian = torch.stack(rows)
    return (jacobian @ jacobian.T).cpu().numpy()


def _print(rows: list[Row], problem: str) -> None:
    print(problem)
    for row in rows:
        if row.problem != problem:
            continue
        if row.seconds is None:
            print(f"  {row.way:<24} {row.reason}")
            continue
        memory = "" if row.mebibytes is None else f"{row.mebibytes:8.0f} MiB"
        print(
            f"  {row.way:<24} {row.seconds:10.4f} s (least {row.least:.4f}, {row.calls} calls)"
            f"{memory}  error {row.error:.1e}  {row.times:8.2f}"
        )
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10, help="for every problem")
    parser.add_argument("--slow", type=int, default=1, help="calls of a way that takes seconds")
    parser.add_argument(
        "--only", default="", help="problems whose name has this in it; the file keeps others"
    )
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    parser.add_argument("--quick", action="store_true", help="toy sizes: does everything run?")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
