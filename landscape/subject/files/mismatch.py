"""What to say when a file and a model do not fit: the nearest names, the shapes, the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from landscape.errors import CheckpointError
from landscape.subject.files.wording import cut, listed

MAX_SHOWN = 10
MAX_COMPARED = 1_000
MAX_NAME = 256  # longer names are not compared letter by letter

Shapes = Mapping[str, tuple[int, ...]]


def mismatch(
    file: Shapes,
    model: Shapes,
    missing: list[str],
    pairs: Mapping[str, str],
    unused: list[str],
    where: str,
) -> CheckpointError:
    """Return the error for required names that the file lacks or holds in another shape.

    Args:
        file: Shapes by the names in the file.
        model: Shapes by the names in the model, in its order.
        missing: The required model names without a fitting tensor.
        pairs: Model names and file names that agree, whatever their shapes.
        unused: File names without a partner.
        where: The file.
    """
    shapes = [name for name in missing if name in pairs]
    absent = [name for name in missing if name not in pairs]
    lines = [
        f"{cut(name)}: checkpoint {_extents(file[pairs[name]])}, model {_extents(model[name])}"
        for name in shapes[:MAX_SHOWN]
    ]
    if absent:
        lines.append(f"missing ({len(absent)}): {listed(absent)}")
    if unused:
        lines.append(f"unexpected ({len(unused)}): {listed(unused)}")
    if near := _nearest(file, model, absent, unused):
        lines.append(f"nearest names: {near}")
    classes = _classes(file, model, shapes, absent, pairs)
    if classes is not None:
        what = f"{lines[0]}; try num_classes={classes}"
        hint = f"build the model with num_classes={classes}, or pass the matching checkpoint"
    elif shapes and not absent:
        what = lines[0]
        hint = "pass the architecture and settings that the checkpoint was trained with"
    elif not pairs:
        what = f"none of the model's {len(missing)} parameters is in this checkpoint"
        hint = "it is of another network, or under other names: pass the architecture that it was "
        hint += "trained with, or --state-key"
    else:
        what = f"{len(missing)} of the model's parameters are not in this checkpoint"
        hint = "pass the architecture that the checkpoint was trained with, or --state-key"
    return CheckpointError(what, where=where, why="\n".join(lines), hint=hint)


def ambiguous(prefixes: list[str], where: str) -> CheckpointError:
    """Return the error for several prefixes that all make the file fit."""
    return CheckpointError(
        f"{len(prefixes)} parts of this checkpoint fit the model equally well",
        where=where,
        why=f"names under each of these prefixes match all parameters: {listed(prefixes)}",
        hint=f"name one: --state-key {cut(prefixes[0].removesuffix('.'))}",
    )


def _extents(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _nearest(file: Shapes, model: Shapes, absent: list[str], unused: list[str]) -> str:
    """Return pairs of like names, among those whose shapes agree."""
    compared = [name for name in unused[:MAX_COMPARED] if len(name) <= MAX_NAME]
    pairs = []
    for name in absent[:MAX_SHOWN]:
        fitting = [one for one in compared if file[one] == model[name]]
        if len(name) <= MAX_NAME and (near := difflib.get_close_matches(name, fitting, n=1)):
            pairs.append(f"{name} ~ {near[0]}")
    return ", ".join(pairs)


def _classes(
    file: Shapes, model: Shapes, shapes: list[str], absent: list[str], pairs: Mapping[str, str]
) -> int | None:
    """Return the checkpoint's number of classes where only the last layer differs, in axis 0."""
    if not shapes or absent:
        return None
    head = [name for name in model if name in pairs][-1].rpartition(".")[0]
    counts = {file[pairs[name]][:1] for name in shapes}
    only_head = all(name.rpartition(".")[0] == head for name in shapes)
    only_first = all(file[pairs[name]][1:] == model[name][1:] for name in shapes)
    ((count, *_), *_) = counts if counts != {()} else ((None,),)
    return count if only_head and only_first and len(counts) == 1 else None
