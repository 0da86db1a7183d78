"""Tables and text in a terminal, read back as a terminal shows them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import entry_points
from typing import Any

import pytest

from landscape.estimate import Estimate

ATTACK = "a\x1b[31m\x9b31m\u202egnp.\u2066b\u200b\u2028[red]x[/red]\ud800"
REASON = "the first network has not learned: its error is 0.922, and a constant prediction's 0.898"
NAME = "encoder.layers.11.attention.self.query.parametrizations.weight.original1"


def modules() -> tuple[Any, Any]:
    (command,) = entry_points(group="console_scripts", name="landscape")
    command.load()
    from landscape_cli import output, terminal  # pyright: ignore[reportMissingImports]

    return output, terminal


def printed(
    capsys: pytest.CaptureFixture[str], columns: Sequence[str], *rows: Sequence[Any]
) -> list[str]:
    modules()[0].print_table(columns, rows)
    return capsys.readouterr().out.splitlines()


def test_numbers_have_the_digits_of_estimates(capsys: pytest.CaptureFixture[str]) -> None:
    row = (0.123456, Estimate.exact(0.123456), 1234567, True, None)
    lines = printed(capsys, ("number", "estimate", "count", "held", "none"), row)
    assert lines[-2].split() == ["0.1235", "0.1235", "1,234,567", "yes"]


def test_a_sentence_goes_on_in_the_next_line(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, ("pair", "verdict", "reason"), ("a – b", "refused", REASON))
    start = next(line.index("reason") for line in lines if "reason" in line)
    told = [line[start:].strip() for line in lines[3:] if line.strip()]
    assert len(told) == 2
    assert " ".join(told) == REASON
    assert max(map(len, told)) <= 60


def test_names_and_numbers_stay_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    row = (NAME[:58], 12345, 0.25, *(f"column{number}" for number in range(12)))
    lines = printed(capsys, [f"c{number}" for number in range(15)], row)
    (line,) = [line for line in lines if "encoder" in line]
    assert line.split() == [NAME[:58], "12,345", "0.25", *row[3:]]


def test_a_long_name_keeps_both_ends(capsys: pytest.CaptureFixture[str]) -> None:
    (line,) = [one for one in printed(capsys, ("name",), (NAME,)) if "encoder" in one]
    start, end = line.strip().split(" … ")
    assert NAME.startswith(start)
    assert NAME.endswith(end)


def test_hostile_text_is_shown_and_never_obeyed(capsys: pytest.CaptureFixture[str]) -> None:
    out = "\n".join(printed(capsys, ("name", ATTACK), (ATTACK, f"{ATTACK} {REASON}")))
    assert not re.search(
        "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]", out
    )
    assert "[red]x[/red]" in out


COLUMNS = ("layer", *(f"quantity {number}" for number in range(12)))


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 100 columns."""
    for name in ("NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("narrow")
def test_a_wide_table_goes_on_below(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        (f"encoder.{row}.weight", *(f"{row}:{place:09}" for place in range(12))) for row in "ab"
    ]
    lines = [re.sub("\x1b\\[[0-9;]*m", "", one) for one in printed(capsys, COLUMNS, *rows)]
    assert max(map(len, lines)) <= 100
    words = " ".join(lines).split()
    assert all(words.count(cell) == 1 for row in rows for cell in row[1:])
    assert " ".join(words).count("encoder.a.weight") == " ".join(words).count("layer") >= 2


@pytest.mark.usefixtures("narrow")
def test_text_is_wrapped_at_the_width_of_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    text = f"WARN: 2 sections answered.\n  ntk: {REASON * 5}\n  connect: {REASON}"
    modules()[0].tell(text)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "".join(lines).replace(" ", "") == text.replace("\n", "").replace(" ", "")
    assert [
        line.split(":")[0] for line in lines if line.startswith(("WARN", "  ntk", "  con"))
    ] == [
        "WARN",
        "  ntk",
        "  connect",
    ]


def test_a_long_text_is_whole_line_by_line() -> None:
    whole = modules()[1].whole
    text = "\n".join(f"  section {number}: {REASON}; {REASON}." for number in range(60))
    assert whole(text) == text
    long = "\n".join(("  first", " ".join(f"{REASON}." for _ in range(200)), "  last"))
    first, middle, last = whole(long).split("\n")
    assert (first, last) == ("  first", "  last")
    assert len(middle) <= 4002
    assert set(middle.removesuffix(" …").split(". ")) == {REASON, f"{REASON}."}


def test_lines_stay_only_where_they_are_wanted() -> None:
    plain = modules()[1].plain
    assert plain("a\nb\x07") == "a�b�"
    assert plain("a\nb\x07", lines=True) == "a\nb�"
