"""Whether a torch zip is what `torch.save` writes, and whether its bytes are those it wrote."""

from __future__ import annotations

import stat
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath, PureWindowsPath

from landscape.errors import CheckpointError, UnsafeError
from landscape.subject.files.skeleton import read_skeleton
from landscape.subject.files.sniff import Container
from landscape.subject.files.wording import cut

CHUNK_BYTES = 2**20


def check_zip(path: Path) -> None:
    """Check that a torch zip is what `torch.save` writes and that every checksum holds.

    Raises:
        UnsafeError: Members that are compressed, overlap, repeat or point outside the file.
        CheckpointError: A member whose bytes do not match their checksum.
    """
    with zipfile.ZipFile(path) as archive:  # sniff has opened it before
        members = archive.infolist()
        _check_members(path, members)
        for member in members if _has_checksums(members) else ():
            try:
                with archive.open(member) as stream:
                    while stream.read(CHUNK_BYTES):
                        pass
            except Exception as error:
                raise _mismatch(path, member.filename) from error


def checksum_note(path: Path) -> tuple[str, ...]:
    """Return a note where a torch zip was saved with `set_crc32_options(False)`."""
    with zipfile.ZipFile(path) as archive:
        if _has_checksums(archive.infolist()):
            return ()
    return ("the file carries no checksums, so damage to it would go unseen",)


def _has_checksums(members: list[zipfile.ZipInfo]) -> bool:
    return any(member.CRC for member in members)


def _check_members(path: Path, members: list[zipfile.ZipInfo]) -> None:
    if any(_is_compressed(member) for member in members):
        packed = sum(member.compress_size for member in members)
        unpacked = sum(member.file_size for member in members)
        raise UnsafeError(
            "compressed entries are not written by torch.save; refusing "
            f"({packed:,} bytes -> {unpacked:,} bytes)",
            where=str(path),
            why="a small compressed file can unpack to more than memory holds",
            hint="if you trust it: unzip it and zip it again without compression (zip -0 -r)",
        )
    for member in members:
        if (why := _suspicion(member)) is not None:
            raise UnsafeError(
                f"zip member '{cut(member.filename)}' {why}; refusing",
                where=str(path),
                why="torch.save writes no such member",
                hint="do not load this file; save the weights again, or ask for safetensors",
            )
    size = path.stat().st_size
    total = sum(member.file_size for member in members)
    (name, times), *_ = Counter(member.filename for member in members).most_common(1)
    if times > 1 or total > size:
        raise UnsafeError(
            f"zip member '{cut(name)}' occurs {times} times; refusing"
            if times > 1
            else f"zip members overlap ({size:,} bytes -> {total:,} bytes); refusing",
            where=str(path),
            why="torch.save writes each member once, in its own place",
            hint="do not load this file; save the weights again, or ask for safetensors",
        )


def _is_compressed(member: zipfile.ZipInfo) -> bool:
    return member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size


def _suspicion(member: zipfile.ZipInfo) -> str | None:
    """Return what a member of a torch zip may not be, if it is that."""
    posix, windows = PurePosixPath(member.filename), PureWindowsPath(member.filename)
    if ".." in windows.parts or posix.is_absolute() or windows.drive or windows.root:
        return "points outside the file"
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a symbolic link"
    if member.flag_bits & 0x1:
        return "is encrypted"
    return None


def _mismatch(path: Path, member: str) -> CheckpointError:
    folder, _, key = member.partition("/")[2].rpartition("/")
    name = None
    if folder == "data":
        try:
            name = read_skeleton(path, Container.TORCH_ZIP).tensor_names().get(key)
        except (CheckpointError, UnsafeError):
            name = None
    thing = f"tensor '{cut(name)}'" if name else f"member '{cut(member)}'"
    return CheckpointError(
        f"CRC mismatch in {thing}",
        where=str(path),
        why="its bytes changed after they were saved",
        hint="copy the file again from where it was saved",
    )
