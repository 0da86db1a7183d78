"""Text from files on its way to a terminal: no control characters, no endless names."""

from __future__ import annotations

LONGEST = 200


def plain(text: object, *, lines: bool = False, longest: int | None = None) -> str:
    """Return text without control characters, shortened in the middle when it is very long.

    Args:
        text: Anything; its `str` is taken.
        lines: Whether newlines may stay.
        longest: Characters to keep.
    """
    kept = "".join(c if _harmless(c) or (lines and c == "\n") else "�" for c in str(text))
    limit = longest or (10 * LONGEST if lines else LONGEST * 4)
    if len(kept) <= limit:
        return kept
    return f"{kept[: limit // 2]} … {kept[-limit // 2 :]}"


def _harmless(character: str) -> bool:
    code = ord(character)
    return not (code < 32 or 127 <= code < 160 or code in (0x2028, 0x2029, 0x202E, 0x202D))
