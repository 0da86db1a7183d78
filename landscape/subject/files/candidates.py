"""What could be the weights in a loaded file, and which of it is meant.

The same search runs over loaded objects and over the stubs of a file that is only inspected,
so tensors and modules are told by the names of their classes and torch is not imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from landscape.errors import CheckpointError
from landscape.subject.files.stubs import Stub, TensorStub
from landscape.subject.files.wording import cut, listed

MODEL_KEYS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "params",
    "weights",
)
EMA_KEYS = ("ema", "ema_state_dict", "state_dict_ema", "model_ema", "ema_model")
OPTIMIZER_KEYS = ("optimizer", "optimizer_state_dict", "optim", "optimizer_states")
DEPTH = 3
_UNUSUAL = 99


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """Something in the file that could be the weights."""

    path: tuple[str, ...]
    weights: Mapping[Any, Any]

    @property
    def name(self) -> str:
        """The dotted path; empty for the file itself."""
        return ".".join(self.path)

    @property
    def is_ema(self) -> bool:
        """Whether these are averaged weights."""
        return any(key in EMA_KEYS for key in self.path)

    @property
    def size(self) -> int:
        """The number of tensors."""
        return sum(is_tensor(value) for value in self.weights.values())

    @property
    def rank(self) -> tuple[int, ...]:
        """The place among the usual names of a model; unusual names come last."""
        return tuple(MODEL_KEYS.index(key) if key in MODEL_KEYS else _UNUSUAL for key in self.path)


def is_tensor(value: object) -> bool:
    """Return whether something is a torch tensor, or the stub of one."""
    return isinstance(value, TensorStub) or _is_a(value, "torch.Tensor")


def _is_a(value: object, name: str) -> bool:
    return any(f"{kind.__module__}.{kind.__qualname__}" == name for kind in type(value).__mro__)


def weights_of(value: Any) -> Mapping[Any, Any] | None:
    """Return the state dict that a value is, or that a module has."""
    if (isinstance(value, Stub) and value.is_module) or _is_a(
        value, "torch.nn.modules.module.Module"
    ):
        value = value.state_dict()
    if not isinstance(value, Mapping):
        return None
    named = ((key, entry) for key, entry in value.items() if isinstance(key, str))
    tensors = [entry for _, entry in named if is_tensor(entry)]
    arrays = any(entry.ndim > 0 for entry in tensors)
    return value if arrays or (tensors and len(tensors) == len(value)) else None


def find_candidates(raw: object) -> list[Candidate]:
    """Return what could be the weights, the outermost first; each object is entered once."""
    found: list[Candidate] = []
    level: list[tuple[tuple[str, ...], Any]] = [((), raw)]
    known: dict[int, Mapping[Any, Any] | None] = {}
    for _ in range(DEPTH + 1):
        below: list[tuple[tuple[str, ...], Any]] = []
        for path, value in level:
            entered = id(value) in known
            weights = known.setdefault(id(value), None if entered else weights_of(value))
            if weights is not None:
                found.append(Candidate(path=path, weights=weights))
            if isinstance(value, Mapping) and not entered and (weights is None or not path):
                below += [
                    ((*path, key), child)
                    for key, child in value.items()
                    if isinstance(key, str)
                    and key not in OPTIMIZER_KEYS
                    and not is_optimizer(child)
                ]
        level = below
    return found


def is_optimizer(value: object) -> TypeGuard[Mapping[str, Any]]:
    """Return whether something is the state dict of a `torch.optim.Optimizer`."""
    return isinstance(value, Mapping) and "param_groups" in value and "state" in value


def choose(
    raw: object, candidates: list[Candidate], ema: bool | None, where: str
) -> tuple[Candidate, tuple[str, ...]]:
    """Return the candidate that is meant, and notes on what was not taken.

    Raises:
        CheckpointError: There is none, or nothing tells which of several is meant.
    """
    averaged = [c for c in candidates if c.is_ema]
    if ema and not averaged:
        raise _no_ema(candidates, where)
    if ema:
        return averaged[0], (f"averaged weights `{cut(averaged[0].name)}` are used",)
    plain = _plain(candidates, where)
    if not plain and averaged and ema is None:
        return averaged[0], (f"only averaged weights are there: `{cut(averaged[0].name)}` is used",)
    if not plain:
        raise _no_weights(raw, where)
    chosen, *rest = plain
    used = f"`{cut(chosen.name)}` is used" if chosen.name else "the plain weights are used"
    notes: tuple[str, ...] = ()
    if rest:
        notes += (f"{used}; also there: {listed([c.name for c in rest])} (--state-key)",)
    if averaged and ema is None:
        notes += (f"{used}; averaged weights `{cut(averaged[0].name)}` are there too (--ema)",)
    return chosen, notes


def _plain(candidates: list[Candidate], where: str) -> list[Candidate]:
    """Return the weights that are no averages, those under the usual names or none other."""
    plain = [c for c in candidates if not c.is_ema]
    models = [c for c in plain if c.path and _UNUSUAL not in c.rank]
    if models:
        return sorted(models, key=lambda c: (c.rank, c.path))
    inner = [c for c in plain if c.path]
    largest = max((c.size for c in inner), default=0)
    whole = [c for c in plain if not c.path and c.size >= largest]
    if not whole and len(inner) > 1:
        raise CheckpointError(
            "several sets of weights could be meant",
            where=where,
            why=f"candidates: {listed([c.name for c in inner])}",
            hint=f"name one: --state-key {cut(inner[0].name)}",
        )
    return whole or inner


def keys_of(raw: object) -> str:
    """Return in words which keys a file has at its top."""
    if isinstance(raw, Mapping):
        return listed([str(key) for key in raw]) or "none"
    return f"none, the file holds a {type(raw).__name__}"


def _no_weights(raw: object, where: str) -> CheckpointError:
    return CheckpointError(
        f"no model weights found; keys: {keys_of(raw)}",
        where=where,
        why="expected a mapping of names to tensors, or one under "
        f"{', '.join(MODEL_KEYS + EMA_KEYS)}",
        hint='save them: torch.save({"state_dict": model.state_dict()}, "weights.pt")',
    )


def _no_ema(candidates: list[Candidate], where: str) -> CheckpointError:
    names = [c.name or "(the file itself)" for c in candidates]
    return CheckpointError(
        "no averaged (EMA) weights found",
        where=where,
        why=f"looked for {', '.join(EMA_KEYS)}; weights are at: {listed(names) or 'none'}",
        hint="leave out --ema, or name them with --state-key",
    )
