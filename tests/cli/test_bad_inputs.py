"""Bad inputs, numbered as the rows of the table of bad inputs: what is said, and what is left.

Every refusal has its exit code, four lines on stderr that name the thing concerned, one document
on stdout under `--json`, no traceback, and leaves no file. What can be used is used, with a note.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tarfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.cli.command import FAST, NETWORKS, SUBJECT, contents, done, run
from tests.cli.networks import (
    Dictated,
    filled,
    headed,
    mlp,
    moody,
    partial,
    straight,
    transformer,
)
from tests.cli.refusal import Prepare, Refusal, check, shown

# --- what lies in the working folder -----------------------------------------------------------


def weights() -> dict[str, torch.Tensor]:
    return mlp().state_dict()


def written(name: str, content: bytes) -> Prepare:
    return lambda folder: (folder / name).write_bytes(content)


def saved(name: str, content: object) -> Prepare:
    return lambda folder: torch.save(content, folder / name)


def cut_by(count: int) -> Prepare:
    def prepare(folder: Path) -> None:
        whole = (folder / "good.pt").read_bytes()
        (folder / "cut.pt").write_bytes(whole[:-count])

    return prepare


def flipped(folder: Path) -> None:
    """Flip one bit in the middle of a tensor's bytes."""
    content = bytearray((folder / "good.pt").read_bytes())
    values = weights()["1.weight"].numpy().tobytes()
    content[content.index(values) + len(values) // 2] ^= 4
    (folder / "flipped.pt").write_bytes(content)


def gzipped(folder: Path) -> None:
    (folder / "packed.pt").write_bytes(gzip.compress((folder / "good.pt").read_bytes()))


def tarred(folder: Path) -> None:
    with tarfile.open(folder / "packed.pt", "w:gz") as archive:
        archive.add(folder / "good.pt", "good.pt")


def sharded(target: str) -> Prepare:
    def prepare(folder: Path) -> None:
        (folder / "sharded").mkdir()
        index = {"metadata": {}, "weight_map": dict.fromkeys(weights(), target)}
        (folder / "sharded" / "model.safetensors.index.json").write_text(json.dumps(index))

    return prepare


class RunsOnLoad:
    """Its pickle calls a function when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def spoilt(value: float, *places: tuple[int, int]) -> dict[str, torch.Tensor]:
    state = weights()
    for place in places:
        state["1.weight"][place] = value
    return state


def source(name: str, text: str) -> Prepare:
    return lambda folder: (folder / name).write_text(text)


def zipped(*members: tuple[str, int]) -> Prepare:
    """Save weights as a zip with further members, each with its permissions."""

    def prepare(folder: Path) -> None:
        with (
            zipfile.ZipFile(folder / "good.pt") as good,
            zipfile.ZipFile(folder / "odd.pt", "w") as odd,
            warnings.catch_warnings(action="ignore"),  # of names that repeat
        ):
            for name in good.namelist():
                odd.writestr(name, good.read(name))
            for name, mode in members:
                info = zipfile.ZipInfo(name)
                info.external_attr = mode << 16
                odd.writestr(info, b"x")

    return prepare


def scripted(folder: Path) -> None:
    with warnings.catch_warnings(action="ignore"):  # of TorchScript's end
        torch.jit.script(torch.nn.Linear(2, 2)).save(str(folder / "scripted.pt"))


def keras(folder: Path) -> None:
    with zipfile.ZipFile(folder / "net.keras", "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, b"{}")


def hostile_folder(folder: Path) -> None:
    """Write a folder of torch.distributed.checkpoint whose metadata would run a command."""
    (folder / "distributed").mkdir()
    call = b"cposix\nsystem\n(S'touch mischief'\ntR."
    (folder / "distributed" / ".metadata").write_bytes(call)
    (folder / "distributed" / "__0_0.distcp").write_bytes(b"x")


def instead(tensor: torch.Tensor) -> Prepare:
    """Save weights of which one is not what it should be."""
    return saved("other.pt", {**weights(), "1.weight": tensor})


def lfs(size: int) -> bytes:
    digest = "0" * 64
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n"
    return text.encode()


# --- the rows ----------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
HTML = b"<!DOCTYPE html><html><body>404</body></html>"


def reading(
    row: int,
    name: str,
    *says: str,
    prepare: Prepare | None = None,
    never: str = "Traceback",
    code: int = 3,
) -> list[Refusal]:
    """A file that neither a diagnostic nor `inspect` can read."""
    commands = (f"weights {name} -o answers", f"inspect {name}")
    return [Refusal(row, code, command, (*says, name), prepare, never) for command in commands]


def studying(row: int, code: int, flags: str, *says: str, **more: Any) -> Refusal:
    """A network or data that a diagnostic cannot study."""
    flags = flags.replace("nets:", f"{NETWORKS}:")
    command = f"gradients {more.pop('checkpoint', 'good.pt')} {flags} -o answers"
    return Refusal(row, code, command, says, **more)


def model(row: int, code: int, spec: str, *says: str, **more: Any) -> Refusal:
    return studying(row, code, f"--model {spec} --data nets:data", *says, **more)


def data(row: int, code: int, spec: str, *says: str, **more: Any) -> Refusal:
    return studying(row, code, f"--model nets:mlp --data {spec}", *says, **more)


def setting(row: int, flags: str, *says: str) -> Refusal:
    return Refusal(row, 2, f"spectrum good.pt {SUBJECT} {FAST} {flags} -o answers", says)


UNSAFE_HINT = "weights_only=False"

REFUSALS = [
    *reading(1, "goood.pt", "no such file", "did you mean good.pt"),
    *reading(1, "nowhere/best.pt", "no such file"),
    *reading(
        2, "run", "is a directory", "*.safetensors", "notes.txt",
        prepare=lambda folder: (folder / "run").mkdir() or written("run/notes.txt", b"x")(folder),
    ),
    *reading(3, "empty.pt", "file is empty (0 bytes)", prepare=written("empty.pt", b"")),
    *reading(3, "zeros.pt", "zero bytes", prepare=written("zeros.pt", bytes(5000))),
    *reading(
        4, "pointer.pt", "Git LFS pointer", "102,400", "git lfs pull",
        prepare=written("pointer.pt", lfs(102400)),
    ),
    *reading(
        4, "pointer.safetensors", "Git LFS pointer", "git lfs pull",
        prepare=written("pointer.safetensors", lfs(7)),
    ),
    *reading(
        5, "page.pt", "HTML page", "download", prepare=written("page.pt", HTML), never=UNSAFE_HINT
    ),
    *reading(5, "packed.pt", "gzip data", "gunzip", prepare=gzipped, never=UNSAFE_HINT),
    *reading(5, "packed.pt", "gzip data", prepare=tarred, never=UNSAFE_HINT),
    *reading(5, "plot.pt", "PNG image", prepare=written("plot.pt", PNG), never=UNSAFE_HINT),
    *reading(7, "cut.pt", "truncated", "interrupted", "good.pt", prepare=cut_by(1)),
    *reading(7, "cut.pt", "truncated", "interrupted", "good.pt", prepare=cut_by(3000)),
    *reading(8, "flipped.pt", "CRC mismatch in tensor '1.weight'", prepare=flipped),
    *reading(11, "odd.pt", "member '../x' points outside", prepare=zipped(("../x", 0)), code=4),
    *reading(11, "odd.pt", "member '/x' points outside", prepare=zipped(("/x", 0)), code=4),
    *reading(
        11, "odd.pt", "'good/link' is a symbolic link",
        prepare=zipped(("good/link", 0o120777)), code=4,
    ),
    *reading(
        11, "odd.pt", "'good/data/0' occurs 2 times", prepare=zipped(("good/data/0", 0)), code=4
    ),
    *reading(
        11, "odd.pt", "'good/data.pkl' occurs 2 times", prepare=zipped(("good/data.pkl", 0)), code=4
    ),
    Refusal(
        12, 4, "weights whole.pt -o answers",
        ("torch.nn.modules.linear.Linear", "--trust-pickle", "state_dict", "safetensors"),
        saved("whole.pt", mlp()),
    ),
    Refusal(
        13, 4, "weights evil.pt -o answers",
        ("blocked global posix.system", "this file tries to run code"),
        saved("evil.pt", {**weights(), "x": RunsOnLoad(os.system, "touch mischief")}),
    ),
    *reading(14, "distributed", "is a directory", prepare=hostile_folder, never="mischief"),
    *reading(
        15, "sharded/model.safetensors.index.json", "escapes", prepare=sharded("../../x"), code=4
    ),
    *reading(15, "sharded", "escapes", "index.json", prepare=sharded("/etc/passwd"), code=4),
    *reading(15, "sharded", "are missing", "a.safetensors", prepare=sharded("a.safetensors")),
    *reading(17, "scripted.pt", "TorchScript", "torch.jit.load", prepare=scripted),
    *reading(17, "net.keras", "Keras", prepare=keras),
    *(
        reading(17, name, format_, "weights", prepare=written(name, content))[0]
        for name, format_, content in (
            ("net.gguf", "GGUF", b"GGUF\3\0\0\0" + bytes(100)),
            ("net.onnx", "ONNX", b"\x08\x07\x12\x07pytorch\x1a\x051.9:" + bytes(30)),
            ("net.h5", "HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)),
            ("net.npy", "NumPy", b"\x93NUMPY\x01\x00" + bytes(100)),
        )
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "0, 1"),
        saved("none.pt", {0: torch.ones(2), 1: torch.ones(3)}),
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "epoch, loss"),
        saved("none.pt", {"epoch": 3, "loss": 0.5}),
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "holds a list"),
        saved("none.pt", [torch.ones(3)]),
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "holds a Tensor"),
        saved("none.pt", torch.ones(3)),
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "optimizer"),
        saved("none.pt", {"optimizer": torch.optim.Adam(mlp().parameters()).state_dict()}),
    ),
    Refusal(
        18, 3, "weights none.pt -o answers", ("no model weights found", "param_groups"),
        saved("none.pt", torch.optim.Adam(mlp().parameters()).state_dict()),
    ),
    studying(
        21, 3, "--model nets:ten_classes --data nets:flat",
        "fc.weight: checkpoint 1000x8, model 10x8", "num_classes=1000",
        checkpoint="wide.pt", prepare=saved("wide.pt", headed(1000).state_dict()),
    ),
    studying(
        21, 3, "--model nets:transformer --data nets:tokens",
        "is in this checkpoint", "missing", "embedding.weight", "unexpected", "3.bias",
    ),
    studying(
        22, 5, "--model nets:mlp --data nets:data",
        "3 non-finite", "1.weight", "first at [0, 5]",
        checkpoint="nan.pt",
        prepare=saved("nan.pt", spoilt(torch.nan, (0, 5), (1, 1), (2, 7))),
    ),
    studying(
        22, 5, "--model nets:mlp --data nets:data", "1 non-finite", "1.weight",
        checkpoint="inf.pt", prepare=saved("inf.pt", spoilt(torch.inf, (3, 3))),
    ),
    *(
        refusal
        for row, says, tensor in (
            (23, "quantised", torch.ones(16, 64, dtype=torch.int8)),
            (24, "on the meta device", torch.empty(16, 64, device="meta")),
            (24, "sparse (sparse_coo)", torch.ones(16, 64).to_sparse()),
            (24, "complex (complex64)", torch.ones(16, 64, dtype=torch.complex64)),
            (24, "float8_e4m3fn", torch.ones(16, 64).to(torch.float8_e4m3fn)),
        )
        for refusal in (
            studying(
                row, 3, "--model nets:mlp --data nets:data", "tensor '1.weight'", says,
                "16 bits or more", ".float()", checkpoint="other.pt", prepare=instead(tensor),
            ),
            Refusal(
                row, 3, "weights other.pt -o answers", ("tensor '1.weight'", says), instead(tensor)
            ),
        )
    ),
    studying(
        23, 3, "--model nets:mlp --data nets:data", "tensor '1.weight' is of integers (int64)",
        checkpoint="other.pt", prepare=instead(torch.ones(16, 64, dtype=torch.int64)),
    ),
    model(25, 2, "torchvison:resnet18", "scheme:rest", "nearest", "torchvision:resnet18"),
    model(25, 2, "resnet18", "scheme:rest", "path/file.py:factory"),
    model(25, 2, "nets:mlp,16", "key=value"),
    model(25, 2, "'nets:mlp,width=(3'", "no partner"),
    data(25, 2, "radom:shape=3x8x8,classes=10", "nearest", "random:shape"),
    data(25, 2, "random:shape=3xx8,classes=10", "shape"),
    data(25, 2, "''", "names nothing"),
    studying(25, 2, "--model nets:mlp --data nets:data --loss cross", "no loss", "file.py"),
    model(26, 3, "no_such_module:build", "there is no module 'no_such_module'"),
    model(26, 3, "no_such_file.py:build", "there is no file"),
    model(26, 3, "nets:mpl", "no attribute 'mpl'", "mlp"),
    model(
        26, 3, "inner.py:build", "imports the module 'absent_package', which is missing",
        prepare=source("inner.py", "import absent_package\n"),
    ),
    model(
        26, 3, "inner_module:build", "imports the module 'absent_package', which is missing",
        prepare=source("inner_module.py", "import absent_package\n"),
    ),
    model(27, 3, "nets:needs_width", "needs width, depth", "needs_width(width, *, depth)"),
    model(27, 3, "nets:mlp,breadth=3", "takes no breadth", "mlp(width=16, outputs=10)"),
    model(27, 3, "nets:not_a_network", "returned dict", "torch.nn.Module"),
    model(27, 3, "nets:Dictated.forward", "needs self"),
    model(27, 3, "nets:exits", "failed when it was called", "SystemExit: 3"),
    model(
        27, 3, "nets:fails", "failed when it was called", "layer 7 is missing", "deeper",
        never="factory.py",
    ),
    model(
        27, 3, "broken.py:build", "broken.py", "line 2",
        prepare=source("broken.py", "def build():\nreturn 3\n"),
    ),
    data(28, 3, "nets:triples", "batch 0 is not understood", "float32 16×1×8×8"),
    data(28, 3, "nets:words", "holds no tensors", "str"),
    data(28, 3, "nets:images_only", "batch 0 is not understood", "float32 16×1×8×8"),
    data(28, 3, "nets:nothing", "returned None", "DataLoader"),
    data(28, 3, "nets:number", "an object of type int", "DataLoader"),
    data(28, 3, "nets:held_out_alone", "keys held_out", "'train'"),
    data(28, 3, "nets:mappings", "could not be called", "pixels"),
    data(29, 3, "nets:no_batches", "data yielded 0 samples"),
    data(29, 3, "nets:empty_loader", "data yielded 0 samples", "drop_last"),
    data(29, 3, "nets:empty_dataset", "data yielded 0 samples"),
    data(29, 3, "nets:empty_batch", "data yielded 0 samples"),
    data(31, 3, "nets:shuffled", "data differ between passes (batch 0)", "shuffle=False"),
    data(32, 3, "nets:label_12", "label 12 but the model has 10 outputs", "0 … 9"),
    data(32, 3, "nets:negative_label", "label -1 but the model has 10 outputs"),
    data(32, 3, "nets:integer_inputs", "could not be called", "int64 16×1×8×8"),
    data(32, 3, "nets:wide_inputs", "could not be called", "float32 4×1×9×9"),
    data(32, 3, "nets:real_labels", "no loss fits", "16×10", "16 torch.float32", "--loss"),
    data(32, 3, "nets:ignored", "every target is ignored", "-100"),
    data(32, 3, "nets:long_targets", "do not fit", "4×10", "5 torch.int64"),
    studying(
        32, 3, "--model nets:mlp --data nets:data --loss mse", "do not fit the loss mse", "16×10"
    ),
    data(33, 5, "nets:infinite_inputs", "batch 1", "sample 4", "feature [0, 0, 0]", "inf"),
    data(33, 5, "nets:nan_targets", "batch 0", "sample 0", "nan"),
    data(33, 3, "nets:torn", "cannot open image 3", "batch 1", "networks.py"),
    data(33, 5, "nets:nan_inputs", "batch 1", "sample 2", "feature [0, 1, 5]", "nan"),
    model(
        33, 5, "nets:exploding", "loss is not finite in batch 0", "middle",
        checkpoint="body.pt",
        prepare=lambda folder: torch.save(
            {f"body.{name}": value for name, value in weights().items()}, folder / "body.pt"
        ),
    ),
    studying(
        33, 5, "--model nets:mlp --data nets:data --loss nets:infinite_loss",
        "loss is not finite in batch 0", "the loss itself",
    ),
    studying(
        27, 3, "--model nets:mlp --data nets:data --loss nets:failing_loss",
        "no such key: margin", "failing_loss",
    ),
    model(
        27, 3, "nets:failing_forward", "no such layer: 9", "FailingForward",
        checkpoint="body.pt",
        prepare=lambda folder: torch.save(
            {f"body.{name}": value for name, value in weights().items()}, folder / "body.pt"
        ),
    ),
    data(33, 3, "nets:fails_to_yield", "shard 3 is corrupt", "networks.py"),
    model(36, 3, "nets:frozen", "every parameter of the model is frozen", "--params all"),
    studying(
        36, 3, "--model nets:mlp --data nets:data --params conv*",
        "no trainable parameter matches", "the layers are 1, 3", "--params 1"
    ),
    studying(
        38, 3, "--model nets:overwriting --data nets:data",
        "cannot be differentiated", "inplace operation", "set_detect_anomaly",
        checkpoint="body.pt", prepare=lambda folder: torch.save(
            Dictated().state_dict(), folder / "body.pt"
        ),
    ),
    Refusal(
        38, 3, f"spectrum body.pt --model {NETWORKS}:handmade --data {NETWORKS}:data {FAST}",
        ("Once can be differentiated only once", "--product differences"),
        lambda folder: torch.save(Dictated().state_dict(), folder / "body.pt"),
    ),
    pytest.param(
        studying(
            39, 3, "--model nets:mlp --data nets:data --device cuda",
            "device 'cuda' is not available", "cpu", "--device auto",
        ),
        marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device"),
    ),
    studying(39, 3, "--model nets:mlp --data nets:data --device tpu", "'tpu'", "--device auto"),
    Refusal(
        41, 3, "weights good.pt -o answers", ("already holds weights.json", "--force"),
        lambda folder: (folder / "answers").mkdir()
        or written("answers/weights.json", b"{}")(folder),
    ),
    Refusal(
        41, 3, "weights good.pt -o good.pt/answers", ("cannot be written", "it is a file"),
    ),
    setting(45, "--top 1211 --bottom 0", "1211", "at most 1210"),
    setting(45, "--learning-rate nan", "nan"),
    setting(45, "--learning-rate inf", "inf", "0<x<inf"),
    setting(45, "--learning-rate 0", "0.0", "0<x<inf"),
    setting(45, "--batch-size -4", "-4", "x>=1", "(default auto)"),
    setting(45, "--budget soon", "'soon' is not a budget", "--budget 2m"),
    setting(45, "--budget 0hvp", "'0hvp' is not a budget", "--budget 500hvp"),
    setting(45, "--dtype int8", "'int8' is not one of", "float32"),
    setting(45, "--top 0", "at least 1", "got 0", "default is 10"),
    setting(45, "--top some", "'some' is not a valid integer", "at least 1", "(default 10)"),
    setting(45, "--max-products 1", "at least 8", "default is 4000"),
    setting(45, "--seed one", "'one' is not a valid integer", "(default 0)"),
    setting(45, "--seed -1", "at least 0", "default is 0"),
    setting(45, "--tolerance 2", "at most 1", "default is 0.0001"),
    setting(45, "--tolerance nan", "nan", "default is 0.0001"),
    setting(45, "--trace-tolerance inf", "inf", "default is 0.1"),
    setting(45, "--max-samples -3", "-3", "x>=1", "first samples"),
    setting(45, "--operator hesian", "next: did you mean hessian? See"),
    setting(45, "--operator kfac", "'kfac' is not one of", "hessian", "gauss-newton"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """A working folder with one good checkpoint."""
    monkeypatch.chdir(tmp_path)
    torch.save(weights(), "good.pt")
    return tmp_path


@pytest.mark.parametrize("refusal", REFUSALS, ids=str)
def test_refused(folder, refusal):
    check(folder, refusal)


# --- what can be used --------------------------------------------------------------------------


@dataclass(frozen=True)
class Use:
    """A row that ends well: the command, and the notes that it must print."""

    row: int
    command: str
    says: tuple[str, ...] = ()
    prepare: Prepare | None = None

    def __str__(self) -> str:
        return shown(self.row, self.command)


def used(row: int, flags: str, *says: str, checkpoint: str = "good.pt", **more: Any) -> Use:
    return Use(
        row, f"gradients {checkpoint} {flags.replace('nets:', f'{NETWORKS}:')}", says, **more
    )


def prefixed(prefix: str) -> dict[str, torch.Tensor]:
    return {f"{prefix}{name}": value for name, value in weights().items()}


USES = [
    Use(
        6, "weights swapped.pt", ("safetensors", "although the name ends in .pt"),
        lambda folder: save_file(weights(), folder / "swapped.pt"),
    ),
    Use(
        6, "weights swapped.safetensors", ("torch zip", "although the name ends in .safetensors"),
        saved("swapped.safetensors", weights()),
    ),
    Use(
        19, "weights both.pt", ("`model` is used", "`ema`", "--ema"),
        saved("both.pt", {"model": weights(), "ema": filled(mlp(), 1).state_dict()}),
    ),
    *(
        used(
            20, SUBJECT, f"prefix `{prefix}` stripped", "4/4",
            checkpoint="wrapped.pt", prepare=saved("wrapped.pt", prefixed(prefix)),
        )
        for prefix in ("module.", "module._orig_mod.", "net.model.")
    ),
    used(
        28, "--model nets:dictated --data nets:mappings",
        checkpoint="body.pt", prepare=saved("body.pt", Dictated().state_dict()),
    ),
    used(30, "--model nets:mlp --data nets:once"),
    used(31, "--model nets:mlp --data nets:shuffled_loader"),
    used(
        34, "--model nets:moody --data nets:data",
        checkpoint="moody.pt", prepare=saved("moody.pt", moody().state_dict()),
    ),
]  # fmt: skip


@pytest.mark.parametrize("use", USES, ids=str)
def test_used(folder, use):
    if use.prepare is not None:
        use.prepare(folder)
    before = contents(folder)
    outcome = done(f"{use.command} --json")
    assert outcome.document["status"] == "converged"
    notes = [line for line in outcome.stderr.splitlines() if line.startswith("note: ")]
    for phrase in use.says:
        assert any(phrase in note for note in notes), outcome.stderr
    assert [*outcome.stderr.splitlines()] == notes
    assert contents(folder) == before
    told = [note.removeprefix("note: ") for note in notes]
    assert told == outcome.document["provenance"]["notes"]


def test_the_same_data_once_and_again():
    """Row 30: a generator gives the numbers that the list which it runs through gives."""
    listed, once = (
        done(f"gradients good.pt --model {NETWORKS}:mlp --data {NETWORKS}:{name} --json").document
        for name in ("data", "once")
    )
    assert listed["answer"] == once["answer"]
    assert listed["provenance"]["batches_hash"] == once["provenance"]["batches_hash"]


def test_evaluation_mode_is_the_default():
    """Row 34: dropout and batch statistics of training do not enter the numbers."""
    model = moody()
    torch.save(model.state_dict(), "moody.pt")
    flags = f"--model {NETWORKS}:moody --data {NETWORKS}:data --json"
    answer = done(f"gradients moody.pt {flags}").document["answer"]
    model.eval()
    from tests.cli.networks import data as batches

    inputs, targets = (torch.cat(parts) for parts in zip(*batches(), strict=True))
    loss = torch.nn.functional.cross_entropy(model(inputs), targets)
    assert answer["loss"]["value"] == pytest.approx(loss.item(), rel=1e-5)


def test_attention_is_differentiated_twice():
    """Row 35: the kernels without a second derivative are not used, and the answer says so."""
    torch.save(transformer().state_dict(), "tied.pt")
    flags = f"--model {NETWORKS}:transformer --data {NETWORKS}:tokens {FAST} --json"
    document = done(f"spectrum tied.pt {flags}").document
    assert document["answer"]["eigenvalues"]["top"][0]["value"] > 0
    assert "MATH" in json.dumps(document["provenance"])


def test_zero_curvature_is_explained():
    """Row 37: a straight line in the weights has no curvature, and that is said."""
    torch.save(straight().state_dict(), "line.pt")
    flags = f"--model {NETWORKS}:straight --data {NETWORKS}:data --loss {NETWORKS}:mean_output"
    told = done(f"spectrum line.pt {flags} {FAST}").stdout
    assert "the curvature is zero" in told
    assert "--operator gauss-newton" in told
    torch.save(Dictated().state_dict(), "body.pt")
    flags = f"--model {NETWORKS}:detached --data {NETWORKS}:data"
    assert "saturated, detached" in done(f"spectrum body.pt {flags} {FAST}").stdout
    told = done(f"gradients body.pt {flags}").stdout
    assert "4 trainable tensors do not move the loss" in told


def test_differences_where_there_is_no_second_derivative():
    """Row 38: a backward pass by hand, and that of PyTorch, have the same second differences."""
    torch.save(Dictated().state_dict(), "body.pt")
    flags = f"--data {NETWORKS}:data {FAST} --product differences --json"
    found, expected = (
        done(f"spectrum body.pt --model {NETWORKS}:{name} {flags}").document["answer"]
        for name in ("handmade", "rectified")
    )
    for end in ("top", "bottom"):
        values, others = (
            [one["value"] for one in answer["eigenvalues"][end]] for answer in (found, expected)
        )
        assert values == pytest.approx(others, rel=1e-4)


def test_unused_parameters_have_zero_rows():
    """Row 36."""
    torch.save(partial().state_dict(), "partial.pt")
    flags = f"--model {NETWORKS}:partial --data {NETWORKS}:data"
    outcome = done(f"gradients partial.pt {flags} --json")
    assert outcome.document["answer"]["unused"] == ["unused.weight", "unused.bias"]
    rows = {row["name"]: row for row in outcome.document["answer"]["layers"]}
    assert rows["unused.weight"]["gradient_norm"]["value"] == 0
    assert rows["head.weight"]["gradient_norm"]["value"] > 0
    assert (
        "2 trainable tensors do not move the loss" in done(f"gradients partial.pt {flags}").stdout
    )
    spectrum = done(f"spectrum partial.pt {flags} {FAST} --json").document["answer"]
    traces = {layer["name"]: layer["trace"] for layer in spectrum["layers"]}
    low, high = traces["unused"]["interval"]
    assert low <= 0 <= high
    assert high - low < 1e-4 * traces["head"]["value"]


def test_non_finite_weights_are_still_described():
    """Row 22: the weights alone can be told, and the exit code says that they are not finite."""
    torch.save(spoilt(torch.nan, (0, 5), (1, 1), (2, 7)), "nan.pt")
    outcome = run("weights nan.pt")
    assert outcome.code == 5
    assert "NaN or infinite weights: 3" in outcome.stdout
    assert "3 in 1.weight, first at [0, 5]" in outcome.stdout
    assert "Traceback" not in outcome.stderr
    document = run("weights nan.pt --json").document
    assert document["status"] == "not_finite"
    rows = {row["name"]: row for row in document["answer"]["tensors"]}
    assert rows["1.weight"]["norm"]["value"] is None
    assert rows["1.weight"]["norm"]["reason"]
    assert rows["1.weight"]["first_non_finite"] == [0, 5]
    assert rows["3.weight"]["norm"]["value"] > 0


# --- row 42 ------------------------------------------------------------------------------------

HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "[/red][link=file:///etc]",
    "[bold",
    "<img src=x onerror=alert(1)>",
    "a\nb\rc",
    "\u202egnp.weight",
    "\x9b31m",
    "=cmd|' /C calc'!A0",
    "",
    "%s{0}",
    "w" * 100_000,
)


@pytest.mark.parametrize("command", ["weights", "inspect"])
@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_hostile_names_are_inert(monkeypatch, command, suffix):
    monkeypatch.setenv("COLUMNS", "400")
    state = {name: torch.full((2, 2), float(i + 1)) for i, name in enumerate(HOSTILE)}
    (save_file if suffix == "safetensors" else torch.save)(state, f"hostile.{suffix}")
    outcome = done(f"{command} hostile.{suffix}")
    shown = outcome.stdout + outcome.stderr
    assert [c for c in shown if ord(c) < 32 and c != "\n"] == []
    assert not set(shown) & {"\x7f", "\x9b", "\u202e"}
    assert len(shown) < 20_000
    for name in ("[/red][link=file:///etc]", "[bold", "<img src=x onerror=alert(1)>", "%s{0}"):
        assert name in shown
    assert f"{len(HOSTILE)} tensors" in shown
    document = done(f"{command} hostile.{suffix} --json").document
    tensors = document["answer"]["tensors"]
    assert {tensor["name"] for tensor in tensors} == set(HOSTILE)


def test_hostile_names_in_errors_are_inert():
    torch.save({name: torch.ones(2, 2) for name in HOSTILE}, "hostile.pt")
    outcome = run(f"gradients hostile.pt {SUBJECT}")
    assert outcome.code == 3
    assert [c for c in outcome.stderr if ord(c) < 32 and c != "\n"] == []
    assert len(outcome.stderr) < 20_000
    assert "\u202e" not in outcome.stderr


# --- nothing in a checkpoint runs --------------------------------------------------------------

AUDITED = """
import json, os, sys
from importlib.metadata import entry_points
(script,) = entry_points(group="console_scripts", name="landscape")
main = script.load()

def code(*arguments):
    try:
        main(list(arguments))
    except SystemExit as end:
        return end.code

COMMANDS = (["weights"], ["inspect"], ["gradients", "--model", sys.argv[1] + ":mlp",
            "--data", sys.argv[1] + ":data"])
WATCHED = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "subprocess.Popen",
           "socket.", "pickle.find_class", "os.remove", "os.rename", "os.mkdir", "shutil.",
           "import")
events = []

def hook(event, arguments):
    if event == "open":
        if isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
            events.append([event, str(arguments[0])])
    elif event == "compile":
        if "mischief" in str(arguments[0]):
            events.append([event, str(arguments)[:100]])
    elif event.startswith(WATCHED):
        events.append([event, str(arguments)[:100]])

for path in sys.argv[2:4]:  # one that is good and one that is refused, so that all is imported
    for command in COMMANDS:
        code(*command, path)
sys.addaudithook(hook)
codes = {path: [code(command[0], path, *command[1:]) for command in COMMANDS]
         for path in sys.argv[4:]}
refused = list(events)
events.clear()
trusted = code("weights", sys.argv[4], "--trust-pickle")
sys.stderr.write("\\n" + json.dumps({"codes": codes, "events": refused, "trusted": trusted,
                                     "noticed": [event for event, _ in events]}))
"""


def test_nothing_in_a_checkpoint_runs():
    """Rows 12 and 13, under an audit hook; one file is then trusted, to show that the hook sees."""
    harm: dict[str, Any] = {
        "system": RunsOnLoad(os.system, "touch mischief"),
        "exec": RunsOnLoad(exec, "open('mischief', 'w')"),
        "eval": RunsOnLoad(eval, "open('mischief', 'w')"),
        "popen": RunsOnLoad(subprocess.Popen, ["touch", "mischief"]),
        "module": mlp(),
    }
    paths = []
    for name, thing in harm.items():
        for legacy in (False, True):
            path = f"{name}{'-legacy' if legacy else ''}.pt"
            torch.save(
                {"state_dict": weights(), "x": thing},
                path,
                _use_new_zipfile_serialization=not legacy,
            )
            paths.append(path)
    torch.save({"x": mlp()}, "warm.pt")
    ended = subprocess.run(
        [sys.executable, "-c", AUDITED, str(NETWORKS), "good.pt", "warm.pt", *paths],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stderr.splitlines()[-1])
    assert told["events"] == []
    assert told["codes"] == {path: [4, 0, 4] for path in paths}
    assert told["trusted"] == 0
    assert "os.system" in told["noticed"]
    assert Path("mischief").exists(), "the hook was not put to the test"


def test_inspect_lists_what_would_run(folder):
    saved("evil.pt", {"x": RunsOnLoad(os.system, "touch mischief"), **weights()})(folder)
    assert "posix.system" in done("inspect evil.pt").stdout
    assert done("inspect evil.pt --json").document["answer"]["unsafe_globals"] == ["posix.system"]
    assert not Path("mischief").exists()


def test_a_trusted_pickle_is_stamped():
    torch.save(mlp(), "whole.pt")
    document = done("weights whole.pt --trust-pickle --json").document
    assert document["provenance"]["checkpoints"][0]["trusted_pickle"] is True
    plain = done("weights good.pt --trust-pickle --json").document
    assert plain["answer"]["total_norm"] == document["answer"]["total_norm"]


def test_a_bomb_is_refused():
    """Row 10."""
    with zipfile.ZipFile("bomb.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}.")
        archive.writestr("a/data/0", bytes(3_000_000))
    outcome = run("weights bomb.pt")
    assert outcome.code == 4
    assert "compressed entries are not written by torch.save" in outcome.stderr
    assert outcome.stdout == ""
