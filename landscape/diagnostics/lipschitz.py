"""Lipschitz constant of the network: proved from above, attained from below, and by layer."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from torch import nn

from landscape.answer import Result
from landscape.base import Diagnostic, Followed, Needs, Option, Question
from landscape.bracket.certificates import Certificates
from landscape.bracket.handed import Handed
from landscape.bracket.judging import answer_of
from landscape.bracket.result import LipschitzResult
from landscape.encode import require_folder
from landscape.errors import ModelError, NumericalError, SettingError
from landscape.lipschitz.attained import Attained, attained
from landscape.lipschitz.certificate import read
from landscape.lipschitz.certified import RATE, operations
from landscape.lipschitz.network import NetworkBound, network_bound
from landscape.lipschitz.pieces import DENSE_SIDE, DENSE_SIZE
from landscape.subject.activations import sizes
from landscape.subject.subject import Subject
from landscape.subject.trial import Trial
from landscape.work import BACKWARD, EXPORTED, Work

BEGINNING = 0.5  # seconds to load what reads the graphs of networks, about
PASSES = 10  # forward and backward passes at a sample, and for each step of a climb
NORMS = 200  # calls to search the norms of layers, about
DESCENT = 100  # steps of a certificate
WRITTEN = 40  # multiplications for each entry cubed, of maps written out and factorised, about
SYMBOLS = 40  # and of the complex matrices of a convolution, one for two frequencies


@dataclass(frozen=True, kw_only=True)
class Lipschitz(Diagnostic[LipschitzResult]):
    """Lipschitz constant of the network: proved from above, attained from below, and by layer.

    Without data, the shape of the inputs is found by trial from the network's layers: the bracket
    is then over all inputs of that shape, or on a ball of the radius given.
    """

    name: ClassVar[str] = "lipschitz"
    result: ClassVar[type[Result]] = LipschitzResult
    question: ClassVar[Question] = "convergence"
    needs: ClassVar[Needs] = Needs(independent=True, shape=True)
    follows: ClassVar[bool] = True
    presets: ClassVar = {
        "quick": {"seconds": 3.0, "starts": 4, "steps": 40, "pair_seconds": 5.0},
        "standard": {},
        "full": {"seconds": 120.0, "starts": 32, "steps": 300, "pair_seconds": 600.0},
    }

    domain: Annotated[
        Literal["auto", "global", "ball"],
        Option("where the bound is to hold; auto: everywhere, or else on the ball of the data"),
    ] = "auto"
    radius: Annotated[
        float, Option("of the ball, in ℓ₂ of a sample; 0: the longest sample", at_least=0)
    ] = 0.0
    seconds: Annotated[
        float, Option("for the certificate of each feed-forward part", at_least=0)
    ] = 10.0
    starts: Annotated[int, Option("samples from which the lower bound climbs", at_least=1)] = 8
    steps: Annotated[int, Option("of each climb", at_least=1)] = 100
    pair_seconds: Annotated[float, Option("for the search of the attaining pair", above=0)] = 8.0
    certificate: Annotated[str, Option("file that certificates are written to; empty: none")] = ""
    witness: Annotated[str, Option("file that the attaining pair is written to; empty: none")] = ""
    verify: Annotated[
        str, Option("file of certificates to prove again instead of searching; empty: none")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.verify and self.certificate:
            raise SettingError(
                "certificates are either written or verified",
                where="lipschitz --certificate, --verify",
                why="what is verified is there already, and what is written is new",
                hint="give one of both",
            )

    def expected(self, subject: Subject) -> str:
        """Return how long the searches may take at each checkpoint."""
        times = f" for each of {len(subject.checkpoints)}" if len(subject.checkpoints) > 1 else ""
        trial = _trial(subject)
        tried = f"; on {trial.named} found by trial" if trial is not None else ""
        return (
            f"at most {self.seconds:g} s for every feed-forward part and {self.pair_seconds:g} s "
            f"for a pair{times}{tried}"
        )

    def work(self, subject: Subject) -> Work:
        """Return what the climbs take, the norms of layers, and a certificate of the matrices.

        How much of a network is one map is not known before it is read: every layer counts alone.
        """
        if subject.batches is None:
            return Work()
        samples, layers = subject.batches.samples, sizes(subject)
        closed = [operations(widths) / RATE for widths in _chains(layers)]
        each = Work(
            gradients=PASSES * (1 + self.steps * min(self.starts, samples) / samples),
            calls=EXPORTED + NORMS + BACKWARD * PASSES * self.steps,
            operations=sum(_norm_operations(*one) for one in layers),
            seconds=sum(min(self.seconds, DESCENT * one) for one in closed if one < self.seconds),
            limit=self.pair_seconds,
        )
        whole = each.times(len(subject.checkpoints))
        return replace(whole, seconds=whole.seconds + BEGINNING)

    def depends(self) -> Mapping[str, Any]:
        """Return the settings, and whether files are to be written or read."""
        path = Path(self.verify)
        if not self.verify or not path.is_file():
            return vars(self)
        return {**vars(self), "file": hashlib.sha256(path.read_bytes()).hexdigest()}

    def refuse(self, subject: Subject) -> None:
        """Refuse files that cannot be read or written, and the ball of data that are not there."""
        trial = _trial(subject)
        if trial is not None and trial.tokens is None and self.domain == "ball" and not self.radius:
            raise SettingError(
                "the radius of the ball is not known",
                where="Lipschitz.domain",
                why="it is that of the longest sample, and no data were given",
                hint="give --radius, or --data",
            )
        if self.verify:
            read(Path(self.verify))
        for name, what in ((self.certificate, "the certificates"), (self.witness, "the pair")):
            if name:
                require_folder(Path(name), what)

    def measure(self, subject: Subject) -> LipschitzResult:
        """Return the bracket at the subject's checkpoint."""
        return self.follow(subject, None).answer

    def follow(self, subject: Subject, before: np.ndarray | None) -> Followed[LipschitzResult]:
        """Return the bracket, its searches from above begun where the checkpoint before ended."""
        trial = _trial(subject)
        studied = subject if trial is None else subject.tried()
        generator = torch.Generator().manual_seed(self.seed)
        handed = Handed.unpacked(before)
        chains = Certificates(seconds=self.seconds, file=self.verify, starts=handed.certificates)
        bound = network_bound(
            studied,
            subject.point,
            domain=self._domain(trial),
            radius=self.radius or None,
            certify=chains.certify,
            starts=handed.vectors,
            generator=generator,
        )
        chains.require_all_used()
        own = torch.Generator().manual_seed(self.seed)  # whatever the bound has drawn
        reached = self._attained(studied, bound, own)
        self._write(subject, chains, reached)
        answer = answer_of(subject, bound, chains, reached, trial)
        left = Handed(certificates=chains.found, vectors=bound.vectors)
        return Followed(answer, left.packed)

    def _domain(self, trial: Trial | None) -> Literal["auto", "global", "ball"]:
        """Return where the bound is to hold: without data there is no ball but of a radius."""
        unknown = trial is not None and trial.tokens is None and not self.radius
        return "global" if unknown else self.domain

    def _attained(
        self, subject: Subject, bound: NetworkBound, generator: torch.Generator
    ) -> Attained | str:
        """Return the lower bound; the reason, where there is none."""
        if not bound.floating:
            return "between token ids there is no distance; the upper side is of their embeddings"
        radius = bound.radius if math.isfinite(bound.radius) else None
        try:
            return attained(
                subject,
                subject.point,
                starts=self.starts,
                steps=self.steps,
                radius=radius,
                seconds=self.pair_seconds,
                generator=generator,
            )
        except (ModelError, NumericalError) as error:  # of the lower side alone: the upper stands
            return error.what

    def _write(self, subject: Subject, chains: Certificates, reached: Attained | str) -> None:
        if self.certificate:
            chains.write(Path(self.certificate))
        if self.witness and isinstance(reached, Attained):
            fingerprint = subject.weights_fingerprint(subject.checkpoint)
            reached.witness.save(Path(self.witness), weights_fingerprint=fingerprint)


def _chains(layers: Sequence[tuple[nn.Module, int, int]]) -> list[list[int]]:
    """Return the widths of runs of several matrices of which each takes what the last gives."""
    runs: list[list[int]] = [[]]
    for module, entering, leaving in layers:
        alone = isinstance(module, nn.Linear) and entering == module.in_features
        if alone and runs[-1][-1:] == [entering]:
            runs[-1].append(leaving)
        else:
            runs.append([entering, leaving] if alone else [])
    return [one for one in runs if len(one) > 2]


def _norm_operations(module: nn.Module, entering: int, leaving: int) -> float:
    """Return what the norms take in which a layer has a part, about.

    A small map is written out as a matrix; another convolution is a matrix at every frequency.
    """
    side = min(entering, leaving)
    if side <= DENSE_SIDE and entering * leaving <= DENSE_SIZE:
        return WRITTEN * float(side) ** 3
    if not isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return 0.0
    groups, (outer, inner) = module.groups, module.weight.shape[:2]
    frequencies = leaving / outer / 2
    return SYMBOLS * frequencies * groups * float(min(outer // groups, inner)) ** 3


def _trial(subject: Subject) -> Trial | None:
    """Return the inputs that stand in for data; None where there are some."""
    trial = subject.trial if subject.batches is None else None
    return trial if isinstance(trial, Trial) else None
