"""The look that all figures share: sizes, inks, a colour-blind-safe palette, harmless text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.font_manager import findfont, get_font
from matplotlib.legend import Legend
from matplotlib.transforms import ScaledTranslation

INK = "#24292f"
MUTED = "#6a737d"
GRID = "#e4e7eb"

# Okabe & Ito 2008, "Color Universal Design", in an order in which neighbours differ most
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")

FONT = "DejaVu Sans"  # comes with matplotlib, so that figures are the same everywhere

RC: Any = {
    "font.family": FONT,
    "font.size": 9,
    "mathtext.fontset": "dejavusans",
    "text.color": INK,
    "text.usetex": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    "svg.fonttype": "none",  # text stays text: small, searchable, read aloud
    "svg.hashsalt": "landscape",
}

_ELLIPSIS = "…"
_UNSEEN = ("Cc", "Cf", "Zl", "Zp")  # controls, formats, separators of lines
_drawn: WeakKeyDictionary[Axes, list[Any]] = WeakKeyDictionary()


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FONT)).get_charmap())


def _showable(character: str) -> bool:
    """Return whether a character has a glyph and neither controls nor reorders those around it."""
    return ord(character) in _glyphs() and unicodedata.category(character) not in _UNSEEN


def plain(text: str, longest: int | None = None) -> str:
    r"""Return text that matplotlib shows as it is: no mathtext, no control or missing characters.

    Args:
        text: Anything, also a tensor name from a hostile file.
        longest: More characters than that are cut out of the middle.
    """
    shown = "".join(c if _showable(c) else "\N{REPLACEMENT CHARACTER}" for c in text)
    if longest is not None and len(shown) > longest:
        tail = (longest - 1) * 3 // 5  # the end of a tensor's name tells more than its beginning
        shown = shown[: longest - 1 - tail] + _ELLIPSIS + shown[-tail:]
    return shown.replace("$", r"\$")


def gathered(axes: Axes, one: Any) -> list[Any]:
    """Return all that was drawn on axes, this included, and clear them: they are drawn anew."""
    drawn = _drawn.setdefault(axes, [])
    drawn.append(one)
    axes.clear()
    axes.set_box_aspect(None)
    return drawn


def legend_above(axes: Axes, *rows: tuple[Sequence[Artist], Sequence[str]]) -> None:
    """Add legends above the axes, one row (handles, labels) under the other; empty ones left out.

    Labels are shown literally, also when they begin with an underscore.
    """
    filled = [row for row in rows if row[0]]
    for height, (handles, labels) in enumerate(reversed(filled)):
        lifted = ScaledTranslation(0, height * 0.19, axes.get_figure(root=True).dpi_scale_trans)  # type: ignore[union-attr]
        made = Legend(
            axes,
            list(handles),
            [str(number) for number in range(len(handles))],
            loc="lower left",
            bbox_to_anchor=(0, 1.0),
            bbox_transform=axes.transAxes + lifted,
            borderaxespad=0.3,
            borderpad=0.2,
            ncols=len(handles),
            handlelength=1.4,
            handletextpad=0.6,
            columnspacing=1.6,
        )
        for text, label in zip(made.get_texts(), labels, strict=True):
            text.set_text(plain(label, 90 // len(labels)))
        axes.add_artist(made)
        made.set_clip_on(False)


def nothing_to_draw(axes: Axes, text: str) -> None:
    """Say in the middle of empty axes why they are empty."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=MUTED)
