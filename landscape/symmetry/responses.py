"""How the units of two networks respond to the same inputs, and how alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd  # pyright: ignore[reportPrivateUsage]

from landscape.errors import SettingError
from landscape.subject.activations import Side, watching
from landscape.subject.batch import Batch
from landscape.subject.moments import Comoments
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.symmetry.groups import Symmetry

POSITIONS = 16  # of each sample at most: neighbours in a picture tell the same
MATRIX = 2  # axes that samples and units need
WIDER = 2  # than its group's shortest axis: longer ones, as after a flatten, are not looked at

Place = tuple[str, int]  # a tensor and its axis


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where the units of one axis are seen: a module, and the axis of its activation."""

    module: str
    side: Side
    axis: int


def sites(
    subject: Subject, symmetry: Symmetry, point: Point, batches: Iterable[Batch]
) -> dict[Place, Site]:
    """Return where each group is seen; groups that no module shows have no place among them.

    Raises:
        SettingError: There are no batches.
    """
    model = subject.network.model
    places = {place for group in symmetry.groups for place in group.places} & symmetry.axes.keys()
    known = {place: one for place in places if (one := _site(model, place)) is not None}
    called = _called(subject, {one.module for one in known.values()}, point, batches)
    found: dict[Place, Site] = {}
    for group in symmetry.groups:
        shown = [p for p in group.places if p in known and known[p].module in called]
        lengths = {(name, axis): symmetry.shapes[name][axis] for name, axis in shown}
        short = [place for place, n in lengths.items() if n <= WIDER * min(lengths.values())]
        found |= {place: known[place] for place in short}
    return found


def correlations(
    subject: Subject, places: Mapping[Place, Site], a: Point, b: Point, batches: Iterable[Batch]
) -> dict[Place, Tensor]:
    """Return the correlation of each unit of a with each of b (C, C), for every axis seen."""
    found: dict[Place, Comoments] = {}
    with subject.undisturbed(0), torch.no_grad():
        for batch in batches:
            ours = _responses(subject, places, a, batch)
            theirs = _responses(subject, places, b, batch)
            for place, rows in ours.items():
                for left, right in zip(rows, theirs[place], strict=True):
                    own = Comoments.of(left, right)
                    found[place] = found[place].merged(own) if place in found else own
    return {place: one.correlation for place, one in found.items()}


def _responses(
    subject: Subject, places: Mapping[Place, Site], point: Point, batch: Batch
) -> dict[Place, list[Tensor]]:
    """Return the activations (N, C) of one batch, one for each call of the module."""
    seen: dict[Place, list[Tensor]] = {place: [] for place in places}
    named = {(one.module, one.side): (place, one.axis) for place, one in places.items()}

    def watched(side: Side) -> None:
        def see(name: str, activation: Tensor) -> None:
            place, axis = named[name, side]
            seen[place].append(_rows(activation, axis))

        names = [name for name, own in named if own == side]
        stack.enter_context(watching(subject, names, see, side=side))

    with ExitStack() as stack:
        watched("input")
        watched("output")
        subject.outputs(point, batch.to(point.theta.device, point.theta.dtype))
    return seen


def _rows(activation: Tensor, axis: int) -> Tensor:  # (N, C)
    """Return an activation at evenly spread positions of each sample, as a copy."""
    last = activation.movedim(axis, -1)
    each = last.reshape(len(last), -1, last.shape[-1])
    count = min(each.shape[1], POSITIONS)
    spread = torch.linspace(0, each.shape[1] - 1, count, device=each.device).long()
    return each.index_select(1, spread).flatten(0, 1)


def _called(
    subject: Subject, names: Iterable[str], point: Point, batches: Iterable[Batch]
) -> set[str]:
    """Return the modules that a forward pass calls with samples.

    What others compute for them is not seen, nor is what they compute from weights alone.
    """
    first = next(iter(batches), None)
    if first is None:
        raise SettingError(
            "no batches to compare activations on",
            where="activation matching",
            why="they were empty, or an iterator that had been used up",
            hint="give a list, or what subject.batches holds",
        )
    found: set[str] = set()
    without: set[str] = set()

    def see(name: str, activation: Tensor) -> None:
        (found if activation.dim() >= MATRIX else without).add(name)

    with subject.undisturbed(0), torch.no_grad(), watching(subject, names, see):
        subject.outputs(point, first.to(point.theta.device, point.theta.dtype))
    return found - without


def _site(model: nn.Module, place: Place) -> Site | None:
    tensor, axis = place
    name, _, part = tensor.rpartition(".")
    module = model.get_submodule(name) if part == "weight" else None
    side: Side = "output" if axis == 0 else "input"
    match module:
        case nn.Linear():
            return Site(module=name, side=side, axis=-1)
        case nn.Embedding() if axis == 1:
            return Site(module=name, side="output", axis=-1)
        case _ConvTransposeNd() if module.groups == 1 and axis < 2:
            return Site(module=name, side="input" if axis == 0 else "output", axis=1)
        case _ConvTransposeNd():
            return None
        case _ConvNd() if axis == 0 or (axis == 1 and module.groups == 1):
            return Site(module=name, side=side, axis=1)
        case _:
            return None
