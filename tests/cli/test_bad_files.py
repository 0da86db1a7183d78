"""Bad files given to every command, places that cannot be written, runs that are stopped."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import landscape as ls
from landscape import progress
from tests.cli.command import FAST, SUBJECT, contents, done, run
from tests.cli.networks import filled, mlp
from tests.cli.refusal import Refusal, check

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"
HOSTILE = b"cposix\nsystem\n(S'touch mischief'\ntR."

FILES = {  # name: content (None: no file), exit code, what is said
    "gone.pt": (None, 3, ("no such file", "did you mean good.pt?")),
    "torn.pt": (-1, 3, ("truncated", "interrupted", "good.pt")),
    "empty.pt": (b"", 3, ("file is empty (0 bytes)",)),
    "pointer.pt": (LFS, 3, ("Git LFS pointer", "git lfs pull")),
    "evil.pt": (HOSTILE, 3, ("expected a torch.save or safetensors file",)),
}
COMMANDS = (  # in which BAD stands for the file
    "weights BAD",
    "weights good.pt BAD",
    f"spectrum BAD {SUBJECT} {FAST}",
    f"gradients BAD {SUBJECT}",
    f"lipschitz BAD {SUBJECT}",
    f"surface BAD {SUBJECT}",
    f"ntk BAD {SUBJECT}",
    f"connect good.pt BAD {SUBJECT}",
    f"tickets score BAD {SUBJECT}",
    f"tickets score good.pt BAD {SUBJECT} --method movement",
    f"tickets find BAD {SUBJECT}",
    f"tickets eval BAD {SUBJECT}",
    "tickets compare good.pt BAD",
    f"report BAD {SUBJECT} -o answers",
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with one good checkpoint."""
    monkeypatch.chdir(tmp_path)
    torch.save(mlp().state_dict(), "good.pt")
    return tmp_path


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda text: text.replace(f" {SUBJECT}", ""))
def test_every_command_refuses_every_bad_file(folder, command, name):
    """Rows 1, 3, 4, 7 and 13."""
    content, code, says = FILES[name]
    whole = Path("good.pt").read_bytes()
    if content is not None:
        Path(name).write_bytes(whole[:content] if isinstance(content, int) else content)
    check(folder, Refusal(0, code, command.replace("BAD", name), (*says, name), never="mischief"))


# --- documents ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document(tmp_path_factory) -> Any:
    """What `landscape weights --json` prints."""
    path = tmp_path_factory.mktemp("made") / "good.pt"
    torch.save(mlp().state_dict(), path)
    return done(f"weights {path} --json").document


READERS = ("plot BAD -o out.png", "render BAD -o out.html")


def reading(row: int, command: str, *says: str) -> Refusal:
    return Refusal(row, 3, command.replace("BAD", "a.json"), (*says, "a.json"), json=False)


@pytest.mark.parametrize("command", READERS)
def test_damaged_documents(folder, document, command):
    """Row 44, and documents that are torn, empty, of something else or from elsewhere."""
    text = json.dumps(document)
    path = Path("a.json")
    check(folder, reading(1, command, "no such file", "check the folder"))
    Path("b.json").write_text(text)
    check(folder, reading(1, command, "no such file", "did you mean b.json?"))
    for content in (text[: len(text) // 2], "", "{", "\0" * 50):
        path.write_text(content)
        check(folder, reading(7, command, "not JSON"))
    path.write_bytes(b"\xff\xfe" + text.encode("utf-16-le"))
    check(folder, reading(42, command, "not JSON"))
    for part in ("answer", "settings", "cost", "provenance", "status"):
        path.write_text(json.dumps({k: v for k, v in document.items() if k != part}))
        check(folder, reading(44, command, "a.json is damaged"))
    newer = {**document, "schema": "landscape/weights/99"}
    newer["provenance"] = {**document["provenance"], "landscape": "99.4"}
    path.write_text(json.dumps(newer))
    check(folder, reading(44, command, "landscape/weights/99", "landscape 99.4 wrote it", "/1"))
    path.write_text(json.dumps({**document, "schema": "landscape/nonsense/1"}))
    check(folder, reading(44, command, "landscape/nonsense/1", "landscape/weights/1"))


def test_a_byte_order_mark_is_no_damage(document):
    """As editors of Windows write it."""
    Path("a.json").write_text(json.dumps(document), encoding="utf-8-sig")
    done("render a.json -o a.html")
    assert "1.weight" in Path("a.html").read_text()


@pytest.mark.parametrize("command", ["plot a.json -o out.png --label one --label two"])
def test_labels_without_answers(folder, document, command):
    Path("a.json").write_text(json.dumps(document))
    check(folder, Refusal(45, 2, command, ("2 labels for 1 answers", "one for each"), json=False))


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("plot a.json -o .", "is a folder"),
        ("render a.json -o page.html", "is a folder"),
        ("plot a.json -o out.xyz", "no figure format"),
        ("render a.json -o out.pdf", "is not called .html"),
        ("plot a.json -o nowhere/out.png", "nowhere/out.png"),
    ],
)
def test_names_that_cannot_be_written(folder, document, command, says):
    """Row 41."""
    Path("a.json").write_text(json.dumps(document))
    Path("page.html").mkdir()
    check(folder, Refusal(41, 3, command, (says,), json=False))


# --- masks, certificates, logs -----------------------------------------------------------------


def test_damaged_masks(folder):
    done(f"tickets score good.pt {SUBJECT} -o made -q")
    whole = Path("made/mask.safetensors").read_bytes()
    command = f"gradients good.pt {SUBJECT} --mask mask.safetensors"
    check(folder, Refusal(1, 3, command, ("no such file", "mask.safetensors")))
    for content in (whole[:-7], whole[:40], b"", b"hello"):
        Path("mask.safetensors").write_bytes(content)
        check(folder, Refusal(7, 3, command, ("not a mask", "mask.safetensors")))
    flipped = bytearray(whole)
    flipped[-3] ^= 16
    Path("mask.safetensors").write_bytes(flipped)
    check(folder, Refusal(9, 3, command, ("not a mask", "its bits changed", "mask.safetensors")))
    save_file({"1.weight": torch.zeros(16, 63, dtype=torch.bool)}, "mask.safetensors")
    check(folder, Refusal(21, 3, command, ("1.weight", "(16, 63)", "(16, 64)")))
    kept = {name: torch.zeros(value.shape, dtype=torch.bool) for name, value in weights().items()}
    save_file(kept, "mask.safetensors")
    check(folder, Refusal(36, 3, command, ("no parameter is studied",)))


def weights() -> dict[str, torch.Tensor]:
    return mlp().state_dict()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "no whole header"),
        (b'{"kind": "hea', "no whole header"),
        (b'{"kind": "step"}\n', "is not a log"),
        (b"PK\x03\x04\0\0\n\n", "is not a log"),
    ],
)
def test_what_is_no_log(folder, content, says):
    if content is not None:
        Path("run.jsonl").write_bytes(content)
    check(folder, Refusal(0, 3, "track run.jsonl -o answers", (says, "run.jsonl")))


# --- names -------------------------------------------------------------------------------------

NAMES = (b"caf\xe9.pt", b"new\nline.pt", b"\x1b[31mred.pt", b"%d{0}[bold].pt", "名前.pt".encode())


@pytest.mark.usefixtures("blank")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.full) for name in NAMES[2:])]
)
def test_names_of_files_are_shown_and_never_interpreted(name, suffix):
    """Row 42: also those that are no UTF-8, which C++ and Rust do not open."""
    path = Path(os.fsdecode(name)).with_suffix(suffix)
    if suffix == ".pt":
        path.write_bytes(Path("good.pt").read_bytes())
    else:
        save_file(weights(), "good.safetensors")
        path.write_bytes(Path("good.safetensors").read_bytes())
    for command in ("weights", "inspect", f"gradients {SUBJECT}"):
        outcome = done(command, path)
        shown = outcome.stdout + outcome.stderr
        assert [c for c in shown if ord(c) < 32 and c != "\n"] == []
        shown.encode()
    for command in ("weights --json", "inspect --json", "weights -o answers", "report -o made"):
        done(command, path).stdout.encode()
    written = json.loads(Path("answers/weights.json").read_text("utf-8"))
    assert written["answer"]["checkpoint"] == path.name


def test_names_of_tensors_that_are_no_text():
    torch.save({"a\udce9": torch.ones(2, 2), "b": torch.ones(3, 2)}, "odd.pt")
    for command in ("weights odd.pt", "inspect odd.pt", "weights odd.pt --json", "inspect odd.pt"):
        done(command).stdout.encode()
    done("weights odd.pt -o answers")
    written = json.loads(Path("answers/weights.json").read_text("utf-8"))
    assert [one["name"] for one in written["answer"]["tensors"]] == ["a\udce9", "b"]
    done("report odd.pt -o made")
    done("render made/report.json -o again.html")


# --- what was written before is known -----------------------------------------------------------


def test_a_flipped_bit_that_no_checksum_tells():
    """Row 9: safetensors has no checksum; the hash in the answer, and the norms, differ."""
    save_file(weights(), "final.safetensors")
    before = done("weights final.safetensors --json").document
    content = bytearray(Path("final.safetensors").read_bytes())
    content[-1] ^= 0x40  # the highest bit of an exponent
    Path("final.safetensors").write_bytes(content)
    assert not torch.equal(load_file("final.safetensors")["3.weight"], weights()["3.weight"])
    after = done("weights final.safetensors --json").document
    prints = [one["provenance"]["checkpoints"][0]["sha256"] for one in (before, after)]
    assert prints[0] != prints[1]
    assert after["answer"]["total_norm"]["value"] > 1e30


# --- disks, signals, pipes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "weights good.pt -o answers",
        f"gradients good.pt {SUBJECT} -o answers",
        f"tickets score good.pt {SUBJECT} -o answers",
        "report good.pt -o answers",
        "render answer.json -o out.html",
        "plot answer.json -o out.png",
    ],
)
@pytest.mark.parametrize(
    "number", [errno.ENOSPC, pytest.param(errno.EDQUOT, marks=pytest.mark.full)]
)
@pytest.mark.usefixtures("blank")
def test_a_full_disk(folder, document, monkeypatch, command, number):
    """Row 41: said as it is, nothing torn, and with space the same command goes through."""
    Path("answer.json").write_text(json.dumps(document))
    before = {name for name, content in contents(folder).items() if content is not None}

    def full(handle: int) -> None:
        del handle
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        outcome = run(command)
    assert outcome.code == 6, outcome.stderr
    assert outcome.stderr.splitlines()[-4].startswith("error[L600]: the disk is full")
    assert os.strerror(number) in outcome.stderr
    assert "Traceback" not in outcome.stderr
    left = {name for name, content in contents(folder).items() if content is not None}
    assert left == before
    done(command)


def test_a_disk_that_fills_up_between_two_files(monkeypatch):
    """What was written is taken back, so that the same command can be given again."""
    sync, count = os.fsync, iter(range(100))

    def soon(handle: int) -> None:
        if next(count) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(handle)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", soon)
        assert run("weights good.pt -o answers").code == 6
    assert [path for path in Path("answers").iterdir() if path.is_file()] == []
    done("weights good.pt -o answers")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_by_a_signal(folder, monkeypatch, number, code):
    def stop(*_: object) -> None:
        os.kill(os.getpid(), number)

    monkeypatch.setattr(ls.Weights, "measure", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker may ignore it
    try:
        outcome = run("weights good.pt -o answers")
    finally:
        signal.signal(signal.SIGINT, before)
    assert outcome.code == code
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert contents(folder).keys() == {"good.pt"}


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("flags", ["", " -q", " -o answers"])
@pytest.mark.parametrize("later", ["at the next step", "at the end"])
def test_a_signal_that_python_swallows(monkeypatch, number, code, flags, later):
    """What a signal raises inside `__del__` is printed and lost: the command ends all the same."""

    class Deleted:
        def __del__(self) -> None:
            os.kill(os.getpid(), number)
            os.getpid()  # the handler has run when this returns

    measure = ls.Weights.measure
    steps = list[str]()

    def stop(self: ls.Weights, subject: ls.Subject) -> Any:
        answer = measure(self, subject)
        with progress.task("steps", 2) as task:
            task.advance()
            monkeypatch.setattr(sys, "unraisablehook", lambda _: steps.append("swallowed"))
            Deleted()
            if later == "at the next step":
                task.advance()
                steps.append("went on")
        return answer

    monkeypatch.setattr(ls.Weights, "measure", stop)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = run(f"weights good.pt{flags}")
    finally:
        signal.signal(signal.SIGINT, before)
    assert steps == ["swallowed"]
    assert outcome.code == code
    (line,) = outcome.stderr.split()[:1]
    assert line.rstrip(";") == {130: "interrupted", 143: "terminated"}[code]
    kept = later == "at the end" and "-o" in flags
    assert ("what was finished is kept in answers" in outcome.stderr) == kept


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc")
def test_a_place_that_takes_no_files():
    outcome = run("weights good.pt -o /proc/answers")
    assert outcome.code == 3
    assert "another folder with -o" in outcome.stderr


def test_nobody_reads():
    """`landscape ... | head` ends quietly, with the code of a broken pipe and not of a gate."""
    torch.save({f"{i}.weight": torch.ones(2, 2) for i in range(3000)}, "long.pt")
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "landscape", "inspect", "long.pt"],
        stdout=write,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(write)
        os.read(read, 10)
        os.close(read)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 141
    assert told == b""


def test_other_weights_do_not_verify(folder):
    """A certificate is of one network: with other weights it proves nothing."""
    torch.save(filled(mlp(), 1).state_dict(), "other.pt")
    flags = f"{SUBJECT} --starts 1 --steps 2 --seconds 2"
    command = f"lipschitz good.pt {flags} --verify proof.json"
    check(folder, Refusal(1, 3, command, ("no such file", "where: proof.json", "check the folder")))
    Path("proof.json").write_bytes(b"{")
    check(folder, Refusal(7, 3, command, ("no certificates", "proof.json")))
