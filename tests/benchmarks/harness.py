"""Asks every contender in turn, and puts the replies together.

On the CPU the contenders of a problem take turns, so that a disturbance of the machine meets all of
them. On CUDA one is finished before the next starts, because what a waiting one holds in memory
would be missing to the others; each still measures its own gradient in every turn.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.accuracy import TASKS
from tests.benchmarks.client import Client
from tests.benchmarks.problems import PROBLEMS
from tests.benchmarks.results import AnswerRow, ProductRow, Timing

Reply = dict[str, Any]
NOT_OFFERED = "not offered"
TRIALS = {"top10": 3, "trace": 5, "density": 1}  # seeds that must all be accurate


@dataclass(frozen=True, kw_only=True)
class Harness:
    """How everything is measured.

    Args:
        start: Starts the worker of a contender.
        folder: Where the truth about problems is kept during the run.
        device: `cpu` or `cuda`.
        quick: Toy sizes.
        repeats: Turns of each contender.
        seconds: Length of a turn.
        warm_seconds: Length of the warm-up.
        say: Told what happens.
    """

    start: Callable[[str], Client]
    folder: Path
    device: str = "cpu"
    quick: bool = False
    repeats: int = 5
    seconds: float = 2.0
    warm_seconds: float = 5.0
    say: Callable[[str], object] = print
    known: dict[tuple[str, ...], int] = field(default_factory=dict)  # n, by problem and tasks

    def products(self, problem: str, contenders: Sequence[str]) -> list[ProductRow]:
        """Return what products cost."""
        size = self._truth(problem, ())
        if self.device == "cpu":
            return self._turns(problem, size, contenders)
        return [row for one in contenders for row in self._turns(problem, size, [one])]

    def answers(self, task: str, problem: str, contenders: Sequence[str]) -> list[AnswerRow]:
        """Return how long it takes to answer accurately.

        The effort of every contender is found first, outside the clock: the cheapest at which the
        trial seeds are accurate. Then it is timed on other seeds, the contenders in turn.
        """
        size = self._truth(problem, (task,))
        found: dict[str, tuple[float | None, str]] = {}
        timed: dict[str, list[Reply]] = {name: [] for name in contenders}
        with self._workers(contenders) as workers:
            for name, worker in workers.items():
                found[name] = self._effort(worker, task, problem)
                self.say(f"{task} {problem} {name}: effort {found[name][0]} {found[name][1]}")
            for seed in range(100, 100 + self.repeats):
                for name, worker in workers.items():
                    effort, _ = found[name]
                    if effort is not None:
                        timed[name].append(self._solve(worker, task, problem, effort, seed))
        return [
            _answer(task, problem, size, name, *found[name], replies)
            for name, replies in timed.items()
            if found[name][1] != NOT_OFFERED
        ]

    def _turns(self, problem: str, size: int, contenders: Sequence[str]) -> list[ProductRow]:
        named = self._named(problem)
        ready: dict[str, Reply] = {}
        turns: dict[str, list[Reply]] = {name: [] for name in contenders}
        with self._workers(contenders) as workers:
            for name, worker in workers.items():
                request = {"do": "prepare", "warm_seconds": self.warm_seconds, **named}
                ready[name] = worker.handle(request)
                self.say(f"{problem} {name}: {_state(ready[name])}")
            for _ in range(self.repeats):
                for name, worker in workers.items():
                    if "error" not in ready[name]:
                        reply = worker.handle({"do": "round", "seconds": self.seconds})
                        turns[name].append(reply)
        block = PROBLEMS[problem].block
        return [_row(problem, size, name, block, ready[name], turns[name]) for name in contenders]

    def _effort(self, worker: Client, task: str, problem: str) -> tuple[float | None, str]:
        tried: float | None = None
        offered = worker.handle({"do": "efforts", "task": task})
        efforts = offered.get("efforts", ())
        if not efforts:
            return None, offered.get("error", NOT_OFFERED)
        for effort in efforts:
            trials = 1 if len(efforts) == 1 else TRIALS[task]
            for seed in range(trials):
                reply = self._solve(worker, task, problem, effort, seed)
                if "error" in reply:
                    return tried, reply["error"]
                tried = effort
                if not reply["accurate"]:
                    break
            else:
                return effort, ""
        return tried, f"not accurate: {TASKS[task]}"

    def _solve(self, worker: Client, task: str, problem: str, effort: float, seed: int) -> Reply:
        asked = {"do": "solve", "task": task, "effort": effort, "seed": seed}
        return worker.handle({**asked, **self._named(problem)})

    def _truth(self, problem: str, tasks: Sequence[str]) -> int:
        """Let a process of its own find out what is true, and return n; once for each task."""
        key = (problem, *tasks)
        if key not in self.known:
            self.known[key] = self._found_out(problem, tasks)
        return self.known[key]

    def _found_out(self, problem: str, tasks: Sequence[str]) -> int:
        self.say(f"{problem}: the float64 reference")
        with self._workers(["reference"]) as workers:
            request = {"do": "truth", "tasks": list(tasks), **self._named(problem)}
            reply = workers["reference"].handle(request)
        if "error" in reply:
            raise RuntimeError(f"the reference of {problem} failed: {reply['error']}")
        return reply["parameters"]

    def _named(self, problem: str) -> Reply:
        file = str(self.folder / f"{problem}.pt")
        return {"problem": problem, "file": file, "device": self.device, "quick": self.quick}

    @contextmanager
    def _workers(self, names: Sequence[str]) -> Iterator[dict[str, Client]]:
        workers: dict[str, Client] = {}
        try:
            for name in names:
                workers[name] = self.start(name)
            yield workers
        finally:
            for worker in workers.values():
                worker.close()


def _state(ready: Reply) -> str:
    reasons = [ready, ready.get("single", {}), ready.get("block", {})]
    return "; ".join(each["error"] for each in reasons if "error" in each) or "ready"


def _row(
    problem: str, size: int, name: str, block: int, ready: Reply, turns: list[Reply]
) -> ProductRow:
    failed = {"status": "failed", "error": ready.get("error", "")}
    gradients = [turn["gradient"] for turn in turns if "gradient" in turn]
    return ProductRow(
        problem=problem,
        parameters=size,
        contender=name,
        told=ready.get("told", ""),
        setup_seconds=ready.get("setup_seconds"),
        gradient_seconds=statistics.median(gradients) if gradients else None,
        gradient_mebibytes=ready.get("gradient_mebibytes"),
        vectors=block,
        single=_timing(ready.get("single", failed), "single", 1, turns),
        block=_timing(ready.get("block", failed), "block", block, turns),
    )


def _timing(ready: Reply, kind: str, vectors: int, turns: list[Reply]) -> Timing:
    known: Reply = {key: ready.get(key) for key in ("relative_error", "mebibytes")}
    if "error" in ready:
        return Timing(status=ready["status"], reason=ready["error"], **known)
    broken = next((turn["error"] for turn in turns if "error" in turn), None)
    if broken is not None:
        return Timing(status="failed", reason=broken, **known)
    ratios = [turn[kind] / vectors / turn["gradient"] for turn in turns]
    seconds = statistics.median(turn[kind] for turn in turns)
    beyond = sum(ready["warm"]) - seconds * len(ready["warm"])
    return Timing(
        status="measured",
        seconds=seconds / vectors,
        ratio=statistics.median(ratios),
        low=min(ratios),
        high=max(ratios),
        warm_up_seconds=max(beyond, 0.0),
        **known,
    )


def _answer(
    task: str,
    problem: str,
    size: int,
    name: str,
    effort: float | None,
    reason: str,
    replies: list[Reply],
) -> AnswerRow:
    finished = [reply for reply in replies if "error" not in reply]
    errors = [str(reply["error"]) for reply in replies if "error" in reply]
    return AnswerRow(
        task=task,
        problem=problem,
        parameters=size,
        contender=name,
        effort=effort,
        reason=reason or "; ".join(errors[:1]),
        seconds=[reply["seconds"] for reply in finished],
        deviations=[reply["deviation"] for reply in finished],
        details=[reply["detail"] for reply in finished],
        accurate=sum(reply["accurate"] for reply in finished),
    )
