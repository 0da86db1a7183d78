"""The question: do activations, and what training does to them, stay the same size with width?"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape import progress
from landscape.answer import Cost
from landscape.coordinates.family import (
    Family,
    check_family,
    drawn_from,
    family_of,
    refuse_other_modules,
)
from landscape.coordinates.optimizer import OptimizerFactory, optimizer_of
from landscape.coordinates.result import CoordcheckResult, ModuleScaling, not_finite
from landscape.coordinates.settings import (
    LEAST,
    SAMPLES,
    SEEDS,
    STEPS,
    TOLERANCE,
    WIDTHS,
    checked_widths,
)
from landscape.coordinates.slopes import Outcome, exponent, gravest, judged
from landscape.coordinates.tables import message_of
from landscape.coordinates.trace import Trace, followed
from landscape.errors import SettingError
from landscape.estimate import Status
from landscape.subject.attach import attach_data
from landscape.subject.batch import Batch
from landscape.subject.cost import measuring
from landscape.subject.losses import Loss
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import undisturbed

KEPT = ("data", "sources", "synthetic", "batches_hash", "loss", "dtype", "notes")
SURROUNDINGS = ("landscape", "torch", "numpy", "python", "system", "device", "device_name")
FLAGS = ("threads", "tf32", "deterministic")


@dataclass(frozen=True, kw_only=True)
class Coordcheck:
    """The coordinate check of a parametrisation: exponents of the width, module by module.

    For networks of several widths that are trained alike, the slopes of ln E|x_l(t)| and
    ln E|x_l(t) − x_l(0)| in ln(width) for the activation x_l of every module after t = 0 … T steps
    on one fixed batch; and those of ln E|(W_l(t) − W_l(0)) z_l(t)| for every linear layer,
    convolution and embedding with input z_l, which tell what a layer learns by itself from what
    comes from below. Under µP they are zero: no activation grows with the width, and every layer
    learns as much in a wide network as in a narrow one.

    Args:
        widths: At least three; four or more, over a factor of eight, give intervals that decide.
        argument: The argument of the factory that is the width.
        optimizer: `sgd`, `adam` or `adamw` with one learning rate for all, or `file.py:function`,
            or a function, called with the network and those of `learning_rate` and `width` that it
            takes: learning rates by layer belong to the parametrisation.
        learning_rate: None: 0.01; of a function its own.
        steps: How many are taken.
        seeds: Networks of every width; their slopes give the intervals.
        samples: In the fixed batch, at most.
        tolerance: The exponent that still passes as zero. Those of theory are multiples of 1/2.
        seed: Of every random draw.
        device: `auto` (CUDA where there is one), or a PyTorch device.
        dtype: `auto` (as the factory makes it), `float32` or `float64`.

    Raises:
        SettingError: A setting is out of its bounds.

    Differs from the source: sizes may fall with the width (outputs of µP do before training), and
    whether a slope is zero is decided by its interval.

    Source: Yang et al. 2022, arXiv 2203.03466, §4, appendix D.1.
    """

    widths: Sequence[int] = WIDTHS
    argument: str = "width"
    optimizer: str | Callable[..., Optimizer] = "adam"
    learning_rate: float | None = None
    steps: int = STEPS
    seeds: int = SEEDS
    samples: int = SAMPLES
    tolerance: float = TOLERANCE
    seed: int = 0
    device: str = "auto"
    dtype: str = "auto"

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", checked_widths(self.widths))
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise _out_of_bounds(name, getattr(self, name), f"at least {least}")
        for name in ("tolerance", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise _out_of_bounds(name, value, "above 0 and finite")

    def run(
        self,
        model: str | Callable[..., nn.Module],
        data: object,
        loss: Loss | str | Callable[[Any, Any], Tensor] = "auto",
        *,
        allow_download: bool = False,
    ) -> CoordcheckResult:
        """Return the exponents and whether they pass.

        Args:
            model: A factory that takes the width: a function, or a spec string such as
                `nets.py:build,depth=3`. It draws the weights from PyTorch's global generator,
                which is seeded for it.
            data: What `Subject` takes.
            loss: What `Subject` takes.
            allow_download: Whether torchvision may fetch data that are missing.

        Raises:
            ModelError: Networks of different width cannot be compared, or one fails.
            InputError: Something given cannot be used.

        Cost: for every width and seed, steps + 1 forward and steps backward passes of one batch,
        and as many again of the layers alone that have weights.
        """
        started = time.perf_counter()
        family = family_of(model, self.argument)
        optimizer = optimizer_of(self.optimizer, self.learning_rate)
        with undisturbed(None, self.seed):
            parameters = check_family(family, self.widths, self.seed)
            subject = self._subject(family, attach_data(data, allow_download=allow_download), loss)
            batch = _checked_batch(subject, self.samples)
            with measuring(subject.device) as meter:
                traces = self._traces(family, optimizer, subject, batch)
        modules = _modules(traces, self.widths, self.tolerance)
        broken = not_finite(modules)
        told = Status.NOT_FINITE if broken else Status.CONVERGED
        losses = np.array([[one.loss for one in row] for row in traces])  # (seeds, w, steps + 1)
        answer = CoordcheckResult(
            model=family.text,
            optimizer=optimizer.text,
            widths=tuple(self.widths),
            parameters=parameters,
            tolerance=self.tolerance,
            verdict=_overall(modules),
            modules=modules,
            loss=losses.mean(0).T,
            status=told,
            settings=self._settings(optimizer),
            seed=self.seed,
            cost=Cost(
                seconds=time.perf_counter() - started,
                peak_memory_bytes=meter.peak_memory_bytes(),
                samples=batch.samples,
            ),
            provenance={**_provenance(subject), "model": family.text},
        )
        return dataclasses.replace(answer, message=broken or message_of(answer))

    def _subject(self, family: Family, data: object, loss: Any) -> Subject:
        """Return the narrowest network with the data: what they have to fit is checked on it."""
        return Subject(
            family.at(self.widths[0], self.seed),
            loss,
            data,
            device=self.device,
            dtype=self.dtype,
            max_samples=self.samples,
            seed=self.seed,
        )

    def _traces(
        self, family: Family, optimizer: OptimizerFactory, subject: Subject, batch: Batch
    ) -> list[list[Trace]]:
        """Return what every network did, by seed and width."""
        criterion = subject.criterion
        seeds = range(self.seed, self.seed + self.seeds)
        traces: list[list[Trace]] = [[] for _ in seeds]
        with progress.task("coordinate check", self.seeds * len(self.widths)) as task:
            for row, seed in zip(traces, seeds, strict=True):
                for width in self.widths:
                    network = family.at(width, seed).to(subject.device, subject.dtype)
                    made, drawn = optimizer(network, width), drawn_from(seed, width)
                    row.append(
                        followed(network, batch, criterion, made, steps=self.steps, seed=drawn)
                    )
                    names = traces[0][0].names
                    refuse_other_modules(names, row[-1].names, self.widths[0], width)
                    task.advance()
        return traces

    def _settings(self, optimizer: OptimizerFactory) -> dict[str, Any]:
        fields = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return {**fields, "optimizer": optimizer.text, "learning_rate": optimizer.learning_rate}


def _checked_batch(subject: Subject, samples: int) -> Batch:
    """Return the one batch, after network, targets and loss were found to fit."""
    batches = subject.batches
    if batches is None:
        raise SettingError(
            "no data were given",
            where="Coordcheck.run",
            why="every network takes its steps on one batch of data",
            hint="give --data",
        )
    batch = next(regrouped(batches.on(subject.device, subject.dtype), samples))
    with subject.undisturbed(0), torch.no_grad():
        outputs = subject.outputs(subject.point, batch)
        subject.criterion.check(outputs, batch.targets)
    return batch


def _modules(
    traces: list[list[Trace]], widths: Sequence[int], tolerance: float
) -> tuple[ModuleScaling, ...]:
    first = traces[0][0]
    size = np.array([[one.size for one in row] for row in traces])  # (seeds, w, steps + 1, modules)
    change = np.array([[one.change for one in row] for row in traces])
    learnt = np.array([[one.learnt for one in row] for row in traces])
    own = first.weighted
    return tuple(
        _module(
            name,
            kind,
            widths,
            (size[..., i], change[..., i], learnt[..., i] if name in own else None),
            tolerance,
        )
        for i, (name, kind) in enumerate(zip(first.names, first.kinds, strict=True))
    )


def _module(
    name: str,
    kind: str,
    widths: Sequence[int],
    seen: tuple[np.ndarray, np.ndarray, np.ndarray | None],  # (seeds, w, steps + 1) each
    tolerance: float,
) -> ModuleScaling:
    x = np.array(widths, dtype=np.float64)
    size, change, learnt = seen
    sizes = tuple(exponent(x, size[..., t]) for t in range(size.shape[-1]))
    changes, own = (
        tuple(exponent(x, one[..., t]) for t in range(1, size.shape[-1])) if one is not None else ()
        for one in (change, learnt)
    )
    of_sizes: list[Outcome] = [judged(one, tolerance, may_fall=True) for one in sizes]
    of_changes: list[Outcome] = [judged(one, tolerance, may_fall=False) for one in changes]
    of_own: list[Outcome] = [judged(one, tolerance, may_fall=False, bends=True) for one in own]
    return ModuleScaling(
        name=name,
        kind=kind,
        sizes=sizes,
        changes=changes,
        own=own,
        size=_geometric_mean(size),
        change=_geometric_mean(change),
        learnt=_geometric_mean(learnt) if learnt is not None else None,
        outcome=gravest([*of_sizes, *of_changes, *of_own]),
    )


def _geometric_mean(values: np.ndarray) -> np.ndarray:  # (seeds, w, t) -> (t, w)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.exp(np.log(values).mean(0)).T


def _overall(modules: Sequence[ModuleScaling]) -> Outcome:
    """Return the gravest outcome; undecided where training moved nothing at all."""
    outcome = gravest([one.outcome for one in modules])
    moved = any(slope is not None for one in modules for slope in one.changes)
    return outcome if moved or outcome == "fail" else "undecided"


def _provenance(subject: Subject) -> dict[str, Any]:
    found = subject.provenance()
    return {name: found[name] for name in (*SURROUNDINGS, *FLAGS, *KEPT)}


def _out_of_bounds(name: str, value: object, bounds: str) -> SettingError:
    return SettingError(
        f"Coordcheck.{name} must be {bounds}, got {value!r}",
        where=f"Coordcheck.{name}",
        why="outside these bounds there are no exponents to judge",
        hint=f"the default is {getattr(Coordcheck, name)!r}",
    )
