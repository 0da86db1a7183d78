"""One training run of a masked network, from given weights, judged at its end and remembered."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from torch import Tensor, nn

from landscape import budget
from landscape.errors import InputError, ModelError
from landscape.pruning.hold import held_throughout
from landscape.pruning.mask import Mask
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.spec.train import TrainFunction
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import seeded
from landscape.tickets.data import Judged, Split

Tensors = Mapping[str, Tensor]


class Training(Protocol):
    """Trains a network in place."""

    @property
    def described(self) -> str:
        """Return it in words."""
        ...

    @property
    def digest(self) -> Any:
        """Return what tells it from others, in JSON types."""
        ...

    @property
    def resumes(self) -> bool:
        """Return whether it may begin at a later step than the first."""
        ...

    def __call__(
        self, model: nn.Module, *, seed: int, start: int, save: Callable[[int], None], mask: Any
    ) -> float | None:
        """Train a network from step `start` on, calling `save` before every step."""
        ...


@dataclass(frozen=True)
class OwnTraining:
    """Training by the user's function."""

    function: TrainFunction

    @property
    def described(self) -> str:
        """Return its name."""
        return self.function.text

    @property
    def digest(self) -> str:
        """Return what tells the function from others."""
        return self.function.digest

    @property
    def resumes(self) -> bool:
        """Return whether the function takes the step it begins at."""
        return "start" in self.function.takes

    def __call__(self, model: nn.Module, **given: Any) -> float | None:
        """Train a network."""
        return self.function(model, **given)


@dataclass(frozen=True, kw_only=True)
class End:
    """What a training run leaves.

    Args:
        judged: By the data that judge.
        reported: The number that the training function returned.
        left: What was asked to be kept of the weights at the end.
        early: All tensors before the step that was asked for.
    """

    judged: Judged
    reported: float | None
    left: dict[str, Tensor] = field(repr=False)
    early: dict[str, Tensor] = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains masked copies of a subject's network, each only once.

    Args:
        subject: Is left as it is.
        training: How.
        data: What judges.
    """

    subject: Subject
    training: Training
    data: Split

    def end(
        self,
        begin: Tensors,
        mask: Mask,
        *,
        seed: int,
        start: int = 0,
        keep: int | None = None,
        left: Callable[[Tensors], dict[str, Tensor]] | None = None,
        left_by: object = None,
    ) -> End:
        """Return the end of a training run; one whose weights were kept is not made again for less.

        Args:
            begin: Every tensor of the network at its start, by name; pruned weights are zeroed.
            mask: What stays.
            seed: Of the training.
            start: The step at which it begins.
            keep: The step before which all tensors are kept; None: none.
            left: Makes what is kept of the tensors at the end; None: nothing.
            left_by: What tells `left` from others, in JSON types.

        Raises:
            InputError: The training function failed, or never reached the step to keep.
            BudgetError: A budget was spent when a step began.
            ModelError: The network cannot be copied, or pruned weights moved.
        """
        key = (
            "training of a masked network",
            self.subject.identity(),
            self.training.digest,
            {"seed": seed, "start": start, "by": self.data.told},
            fingerprint(mask.applied(begin)),
            fingerprint(dict(mask.kept)) if mask.kept else None,
        )
        once = self.subject.memory.once

        def run() -> End:
            return self._run(begin, mask, seed=seed, start=start, keep=keep, left=left)

        def run_for_more() -> np.ndarray:
            end = run()
            once(key, lambda: _packed(replace(end, left={}, early={})), np.ndarray)
            return _packed(end)

        if keep is None and left is None:
            return _unpacked(once(key, lambda: _packed(run()), np.ndarray))
        return _unpacked(once((*key, {"keep": keep, "left": left_by}), run_for_more, np.ndarray))

    def _run(
        self,
        begin: Tensors,
        mask: Mask,
        *,
        seed: int,
        start: int,
        keep: int | None,
        left: Callable[[Tensors], dict[str, Tensor]] | None,
    ) -> End:
        model = self._copy(mask.applied(begin))
        early = dict[str, Tensor]()

        def save(step: int) -> None:
            budget.require("a training run ended")
            if step == keep and not early:
                early.update({name: t.detach().clone() for name, t in _tensors(model).items()})

        budget.require("a training run began")
        with seeded(seed), torch.enable_grad(), held_throughout(model, mask):
            told = self.training(model, seed=seed, start=start, save=save, mask=dict(mask.kept))
        if keep is not None and not early:
            raise _never_saved(keep, self.training.described)
        ends = {name: tensor.detach() for name, tensor in _tensors(model).items()}
        return End(
            judged=self.data.judged(self.subject, ends),
            reported=told,
            left=left(ends) if left is not None else {},
            early=early,
        )

    def _copy(self, tensors: Tensors) -> nn.Module:
        """Return a copy of the network in train mode, with tensors of its own."""
        original = self.subject.network.model
        try:
            model = copy.deepcopy(original)
        except Exception as failure:
            raise ModelError(
                "the network cannot be copied",
                where=f"{type(original).__name__}: {failure}".split("\n")[0],
                why="every training run has a copy of its own",
                hint="make it a plain module: no tensors that are computed, no open files",
            ) from failure
        model = model.to(self.subject.device, self.subject.dtype).train()
        with torch.no_grad():
            for name, own in _tensors(model).items():
                own.copy_(tensors[name])
        for parameter in model.parameters():
            parameter.grad = None
        return model


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _packed(end: End) -> np.ndarray:
    """Return the end of a run as bytes, every tensor bit for bit."""
    judged = {"losses": end.judged.losses, "counts": end.judged.counts}
    if end.judged.errors is not None:
        judged["errors"] = end.judged.errors
    parts = {f"judged/{name}": torch.from_numpy(array) for name, array in judged.items()}
    if end.reported is not None:
        parts["reported"] = torch.tensor([end.reported], dtype=torch.float64)
    for kind, tensors in (("left", end.left), ("early", end.early)):
        for name, tensor in tensors.items():
            parts[f"{kind}/{name}"] = tensor.cpu().contiguous().clone()
    return np.frombuffer(safetensors.torch.save(parts), dtype=np.uint8)


def _unpacked(packed: np.ndarray) -> End:
    parts = safetensors.torch.load(packed.tobytes())

    def of(kind: str) -> dict[str, Tensor]:
        return {n.removeprefix(kind): t for n, t in parts.items() if n.startswith(kind)}

    judged = {name: tensor.numpy() for name, tensor in of("judged/").items()}
    reported = parts.get("reported")
    return End(
        judged=Judged(
            losses=judged["losses"], errors=judged.get("errors"), counts=judged["counts"]
        ),
        reported=None if reported is None else float(reported),
        left=of("left/"),
        early=of("early/"),
    )


def _never_saved(step: int, told: str) -> InputError:
    return InputError(
        f"training never reached step {step}",
        where=told,
        why="that is the step to rewind to, and save was not called with it",
        hint="call save(step) before every step, or rewind to an earlier one",
    )
