"""The curvature along directions of a surface, computed twice, or why it is not."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from landscape import budget
from landscape.budget import BudgetError
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.subject import Subject
from landscape.surfaces.curvature import Check, Products, checks, exactly, products
from landscape.surfaces.directions import Directions
from landscape.surfaces.samples import Samples

SHARE = 1.0  # of the passes that a surface takes: what its checks may take before the last one
FREE = 20_000  # samples passed through the network, up to which checks are made all the same

Checked = tuple[tuple[Check, ...], str]  # the curvature, computed twice; why it is not everywhere


def checked(
    own: Subject,
    samples: Samples,
    directions: Directions,
    name: str,
    seen: Products | None,
    *,
    points: int,
) -> Checked:
    """Return the curvature along directions, computed twice, or why it is not.

    On the samples of the surface: along the first direction, and along each other while that
    has taken no more passes over them than the surface, or passed 20,000 samples.

    Args:
        own: At the checkpoint.
        samples: Of the surface.
        directions: Of the surface.
        name: Of the checkpoint.
        seen: What products say on all of the data, where that is known.
        points: Of the surface.
    """
    try:
        budget.require("the curvature was checked")
        alone = samples.alone()
        exact, units = exactly(alone), directions.units
        used = alone.batches.samples if alone.batches is not None else 1
        most = max(SHARE * points, FREE / used)
        if seen is None or alone is not own:
            seen = products_along(exact, units)
        found = checks(exact, units, directions.names, checkpoint=name, seen=seen, most=most)
    except BudgetError as error:
        return (), error.what
    return found, ""


def products_along(exact: Subject, units: Sequence[Tensor]) -> Products:
    """Return what products say along unit vectors, computed once for the same vectors."""

    def direction_products(subject: Subject, *, directions: str) -> Products:
        del directions  # part of the key
        return products(subject, units)

    return exact.once(direction_products, directions=_digest(units))


def _digest(vectors: Sequence[Tensor]) -> str:
    return " ".join(fingerprint({"vector": one}) for one in vectors)
