"""Figures as files and as text."""

from __future__ import annotations

import hashlib
import html
import io
import re
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from landscape.encode import write_atomically
from landscape.errors import OutputError, failed_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")
WIDTH = 7.0  # inches
HEIGHT = 3.9  # inches, of the plot without its caption
_MARGIN = 1.0  # inches, for axis labels and legend
_LINE = 0.135  # inches, of the caption
_CAPTION = 128  # characters in a line of it

# what differs from file to file without being seen
_NO_DATE: dict[str, dict[str, Any]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


class Drawable(Protocol):
    """What `overlay` asks of a result."""

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        """Draw on axes."""
        ...

    def caption(self) -> str:
        """Return method and cost."""
        ...

    def summary(self) -> str:
        """Return the answer in one or two lines."""
        ...


def overlay(
    results: Sequence[Drawable], labels: Sequence[str | None], *, caption: bool = True
) -> Figure:
    """Return one figure with several answers of one kind on one scale.

    Args:
        results: What is drawn, first to last.
        labels: Their names in the legend; None where there is only one.
        caption: Whether method and cost of the last are written below.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from landscape.figures.style import PALETTE, RC

    with rc_context(RC):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        axes = figure.add_subplot()
        for number, (result, label) in enumerate(zip(results, labels, strict=True)):
            result.draw(axes, label=label, colour=PALETTE[number % len(PALETTE)])
        height = _wanted_height(axes)
        if caption:
            height += _write_caption(figure, results[-1].caption(), height)
        figure.set_size_inches(WIDTH, height)
    return figure


def _wanted_height(axes: Axes) -> float:
    """Return the height that the drawing asks for by its box aspect, and let it fill the figure."""
    aspect = axes.get_box_aspect()
    axes.set_box_aspect(None)
    return HEIGHT if aspect is None else aspect * WIDTH * 0.75 + _MARGIN


def _write_caption(figure: Figure, text: str, height: float) -> float:
    """Write a caption below the plot; return the height that it takes in inches."""
    from landscape.figures.style import MUTED, plain

    lines = textwrap.wrap(plain(text), _CAPTION)
    extra = _LINE * len(lines) + 0.12
    share = extra / (height + extra)
    figure.get_layout_engine().set(rect=(0, share, 1, 1 - share))  # type: ignore[union-attr]
    figure.text(
        0.012, share * 0.9, "\n".join(lines), fontsize=7, color=MUTED, va="top", linespacing=1.35
    )
    return extra


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure atomically; the suffix of the path decides the format.

    Raises:
        OutputError: The suffix is none of .png, .svg, .pdf, or the place cannot be written.
    """
    path = Path(path)
    suffix = check_suffix(path)
    content = _rendered(figure, suffix)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise failed_file(error) or OutputError(
            "the figure cannot be written",
            where=str(path),
            why=error.strerror or str(error),
            hint="choose a folder that exists and can be written",
        ) from error


def check_suffix(path: Path) -> str:
    """Return the suffix of a figure's path, in lower case.

    Raises:
        OutputError: No figure format has it.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(
            f"no figure format is called {suffix or 'nothing'!r}",
            where=str(path),
            why="the suffix decides the format",
            hint=f"give a name that ends in one of {', '.join(SUFFIXES)}",
        )
    return suffix


def _rendered(figure: Figure, suffix: str) -> bytes:
    from matplotlib import rc_context

    from landscape.figures.style import RC

    stream = io.BytesIO()
    with rc_context(RC):
        if figure.get_layout_engine() is not None:  # once for all formats
            figure.draw_without_rendering()
            figure.set_layout_engine(None)
        figure.savefig(stream, format=suffix[1:], metadata=_NO_DATE[suffix])
    return stream.getvalue()


def svg(figure: Figure, *, name: str = "figure", title: str = "") -> str:
    """Return a figure as an SVG element to stand inside HTML.

    It refers to nothing outside, its ids begin with `name` and a digest of the drawing, and its
    colours are CSS variables (`--figure-24292f` and so on) that fall back to those of the file.

    Args:
        figure: The figure.
        name: Tells the ids of several figures in one page apart.
        title: What a screen reader says.
    """
    text = _rendered(figure, ".svg").decode()
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", text, count=1, flags=re.DOTALL)
    text = _own_ids(text, f"{re.sub(r'[^a-zA-Z0-9]', '', name)}-{digest}")
    text = _colours_as_variables(_shorter(text))
    box = re.search(r'viewBox="[^"]*"', text)
    head = (
        f'<svg class="figure" {box[0] if box else ""} role="img" '
        f'aria-label="{html.escape(title, quote=True)}" '
        'style="stroke-linejoin:round;stroke-linecap:butt;max-width:100%;height:auto">'
    )
    return head + text[text.index(">") + 1 :].strip()


def _own_ids(text: str, prefix: str) -> str:
    """Return SVG in which only the ids that are referred to are left, each with the prefix."""
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{prefix}-{match[1]}"' if match[1] in used else ""

    text = re.sub(r'\s+id="([^"]*)"', renamed, text)
    return re.sub(r'(url\(|href=")#', rf"\1#{prefix}-", text)


def _shorter(text: str) -> str:
    """Return SVG with coordinates to a hundredth of a point, without space that means nothing.

    What is written in the figure stays as it is: only tags are shortened.
    """
    text = re.sub(r"<[^>]*>", lambda tag: _shorter_tag(tag[0]), text)
    return re.sub(r">\s+<", "><", text)


def _shorter_tag(tag: str) -> str:
    tag = re.sub(
        r"\d+\.\d{2,}", lambda number: f"{float(number[0]):.2f}".rstrip("0").rstrip("."), tag
    )
    return re.sub(r"\s*\n\s*|(?<=[ML]) ", "", re.sub(r" \n(?=[\d-])", " ", tag))


def _colours_as_variables(text: str) -> str:
    return re.sub(
        r"((?:fill|stroke|stop-color): ?)#([0-9a-f]{6})\b", r"\1var(--figure-\2, #\2)", text
    )
