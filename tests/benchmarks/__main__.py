"""How fast and how accurate, beside others: `python -m tests.benchmarks`, run by a person.

    python -m tests.benchmarks --out tests/benchmarks/results/cpu.json
    python -m tests.benchmarks --device cuda --out tests/benchmarks/results/cuda.json
    python -m tests.benchmarks --quick

Every contender runs in its own process with the same batches, precision (float32), threads and
device; its products are first compared with a float64 reference, and it is disqualified if wrong.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path

from rich.console import Console

from tests.benchmarks.accuracy import TASKS
from tests.benchmarks.client import Process
from tests.benchmarks.contenders import CONTENDERS
from tests.benchmarks.harness import Harness
from tests.benchmarks.problems import PROBLEMS
from tests.benchmarks.report import show
from tests.benchmarks.results import SCHEMA, AnswerRow, ProductRow, Results, machine, now, versions

WIDE = 132  # columns that the tables need
SPEED = {
    "cpu": ("mlp", "resnet-small", "gpt-small"),
    "cuda": ("mlp", "resnet18", "resnet50", "gpt-124m"),
}
ACCURACY = {
    "top10": ("digits-deep", "gpt-deep", "digits-cnn", "gpt-text"),
    "trace": ("digits-mlp",),
    "density": ("digits-mlp",),
}


def main() -> int:
    options = _options()
    console = Console()
    console = Console(width=max(console.width, WIDE))
    with tempfile.TemporaryDirectory() as folder:
        harness = Harness(
            start=partial(Process, threads=options.threads, limit=options.limit),
            folder=Path(folder),
            device=options.device,
            quick=options.quick,
            repeats=options.repeats,
            seconds=0.05 if options.quick else 2.0,
            warm_seconds=0.0 if options.quick else 5.0,
            say=lambda text: console.print(text, style="dim", highlight=False, markup=False),
        )
        products, answers = _measured(harness, options)
    given = vars(options)
    kept = ("device", "threads", "repeats", "quick", "limit")
    results = Results(
        schema=SCHEMA,
        date=now(),
        machine=machine(options.device),
        versions=versions(),
        settings={key: given[key] for key in kept},
        products=products,
        answers=answers,
    )
    show(results, console)
    if options.out is not None:
        results.write(options.out)
        console.print(f"results: {options.out}")
    return 0


def _measured(
    harness: Harness, options: argparse.Namespace
) -> tuple[list[ProductRow], list[AnswerRow]]:
    contenders = options.contenders or list(CONTENDERS)
    chosen = options.problems
    products, answers = [], []
    if "products" in options.measures:
        offered = {name for names in SPEED.values() for name in names}
        for problem in chosen or SPEED[options.device]:
            if problem in offered:
                products += harness.products(problem, contenders)
    for task, problems in ACCURACY.items():
        for problem in problems:
            if task in options.measures and (not chosen or problem in chosen):
                answers += harness.answers(task, problem, contenders)
    return products, answers


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    measures = ["products", *TASKS]
    parser.add_argument("--problems", nargs="+", choices=list(PROBLEMS), metavar="NAME")
    parser.add_argument("--contenders", nargs="+", metavar="NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--measures", nargs="+", choices=measures, default=measures, metavar="WHAT")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contender")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1800.0, help="seconds to wait for an answer")
    parser.add_argument("--out", type=Path, help="where the results go, as JSON")
    parser.add_argument("--quick", action="store_true", help="toy sizes: does everything run?")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
