"""Every example stands in the gallery of the README, with its picture."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
PICTURES = ROOT / "examples" / "pictures"
ENTRY = re.compile(
    r'<td[^>]*>\s*<a href="examples/(?P<script>[^"]+)"><img src="(?P<picture>[^"]+)" '
    r'alt="(?P<alt>[^"]+)"[^>]*></a>(?P<text>.*?)</td>',
    re.DOTALL,
)


def gallery() -> list[dict[str, str]]:
    text = (ROOT / "README.md").read_text("utf-8")
    section = text.split("\n## Gallery\n")[1].split("\n## ")[0]
    return [found.groupdict() for found in ENTRY.finditer(section)]


def test_every_example_stands_in_the_gallery_once_and_in_order() -> None:
    assert [one["script"] for one in gallery()] == [path.name for path in EXAMPLES]


@pytest.mark.parametrize("entry", gallery(), ids=lambda entry: entry["script"])
def test_an_entry_has_its_picture_and_says_what_was_published_and_measured(
    entry: dict[str, str],
) -> None:
    picture = ROOT / entry["picture"]
    assert picture.parent == PICTURES
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert picture.stat().st_size < 250_000
    script = (ROOT / "examples" / entry["script"]).read_text("utf-8")
    assert f'"{picture.name}"' in script  # what it writes unless told otherwise
    assert "<b>Published</b>" in entry["text"]
    assert "<b>Measured</b>" in entry["text"]


def test_every_picture_is_shown() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    for picture in PICTURES.glob("*"):
        assert f"examples/pictures/{picture.name}" in text, picture.name


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_says_what_it_shows_and_asserts_it(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert len((ast.get_docstring(tree) or "").splitlines()) >= 3
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_can_be_run_quickly(path: Path) -> None:
    text = path.read_text("utf-8")
    assert '"--quick"' in text or "quick=" in text or "from script import" in text
