"""Whether networks are connected by paths of low loss: line, aligned line, fitted curve."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from landscape import budget, progress
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Option, Question
from landscape.budget import BudgetError
from landscape.connectivity.alignment import Aligner
from landscape.connectivity.components import cliques, components
from landscape.connectivity.judging import Judge
from landscape.connectivity.labels import distinct
from landscape.connectivity.pairing import Pairing, Plan
from landscape.connectivity.result import ConnectResult, Group, Pair, status_of
from landscape.errors import ModelError
from landscape.subject.normalisation import SAMPLES, uses_running_statistics
from landscape.subject.subject import Subject
from landscape.symmetry.override import read
from landscape.work import EXPORTED, Work

GIVEN, HELD_OUT = "the given data", "held-out data"
PAIR, FEW = 2, 3  # checkpoints of one pair, and up to which a report asks for more than the line


@dataclass(frozen=True, kw_only=True)
class Connect(Diagnostic[ConnectResult]):
    """Whether networks are connected by paths of low loss: line, aligned line, fitted curve."""

    name: ClassVar[str] = "connect"
    result: ClassVar[type[Result]] = ConnectResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(checkpoints=(2, None), each=False, independent=True)
    weight: ClassVar[float] = 2.0
    presets: ClassVar = {
        "quick": {"points": 11, "curve_steps": 500, "restarts": 2},
        "standard": {},
        "full": {"every": True, "points": 41, "plane": 21, "curve_steps": 6000},
    }

    path: Annotated[
        Literal["any", "line", "aligned", "curve"],
        Option("path that is asked for; any: cheapest first, until one connects"),
    ] = "any"
    every: Annotated[bool, Option("judge every path, also when one connects")] = False
    error_tolerance: Annotated[
        float, Option("rise of the error that still connects, as a share", above=0, at_most=1)
    ] = 0.02
    loss_tolerance: Annotated[
        float,
        Option("rise of the loss that still connects, over the best constant's loss", above=0),
    ] = 0.05
    level: Annotated[
        float,
        Option("probability of the bands, shared among the paths", at_least=0.5, at_most=0.9999),
    ] = 0.95
    points: Annotated[int, Option("points on each path", at_least=11)] = 25
    matching: Annotated[Literal["weights", "activations"], Option("what units are aligned by")] = (
        "weights"
    )
    restarts: Annotated[int, Option("of the matching by weights", at_least=1)] = 5
    repair: Annotated[
        bool, Option("tell of the aligned line with activation statistics restored (REPAIR)")
    ] = False
    bends: Annotated[int, Option("of the curve", at_least=1)] = 1
    curve_steps: Annotated[int, Option("minibatches that the curve is fitted on", at_least=1)] = (
        2000
    )
    curve_learning_rate: Annotated[float, Option("of the curve's fit", above=0)] = 0.01
    plane: Annotated[
        int, Option("points along each side of the plane of both and the bend; 0: none", at_least=0)
    ] = 0
    explain: Annotated[bool, Option("tell which units may change places, and why others not")] = (
        False
    )
    override: Annotated[str, Option("file that says what the graph does not; empty: none")] = ""

    def fitted(self, subject: Subject) -> Self:
        """Return the question with only the line where a series makes many pairs."""
        many = len(subject.checkpoints) > FEW and self.path == "any"
        return replace(self, path="line") if many else self

    def expected(self, subject: Subject) -> str:
        """Return how many pairs there are, and what the curve of one takes."""
        count = len(subject.checkpoints)
        number = count * (count - 1) // 2
        each = f"{self.points} points on each path"
        if self.path in ("any", "curve"):
            each += f", and {self.curve_steps:,} minibatches for a curve where one is needed"
        return f"{number} pair{'s' * (number != 1)}: {each}"

    def work(self, subject: Subject) -> Work:
        """Return the points on all paths of every pair, and the fit of a curve."""
        count = len(subject.checkpoints)
        data = subject.held_out or subject.batches
        whole = subject.batches.samples if subject.batches else 1
        passes = (data.samples if data else 0) / whole
        if uses_running_statistics(subject):
            passes += min(SAMPLES, whole) / whole
        paths = len(self._plan().paths)
        curve = self.path in ("any", "curve")
        pair = Work(
            forwards=passes * (self.points * paths + curve * self.plane**2),
            steps=self.curve_steps if curve else 0,
            calls=EXPORTED if self.path in ("any", "aligned") else 0,
        )
        return pair.times(count * (count - 1) // 2)

    def depends(self) -> Mapping[str, Any]:
        """Return the settings, and what is in the override file."""
        path = Path(self.override)
        if not self.override or not path.is_file():
            return vars(self)
        return {**vars(self), "file": hashlib.sha256(path.read_bytes()).hexdigest()}

    def refuse(self, subject: Subject) -> None:
        """Refuse an override file that cannot be read."""
        del subject
        if self.override:
            read(self.override)

    def measure(self, subject: Subject) -> ConnectResult:
        """Return the verdict on every pair of checkpoints."""
        plan = self._plan()
        judge = Judge(
            subject=subject,
            level=1 - (1 - self.level) / len(plan.paths),
            points=self.points,
            loss_share=self.loss_tolerance,
            error=self.error_tolerance,
            seed=self.seed,
        )
        aligner = cache(partial(self._aligner, subject))
        pairing = Pairing(subject=subject, judge=judge, plan=plan, aligner=aligner)
        names = distinct(subject.checkpoints)
        pairs = self._pairs(pairing, names)
        parts, whole, fewest = _grouped(names, pairs)
        status, message = status_of(pairs)
        return ConnectResult(
            status=status,
            message=message,
            checkpoint=" – ".join(names) if len(names) == PAIR else f"{len(names)} networks",
            checkpoints=names,
            path=self.path,
            level=self.level,
            judged_on=HELD_OUT if judge.held_out else GIVEN,
            samples=judge.samples,
            pairs=pairs,
            components=parts,
            whole=whole,
            fewest=fewest,
            explained=_explained(aligner()) if self.explain else (),
        )

    def _plan(self) -> Plan:
        return Plan(
            path=self.path,
            every=self.every,
            matching=self.matching,
            restarts=self.restarts,
            repair=self.repair,
            bends=self.bends,
            curve_steps=self.curve_steps,
            learning_rate=self.curve_learning_rate,
            plane=self.plane,
            seed=self.seed,
        )

    def _pairs(self, pairing: Pairing, names: tuple[str, ...]) -> tuple[Pair, ...]:
        """Return every pair once: a path from B to A is that from A to B."""
        checkpoints = pairing.subject.checkpoints
        chosen = list(combinations(range(len(names)), 2))
        found = []
        with progress.task("pairs", len(chosen)) as task:
            for number, (i, j) in enumerate(chosen):
                ends = (names[i], names[j])
                with budget.shared(len(chosen) - number):
                    found.append(pairing.studied(checkpoints[i], checkpoints[j], ends))
                task.advance()
        if all(pair.cut and not pair.paths for pair in found):
            raise BudgetError(next(reason for pair in found for reason in pair.missing.values()))
        return tuple(found)

    def _aligner(self, subject: Subject) -> Aligner | str:
        """Return what permutes; the reason when nothing can, unless that alone was asked for."""
        try:
            return Aligner(subject, override=self.override, seed=self.seed)
        except ModelError as error:
            if self.path == "aligned":
                raise
            return f"{error.what}: {error.why}" if error.why else error.what


def _explained(aligner: Aligner | str) -> tuple[Group, ...]:
    """Return the groups; why there are none, where nothing permutes."""
    if isinstance(aligner, Aligner):
        return aligner.explained()
    return (Group(name="none", kind="frozen", size=0, axes="all", reason=aligner),)


def _grouped(
    names: tuple[str, ...], pairs: tuple[Pair, ...]
) -> tuple[tuple[tuple[str, ...], ...], tuple[bool, ...], int]:
    """Return components, whether each is whole, and how few there might be."""
    place = {name: number for number, name in enumerate(names)}
    edges = {
        word: [(place[p.a], place[p.b]) for p in pairs if p.verdict == word]
        for word in ("connected", "inconclusive", "refused")
    }
    parts = components(len(names), edges["connected"])
    possible = [edge for found in edges.values() for edge in found]
    return (
        tuple(tuple(names[one] for one in part) for part in parts),
        cliques(parts, edges["connected"]),
        len(components(len(names), possible)),
    )
