"""Which tensor of a file belongs to which tensor of a model, when wrappers have renamed them.

Wrappers (`module.`, `_orig_mod.` …) may stand at any dotted position and are dropped on both
sides; what then still differs must be one leading prefix, chosen by the number of matches in
name and shape. The mapping is always one-to-one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from landscape.subject.files.mismatch import ambiguous, mismatch
from landscape.subject.files.wording import cut, listed

WRAPPERS = frozenset(
    (
        "module",
        "_orig_mod",
        "_fsdp_wrapped_module",
        "_forward_module",
        "_checkpoint_wrapped_module",
    )
)
PROBES = 8  # model names from which prefixes are guessed
MAX_PREFIXES = 64
MAX_SHOWN = 3

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class NameMatch:
    """A one-to-one mapping of model names to file names, and how it came about."""

    mapping: dict[str, str]
    kept: tuple[str, ...]  # buffers that the file lacks: they stay as the model has them
    notes: tuple[str, ...]


def match_names(
    file: Shapes,
    model: Shapes,
    *,
    required: Collection[str],
    aliases: Mapping[str, Collection[str]],
    where: str,
) -> NameMatch:
    """Return which tensor of the file each tensor of the model takes.

    Args:
        file: Shapes by the names in the file.
        model: Shapes by the names in the model, in its order.
        required: The model names that must be there: every parameter, frozen ones included.
        aliases: For a tied parameter, the other names of the same tensor.
        where: The file, for messages.

    Raises:
        CheckpointError: A required name is missing or has another shape, or two prefixes fit.
    """
    required = set(required)
    pairing = _pairing(file, model, required, where)
    fits = {m: f for m, f in pairing.items() if file[f] == model[m]}
    tied = {
        name: fits[other]
        for name in model
        if name not in pairing
        for other in sorted(aliases.get(name, ()))
        if other in fits and model[other] == model[name]
    }
    mapping = fits | tied
    used = set(pairing.values())
    unused = [name for name in file if name not in used]
    missing = [name for name in model if name in required and name not in mapping]
    if missing:
        raise mismatch(file, model, missing, pairing, unused, where)
    notes = [*_renaming(fits)]
    notes += [f"tied: `{cut(name)}` takes `{cut(source)}`" for name, source in tied.items()]
    shared = {other for name in mapping for other in aliases.get(name, ())}
    kept = [name for name in model if name not in mapping and name not in shared]
    if kept:
        notes.append(f"buffers kept as the model has them ({len(kept)}): {listed(kept, MAX_SHOWN)}")
    if unused:
        notes.append(
            f"tensors of the file left unused ({len(unused)}): {listed(unused, MAX_SHOWN)}"
        )
    return NameMatch(mapping=mapping, kept=tuple(kept), notes=tuple(notes))


def stripped(names: Iterable[str]) -> dict[str, str]:
    """Return each name without wrappers at any position, where that keeps names distinct."""
    names = list(names)
    short = {name: _strip(name) for name in names}
    return short if len(set(short.values())) == len(names) else {name: name for name in names}


def _strip(name: str) -> str:
    *leading, last = name.split(".")
    return ".".join((*(part for part in leading if part not in WRAPPERS), last))


def _pairing(file: Shapes, model: Shapes, required: set[str], where: str) -> dict[str, str]:
    """Return the pairs under the prefixes with the most matches in name and shape."""
    sources = {short: name for name, short in stripped(file).items()}
    targets = stripped(model)
    wanted = [targets[name] for name in model if name in required] or list(targets.values())
    best: dict[str, str] = {}
    best_count = -1
    rivals: list[str] = []
    for old, new in _prefixes(list(sources), wanted):
        pairs = {
            name: sources[source]
            for name, target in targets.items()
            if target.startswith(new) and (source := old + target[len(new) :]) in sources
        }
        count = sum(file[source] == model[name] for name, source in pairs.items())
        if count > best_count:
            best, best_count, rivals = pairs, count, [old]
        elif count == best_count and pairs != best:
            rivals.append(old)
    complete = required and all(n in best and file[best[n]] == model[n] for n in required)
    if complete and len(rivals) > 1 and rivals[0] != "":
        raise ambiguous(rivals, where)
    return best


def _prefixes(file: list[str], model: list[str]) -> list[tuple[str, str]]:
    """Return pairs (prefix in the file, prefix in the model), the unchanged names first."""
    step = max(1, len(model) // PROBES)
    probes = model[::step][:PROBES]
    votes: Counter[tuple[str, str]] = Counter()
    for new in _common_prefixes(model):
        for probe in probes:
            tail = probe[len(new) :]
            votes.update(
                (name[: len(name) - len(tail)], new)
                for name in file
                if name.endswith(tail) and name[: len(name) - len(tail)][-1:] in ("", ".")
            )
    votes.pop(("", ""), None)
    ranked = sorted(votes, key=lambda pair: (-votes[pair], len(pair[0]) + len(pair[1]), pair))
    return [("", ""), *ranked[:MAX_PREFIXES]]


def _common_prefixes(names: list[str]) -> list[str]:
    """Return every dotted prefix that all names have, the empty one first."""
    low, high = (min(names), max(names)) if names else ("", "")
    prefixes = [""]
    for part, other in zip(low.split(".")[:-1], high.split(".")[:-1], strict=False):
        if part != other or len(prefixes) > PROBES:
            break
        prefixes.append(f"{prefixes[-1]}{part}.")
    return prefixes


def _renaming(pairs: Mapping[str, str]) -> list[str]:
    """Return in words how the names of the file differ from those of the model."""
    changes = Counter(_change(name, source) for name, source in pairs.items() if name != source)
    if len(changes) > MAX_SHOWN:
        count = sum(changes.values())
        return [f"wrapper and prefix parts mapped in {count}/{len(pairs)} names"]
    return [f"{change} {count}/{len(pairs)} names" for change, count in changes.items()]


def _change(name: str, source: str) -> str:
    new, old = name.split("."), source.split(".")
    same = 0
    while same < min(len(new), len(old)) and new[-1 - same] == old[-1 - same]:
        same += 1
    removed = "".join(f"{part}." for part in old[: len(old) - same])[:80]
    added = "".join(f"{part}." for part in new[: len(new) - same])[:80]
    if not added:
        return f"prefix `{removed}` stripped from"
    if not removed:
        return f"prefix `{added}` added to"
    return f"prefix `{removed}` replaced by `{added}` in"
