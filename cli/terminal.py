"""Text from files on its way to a terminal: no control characters, no endless names."""

from __future__ import annotations

import re

LONGEST = 200

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
