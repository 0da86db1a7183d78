"""How eigenvalues over checkpoints are drawn."""

from __future__ import annotations

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, NullFormatter

from landscape.figures.spectrum_series import Line, SeriesInk
from landscape.figures.style import INK, MUTED, PALETTE, legend_above, nothing_to_draw, plain

WIDE = 30.0  # ratio of what is shown from which on the axis is logarithmic
FAR = 4.0  # ratio of threshold and λ₁ from which on it is, too: λ would lie flat on a linear one
MARKED = 60  # most checkpoints with a mark each
DIGIT = 0.013  # width of a digit below the axis, of the axis
NAMED = 14  # most checkpoints whose names are written
FAINTEST = 0.72  # how far the last of many lines fades towards white

_FIRST, _EDGE, _LOW = PALETTE[0], PALETTE[1], PALETTE[2]
_BELOW = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def draw(axes: Axes, ink: SeriesInk) -> None:
    """Draw one series on empty axes."""
    if not ink.drawable:
        nothing_to_draw(axes, "no finite eigenvalue to draw")
        return
    logarithmic = _is_wide(ink)
    if logarithmic:
        axes.set_yscale("log")
        axes.yaxis.set_minor_formatter(NullFormatter())
    for rank in reversed(range(len(ink.top))):
        colour = _faded(rank, len(ink.top))
        _line(axes, ink, ink.top[rank], colour, 1.8 if rank == 0 else 1.0, band=rank == 0)
    if ink.bottom is not None:
        _lowest(axes, ink, ink.bottom, logarithmic)
    _edge(axes, ink)
    _lay_out(axes, ink, logarithmic)
    _name_lines(axes, ink)
    legend_above(axes, _key(ink, logarithmic))


def _is_wide(ink: SeriesInk) -> bool:
    """Return whether the positive values ask for a logarithmic axis."""
    values = np.concatenate([line.value for line in ink.top])
    values = values[np.isfinite(values)]
    shown = np.append(values, ink.threshold[np.isfinite(ink.threshold)])
    if not bool((shown > 0).all()):
        return False
    return bool(shown.max() > WIDE * shown.min()) or bool(shown.max() > FAR * values.max())


def _line(axes: Axes, ink: SeriesInk, line: Line, colour: str, width: float, *, band: bool) -> None:
    """Draw a line with its band; hollow marks where it did not converge."""
    share = 0.2 if band else 0.06
    axes.fill_between(
        ink.places, line.lower, line.upper, color=colour, alpha=share, linewidth=0, zorder=1.5
    )
    axes.plot(ink.places, line.value, color=colour, linewidth=width)
    if len(ink.places) <= MARKED:
        axes.plot(ink.places, line.value, "o", color=colour, markersize=1.6 + width)
    loose = ~line.settled.astype(bool)
    axes.plot(
        ink.places[loose],
        line.value[loose],
        "o",
        markerfacecolor="white",
        markeredgecolor=colour,
        markersize=4,
    )


def _lowest(axes: Axes, ink: SeriesInk, line: Line, logarithmic: bool) -> None:
    """Draw λ_min; on a logarithmic axis its size, where it is negative."""
    value = np.where(line.value < 0, -line.value, np.nan) if logarithmic else line.value
    axes.plot(ink.places, value, color=_LOW, linewidth=1.2, linestyle=(0, (1, 1.2)))
    if len(ink.places) <= MARKED:
        axes.plot(ink.places, value, "o", color=_LOW, markersize=2.8)
    if not logarithmic:
        axes.fill_between(ink.places, line.lower, line.upper, color=_LOW, alpha=0.12, linewidth=0)
        axes.axhline(0, color=MUTED, linewidth=0.6, zorder=0.8)


def _edge(axes: Axes, ink: SeriesInk) -> None:
    """Draw the threshold through its values at the checkpoints, and say whose it is."""
    known = np.flatnonzero(np.isfinite(ink.threshold))
    if not len(known):
        return
    first, following = known[0], known[min(1, len(known) - 1)]
    rises = bool(ink.threshold[following] > ink.threshold[first])
    axes.annotate(
        plain(f"edge of stability, {ink.rule}", 60),
        (ink.places[first], ink.threshold[first]),
        xytext=(2, -5 if rises else 5),
        textcoords="offset points",
        va="top" if rises else "bottom",
        color=_EDGE,
        fontsize=7.5,
    )
    axes.plot(
        ink.places, ink.threshold, color=_EDGE, linewidth=1.3, linestyle=(0, (5, 2)), zorder=3
    )
    if len(ink.places) <= MARKED:
        axes.plot(ink.places, ink.threshold, "D", color=_EDGE, markersize=3, zorder=3)


def _lay_out(axes: Axes, ink: SeriesInk, logarithmic: bool) -> None:
    axes.grid(axis="y")
    if not logarithmic:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    below = "\n(|λ| of the negative end dotted)" if logarithmic and _negative(ink) else ""
    axes.set_ylabel(f"eigenvalue λ of the {ink.operator}{below}", parse_math=False)
    span = float(np.ptp(ink.places)) or 1.0
    axes.set_xlim(ink.places[0] - 0.02 * span, ink.places[-1] + 0.05 * span)
    if ink.by_step:
        axes.set_xlabel("optimizer step")
        ticks = _apart(ink.places)
        axes.set_xticks(ticks, [f"{step:,.0f}" for step in ticks])
        return
    axes.set_xlabel("checkpoint")
    if len(ink.names) <= NAMED:
        turn = 30 if max(map(len, ink.names)) * len(ink.names) > 80 else 0
        axes.set_xticks(
            ink.places,
            [plain(name, 18) for name in ink.names],
            rotation=turn,
            ha="right" if turn else "center",
        )
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))


def _apart(steps: np.ndarray) -> list[float]:
    """Return those of the steps whose numbers do not run into one another, with both ends."""
    digits = len(f"{steps[-1]:,.0f}") + 2
    least = DIGIT * digits * float(np.ptp(steps))
    kept = [float(steps[0])]
    for step in steps[1:-1]:
        if step - kept[-1] >= least and steps[-1] - step >= least:
            kept.append(float(step))
    return kept if len(steps) == 1 else [*kept, float(steps[-1])]


def _negative(ink: SeriesInk) -> bool:
    """Return whether there is a negative end to draw."""
    return ink.bottom is not None and bool((ink.bottom.value < 0).any())


def _name_lines(axes: Axes, ink: SeriesInk) -> None:
    """Write λ₁ above and λₖ below the ends of their lines, so that they never overlap."""
    last = len(ink.top) - 1
    for rank in sorted({0, last}):
        height = ink.top[rank].value[-1]
        if np.isfinite(height):
            axes.annotate(
                f"λ{str(rank + 1).translate(_BELOW)}",
                (ink.places[-1], height),
                xytext=(6, 0),
                textcoords="offset points",
                color=INK if rank == 0 else MUTED,
                fontsize=8,
                va="center" if last == 0 else "top" if rank else "bottom",
            )


def _key(ink: SeriesInk, logarithmic: bool) -> tuple[list[Artist], list[str]]:
    count = len(ink.top)
    marks: list[Artist] = [Line2D([], [], color=_FIRST, linewidth=1.8)]
    names = ["λ₁"]
    if count > 1:
        marks.append(Line2D([], [], color=_faded(count - 1, count), linewidth=1.0))
        names.append("λ₂" if count == 2 else f"λ₂ … λ{str(count).translate(_BELOW)}")
    if ink.bottom is not None and (_negative(ink) or not logarithmic):
        marks.append(Line2D([], [], color=_LOW, linewidth=1.2, linestyle=(0, (1, 1.2))))
        names.append("|λ min|, negative" if logarithmic else "λ min")
    marks.append(Patch(color=_FIRST, alpha=0.2, linewidth=0))
    names.append("interval")
    if np.isfinite(ink.threshold).any():
        marks.append(Line2D([], [], color=_EDGE, linewidth=1.3, linestyle=(0, (5, 2))))
        names.append("threshold")
    return marks, names


def _faded(rank: int, count: int) -> str:
    """Return the colour of λᵣ: that of λ₁, paler with each rank."""
    share = 0.0 if rank == 0 else 0.35 + (FAINTEST - 0.35) * rank / max(count - 1, 6)
    red, green, blue = (part + share * (1 - part) for part in to_rgb(_FIRST))
    return to_hex((red, green, blue))
