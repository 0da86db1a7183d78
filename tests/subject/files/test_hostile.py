"""Files that are damaged, or made to harm: nothing runs, and every error is landscape's own."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import random
import shutil
import stat
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch._utils import _rebuild_tensor_v2
from torch._weights_only_unpickler import _get_allowed_globals

from landscape.errors import CheckpointError, LandscapeError, UnsafeError
from landscape.subject.files.allowlist import is_allowed
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.inspection import inspect_file
from landscape.subject.files.safetensors_file import read_header
from tests.subject.files.containers import (
    RunsOnLoad,
    network,
    pickled,
    prefixed,
    save_legacy,
    zip_with,
)

AUDITED = """
import sys, traceback
from pathlib import Path
import torch
from landscape.errors import LandscapeError
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.inspection import inspect_file
Checkpoint.read(sys.argv[1])
events = []
WATCHED = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen", "socket.",
           "import", "compile", "os.remove", "os.rename", "os.mkdir", "shutil.")
def hook(event, arguments):
    if event == "open":
        if isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append((event, arguments))
    elif event == "exec" or event.startswith(WATCHED):
        events.append((event, str(arguments)[:200]))
sys.addaudithook(hook)
for path in sys.argv[2:]:
    for read in (Checkpoint.read, inspect_file):
        try:
            read(path)
        except LandscapeError as error:
            sys.stdout.write(f"{error.exit} {error.what}\\n")
        else:
            sys.stdout.write("0 read\\n")
assert not events, events
"""


def refusal(path: Path, kind: type[LandscapeError]) -> LandscapeError:
    with pytest.raises(kind) as caught:
        Checkpoint.read(path)
    assert caught.value.where == str(path)
    assert caught.value.hint
    return caught.value


def test_allowlist_is_that_of_torch():
    assert [name for name in _get_allowed_globals() if not is_allowed(name)] == []
    refused = ["os.system", "builtins.eval", "builtins.getattr", "torch.load", "torch.hub.load",
               "torch.nn.modules.linear.Linear", "torch.jit.load", "torch.float32.x",
               "torch.int_repr", "torch.complex", "torch.from_file"]  # fmt: skip
    assert [name for name in refused if is_allowed(name)] == []


def test_nothing_runs(tmp_path):
    marker = tmp_path / "marker"
    harm = [
        RunsOnLoad(os.system, f"touch {marker}"),
        RunsOnLoad(eval, f"open({str(marker)!r}, 'w')"),
        RunsOnLoad(exec, f"open({str(marker)!r}, 'w')"),
        RunsOnLoad(open, str(marker), "w"),
        RunsOnLoad(subprocess.Popen, ["touch", str(marker)]),
        RunsOnLoad(shutil.rmtree, str(tmp_path)),
        RunsOnLoad(__import__, "antigravity"),
        RunsOnLoad(pickle.loads, b"."),
    ]
    good = tmp_path / "good.pt"
    torch.save(network().state_dict(), good)
    paths = [str(good)]
    for i, object_ in enumerate(harm):
        for name, save in (("zip", torch.save), ("legacy", save_legacy)):
            path = tmp_path / f"{name}{i}.pt"
            save({"state_dict": prefixed(""), "x": object_}, path)
            paths.append(str(path))
        protocol4 = tmp_path / f"late{i}.pt"
        torch.save([object_], protocol4, pickle_protocol=4)
        paths.append(str(protocol4))
    result = subprocess.run(
        [sys.executable, "-c", AUDITED, str(good), *paths],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": "."},
        check=False,
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert lines[:2] == ["0 read", "0 read"]
    assert all(line.startswith("4 blocked global ") for line in lines[2::2]), lines
    assert all(line == "0 read" for line in lines[3::2]), lines
    assert not marker.exists()


def test_message_for_a_pickle_that_runs_code(tmp_path):
    torch.save({"x": RunsOnLoad(os.system, "exit")}, tmp_path / "a.pt")
    error = refusal(tmp_path / "a.pt", UnsafeError)
    assert error.what == "blocked global posix.system: this file tries to run code"
    assert error.exit == 4


def deflated(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickled({}))
        archive.writestr("a/data/0", bytes(2_000_000))


def member(name: str, mode: int = 0):
    def write(path: Path) -> None:
        torch.save(network().state_dict(), path)
        with zipfile.ZipFile(path, "a") as archive:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, b"x")

    return write


def repeated(path: Path) -> None:
    torch.save(network().state_dict(), path)
    with zipfile.ZipFile(path, "a") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data/0"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr(name, b"x")


def overlapping(path: Path) -> None:
    torch.save({"w": torch.ones(20_000)}, path)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        source = next(i for i in archive.infolist() if i.filename.endswith("data/0"))
        target = next(i for i in archive.infolist() if i.filename.endswith("byteorder"))
    entry = content.rindex(target.filename.encode()) - 46
    content[entry + 16 : entry + 28] = struct.pack(
        "<III", source.CRC, source.compress_size, source.file_size
    )
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("write", "what"),
    [
        (
            deflated,
            "compressed entries are not written by torch.save; refusing (1,962 bytes",
        ),
        (member("a/../../x"), "points outside the file"),
        (member("/etc/passwd"), "points outside the file"),
        (member("C:\\x"), "points outside the file"),
        (member("..\\x"), "points outside the file"),
        (member("a/link", stat.S_IFLNK | 0o777), "is a symbolic link"),
        (repeated, "occurs 2 times"),
        (overlapping, "zip members overlap"),
    ],
)
def test_zip_members(tmp_path, write, what):
    path = tmp_path / "a.pt"
    write(path)
    assert what in refusal(path, UnsafeError).what
    with pytest.raises(UnsafeError):
        inspect_file(path)
    with pytest.raises(UnsafeError):
        Checkpoint.read(path, trust_pickle=True)


def test_bit_flip_names_the_tensor(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(network().state_dict(), path)
    content = bytearray(path.read_bytes())
    place = content.index(network()[0].weight.detach().numpy().tobytes())  # type: ignore[index]
    content[place + 3] ^= 0x40
    path.write_bytes(content)
    assert refusal(path, CheckpointError).what == "CRC mismatch in tensor '0.weight'"
    with pytest.raises(CheckpointError, match=r"CRC mismatch in tensor '0\.weight'"):
        inspect_file(path)


def test_bit_flip_in_the_pickle_names_the_member(tmp_path):
    path = tmp_path / "a.pt"
    torch.save(network().state_dict(), path)
    content = bytearray(path.read_bytes())
    content[content.index(b"_rebuild_tensor_v2")] ^= 1
    path.write_bytes(content)
    assert refusal(path, CheckpointError).what == "CRC mismatch in member 'a/data.pkl'"


@pytest.mark.parametrize("save", [torch.save, save_legacy, lambda c, p: save_file(c, p)])
def test_truncation_at_any_length(tmp_path, save):
    path = tmp_path / "a.pt"
    save(prefixed(""), path)
    content = path.read_bytes()
    lengths = {1, 7, 8, 9, 20, len(content) - 1, *range(30, len(content), len(content) // 12)}
    errors = []
    for length in sorted(lengths):
        path.write_bytes(content[:length])
        errors.append(refusal(path, CheckpointError))
    assert {error.exit for error in errors} == {3}
    assert "truncated" in errors[-1].what


def damaged_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


TENSOR = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ((10**9).to_bytes(8, "little") + b"{}" + bytes(9), "claims 1,000,000,000 bytes"),
        (damaged_header(b"{not json"), "JSONDecodeError"),
        (damaged_header(b'{"a":' + b"[" * 200_000), "RecursionError"),
        (damaged_header(b'{"a":{},"a":{}}'), "occurs twice"),
        (damaged_header({"a": 3}), "TypeError"),
        (damaged_header({"a": TENSOR | {"dtype": "F99"}}, bytes(8)), "F99"),
        (damaged_header({"a": TENSOR | {"shape": [-2]}}, bytes(8)), "no count"),
        (damaged_header({"a": TENSOR | {"shape": [2.0]}}, bytes(8)), "no count"),
        (damaged_header({"a": TENSOR | {"shape": [3]}}, bytes(8)), "needs 12"),
        (damaged_header({"a": TENSOR, "b": TENSOR}, bytes(8)), "a hole or an overlap"),
        (damaged_header({"a": TENSOR | {"data_offsets": [8, 16]}}, bytes(16)), "a hole"),
        (damaged_header({"a": TENSOR}, bytes(9)), "1 bytes after the last tensor"),
        (damaged_header({"__metadata__": {"a": 1}}), "mapping of strings"),
        (damaged_header(b'{"a":NaN}'), "NaN"),
        (damaged_header(b'{"a":{"dtype":"F32","shape":[' + b"9" * 5000 + b"]}}"), "ValueError"),
    ],
)
def test_damaged_safetensors(tmp_path, content, why):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_header(path)
    assert why in caught.value.why
    refusal(path, CheckpointError)


def exponential() -> bytes:
    """A tuple that holds itself twice, forty times over, as a dictionary key."""
    doubled = b"".join(b"q%c0h%ch%c\x86" % (i, i, i) for i in range(40))
    return b"\x80\x02}(" + b")" + doubled + b"K\x01u."


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x02",
        b"garbage",
        b"\x80\x02" + b"(" * 100_000 + b".",
        b"\x80\x02" + b"]" + b"a" * 10 + b".",
        b"\x80\x02r\xff\xff\xff\xffN.",
        b"\x80\x05\x96" + (2**40).to_bytes(8, "little") + b".",
        b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ctorch\nFloatTensor\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nN\x85b.",
        b"\x80\x02}}K\x01s.",
        exponential(),
        pickled({"w": RunsOnLoad(torch.Size, 10**12)}),
        pickled({10**5000: 3}),
        pickled({"epoch": 10**5000}),
    ],
    ids=range(15),
)
def test_hostile_pickles(tmp_path, content):
    path = tmp_path / "a.pt"
    zip_with(path, content)
    started = time.perf_counter()
    with pytest.raises(LandscapeError):
        Checkpoint.read(path)
    with contextlib.suppress(LandscapeError):
        assert json.dumps(inspect_file(path).to_json())
    assert time.perf_counter() - started < 5


def tensor_pickle(shape: tuple[int, ...], stride: tuple[int, ...], count: int) -> bytes:
    class Storage:
        pass

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return ("storage", torch.FloatStorage, "0", "cpu", count) if obj is kept else None

    kept, buffer = Storage(), io.BytesIO()
    rebuilt = RunsOnLoad(_rebuild_tensor_v2, kept, 0, shape, stride, False, {})
    Pickler(buffer, protocol=2).dump({"w": rebuilt})
    return buffer.getvalue()


def test_sizes_that_the_file_does_not_hold(tmp_path):
    path = tmp_path / "a.pt"
    zip_with(path, tensor_pickle((2,), (1,), 2), **{"0": bytes(8)})
    assert Checkpoint.read(path).tensors["w"].tolist() == [0, 0]
    zip_with(path, tensor_pickle((4,), (1,), 4), **{"0": bytes(8)})
    error = refusal(path, CheckpointError)
    assert error.why == "expected 16 bytes, got 8"
    zip_with(path, tensor_pickle((4,), (1,), 4))
    assert refusal(path, CheckpointError).why == "expected 16 bytes, got none"
    zip_with(path, tensor_pickle((9,), (1,), 2), **{"0": bytes(8)})
    refusal(path, CheckpointError)
    zip_with(path, tensor_pickle((10**15,), (0,), 2), **{"0": bytes(8)})
    assert "claims 1,000,000,000,000,000 entries" in refusal(path, UnsafeError).what
    zip_with(path, tensor_pickle((-1,), (1,), 2), **{"0": bytes(8)})
    refusal(path, CheckpointError)


HOSTILE_NAMES = ["<img src=x onerror=alert(1)>", "\x1b]0;owned\x07", "[/red]", "a" * 1_000_000, "",
                 "../../x", "=1+1", "a\nb\0c", "\ud800", "🏔.weight"]  # fmt: skip


def test_hostile_names_are_data(tmp_path):
    content = {name: torch.full((i + 1,), 1.0) for i, name in enumerate(HOSTILE_NAMES)}
    torch.save(content, tmp_path / "a.pt")
    save_legacy(content, tmp_path / "b.pt")
    content.pop("\ud800")
    save_file(content, tmp_path / "c.safetensors")
    for name in ("a.pt", "b.pt", "c.safetensors"):
        found = Checkpoint.read(tmp_path / name)
        assert set(content) <= set(found.tensors)
        assert len(found.fingerprint) == 32
        assert json.dumps(inspect_file(tmp_path / name).to_json())


def mutated(content: bytes, chance: random.Random) -> bytes:
    """A few bytes changed, and sometimes some missing."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 2, 8, 64))):
        changed[chance.randrange(len(changed))] = chance.randrange(256)
    if chance.random() < 0.2:
        start = chance.randrange(len(changed))
        del changed[start : start + chance.randrange(1, 99)]
    return bytes(changed)


@pytest.mark.parametrize("save", [torch.save, save_legacy, lambda c, p: save_file(c, p)])
def test_mutated_files_raise_only_our_errors(tmp_path, save):
    path = tmp_path / "a.pt"
    save(prefixed(""), path)
    content, chance = path.read_bytes(), random.Random(5)
    for _ in range(70):
        path.write_bytes(mutated(content, chance))
        for read in (Checkpoint.read, inspect_file):
            with contextlib.suppress(LandscapeError):
                read(path)


def test_mutated_pickles_raise_only_our_errors(tmp_path):
    """As above, with checksums that hold."""
    path = tmp_path / "a.pt"
    torch.save({"state_dict": prefixed(""), "step": 3}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    chance = random.Random(6)
    for _ in range(100):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                inside = mutated(content, chance) if name == "a/data.pkl" else content
                archive.writestr(name, inside)
        for read in (Checkpoint.read, inspect_file):
            with contextlib.suppress(LandscapeError):
                read(path)
