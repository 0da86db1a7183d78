"""The process of one contender: JSON lines in, JSON lines out, so that rounds can interleave."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.benchmarks.accuracy import PRODUCT, ROUNDED, judged
from tests.benchmarks.clock import Peak, in_series, seconds_of
from tests.benchmarks.contenders import contender
from tests.benchmarks.contenders.contract import Contender, UnableError
from tests.benchmarks.problems import Problem, build
from tests.benchmarks.reference import Truth, prepare, recall, relative_error

Reply = dict[str, Any]
WARM = 3  # calls before the clock runs, at least


class Worker:
    """Answers requests about one contender.

    Args:
        name: Of the contender.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.device = torch.device("cpu")
        self._recalled: dict[str, tuple[Problem, Truth]] = {}
        self._calls: dict[str, Any] = {}

    def handle(self, request: Reply) -> Reply:
        """Return the reply; what the contender raises becomes an error in words."""
        known = {
            "truth": self.truth,
            "prepare": self.prepare,
            "round": self.round,
            "efforts": self.efforts,
            "solve": self.solve,
        }
        try:
            return known[request.pop("do")](**request)
        except Exception as error:
            return {"error": _told(error)}

    def truth(self, *, problem: str, file: str, **settings: Any) -> Reply:
        """Train the problem and keep what is true of it in a file."""
        return {"parameters": prepare(problem, Path(file), **settings)}

    def prepare(self, *, warm_seconds: float, **named: Any) -> Reply:
        """Set the contender up, check its products and measure its memory."""
        problem, truth = self._recall(**named)
        peak, columns = Peak(self.device), problem.columns()
        peak.mark()
        for _ in range(WARM):
            problem.gradient()
        gradient = peak.mebibytes()
        peak.mark()
        one = contender(self.name)
        with one.attention():
            set_up = seconds_of(lambda: one.setup(problem), self.device)
        self._calls = {"gradient": problem.gradient}
        kinds = {
            "single": (partial(one.product, columns[:, 0].clone()), truth.images[:, :1]),
            "block": (partial(one.products, columns), truth.images),
        }
        found: dict[str, Reply] = {}
        for kind, (call, images) in kinds.items():
            allowed = max(PRODUCT, ROUNDED * truth.rounding)
            found[kind] = self._checked(one, call, images, warm_seconds, allowed)
            found[kind]["mebibytes"] = peak.mebibytes()
            peak.forget()
            if "error" not in found[kind]:
                self._calls[kind] = _under(one, call)
        return {"setup_seconds": set_up, "gradient_mebibytes": gradient, "told": one.told, **found}

    def _checked(
        self, one: Contender, call: Any, images: Tensor, warm_seconds: float, allowed: float
    ) -> Reply:
        """Call until it is warm, and compare the last product with the reference."""
        warm: list[float] = []
        product: Tensor | None = None

        def keep() -> None:
            nonlocal product
            product = call()

        try:
            with one.attention():
                while len(warm) < WARM or sum(warm) < warm_seconds:
                    warm.append(seconds_of(keep, self.device))
        except Exception as error:
            return {"error": _told(error), "status": "failed"}
        assert product is not None
        got = product.detach().reshape(len(product), -1)[:, [0, -1][: images.shape[1]]]
        wrong = relative_error(got.cpu(), images)
        reply: Reply = {"relative_error": wrong if math.isfinite(wrong) else None, "warm": warm}
        if not wrong <= allowed:
            reply |= {"error": f"the product is off by {wrong:.2g}", "status": "disqualified"}
        return reply

    def round(self, *, seconds: float) -> Reply:
        """Time the gradient, the single product and the block product, one after another."""
        return in_series(self._calls, seconds=seconds, device=self.device)

    def efforts(self, *, task: str) -> Reply:
        """Return the contender's settings for a task, the cheapest first; none: not offered."""
        return {"efforts": list(contender(self.name).efforts.get(task, ()))}

    def solve(self, *, task: str, effort: float, seed: int, **named: Any) -> Reply:
        """Answer a question from nothing, with the clock running; then judge the answer."""
        problem, truth = self._recall(**named)
        problem.gradient()  # whatever PyTorch does once
        started = time.perf_counter()
        one = contender(self.name)
        with one.attention():
            one.setup(problem)
            answer = getattr(one, task)(effort, seed)
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        taken = time.perf_counter() - started
        verdict = judged(task, one, problem, truth, answer)
        return {"seconds": taken, **verdict.__dict__}

    def _recall(
        self, *, problem: str, file: str, device: str, quick: bool
    ) -> tuple[Problem, Truth]:
        """Return a problem and the truth about it, after a rehearsal on a toy.

        What a library loads on first use is then neither in its seconds nor in its memory.
        """
        self.device = torch.device(device)
        torch.backends.cudnn.allow_tf32 = False
        if problem not in self._recalled:
            self._rehearse(problem)
            self._recalled[problem] = recall(problem, Path(file), device=device, quick=quick)
        return self._recalled[problem]

    def _rehearse(self, name: str) -> None:
        toy, one = build(name, device=str(self.device), quick=True), contender(self.name)
        with suppress(Exception), one.attention():  # what fails here will fail again
            one.setup(toy)
            one.product(toy.columns()[:, 0])
            one.products(toy.columns())
        torch.compiler.reset()  # or shapes that changed would be compiled as dynamic ones


def _under(one: Contender, call: Any) -> Any:
    def guarded() -> object:
        with one.attention():
            return call()

    return guarded


def _told(error: Exception) -> str:
    if isinstance(error, UnableError):
        return str(error)
    first = (str(error).strip() or "no message").splitlines()[0]
    return f"{type(error).__name__}: {first[:200]}"


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print does not mix with the replies
    torch.set_num_threads(int(sys.argv[2]))
    worker = Worker(sys.argv[1])
    for line in sys.stdin:
        print(json.dumps(worker.handle(json.loads(line))), file=replies, flush=True)


if __name__ == "__main__":
    main()
