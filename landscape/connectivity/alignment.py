"""A network permuted towards another, by symmetries that are inferred and proved once."""

from __future__ import annotations

from typing import Literal

import torch

from landscape.connectivity.result import Alignment, Group
from landscape.errors import ModelError
from landscape.subject.normalisation import some_batches
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.activation_matching import match_activations
from landscape.symmetry.groups import Symmetry, infer
from landscape.symmetry.override import read
from landscape.symmetry.proof import prove
from landscape.symmetry.weight_matching import match_weights

Matching = Literal["weights", "activations"]


class Aligner:
    """The permutation symmetry of a network, proved in float64 before any use.

    Args:
        subject: Whose network.
        override: A file that says what the graph does not; empty: none.
        seed: Of the permutations that prove it.

    Raises:
        ModelError: A permutation that should leave the outputs alone changes them, or nothing can
            be permuted.
    """

    def __init__(self, subject: Subject, *, override: str, seed: int) -> None:
        self.symmetry: Symmetry = infer(subject, override=read(override) if override else None)
        if not self.symmetry.groups:
            raise ModelError(
                "no units of this network may change places",
                where=type(subject.model).__name__,
                why=f"operations that are not known: {', '.join(self.symmetry.unknown) or 'none'}",
                hint="see --explain, and name groups in an --override file",
            )
        generator = torch.Generator().manual_seed(seed)
        self.proof = prove(subject, self.symmetry, generator)

    def aligned(
        self, subject: Subject, a: Point, b: Point, *, matching: Matching, restarts: int, seed: int
    ) -> tuple[Point, Alignment]:
        """Return b with its units in the order in which they are nearest to those of a.

        Args:
            subject: Whose network and data.
            a: Stays.
            b: Is permuted.
            matching: By weights, or by the correlation of activations on the data.
            restarts: Of the matching by weights, from random orders.
            seed: Of these.
        """
        network = subject.network
        generator = torch.Generator().manual_seed(seed)
        if matching == "weights":
            found = match_weights(
                self.symmetry,
                network.tensors(a),
                network.tensors(b),
                generator=generator,
                restarts=restarts,
            )
        else:
            batches = some_batches(subject)
            found = match_activations(subject, self.symmetry, a, b, batches, generator=generator)
        moved = network.point(self.symmetry.apply(found.permutation, network.tensors(b)))
        kept = found.permutation.recovered(self.symmetry.identity())
        return moved, Alignment(
            method=matching,
            groups=len(self.symmetry.groups),
            moved=float(self.symmetry.moved_share),
            units=1 - float(kept),
            proof=float(self.proof.error),
            distance=_distance(a, moved) / (_distance(a, b) or 1.0),
        )

    def explained(self) -> tuple[Group, ...]:
        """Return what may change places, tied by which operations, and what may not, and why."""
        free = [
            Group(
                name=group.name,
                kind=group.kind,
                size=group.size,
                axes=", ".join(f"{name}:{axis}" for name, axis in group.places),
                reason="tied by " + (", ".join(group.ties) or "one tensor alone"),
            )
            for group in self.symmetry.groups
        ]
        fixed = [
            Group(
                name=f"{one.tensor}:{one.axis}",
                kind="frozen",
                size=self.symmetry.shapes[one.tensor][one.axis],
                axes=f"{one.tensor}:{one.axis}",
                reason=one.reason,
            )
            for one in self.symmetry.frozen
        ]
        return (*free, *fixed)


def _distance(a: Point, b: Point) -> float:
    return float(torch.linalg.vector_norm((a.theta - b.theta).double()))
