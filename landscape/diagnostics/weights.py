"""Norm, spectral norm and stable rank of every weight tensor; non-finite values; change."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from landscape import progress
from landscape.answer import Finding, Result, Table
from landscape.base import Diagnostic, Needs, Question
from landscape.estimate import Estimate, Status
from landscape.figures.norms import NormsInk, draw_norms
from landscape.linalg.norm import spectral_norm
from landscape.pruning.thinned import NAMED, Thinned, thinned_of
from landscape.subject.files.checkpoint import Checkpoint, refuse_packed
from landscape.subject.files.fingerprint import memory
from landscape.subject.files.names import stripped
from landscape.subject.subject import Subject
from landscape.work import Work

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ITERATED = 300  # multiplications by every entry of a matrix, for its spectral norm, about
RUNNING = ("running_mean", "running_var", "num_batches_tracked")  # of normalisation, by name


@dataclass(frozen=True, kw_only=True)
class TensorWeights:
    """One tensor of a checkpoint. Matrices are tensors reshaped to (first axis, the rest)."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    norm: Estimate  # Frobenius
    spectral_norm: Estimate | None  # None for vectors and non-finite tensors
    stable_rank: Estimate | None  # ‖W‖²_F / ‖W‖²₂
    non_finite: int
    first_non_finite: tuple[int, ...] | None
    change: Estimate | None  # distance to the first checkpoint
    buffer: bool = False  # no parameter: nothing that training steps on, as running statistics


@dataclass(frozen=True, kw_only=True)
class WeightsResult(Result):
    """The weights of the last checkpoint, and their distance from the first.

    Totals are over the parameters; buffers are listed beside them.
    """

    name: ClassVar[str] = "weights"

    checkpoint: str
    reference: str | None  # the first checkpoint, when there are several
    parameters: int  # numbers in floating-point tensors that are no buffers
    total_norm: Estimate
    total_change: Estimate | None
    tensors: tuple[TensorWeights, ...]
    buffers: int = 0  # numbers in floating-point buffers
    thinned: Thinned | None = None  # what is left of a pruned network

    def summary(self) -> str:
        """Return the answer in one line."""
        bad = sum(one.non_finite for one in self.tensors)
        own = sum(not one.buffer for one in self.tensors)
        text = f"{self.checkpoint}: {own} tensors, {self.parameters:,} numbers"
        text += f", norm {self.total_norm}" if not bad else f", {bad:,} of them not finite"
        if self.total_change is not None:
            text += f", {self.total_change} from {self.reference}"
        if self.buffers:
            number = len(self.tensors) - own
            text += f"; parameters alone, without {number} buffers of {self.buffers:,} numbers"
        return text if self.thinned is None else f"{text}\n{self.thinned.summary}"

    def headline(self) -> tuple[tuple[str, Estimate], ...]:
        """Return the norm, and the change when there are several checkpoints."""
        thinned = self.thinned
        named = (
            ("norm", self.total_norm),
            ("change", self.total_change),
            ("density", thinned.density if thinned is not None else None),
            ("on a path", thinned.effective_density if thinned is not None else None),
        )
        return tuple((name, one) for name, one in named if one is not None)

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw the norms of every tensor on a log axis."""
        ranked = [one for one in self.tensors if one.spectral_norm is not None] or [
            one for one in self.tensors if not one.buffer
        ]
        series = {
            "Frobenius norm": [one.norm.value for one in ranked],
            "spectral norm": [_value(one.spectral_norm) for one in ranked],
        }
        ink = NormsInk(names=tuple(one.name for one in ranked), series=series)
        draw_norms(axes, ink, label=label, colour=colour)

    def caption(self) -> str:
        """Return method and cost."""
        return (
            f"Tensors of {self.checkpoint} as matrices (first axis, the rest); for a convolution "
            f"this is not the norm of the operator. {self.cost.seconds:.1f} s, seed {self.seed}."
        )

    def tables(self) -> tuple[Table, ...]:
        """Return one row per tensor."""
        rows = tuple(
            (
                f"{one.name} (buffer)" if one.buffer else one.name,
                "×".join(map(str, one.shape)) or "scalar",
                one.dtype,
                one.norm,
                one.spectral_norm,
                one.stable_rank,
                one.non_finite,
                one.change,
            )
            for one in self.tensors
        )
        columns = ("tensor", "shape", "dtype", "norm", "spectral", "stable rank", "NaN/Inf")
        columns += ("change",)
        if self.reference is None:
            columns, rows = columns[:-1], tuple(row[:-1] for row in rows)
        left = (self.thinned.table,) if self.thinned is not None else ()
        return (Table("Weights", columns, rows), *left)

    def findings(self) -> tuple[Finding, ...]:
        """Return non-finite tensors, and what pruning has cut off, or layers that are all zeros."""
        left = self.thinned.findings() if self.thinned is not None else self._zeros()
        bad = [one for one in self.tensors if one.non_finite]
        if not bad:
            return left
        first = bad[0]
        return (
            Finding(
                severity="critical",
                sentence=f"NaN or infinite weights: {sum(one.non_finite for one in bad):,}.",
                evidence=f"{first.non_finite} in {first.name}, first at "
                f"{list(first.first_non_finite or ())}; tensors concerned: {len(bad)}.",
                advice="Go back to an earlier checkpoint; nothing computed from these is finite.",
            ),
            *left,
        )

    def _zeros(self) -> tuple[Finding, ...]:
        """Return matrices of zeros in a network that shows no other sign of pruning."""
        layers = [one for one in self.tensors if len(one.shape) > 1 and not one.buffer]
        zeros = [one.name for one in layers if one.norm.value == 0 and math.prod(one.shape)]
        if not zeros:
            return ()
        plural, more = "s" * (len(zeros) != 1), " …" * (len(zeros) > NAMED)
        return (
            Finding(
                severity="notable",
                sentence=f"All zeros: {len(zeros)} weight tensor{plural}.",
                evidence=f"{', '.join(zeros[:NAMED])}{more}.",
                advice="Initialised so and never trained (a zero head, LoRA's B), or pruned away.",
            ),
        )

    def trust(self) -> tuple[tuple[str, str], ...]:
        """Return what the numbers rest on."""
        iterated = [
            one
            for one in self.tensors
            if one.spectral_norm is not None and one.spectral_norm.kind == "estimate"
        ]
        exact = sum(one.spectral_norm is not None for one in self.tensors) - len(iterated)
        counted = "floating-point tensors"
        if self.buffers:
            counted = f"parameters alone: {self.buffers:,} numbers in buffers are left out"
        return (
            ("spectral norms", f"{exact} exact, {len(iterated)} by Lanczos with 95 % interval"),
            ("norm and change", counted),
            *((self.thinned.trust,) if self.thinned is not None else ()),
        )


@dataclass(frozen=True, kw_only=True)
class Weights(Diagnostic[WeightsResult]):
    """Norm, spectral norm and stable rank of every weight tensor; non-finite values; change."""

    name: ClassVar[str] = "weights"
    result: ClassVar[type[Result]] = WeightsResult
    question: ClassVar[Question] = "weights"
    weight: ClassVar[float] = 0.25
    needs: ClassVar[Needs] = Needs(model=False, data=False, each=False)

    def refuse(self, subject: Subject) -> None:
        """Refuse weights that are packed into integers."""
        for one in subject.checkpoints:
            refuse_packed(one.tensors, one.path or one.label)

    def work(self, subject: Subject) -> Work:
        """Return a few hundred multiplications by every matrix."""
        last = subject.checkpoint.tensors.values()
        return Work(operations=ITERATED * sum(tensor.numel() for tensor in last))

    def measure(self, subject: Subject) -> WeightsResult:
        """Return the weights of the last checkpoint. Needs no model and no data."""
        last = subject.checkpoint
        several = len(subject.checkpoints) > 1
        reference = _numbers(subject.checkpoints[0]) if several else {}
        numbers = _numbers(last)
        buffers = _buffers(subject, numbers)
        generator = torch.Generator().manual_seed(self.seed)
        with progress.task("spectral norms", len(numbers)) as task:
            tensors = []
            for name, tensor in numbers.items():
                one = _studied(name, tensor, reference.get(name), generator)
                tensors.append(replace(one, buffer=name in buffers))
                task.advance()
        trained = [one for one in tensors if not one.buffer]
        bad = any(one.non_finite for one in tensors)
        return WeightsResult(
            status=Status.NOT_FINITE if bad else Status.CONVERGED,
            message="Some weights are NaN or infinite." if bad else "",
            checkpoint=last.label,
            reference=subject.checkpoints[0].label if several else None,
            parameters=sum(t.numel() for name, t in numbers.items() if name not in buffers),
            total_norm=_root_sum([one.norm for one in trained]),
            total_change=_root_sum([one.change for one in trained]) if several else None,
            tensors=tuple(tensors),
            buffers=sum(numbers[name].numel() for name in buffers),
            thinned=thinned_of(
                subject, {name: one for name, one in numbers.items() if name not in buffers}
            ),
        )


def _numbers(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """Return the floating-point tensors by their names without wrappers, tied ones once."""
    short = stripped(checkpoint.tensors)
    once = {memory(tensor): name for name, tensor in reversed(list(checkpoint.tensors.items()))}
    return {
        short[name]: tensor
        for name, tensor in checkpoint.tensors.items()
        if tensor.is_floating_point() and (once[memory(tensor)] == name or not tensor.numel())
    }


def _buffers(subject: Subject, names: Iterable[str]) -> set[str]:
    """Return which names are of buffers: of the model's, where it is given, or by their ends."""
    known = set(RUNNING)
    if subject.model is not None:
        known |= set(stripped(dict(subject.model.named_buffers())).values())
    return {
        name for name in names if name in known or any(name.endswith(f".{one}") for one in known)
    }


def _studied(
    name: str, tensor: Tensor, reference: Tensor | None, generator: torch.Generator
) -> TensorWeights:
    finite = tensor.isfinite()
    bad = int((~finite).sum())
    norm = _exact(tensor)
    matrix = tensor.reshape(len(tensor), -1) if tensor.dim() > 1 and tensor.numel() else None
    spectral = (
        spectral_norm(matrix, generator=generator) if matrix is not None and not bad else None
    )
    same = reference is not None and reference.shape == tensor.shape
    return TensorWeights(
        name=name,
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        norm=norm,
        spectral_norm=spectral,
        stable_rank=_stable_rank(norm.value, spectral) if spectral is not None else None,
        non_finite=bad,
        first_non_finite=tuple((~finite).nonzero()[0].tolist()) if bad else None,
        change=_exact(tensor.double() - reference.double())
        if same and reference is not None
        else None,
    )


def _exact(tensor: Tensor) -> Estimate:
    value = float(torch.linalg.vector_norm(tensor, dtype=torch.float64))
    return Estimate.exact(value, "float64 accumulation")


def _stable_rank(norm: float, spectral: Estimate) -> Estimate:
    low, high = spectral.interval
    if spectral.value == 0:
        return Estimate.exact(0.0, "the matrix is zero")
    interval = ((norm / high) ** 2, (norm / low) ** 2)
    return Estimate(
        value=(norm / spectral.value) ** 2,
        kind=spectral.kind,
        interval=interval,
        level=spectral.level,
        solver=interval if spectral.kind == "estimate" else None,
        status=spectral.status,
        method=f"squared Frobenius over squared spectral norm; {spectral.method}",
    )


def _root_sum(parts: list[Estimate] | list[Estimate | None]) -> Estimate:
    values = [part.value for part in parts if part is not None]
    return Estimate.exact(math.sqrt(math.fsum(v * v for v in values)), "float64 accumulation")


def _value(estimate: Estimate | None) -> float:
    return estimate.value if estimate is not None else math.nan
