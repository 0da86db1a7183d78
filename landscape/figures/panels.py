"""Several drawings of one kind side by side on the axes of one."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from landscape.figures.style import INK, MUTED, plain

ACROSS = 3  # panels in a row
_GAP = 0.05  # between them, of the width
_TITLE = 0.13  # above each row, of the height of a panel
_LABELS = 0.3  # below each row, of the height of a panel


def side_by_side(axes: Axes, count: int, *, width: float = 1.0, gap: float = _GAP) -> list[Axes]:
    """Return the axes themselves for one drawing, else parts of them, row by row.

    The axes that are divided show nothing of their own, and ask for the height of all rows.

    Args:
        axes: Empty axes.
        count: Of drawings.
        width: The share of the axes that the panels fill; the rest is for a key.
        gap: Between panels, as a share of the axes.
    """
    if count == 1:
        return [axes]
    axes.set_axis_off()
    axes.add_line(Line2D([], []))  # they have data, if not of their own
    across = min(count, ACROSS)
    rows = -(-count // across)
    wide = (width - gap * (across - 1)) / across
    unit = 1 / (rows * (1 + _TITLE) + (rows - 1) * _LABELS)
    axes.set_box_aspect(0.92 * wide / unit)
    panels = []
    for number in range(count):
        row, column = divmod(number, across)
        bottom = 1 - unit * (_TITLE + 1 + row * (1 + _TITLE + _LABELS))
        panels.append(axes.inset_axes((column * (wide + gap), bottom, wide, unit)))
    return panels


def entitle(panel: Axes, label: str | None, name: str, count: int) -> None:
    """Write the label of an answer above a panel, and the name of what it shows beside it.

    Args:
        panel: One of those side by side.
        label: None where there is only one answer.
        name: Empty where an answer shows only one thing.
        count: Of panels.
    """
    longest = 60 // min(count, ACROSS)
    parts = [part for part in (label, name) if part]
    for part, place in zip(parts, ("left", "right"), strict=False):
        shown = plain(part, longest // len(parts))
        written = panel.set_title(shown, fontsize=8.5, loc=place, pad=4)
        written.set_color(INK if place == "left" else MUTED)
