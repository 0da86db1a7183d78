from __future__ import annotations

import re
from typing import Any

from landscape.reports.markdown import escape, render_markdown
from landscape.reports.report import Report


def test_everything_that_matters_is_there(several: Report) -> None:
    text = render_markdown(several.to_json())
    for part in ("`PARTIAL`", "Findings", "spectrum", "trace", "last.pt", "surface", "L600"):
        assert part in text
    assert len(text) < 20_000


def test_tables_are_regular(several: Report) -> None:
    rows = [row for row in render_markdown(several.to_json()).split("\n") if row.startswith("|")]
    assert len(rows) > 6
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}


def test_hostile_strings_stay_text(hostile: dict[str, Any]) -> None:
    text = render_markdown(hostile)
    without_own = text.replace("<sub>", "").replace("</sub>", "")
    assert "<" not in without_own
    assert "@everyone" not in text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", text)
    rows = [row for row in text.split("\n") if row.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    text.encode()


def test_escape() -> None:
    assert escape("a|b`c`<i>\n[x](y)") == r"a\|b\`c\`&lt;i&gt; \[x\]\(y\)"
    assert "https://" not in escape("see https://evil.example")
