"""Text from files on its way to a terminal: no control characters, no endless names."""

from __future__ import annotations

import re
import textwrap

LONGEST = 200
LONGEST_LINE = 4000  # characters of whole sentences that one line may hold
NARROWEST = 20  # columns into which text is still wrapped
_SENTENCE = re.compile("(?<=[.;]) ")

# controls (C0, C1), what reorders or hides text, line separators, halves of characters
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def plain(text: object, *, lines: bool = False, longest: int | None = None) -> str:
    """Return text without control characters, shortened in the middle when it is very long.

    Args:
        text: Anything; its `str` is taken.
        lines: Whether newlines may stay.
        longest: Characters to keep.
    """
    kept = _HARMFUL.sub(lambda one: "\n" if lines and one[0] == "\n" else "�", str(text))
    limit = longest or (10 * LONGEST if lines else LONGEST * 4)
    if len(kept) <= limit:
        return kept
    return f"{kept[: limit // 2]} … {kept[-limit // 2 :]}"


def whole(text: object, *, width: int | None = None) -> str:
    """Return lines without control characters, each told to its end; shortened by sentences alone.

    Args:
        text: Anything; the lines of its `str` are taken one by one.
        width: Columns after which a line goes on in the next, indented; None: it does not.
    """
    lines = [_sentences(line) for line in str(text).split("\n")]
    if width is None:
        return "\n".join(lines)
    return "\n".join(part for line in lines for part in _wrapped(line, max(width, NARROWEST)))


def _sentences(line: str) -> str:
    """Return a line without the sentences that go beyond the longest line."""
    kept, room = list[str](), LONGEST_LINE
    for sentence in map(plain, _SENTENCE.split(line)):
        if kept and len(sentence) > room:
            return " ".join([*kept, "…"])
        kept.append(sentence)
        room -= len(sentence) + 1
    return " ".join(kept)


def _wrapped(line: str, width: int) -> list[str]:
    indent = line[: len(line) - len(line.lstrip(" "))]
    lines = textwrap.wrap(
        line.lstrip(" "),
        width,
        initial_indent=indent,
        subsequent_indent=f"{indent}  ",
        break_on_hyphens=False,
    )
    return lines or [""]
