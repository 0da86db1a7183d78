"""The tangent kernel: spectrum, alignment with the targets, learning rates, suspect labels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np

from landscape import budget
from landscape.answer import Result
from landscape.base import HANDED_ON_LIMIT, Diagnostic, Followed, Needs, Option, Question
from landscape.encode import require_folder
from landscape.errors import OutputError, SettingError
from landscape.estimate import Status, worst
from landscape.kernels.affordable import affordable_samples
from landscape.kernels.asked import Asked
from landscape.kernels.measuring import measured
from landscape.kernels.planning import planned, require_room_for
from landscape.kernels.result import NtkResult
from landscape.subject.losses import BinaryCrossEntropy, CrossEntropy
from landscape.subject.subject import Subject
from landscape.work import Work

DECOMPOSED = 30  # multiplications for each entry cubed, of a decomposition, about
CONTRACTED = 4  # times as long as a product of matrices a contraction takes, about
ROWS = 2  # times as long as a gradient of all data a sample's share of it takes alone, about
PRODUCTS = 1500  # by the kernel, to train the linearised network, about
MULTIPLIED = 10  # times as long as in a product of matrices each of their entries takes, about
FORMED = 8  # multiplications for each entry cubed, of the kernels that it is trained by
RATES = 15  # products for the largest stable learning rate, about


@dataclass(frozen=True, kw_only=True)
class Ntk(Diagnostic[NtkResult]):
    """The tangent kernel: spectrum, alignment with the targets, learning rates, suspect labels."""

    name: ClassVar[str] = "ntk"
    result: ClassVar[type[Result]] = NtkResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(independent=True)
    follows: ClassVar[bool] = True
    weight: ClassVar[float] = 2.0
    presets: ClassVar = {
        "quick": {"samples": 300},
        "standard": {},
        "full": {"samples": 2000},
    }

    kind: Annotated[
        Literal["trace", "full", "classes", "sketch", "products"],
        Option(
            "summed over outputs, all pairs of outputs, each output by itself, signed sums, or the "
            "largest eigenvalues of all pairs without forming them"
        ),
    ] = "trace"
    samples: Annotated[int, Option("at most so many, evenly spaced over the data", at_least=2)] = (
        512
    )
    probes: Annotated[
        int, Option("random signs of a sketch, random vectors of a density", at_least=2)
    ] = 8
    top: Annotated[int, Option("eigenvalues where the kernel is not formed", at_least=1)] = 20
    max_memory: Annotated[
        float,
        Option(
            "GiB for factors and kernel, 0: a share of what is free; a full kernel that takes more "
            "is known by its products",
            at_least=0,
        ),
    ] = 0.0
    ridge: Annotated[
        float,
        Option("of the regression, over the mean eigenvalue; 0: least left-out error", at_least=0),
    ] = 0.0
    rate: Annotated[bool, Option("tell the largest stable learning rate")] = True
    plan: Annotated[
        bool, Option("tell order and cost of every layer's contraction, and compute no kernel")
    ] = False
    kernel_file: Annotated[
        str, Option("npz file that the kernel is written to; {checkpoint} is its name")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind == "products" and (self.plan or self.kernel_file):
            raise SettingError(
                "--kind products forms no kernel, so there is none to plan or to write",
                where="tangent kernel",
                why="it multiplies by the kernel, and holds no entry of it",
                hint="leave --plan and --kernel-file out, or choose another kind",
            )

    def expected(self, subject: Subject) -> str:
        """Return the size of the kernel."""
        times = f" at each of {len(subject.checkpoints)}" if len(subject.checkpoints) > 1 else ""
        return f"a kernel of at most {self.samples:,} samples{times}"

    def work(self, subject: Subject) -> Work | None:
        """Return the contractions of the kernel, and a decomposition, as its plan tells them.

        With held-out data also those between both, and the training of the linearised network.
        """
        if self.kind == "products" or subject.batches is None:
            return None
        with subject.undisturbed(self.seed):
            plan = planned(subject, self._asked())
        size = plan.samples * (plan.outputs if self.kind == "full" else 1)
        share = plan.samples / subject.batches.samples
        made = sum(layer.operations for layer in plan.plan)
        held = subject.held_out.samples if subject.held_out is not None else 0
        if self.kind == "sketch":
            held = 0
        met = min(held, self.samples) / plan.samples  # held-out samples for each of the others
        training = 0.0
        if held and isinstance(subject.criterion, CrossEntropy | BinaryCrossEntropy):
            entries = size * plan.samples * plan.outputs
            training = MULTIPLIED * PRODUCTS * entries + FORMED * size**3
        each = Work(
            operations=CONTRACTED * made * (1 + met) + DECOMPOSED * size**3 + training,
            gradients=ROWS * plan.outputs * share * (1 + met + bool(held)),
            products=RATES * self.rate * share,
            bytes=int(plan.memory.total) if plan.memory is not None else 0,
        )
        return each.times(len(subject.checkpoints))

    def refuse(self, subject: Subject) -> None:
        """Refuse a file in a folder that is not there, and a kernel that could not be held.

        One in a budget of time is of as many samples as that lasts for.
        """
        if self.kernel_file:
            require_folder(self._place(subject), "the kernel")
        formed = self.kind not in ("full", "products") and not self.plan
        if formed and budget.left_seconds() is None:
            require_room_for(subject, self._asked())

    def measure(self, subject: Subject) -> NtkResult:
        """Return the answer at the subject's checkpoint."""
        return self.follow(subject, None).answer

    def follow(self, subject: Subject, before: np.ndarray | None) -> Followed[NtkResult]:
        """Return the answer, compared with the kernels of the first checkpoint and the one before.

        Args:
            subject: With one checkpoint.
            before: Both kernels (2, n, n).
        """
        asked = self._asked()
        if self.plan:
            return Followed(planned(subject, asked))
        ends = (before[0], before[1]) if before is not None else None
        samples, fewer = affordable_samples(subject, asked, before)
        found = measured(subject, replace(asked, samples=samples), ends)
        answer = found.answer
        if fewer:
            status = worst(answer.status, Status.BUDGET_SPENT)
            answer = replace(answer, status=status, message=fewer)
        if found.kernel is None:
            return Followed(answer, None)
        answer = replace(answer, kernel_file=self._written(subject, found.kernel))
        first = ends[0] if ends is not None else found.kernel
        fits = 2 * found.kernel.nbytes <= HANDED_ON_LIMIT and first.shape == found.kernel.shape
        return Followed(answer, np.stack([first, found.kernel]) if fits else None)

    def _asked(self) -> Asked:
        return Asked(
            kind=self.kind,
            samples=self.samples,
            probes=self.probes,
            ridge=self.ridge,
            rate=self.rate,
            seed=self.seed,
            top=self.top,
            memory_bytes=int(self.max_memory * 2**30) or None,
        )

    def _place(self, subject: Subject) -> Path:
        name = subject.checkpoint.label.replace("/", "_")
        return Path(self.kernel_file.replace("{checkpoint}", name))

    def _written(self, subject: Subject, kernel: np.ndarray) -> str | None:
        if not self.kernel_file:
            return None
        path = self._place(subject)
        try:
            with path.open("wb") as file:
                np.savez(file, kernel=kernel)
        except OSError as error:
            raise OutputError(
                "the kernel cannot be written",
                where=str(path),
                why=error.strerror or str(error),
                hint="choose a folder that exists and can be written",
            ) from error
        return str(path)
