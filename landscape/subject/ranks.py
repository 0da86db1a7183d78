"""Processes that share the data: each sums over its part, and all of them hold the total.

Every rank runs the same program on the same numbers and differs only in the samples that it sums
over, so a run on several ranks is the run on one, to rounding. Before every exchange the ranks
meet: each says whether it failed, and what it is about to exchange. What one raises all raise, and
ranks that are not at the same step stop instead of adding up numbers that do not belong together.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from landscape import errors
from landscape.errors import DataError, DeviceError, LandscapeError, ResourceError, out_of_memory
from landscape.subject.memory import Memory
from landscape.subject.traces import user_traceback

T = TypeVar("T")

SAMPLED = 4096  # entries of a vector that are compared between ranks
TOLD = "every rank was told"  # a note on errors that all ranks raise
END = "the end"


@dataclass(frozen=True)
class Ranks:
    """One process among `size` that share the data; alone by default.

    Every rank must make the same calls in the same order.

    Cost of an exchange: one more of two integers, through which the ranks meet.
    """

    rank: int = 0
    size: int = 1

    @classmethod
    def current(cls) -> Ranks:
        """Return the rank of this process.

        It is that of the process group that the program has set up; under `torchrun` without one,
        a group is set up: gloo on the CPU, NCCL between CUDA devices of their own.
        """
        if not dist.is_available():
            return cls()
        if not dist.is_initialized():
            if int(os.environ.get("WORLD_SIZE", "1")) == 1:
                return cls()
            dist.init_process_group(_backend())
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Return whether this is the rank that prints and writes."""
        return self.rank == 0

    def device(self, device: str | torch.device) -> str | torch.device:
        """Return this rank's device, where `auto` or `cuda` leaves the choice."""
        there = torch.cuda.device_count()
        if self.size == 1 or not there or str(device) not in ("auto", "cuda"):
            return device
        return f"cuda:{_local_rank() % there}"

    # --- exchanges -------------------------------------------------------------------------

    def total(self, own: Callable[[], Tensor], what: str, *, at: Tensor) -> Tensor:
        """Return the sum over the ranks of what each computes.

        Args:
            own: Computes this rank's part.
            what: What is summed.
            at: What the sum is a function of. A sample of it is compared between the ranks.

        Raises:
            LandscapeError: It failed on some rank, or the ranks are not at the same step.
        """
        if self.size == 1:
            return own()
        step = f"{what} {_sample(at)}"
        with self._telling(step):
            part = own().contiguous()
        self._meet(step)
        with _connected():
            dist.all_reduce(part)
        return part

    def totals(self, own: Callable[[], Sequence[float]], what: str, *, at: Tensor) -> list[float]:
        """Return the sums over the ranks of the few numbers that each computes."""
        if self.size == 1:
            return list(own())
        device = _own_device()
        found = self.total(
            lambda: torch.tensor(own(), dtype=torch.float64, device=device), what, at=at
        )
        return found.tolist()

    def from_first(self, own: Callable[[], T], what: str) -> T:
        """Return on every rank what the first one computes."""
        if self.size == 1:
            return own()
        found: list[Any] = [None]
        with self._telling(what):
            if self.first:
                found = [own()]
        self._meet(what)
        with _connected():
            dist.broadcast_object_list(found, src=0)
        return found[0]

    def agree(self, what: str, value: object, *, hint: str) -> None:
        """Refuse ranks that hold different things.

        Raises:
            DataError: They differ.
        """
        if self.size == 1:
            return
        self._meet(what)
        found: list[Any] = [None] * self.size
        with _connected():
            dist.all_gather_object(found, value)
        different = [str(rank) for rank, one in enumerate(found) if one != found[0]]
        if different:
            raise _told(
                DataError(
                    f"the ranks do not hold the same {what}",
                    where=f"ranks 0 and {', '.join(different)}",
                    why="every rank is given everything, and landscape deals it out",
                    hint=hint,
                )
            )

    @contextmanager
    def together(self, what: str) -> Iterator[None]:
        """Put a block between two meetings: what one rank raises inside, all raise by its end."""
        if self.size == 1:
            yield
            return
        with self._telling(f"the end of {what}"):
            yield
        self._meet(f"the end of {what}")

    def leave(self) -> None:
        """Wait for the other ranks, and end the process group."""
        if self.size > 1 and dist.is_initialized():
            with suppress(LandscapeError):
                self._meet(END)
            dist.destroy_process_group()

    # --- meeting ---------------------------------------------------------------------------

    @contextmanager
    def _telling(self, step: str) -> Iterator[None]:
        """Let the other ranks know of an error inside a block."""
        try:
            yield
        except Exception as error:
            if TOLD not in getattr(error, "__notes__", ()):
                with suppress(LandscapeError):
                    self._meet(step, error)
                _told(error)
            raise

    def _meet(self, step: str, error: Exception | None = None) -> None:
        """Meet the other ranks before an exchange, or to tell of an error.

        Raises:
            LandscapeError: Another rank failed or is elsewhere, and this one did not fail.
        """
        device = _own_device()
        digest = int.from_bytes(hashlib.blake2b(step.encode(), digest_size=7).digest())
        said = torch.tensor([error is not None, digest], device=device)
        heard = [torch.empty_like(said) for _ in range(self.size)]
        with _connected():
            dist.all_gather(heard, said)
            failed, steps = torch.stack(heard).cpu().T.tolist()
            if any(failed):
                self._fail(error)
        if len(set(steps)) > 1:
            raise _told(_out_of_step(step))

    def _fail(self, error: Exception | None) -> None:
        """Exchange errors, and raise that of the lowest rank unless this one has its own."""
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, _described(error, self.rank) if error is not None else None)
        if error is None:
            kind, parts = next(one for one in found if one is not None)
            raise _told(getattr(errors, kind)(**parts))


class RankedMemory(Memory):
    """A memory whose folder only the first rank reads and writes."""

    def __init__(self, folder: Path | None, ranks: Ranks) -> None:
        super().__init__(folder)
        self._ranks = ranks

    def _read(self, name: str, kind: Any) -> Any:
        if self.folder is None:
            return None
        read = super()._read
        return self._ranks.from_first(lambda: read(name, kind), "what is remembered")

    def _write(self, name: str, value: Any) -> None:
        if self._ranks.first:
            super()._write(name, value)


def _backend() -> str:
    """Return NCCL for vectors where every local rank has a device of its own, gloo otherwise."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    if dist.is_nccl_available() and torch.cuda.device_count() >= local:
        torch.cuda.set_device(_local_rank())
        return "cpu:gloo,cuda:nccl"
    if not dist.is_gloo_available():
        raise DeviceError(
            "the processes cannot talk to one another",
            where="torch.distributed",
            why="this PyTorch was built without gloo",
            hint="install a PyTorch with gloo, or run without torchrun",
        )
    return "gloo"


def _local_rank() -> int:
    return int(os.environ.get("LOCAL_RANK", "0"))


def _own_device() -> torch.device:
    """Return where small tensors are exchanged: a group of NCCL alone has no way on the CPU."""
    if dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


def _sample(vector: Tensor) -> str:
    """Return shape and digest of evenly spaced entries."""
    flat = vector.detach().reshape(-1)
    some = flat[:: max(1, flat.numel() // SAMPLED)].cpu().contiguous()
    digest = hashlib.blake2b(some.view(torch.uint8).numpy().data, digest_size=8).hexdigest()
    return f"{tuple(vector.shape)} {digest}"


@contextmanager
def _connected() -> Iterator[None]:
    """Say in plain words that another process is gone."""
    try:
        yield
    except LandscapeError:
        raise
    except RuntimeError as error:
        raise _told(
            ResourceError(
                "another rank is gone",
                where="torch.distributed",
                why=str(error).split("\n")[0],
                hint="see what it said; a process that vanishes was often out of memory",
            )
        ) from error


def _told(error: Exception) -> Exception:
    error.add_note(TOLD)
    return error


def _described(error: Exception, rank: int) -> tuple[str, dict[str, str]]:
    """Return the class and the parts of an error, for the other ranks."""
    known = error if isinstance(error, LandscapeError) else out_of_memory(error)
    if known is None:
        known = LandscapeError(
            f"{type(error).__name__}: {error}",
            where="an error that is not landscape's",
            why=user_traceback(error),
            hint="run it in one process with --debug to see the traceback",
        )
    kind = next(one for one in type(known).__mro__ if one.__module__ == errors.__name__)
    where = f"rank {rank}{', ' if known.where else ''}{known.where}"
    parts = {"what": known.what, "where": where, "why": known.why, "hint": known.hint}
    return kind.__name__, parts


def _out_of_step(step: str) -> LandscapeError:
    return ResourceError(
        "the ranks are not at the same step",
        where=step,
        why="they went different ways: one caught an error by itself, decided by its own clock or "
        "free memory, or rounds differently",
        hint="give every rank the same program, processors and number of threads",
    )
