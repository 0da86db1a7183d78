"""Which container a checkpoint file is, judged by its content and never by its name."""

from __future__ import annotations

import difflib
import os
import re
import stat
import zipfile
from enum import StrEnum
from itertools import islice
from pathlib import Path

from landscape.errors import CheckpointError
from landscape.subject.files.formats import Foreign, foreign, foreign_zip
from landscape.subject.files.shards import indices_in, is_index
from landscape.subject.files.wording import listed

HEAD_BYTES = 65_536
MAX_SIBLINGS = 20
MAX_COMPARED = 2_000
CLOSE = 0.6  # likeness of names without their endings, from which one is suggested
WEIGHTS = ("*.safetensors", "*.pt", "*.pth", "*.ckpt", "*.bin")
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_URL = re.compile(r"[A-Za-z][\w+.-]+:/")  # a path drops one of its two slashes
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_LEGACY_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # 0x1950A86A20F9469CFC6C


class Container(StrEnum):
    """The file formats that are read."""

    TORCH_ZIP = "torch zip"
    TORCH_LEGACY = "torch legacy pickle"
    SAFETENSORS = "safetensors"
    SHARDED = "sharded safetensors"


_SUFFIXES = {
    Container.SAFETENSORS: (".safetensors",),
    Container.SHARDED: (),
    Container.TORCH_ZIP: (".pt", ".pth", ".bin", ".ckpt"),
    Container.TORCH_LEGACY: (".pt", ".pth", ".bin", ".ckpt"),
}


def sniff(path: Path) -> Container:
    """Return the container of a checkpoint file, or of a folder that holds one index of shards.

    Raises:
        CheckpointError: The path is no readable checkpoint; the message names what it is.
    """
    path = Path(path)
    status = _status(path)
    if stat.S_ISDIR(status.st_mode):
        indices = indices_in(path)
        if len(indices) == 1 and sniff(indices[0]) is Container.SHARDED:
            return Container.SHARDED
        raise _directory(path, indices)
    size = status.st_size
    head = _head(path)
    if not head:
        raise CheckpointError(
            "file is empty (0 bytes)",
            where=str(path),
            why="the save or the copy was interrupted before anything was written",
            hint=_newest_intact(path),
        )
    if not any(head):
        extent = f"holds {size:,}" if size <= len(head) else f"begins with {len(head):,}"
        raise CheckpointError(
            f"file {extent} zero bytes",
            where=str(path),
            why="the space was reserved but the content was never written",
            hint=_newest_intact(path),
        )
    if head.startswith((_ZIP, _EMPTY_ZIP)):
        return _zip(path, size)
    if head[:1] == b"\x80" and _LEGACY_MAGIC in head[:32]:
        return Container.TORCH_LEGACY
    if len(head) > 8 and head[8:9] == b"{" and not any(head[4:8]):
        return Container.SAFETENSORS
    if is_index(path, head):
        return Container.SHARDED
    raise _strange(path, foreign(head, size))


def name_note(path: Path, container: Container) -> tuple[str, ...]:
    """Return a note where the name of a file suggests another container than it is."""
    suggested = {suffix for suffixes in _SUFFIXES.values() for suffix in suffixes}
    suffix = path.suffix.lower()
    if suffix in suggested and suffix not in _SUFFIXES[container]:
        return (f"the content is {container}, although the name ends in {suffix}",)
    return ()


def _status(path: Path) -> os.stat_result:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise CheckpointError(
            "no such file", where=str(path), why=why_missing(path), hint=did_you_mean(path)
        ) from error
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise CheckpointError(
            "not a regular file",
            where=str(path),
            why="a pipe, socket or device cannot be read twice",
            hint="copy its content into a file first",
        )
    return status


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(HEAD_BYTES)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(
        "file cannot be read",
        where=str(path),
        why=getattr(error, "strerror", None) or str(error),
        hint=f"check its permissions: ls -l {path}",
    )


def _directory(path: Path, indices: list[Path]) -> CheckpointError:
    try:
        present = sorted(path.iterdir())
    except OSError as error:
        return _unreadable(path, error)
    weights = [entry for entry in present if any(entry.match(pattern) for pattern in WEIGHTS)]
    shards = [entry for entry in weights if _SHARD.search(entry.name)]
    alone = [entry for entry in weights if entry not in shards]
    whole = [*indices, *islice(filter(_opens, alone[:MAX_SIBLINGS]), 1)]
    hint = f"pass one file: {whole[0] if whole else path / 'weights.pt'}"
    if alone and not whole:
        hint = f"pass one file that holds weights; {alone[0].name} cannot be opened"
    if shards and not (alone or whole):
        hint = f"put the index of the shards (*.safetensors.index.json) beside {shards[0].name}"
    found = listed([entry.name for entry in present]) or "nothing"
    return CheckpointError(
        "path is a directory, not a checkpoint file",
        where=str(path),
        why=f"looked for {', '.join(WEIGHTS)}; found {found}",
        hint=hint,
    )


def why_missing(path: Path) -> str:
    """Return what there is instead of a file that is not there."""
    if _URL.match(str(path)):
        return "it is an address, and only files are read"
    try:
        present = sum(1 for _ in islice(path.parent.iterdir(), MAX_COMPARED))
    except FileNotFoundError:
        return f"there is no folder {path.parent}"
    except (OSError, ValueError):
        return f"{path.parent} is no folder that can be listed"
    many = "at least " * (present == MAX_COMPARED)
    return f"its folder holds {many}{present:,} other file{'s' * (present != 1)}"


def did_you_mean(path: Path) -> str:
    """Return the step that names the file whose name is close to one that is not there.

    Endings do not make names alike. Where none is close, all with its ending are named.
    """
    if _URL.match(str(path)):
        return "download it first, and give the file"
    try:
        present = sorted(islice(path.parent.iterdir(), MAX_COMPARED))
    except (OSError, ValueError):
        return f"check the folder: {path.parent}"
    close = difflib.get_close_matches(path.stem, {one.stem for one in present}, n=1, cutoff=CLOSE)
    if close:
        names = [one.name for one in present if one.stem == close[0]]
        (nearest,) = difflib.get_close_matches(path.name, names, n=1, cutoff=0.0)
        return f"did you mean {path.parent / nearest}?"
    patterns = (f"*{path.suffix}",) if path.suffix else WEIGHTS
    alike = [one.name for one in present if any(one.match(pattern) for pattern in patterns)]
    if len(alike) == 1:
        return f"did you mean {path.parent / alike[0]}?"
    return f"{path.parent} holds {listed(alike)}" if alike else f"check the folder: {path.parent}"


def _zip(path: Path, size: int) -> Container:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except Exception as error:  # the directory of a damaged zip fails in many ways
        truncated = "not a zip file" in str(error)
        raise CheckpointError(
            f"truncated: no end record in the {size:,} bytes; was the save interrupted?"
            if truncated
            else "the zip directory of this file is damaged",
            where=str(path),
            why="a zip ends with a directory of its members" if truncated else str(error)[:200],
            hint=_newest_intact(path),
        ) from error
    inner = [name.partition("/")[2] for name in set(names)]  # a name that repeats is refused later
    if inner.count("data.pkl") == 1 and "constants.pkl" not in inner:
        return Container.TORCH_ZIP
    raise _strange(path, foreign_zip(names))


def _strange(path: Path, other: Foreign) -> CheckpointError:
    return CheckpointError(
        f"file is {other.name}",
        where=str(path),
        why="expected a torch.save or safetensors file",
        hint=other.hint.replace("FILE", path.name),
    )


def _newest_intact(path: Path) -> str:
    """Return the step that names the newest sibling which is a whole checkpoint, if any is."""
    try:
        siblings = [entry for entry in path.parent.iterdir() if entry != path and entry.is_file()]
        siblings.sort(key=lambda entry: entry.stat().st_mtime, reverse=True)
    except OSError:
        siblings = []
    for sibling in siblings[:MAX_SIBLINGS]:
        if _opens(sibling):
            return f"the newest intact checkpoint beside it: {sibling}"
    return "copy or save the file again"


def _opens(path: Path) -> bool:
    """Return whether a file is a whole checkpoint that can be read without trusting it."""
    from landscape.subject.files.inspection import inspect_file  # which sniffs itself

    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        if not any(head):
            return False
        if head.startswith((_ZIP, _EMPTY_ZIP)):
            zipfile.ZipFile(path).close()  # a damaged one would look for siblings of its own
        found = inspect_file(path, verify=False)
    except Exception:  # damaged files fail in many ways
        return False
    return bool(found.tensors) and not found.unsafe_globals
