"""Everything that landscape raises on purpose.

    LandscapeError
    ├── SettingError          exit 2   a setting or an option outside its bounds
    ├── SpecError             exit 2   a spec string that does not parse
    ├── InputError            exit 3   something given cannot be used
    │   ├── CheckpointError            a file that holds no usable weights
    │   ├── ModelError                 a factory or network that cannot be used
    │   ├── DataError                  data that cannot be used
    │   ├── DeviceError                a device that is not there
    │   └── OutputError                a place that cannot be written
    ├── UnsafeError           exit 4   a file that would run code, or hide what it holds
    ├── NumericalError        exit 5   non-finite or unconverged numbers
    └── ResourceError         exit 6   memory, disk or time

Each class has a searchable code; each error has four parts: what, where, why, next.
"""

from __future__ import annotations

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import ClassVar

DEFECT_EXIT = 70


class LandscapeError(Exception):
    """Root of the tree: an error whose cause lies outside landscape.

    Args:
        what: What went wrong, in one sentence.
        hint: The next step to take.
        where: The file, setting, tensor or batch concerned.
        why: The cause: what was expected and what was got.
    """

    code: ClassVar[str] = "L100"
    exit: ClassVar[int] = DEFECT_EXIT

    def __init__(self, what: str, *, hint: str, where: str = "", why: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.hint = hint

    def __str__(self) -> str:
        parts = (("where", self.where), ("why", self.why), ("next", self.hint))
        return "\n".join([self.what, *(f"  {name}: {part}" for name, part in parts if part)])

    def to_json(self) -> dict[str, object]:
        """Return the document that `--json` prints for a failure."""
        return {
            "schema": "landscape/error/1",
            "code": self.code,
            "exit": self.exit,
            "what": self.what,
            "where": self.where,
            "why": self.why,
            "next": self.hint,
        }


class SettingError(LandscapeError, ValueError):
    """A setting outside its bounds."""

    code = "L200"
    exit = 2


class SpecError(LandscapeError, ValueError):
    """A spec string that does not follow `scheme:rest[,key=value...]`."""

    code = "L210"
    exit = 2


class InputError(LandscapeError):
    """Something that was given cannot be used."""

    code = "L300"
    exit = 3


class CheckpointError(InputError):
    """A file that holds no usable weights."""

    code = "L310"


class ModelError(InputError):
    """A factory or network that cannot be used."""

    code = "L320"


class DataError(InputError):
    """Data that cannot be used."""

    code = "L330"


class DeviceError(InputError):
    """A device that is not there."""

    code = "L340"


class OutputError(InputError):
    """A place that cannot be written."""

    code = "L350"


class UnsafeError(LandscapeError):
    """A file that would run code, or that hides what it holds."""

    code = "L400"
    exit = 4


class NumericalError(LandscapeError):
    """Non-finite numbers, or unconverged ones where that is forbidden."""

    code = "L500"
    exit = 5


class ResourceError(LandscapeError):
    """Memory, disk or time ran out."""

    code = "L600"
    exit = 6


@contextmanager
def about(subject: str) -> Generator[None]:
    """Return a block whose errors say of what they speak."""
    try:
        yield
    except LandscapeError as error:
        error.what = f"{subject}: {error.what}"
        raise


_FULL = ("out of memory", "can't allocate memory")  # on CUDA, and on the CPU


def out_of_memory(error: BaseException) -> ResourceError | None:
    """Return what to tell the user when an error says that memory ran out; None otherwise."""
    text = str(error).lower()
    if not isinstance(error, MemoryError) and not any(told in text for told in _FULL):
        return None
    return ResourceError(
        "memory ran out",
        where=type(error).__name__,
        why=str(error).split("\n")[0],
        hint="study fewer parameters (--params), fewer samples (--max-samples), smaller batches",
    )


_BROKEN = (  # what autograd says of code of a model that cannot be differentiated
    "modified by an inplace operation",
    "does not require grad and does not have a grad_fn",
    "marked with @once_differentiable",
    "must implement either the backward or vjp",
)


def not_differentiable(error: BaseException) -> ModelError | None:
    """Return what to tell the user when autograd cannot go back through a model; None otherwise."""
    text = str(error)
    broken = any(told in text for told in _BROKEN)
    broken |= "derivative for" in text and "not implemented" in text
    if not isinstance(error, RuntimeError) or not broken:
        return None
    return ModelError(
        "the network cannot be differentiated",
        where="backward pass",
        why=text.split(" Hint:")[0].split("\n")[0],
        hint="write results into new tensors, not in place, and call .backward() on the loss alone "
        "with torch.autograd.set_detect_anomaly(True), which names the operation",
    )


_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NOT_WRITABLE = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EIO,
)


def failed_file(error: BaseException) -> LandscapeError | None:
    """Return what to tell the user when a file could not be written or read; None otherwise."""
    if not isinstance(error, OSError):
        return None
    where, why = str(error.filename or "the output"), error.strerror or str(error)
    if error.errno in _DISK_FULL:
        return ResourceError(
            "the disk is full",
            where=where,
            why=why,
            hint="free some space, or choose another folder with -o; what was finished is kept",
        )
    if error.errno in _NOT_WRITABLE:
        return OutputError(
            "a file cannot be written or read",
            where=where,
            why=why,
            hint="check its permissions, or choose another folder with -o",
        )
    return None
