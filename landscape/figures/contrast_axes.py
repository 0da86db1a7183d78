"""How differences between two answers are drawn."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from landscape.figures.contrast import ContrastInk
from landscape.figures.style import INK, MUTED, PALETTE, legend_above, nothing_to_draw, plain

COLOURS = {
    "better": PALETTE[0],
    "worse": PALETTE[1],
    "different": INK,
    "undecided": MUTED,
    "indistinguishable": MUTED,
}
MARKS = {
    "better": "o",
    "worse": "X",
    "different": "D",
    "undecided": "s",
    "indistinguishable": "|",
}
LONGEST = 38  # characters of a name
LEFT, RIGHT = -1.15, 1.15  # of a relative difference; what is wider is cut there


def draw(axes: Axes, ink: ContrastInk, label: str | None) -> None:
    """Draw the rows on empty axes."""
    if not ink.names:
        nothing_to_draw(axes, "no number has an interval in both")
        axes.set_xlabel(label or "B − A", parse_math=False)
        return
    axes.axvline(0, color=MUTED, linewidth=0.8)
    rows = zip(ink.values, ink.lower, ink.upper, ink.verdicts, strict=True)
    for row, (value, low, high, verdict) in enumerate(rows):
        colour = COLOURS.get(verdict, INK)
        ends = [min(max(end, LEFT), RIGHT) for end in (low, high)]
        axes.plot(ends, [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
        axes.plot(value, row, MARKS.get(verdict, "o"), color=colour, markersize=4.5)
    axes.set_yticks(range(len(ink.names)), [plain(name, LONGEST) for name in ink.names])
    axes.set_ylim(len(ink.names) - 0.4, -0.6)
    widest = max(max(map(abs, ink.lower)), max(map(abs, ink.upper)), 1e-6)
    reach = min(1.08 * widest, RIGHT)
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(axis="x")
    axes.set_xlabel("B − A, over the larger of |A| and |B|")
    axes.set_box_aspect(min(max(0.055 * len(ink.names), 0.3), 1.4))
    seen = [word for word in COLOURS if word in ink.verdicts]
    handles = [
        Line2D([], [], color=COLOURS[word], marker=MARKS[word], markersize=4.5) for word in seen
    ]
    names = [f"A: {plain(ink.a, 30)}, B: {plain(ink.b, 30)}"]
    if label is not None:
        names.insert(0, plain(label, 40))
    blank = [Line2D([], [], linestyle="none") for _ in names]
    legend_above(axes, (blank, names), (handles, [f"B is {word}" for word in seen]))
