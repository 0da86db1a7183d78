"""The permutations of its units under which a network's function stays the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.subject.batch import Batch
from landscape.subject.graph import Exported, exported
from landscape.subject.subject import Subject
from landscape.symmetry import permutation, samples
from landscape.symmetry.axes import Atom, Axes, freeze_all, fresh, root, size_of, within
from landscape.symmetry.defects import told
from landscape.symmetry.dependence import Outers, outers
from landscape.symmetry.override import Override
from landscape.symmetry.permutation import Block, Group, Permutation
from landscape.symmetry.rules import Walk, walk
from landscape.symmetry.segments import Segment, movable_share, segments


@dataclass(frozen=True)
class FrozenAxis:
    """An axis that keeps its order, wholly or in part, and the operation that demands it."""

    tensor: str
    axis: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Symmetry:
    """The groups of a network, and where they act.

    Outputs in eval mode are the same for every permutation in it, if the rules of its operations
    are right: `proof.prove` tests that.
    """

    groups: tuple[Group, ...]
    blocks: Mapping[str, tuple[Block, ...]]  # by tensor
    axes: Mapping[tuple[str, int], tuple[Block, ...]]  # of a square matrix over an axis: its rows
    shapes: Mapping[str, tuple[int, ...]]
    statistics: tuple[str, ...]  # tensors that move without being weights
    frozen: tuple[FrozenAxis, ...]
    moved_share: float  # of the numbers of the parameters that the forward uses
    unknown: Mapping[str, tuple[str, ...]]  # operations without a rule, and where they stand
    route: str
    samples: tuple[Batch, ...] = field(default=(), compare=False, repr=False)  # it was read with

    def identity(self) -> Permutation:
        """Return the permutation that leaves every unit in its place."""
        return permutation.identity(self.groups)

    def random(self, generator: torch.Generator) -> Permutation:
        """Return a uniformly random permutation of every group."""
        return permutation.random(self.groups, generator)

    def apply(self, order: Permutation, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the tensors of the network with its units reordered.

        Args:
            order: A permutation of these groups.
            tensors: Parameters and buffers by name, as `Network.tensors` gives them.

        Returns:
            All of them: weights and running statistics reordered, the others as they are.
        """
        found = dict(tensors)
        for name, blocks in self.blocks.items():
            source = tensors[name].detach().contiguous()
            found[name] = source.clone()
            for block in blocks:
                piece = block.permuted(block.view(source), order.orders)
                block.view(found[name]).copy_(piece)
        return found


def infer(subject: Subject, *, override: Override | None = None) -> Symmetry:
    """Return the permutation symmetries of a subject's network.

    The forward is exported as a graph of ATen operations. Every axis of every value is a product
    and concatenation of unknown permutations; each operation ties those that must be equal, and
    freezes what it mixes. Inputs, outputs, constants and unknown operations are frozen. There is
    a graph for every shape that batches have, at most four; where branches follow values, one for
    each of eight batches as well. What holds holds in all of them.

    Args:
        subject: The network, and data to call it with.
        override: What the user knows better; see `landscape.symmetry.override`.

    Raises:
        SettingError: There are no data.
        ModelError: No graph can be made or understood, or the override does not fit.

    Source: Ainsworth, Hayase, Srinivasa 2023 (arXiv:2209.04836) for the groups; Theus et al. 2025
    for heads. Differs from the sources: groups are inferred for any network, not written by hand.
    """
    network, override = subject.network, override or Override()
    names = {name for name, _ in network.model.named_parameters()}
    with told("the permutations of this network could not be worked out", subject.network.model):
        state, route, read = _walked(subject, override)
        override.apply(state)
        return _symmetry(state, names, route, read)


def _walked(subject: Subject, override: Override) -> tuple[Walk, str, tuple[Batch, ...]]:
    network = subject.network
    constants = [name for name, _ in network.model.named_buffers()]
    try:
        graphs, batches = _graphs(subject)
    except ModelError:
        if not override.groups:
            raise
        labels = {name: tuple(fresh(n) for n in t.shape) for name, t in network.own.items()}
        for axes in labels.values():
            freeze_all(axes, "no graph: only the override's groups move")
        state = Walk(labels, joints=list(labels.values()))
        heads = tuple(batch.head(samples.SAMPLES) for batch in samples.by_shape(subject))
        return state, "override", heads
    state = walk(graphs, network.own, constants, _aliases(subject), override.like)
    return state, graphs[-1].route, batches


def _graphs(subject: Subject) -> tuple[list[Exported], tuple[Batch, ...]]:
    """Return graphs of the forward, and the samples that each was read with."""
    found = [_graph(subject, batch) for batch in samples.by_shape(subject)]
    if any(graph.route == "trace" for graph, _ in found):  # branches may follow values
        found += [_graph(subject, batch, whole=True) for batch in samples.spread(subject)]
    return [graph for graph, _ in found], tuple(batch for _, batch in found)


def _graph(subject: Subject, batch: Batch, *, whole: bool = False) -> tuple[Exported, Batch]:
    model, own = subject.network.model, subject.network.own
    first = next(iter(own.values()))
    floating = next((t for t in own.values() if t.is_floating_point()), first)

    def graph(part: Batch) -> Exported:
        placed = part.to(first.device, floating.dtype)
        return exported(model, placed.args, placed.kwargs, subject.criterion)

    head = batch if whole else batch.head(samples.SAMPLES)
    try:
        return graph(head), head
    except ModelError:
        if head.samples == batch.samples:
            raise
        return graph(batch), batch  # its length may mean something


def _aliases(subject: Subject) -> dict[str, str]:
    """Return, for every further name of a tied tensor, its first one."""
    model = subject.network.model
    first: dict[int, str] = {}
    found = {}
    for many in (model.named_parameters, model.named_buffers):
        for name, tensor in many(remove_duplicate=False):
            found[name] = first.setdefault(id(tensor), name)
    return found


def _symmetry(state: Walk, parameters: set[str], route: str, read: tuple[Batch, ...]) -> Symmetry:
    depends = outers(state.tensors.values(), state.joints)
    pieces = {name: list(segments(axes)) for name, axes in state.tensors.items()}
    _check_covered(state.tensors, pieces)
    groups = _groups(pieces, depends)
    blocks = {}
    for name, axes in state.tensors.items():
        shape = tuple(map(size_of, axes))
        found = [_block(segment, shape, groups, depends) for segment in pieces[name]]
        moving = tuple(block for block in found if any(block.groups))
        if moving:
            blocks[name] = moving
    return Symmetry(
        groups=tuple(groups.values()),
        blocks=blocks,
        axes=dict(_rows(state.tensors, groups, depends)),
        shapes={name: tuple(map(size_of, axes)) for name, axes in state.tensors.items()},
        statistics=tuple(name for name in blocks if name not in parameters),
        frozen=tuple(_frozen(pieces)),
        moved_share=_moved_share(state.tensors, parameters - state.unused),
        unknown={name: tuple(dict.fromkeys(where)) for name, where in state.unknown.items()},
        route=route,
        samples=read,
    )


def _check_covered(tensors: Mapping[str, Axes], pieces: Mapping[str, list[Segment]]) -> None:
    """Raise `ValueError` where the pieces of a tensor leave numbers out, or hold them twice."""
    for name, axes in tensors.items():
        covered = sum(math.prod(each.size for each in one.dimensions) for one in pieces[name])
        if covered != math.prod(map(size_of, axes)):
            raise ValueError(f"the pieces of {name} do not cover it once")


def _groups(pieces: Mapping[str, list[Segment]], depends: Outers) -> dict[Atom, Group]:
    places: dict[Atom, dict[tuple[str, int], None]] = {}
    for name, found in pieces.items():
        for each in (dimension for segment in found for dimension in segment.dimensions):
            if not each.atom.frozen:
                places.setdefault(each.atom, {})[name, each.axis] = None
    names = _names(places)
    outer = {atom for mine in depends.values() for atom in mine}
    return {
        atom: Group(
            name=names[atom],
            size=atom.size,
            kind="inner" if depends.get(atom) else "heads" if atom in outer else "plain",
            outers=tuple(names[each] for each in depends.get(atom, ())),
            places=tuple(where),
            ties=tuple(atom.ties),
        )
        for atom, where in places.items()
    }


def _names(places: Mapping[Atom, Mapping[tuple[str, int], None]]) -> dict[Atom, str]:
    """Return a name for each group: the first tensor that it is the output axis of."""
    taken: dict[str, int] = {}
    names = {}
    for atom, where in places.items():
        tensor, axis = next((place for place in where if place[1] == 0), next(iter(where)))
        name = f"{tensor}:{axis}"
        taken[name] = taken.get(name, 0) + 1
        names[atom] = name if taken[name] == 1 else f"{name}#{taken[name]}"
    return names


def _block(
    segment: Segment, shape: tuple[int, ...], groups: Mapping[Atom, Group], depends: Outers
) -> Block:
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    dimensions = segment.dimensions
    found = [groups.get(each.atom) for each in dimensions]
    beside = [
        [segment.beside(i, outer) for outer in depends.get(each.atom, ())]
        for i, each in enumerate(dimensions)
    ]
    return Block(
        offset=sum(start * step for start, step in zip(segment.offsets, steps, strict=True)),
        sizes=tuple(each.size for each in dimensions),
        strides=tuple(each.stride * steps[each.axis] for each in dimensions),
        groups=tuple(group.name if group else None for group in found),
        beside=tuple(tuple(i for i in each if i is not None) for each in beside),
    )


def _rows(
    tensors: Mapping[str, Axes], groups: Mapping[Atom, Group], depends: Outers
) -> Iterator[tuple[tuple[str, int], tuple[Block, ...]]]:
    """Yield the axes that hold all that their groups depend on, each with its blocks."""
    for name, axes in tensors.items():
        for i, label in enumerate(axes):
            size = size_of(label)
            atoms = within(label)
            if any(atom.copies and root(atom.copies[0]) not in atoms for atom in atoms):
                continue  # its order is another at each index of another axis
            found = list(segments((label, fresh(size, "column"))))
            if all(
                segment.beside(j, outer) is not None
                for segment in found
                for j, each in enumerate(segment.dimensions)
                for outer in depends.get(each.atom, ())
            ):
                blocks = (_block(each, (size, size), groups, depends) for each in found)
                if moving := tuple(block for block in blocks if any(block.groups)):
                    yield (name, i), moving


def _frozen(pieces: Mapping[str, list[Segment]]) -> list[FrozenAxis]:
    found = {}
    for name, segments_ in pieces.items():
        for each in (dimension for segment in segments_ for dimension in segment.dimensions):
            if each.atom.reason is not None:
                found.setdefault((name, each.axis), each.atom.reason)
    return [FrozenAxis(name, axis, reason) for (name, axis), reason in found.items()]


def _moved_share(tensors: Mapping[str, Axes], parameters: set[str]) -> float:
    sizes = {name: math.prod(map(size_of, tensors[name])) for name in parameters}
    moved = sum(movable_share(tensors[name]) * size for name, size in sizes.items())
    return moved / max(sum(sizes.values()), 1)
