"""The words that a spec string may begin with, as tables that need no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from landscape.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A word before the colon of a spec string.

    Args:
        example: A spec string that uses it.
        line: What it loads, in one line.
        instead: For a reserved word, the factory file that does its work; `{rest}` is filled in.
    """

    example: str
    line: str
    instead: str = ""


_FACTORIES: Mapping[str, Scheme] = {
    "python": Scheme(example="pkg.mod:factory", line="a factory in an importable module"),
    "file": Scheme(example="path/file.py:factory", line="a factory in a Python file"),
}

MODEL_SCHEMES: Mapping[str, Scheme] = {
    "torchvision": Scheme(
        example="torchvision:resnet18,num_classes=10",
        line="an architecture of torchvision; its weights=DEFAULT with --allow-download",
    ),
    "timm": Scheme(
        example="timm:vit_tiny_patch16_224",
        line="an architecture of timm",
        instead="import timm\n"
        "def build():\n"
        "    return timm.create_model({rest!r}, pretrained=False)",
    ),
    "hf": Scheme(
        example="hf:./dir",
        line="a Hugging Face model",
        instead="from transformers import AutoModel\n"
        "def build():\n"
        "    return AutoModel.from_pretrained({rest!r}, local_files_only=True)",
    ),
    "lightning": Scheme(
        example="lightning:pkg.mod:Class",
        line="a LightningModule",
        instead="from pkg.mod import Class\ndef build():\n    return Class()",
    ),
}

DATA_SCHEMES: Mapping[str, Scheme] = {
    "sklearn": Scheme(
        example="sklearn:digits,split=test",
        line="a small real data set of scikit-learn: digits, wine, iris, breast_cancer, diabetes",
    ),
    "npz": Scheme(example="npz:file.npz,x=images,y=labels", line="arrays of a NumPy file"),
    "torchvision": Scheme(
        example="torchvision:CIFAR10,root=data,split=test",
        line="a data set of torchvision: on this disk, or fetched with --allow-download",
    ),
    "random": Scheme(
        example="random:shape=3x32x32,classes=10",
        line="random inputs and labels: to try things out, never to conclude",
    ),
    "hf": Scheme(
        example="hf:dataset,split=test",
        line="a Hugging Face data set",
        instead="from datasets import load_dataset\n"
        "def build():\n"
        "    return load_dataset({rest!r}, split='train').with_format('torch')",
    ),
}

_TABLES: Mapping[str, Mapping[str, Scheme]] = {"model": MODEL_SCHEMES, "data": DATA_SCHEMES}


def describe_schemes(kind: Literal["models", "data"]) -> list[tuple[str, str, str]]:
    """Return a row (scheme, example, one line) for each supported form of a spec string."""
    table = {**_FACTORIES, **_TABLES["model" if kind == "models" else "data"]}
    return [
        (name, scheme.example, scheme.line) for name, scheme in table.items() if not scheme.instead
    ]


def supported(what: str, schemes: Iterable[str]) -> list[str]:
    """Return those schemes that this version can load, not only name."""
    table = _TABLES.get(what, {})
    return [name for name in schemes if name not in table or not table[name].instead]


def example_of(what: str, scheme: str | None) -> str:
    """Return a spec string for `what` that uses `scheme`, or a factory file's without one."""
    return _TABLES.get(what, {}).get(scheme or "", _FACTORIES["file"]).example


def reserved(
    name: str, scheme: Scheme, *, rest: str, text: str, error: type[InputError]
) -> InputError:
    """Return the error for a scheme that this version knows but does not support."""
    factory = scheme.instead.format(rest=rest)
    return error(
        f"'{name}:' is not supported in this version",
        where=text,
        why="the word is reserved for a later version",
        hint=f"put this into a file such as factory.py and name it as factory.py:build\n{factory}",
    )
