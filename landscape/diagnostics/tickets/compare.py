"""How alike masks are: overlaps layer by layer, beside chance, and nesting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, ClassVar

from torch import Tensor

from landscape import progress
from landscape.answer import Result
from landscape.base import Diagnostic, Needs, Question
from landscape.connectivity.labels import distinct
from landscape.errors import ModelError
from landscape.estimate import Estimate
from landscape.pruning.mask import Mask
from landscape.pruning.overlap import overlaps
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.fingerprint import memory
from landscape.subject.files.mask import is_mask, read_mask
from landscape.subject.files.names import stripped
from landscape.subject.subject import Subject
from landscape.tickets.compared import ComparedMask, MaskPair, TicketsCompareResult

FEW = 2


@dataclass(frozen=True, kw_only=True)
class TicketsCompare(Diagnostic[TicketsCompareResult]):
    """How alike masks are: overlaps layer by layer, beside chance, and nesting.

    A mask is a file that `landscape tickets` wrote, boolean tensors in safetensors, or a checkpoint
    whose pruned weights are exactly zero.
    """

    name: ClassVar[str] = "tickets-compare"
    result: ClassVar[type[Result]] = TicketsCompareResult
    question: ClassVar[Question] = "quality"
    needs: ClassVar[Needs] = Needs(model=False, data=False, checkpoints=(2, None), each=False)
    surveyed: ClassVar[bool] = False

    def refuse(self, subject: Subject) -> None:
        """Refuse masks of different networks."""
        _on_common_ground(_masks_of(subject))

    def measure(self, subject: Subject) -> TicketsCompareResult:
        """Return the overlap of every pair of masks."""
        names = distinct(subject.checkpoints)
        masks, left_out = _on_common_ground(_masks_of(subject))
        pairs = list[MaskPair]()
        count = len(names) * (len(names) - 1) // 2
        with progress.task("overlaps", count) as task:
            for a, b in combinations(names, 2):
                pairs.append(_compared(a, masks[a], b, masks[b]))
                task.advance()
        return TicketsCompareResult(
            checkpoint=" – ".join(names) if len(names) == FEW else f"{len(names)} masks",
            masks=tuple(_described(name, mask) for name, mask in masks.items()),
            left_out=left_out,
            pairs=tuple(pairs),
        )


def _masks_of(subject: Subject) -> dict[str, Mask]:
    given = [_mask_of(one) for one in subject.checkpoints]
    return dict(zip(distinct(subject.checkpoints), given, strict=True))


def _mask_of(checkpoint: Checkpoint) -> Mask:
    """Return a mask as its file has it, or as the weights of a checkpoint that are not zero."""
    if checkpoint.path is not None and is_mask(checkpoint.path):
        found = read_mask(checkpoint.path)
        return Mask(kept=found.kept, provenance=found.provenance)
    short = stripped(checkpoint.tensors)
    once = {memory(tensor): name for name, tensor in reversed(list(checkpoint.tensors.items()))}
    return Mask(
        kept={
            short[name]: (tensor != 0).cpu()
            for name, tensor in checkpoint.tensors.items()
            if tensor.is_floating_point() and tensor.dim() > 1 and once[memory(tensor)] == name
        }
    )


def _on_common_ground(given: Mapping[str, Mask]) -> tuple[dict[str, Mask], tuple[str, ...]]:
    """Return masks of the same tensors, without those that none of them prunes.

    Raises:
        ModelError: They are of different networks.
    """
    first, *rest = given.values()
    shared = [name for name in first.kept if all(name in one.kept for one in rest)]
    for name in shared:
        shapes = {tuple(one.kept[name].shape) for one in given.values()}
        if len(shapes) > 1:
            raise _strangers(f"{name!r} has the shapes {', '.join(map(str, sorted(shapes)))}")
    pruned = [name for one in given.values() for name in one.kept if not _whole(one.kept[name])]
    if lost := [name for name in pruned if name not in shared]:
        raise _strangers(f"not all have the tensor {lost[0]!r}, which one of them prunes")
    if not shared:
        raise _strangers("they have no tensor in common")
    used = [name for name in shared if name in set(pruned)] or shared
    masks = {
        name: Mask(kept={key: one.kept[key] for key in used}, provenance=one.provenance)
        for name, one in given.items()
    }
    return masks, tuple(name for name in shared if name not in used)


def _whole(kept: Tensor) -> bool:
    return bool(kept.all())


def _strangers(why: str) -> ModelError:
    return ModelError(
        "the masks are of different networks",
        where="tickets compare",
        why=why,
        hint="compare masks of one architecture",
    )


def _compared(a: str, first: Mask, b: str, second: Mask) -> MaskPair:
    *layers, whole = overlaps(first, second)
    inside, outside = first.within(second), second.within(first)
    nested = "same" if inside and outside else "a in b" if inside else "b in a" if outside else ""
    return MaskPair(
        a=a,
        b=b,
        jaccard=Estimate.exact(whole.jaccard, "counted"),
        chance=Estimate.exact(whole.chance, "expected numbers of independent masks"),
        z=whole.z,
        nested=nested,
        layers=tuple(layers),
    )


def _described(name: str, mask: Mask) -> ComparedMask:
    origin: Any = mask.provenance.get("method", "")
    return ComparedMask(
        name=name, kept=mask.total, weights=sum(mask.sizes.values()), method=str(origin)
    )
