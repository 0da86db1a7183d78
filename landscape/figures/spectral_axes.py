"""How an eigenspectrum is drawn: densities above, a row of eigenvalues for each of them below."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.ticker import AutoLocator, FixedLocator, LogLocator, NullLocator
from scipy.interpolate import PchipInterpolator

from landscape.figures.spectrum import SpectrumInk
from landscape.figures.style import GRID, MUTED, PALETTE, gathered, legend_above, nothing_to_draw

STRIP = 0.07  # of the height of the axes: the row of eigenvalues of one answer
NARROW = 0.25  # a bulk that takes up less of the range than this is enlarged in an inset
FLAT = 3.0  # between the ends of its heights, up to which an enlarged bulk shows nothing
POINTS = 500  # of a curve over the width of the figure
INSET = (0.67, 0.53, 0.32, 0.42)  # its place in the axes
BESIDE = 0.60  # where it begins with its labels, of the width
BELOW = 0.46  # and where it ends, of the height

Drawn = tuple[SpectrumInk, str | None, str]  # ink, label, colour
Key = tuple[list[Artist], list[str]]
Range = tuple[float, float]

_OPERATORS = {"hessian": "Hessian", "gauss-newton": "Gauss-Newton matrix"}


def draw(axes: Axes, ink: SpectrumInk, label: str | None, colour: str | None) -> None:
    """Draw one more spectrum on axes, with those drawn there before."""
    drawn: list[Drawn] = gathered(axes, (ink, label, colour or PALETTE[0]))
    shown = [one for one in drawn if one[0].drawable]
    if not shown:
        nothing_to_draw(axes, "no finite spectrum to draw")
        return
    inks = [one[0] for one in shown]
    whole = _range(inks)
    settled = [ink for ink in inks if ink.settled]
    if not settled:
        _marks_alone(axes, shown, whole)
        return
    finer = [ink.finer for ink in settled if ink.finer is not None]
    left, right = _bulk(finer) if finer else whole
    enlarges = right - left < NARROW * (whole[1] - whole[0]) and any(
        _has_shape(ink.finer or ink, (left, right)) for ink in settled
    )
    heights = _Heights.of(settled, len(inks))
    if enlarges:
        heights = heights.with_room(_highest(settled, whole))
    _draw_all(axes, shown, heights, whole)
    _lay_out(axes, inks, heights)
    if enlarges:
        enlarged = [(ink.finer or ink, label, colour) for ink, label, colour in shown]
        _inset(axes, enlarged, (left, right))
    legend_above(axes, *_keys(shown))


@dataclass(frozen=True)
class _Heights:
    """The log axis: the eigenvalues stand between `low` and `floor`, the densities above."""

    low: float
    floor: float
    high: float

    @classmethod
    def of(cls, inks: list[SpectrumInk], rows: int) -> Self:
        peak = max(float(ink.value.max()) for ink in inks)
        floor = min(peak / 10, *(ink.floor for ink in inks))
        high = peak * (peak / floor) ** 0.06
        share = STRIP * rows
        return cls(floor * (high / floor) ** (-share / (1 - share)), floor, high)

    def with_room(self, highest: float) -> Self:
        """Return heights in which what is as high as `highest` ends below the inset."""
        strip = math.log(self.floor / self.low) / math.log(self.high / self.low)
        if highest <= self.floor or strip >= BELOW:
            return self
        decades = math.log(highest / self.floor) * (1 - strip) / (BELOW - strip)
        high = max(self.high, self.floor * math.exp(decades))
        low = self.floor * (high / self.floor) ** (-strip / (1 - strip))
        return replace(self, low=low, high=high)


def _draw_all(axes: Axes, shown: list[Drawn], heights: _Heights, view: Range) -> None:
    """Draw what lies between the two ends of a view."""
    for row, (ink, _, colour) in enumerate(shown):
        if ink.settled:
            _density(axes, ink, colour, heights, view)
        _eigenvalues(axes, ink, colour, (len(shown) - row - 0.5) * STRIP)
    axes.set_xlim(view)
    axes.set_yscale("log")
    axes.set_ylim(heights.low, heights.high)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.axhline(heights.floor, color=MUTED, linewidth=0.6)
    axes.axvline(0, color=GRID, linewidth=0.8, zorder=0.5, visible=view[0] < 0 < view[1])


def _marks_alone(axes: Axes, shown: list[Drawn], view: Range) -> None:
    """Draw the eigenvalues at the bottom, and say above why there is no density."""
    nothing_to_draw(axes, "no density: the budget was spent after too few Lanczos steps")
    axes.xaxis.set_major_locator(AutoLocator())
    for row, (ink, _, colour) in enumerate(shown):
        _eigenvalues(axes, ink, colour, (len(shown) - row - 0.5) * STRIP)
    axes.set_xlim(view)
    axes.set_ylim(0, 1)
    _name_operators(axes, [one[0] for one in shown])
    legend_above(axes, *_keys(shown))


def _density(axes: Axes, ink: SpectrumInk, colour: str, heights: _Heights, view: Range) -> None:
    """Draw curve and band; far below the floor the band says nothing, and is left out."""
    points = max(int(POINTS * axes.get_position().width), 2)
    fine = np.linspace(max(ink.grid[0], view[0]), min(ink.grid[-1], view[1]), points)
    value, lower, upper = (_finer(ink, a, fine) for a in (ink.value, ink.lower, ink.upper))
    seen = value > heights.floor * 1e-3
    band = axes.fill_between(
        fine, lower, upper, where=list(seen), color=colour, alpha=0.18, linewidth=0
    )
    (curve,) = axes.plot(fine, np.where(seen, value, np.nan), color=colour)
    above = (0, heights.floor), 1, heights.high - heights.floor
    for artist in (band, curve):
        artist.set_clip_path(Rectangle(*above, transform=axes.get_yaxis_transform()))


def _finer(ink: SpectrumInk, values: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return a density on a finer grid; its logarithm is smooth, being that of Gaussian kernels."""
    peak = float(ink.value.max())
    bounded = np.clip(np.nan_to_num(values), min(ink.floor * 1e-6, peak), 1e6 * peak)
    return np.exp(PchipInterpolator(ink.grid, np.log(bounded))(fine))


def _eigenvalues(axes: Axes, ink: SpectrumInk, colour: str, height: float) -> None:
    """Draw the eigenvalues at a height of the strip: ticks, and diamonds for the outliers."""
    level = np.full(len(ink.eigenvalues), height)
    place = axes.get_xaxis_transform()
    axes.errorbar(
        ink.eigenvalues,
        level,
        xerr=np.nan_to_num(ink.residuals),
        fmt="none",
        ecolor=colour,
        elinewidth=0.8,
        capsize=2.5,
        capthick=0.8,
        transform=place,
    )
    for chosen, marker, size, edge in ((~ink.apart, "|", 9, 1.1), (ink.apart, "D", 4, 0)):
        values = ink.eigenvalues[chosen]
        style = {"color": colour, "markersize": size, "markeredgewidth": edge}
        axes.plot(values, level[chosen], marker, transform=place, **style)


def _lay_out(axes: Axes, inks: list[SpectrumInk], heights: _Heights) -> None:
    """Set ticks and labels."""
    ticks = LogLocator(numticks=8).tick_values(heights.floor, heights.high)
    axes.yaxis.set_major_locator(
        FixedLocator([t for t in ticks if heights.floor * 0.999 <= t <= heights.high])
    )
    axes.grid(axis="y")
    _name_operators(axes, inks)
    axes.set_ylabel("density")


def _name_operators(axes: Axes, inks: list[SpectrumInk]) -> None:
    names = dict.fromkeys(_OPERATORS.get(ink.operator, ink.operator) for ink in inks)
    axes.set_xlabel(f"eigenvalue λ of the {' and the '.join(names)}", parse_math=False)


def _range(inks: list[SpectrumInk]) -> Range:
    """Return an interval that holds every density and every eigenvalue."""
    parts = [part for ink in inks for part in (*_curve(ink), ink.eigenvalues)]
    points = np.concatenate(parts)
    left, right = float(np.nanmin(points)), float(np.nanmax(points))
    margin = 0.02 * (right - left) or 0.5 * abs(left) or 1.0
    return left - margin, right + margin


def _curve(ink: SpectrumInk) -> tuple[np.ndarray, ...]:
    """Return where the curve stands, or else the whiskers, which may be long."""
    whiskers = (ink.eigenvalues - ink.residuals, ink.eigenvalues + ink.residuals)
    return (ink.grid,) if ink.settled else whiskers


def _bulk(inks: list[SpectrumInk]) -> Range:
    """Return where all bulks lie, so that no curve ends within; where none does, what holds all."""
    starts, stops = ([float(ink.grid[end]) for ink in inks] for end in (0, -1))
    common = max(starts), min(stops)
    return common if common[0] < common[1] else (min(starts), max(stops))


def _has_shape(ink: SpectrumInk, view: Range) -> bool:
    """Return whether a density is more than a flat line within a view."""
    seen = ink.value[(ink.grid >= view[0]) & (ink.grid <= view[1])]
    return len(seen) > 2 and float(seen.max()) > FLAT * max(float(seen.min()), ink.floor)


def _highest(inks: list[SpectrumInk], view: Range) -> float:
    """Return the height of the densities and their bands where the inset stands; 0: nothing."""
    start = view[0] + BESIDE * (view[1] - view[0])
    found = [
        np.minimum(np.nan_to_num(ink.upper), ink.value.max())[seen]
        for ink in inks
        for seen in [(ink.grid >= start) & (ink.value > ink.floor)]
    ]
    return max((float(one.max()) for one in found if len(one)), default=0.0)


def _inset(axes: Axes, shown: list[Drawn], view: Range) -> None:
    """Enlarge the bulk in the empty upper right, with heights of its own."""
    inset = axes.inset_axes(INSET)
    inks = [one[0] for one in shown]
    heights = _Heights.of([ink for ink in inks if ink.settled], len(inks))
    _draw_all(inset, shown, heights, view)
    ticks = LogLocator(numticks=4).tick_values(heights.floor, heights.high)
    inset.yaxis.set_major_locator(
        FixedLocator([t for t in ticks if heights.floor * 0.999 <= t <= heights.high])
    )
    inset.locator_params(axis="x", nbins=4)
    inset.tick_params(labelsize=7)
    inset.set_title("the bulk, enlarged", fontsize=7, color=MUTED, pad=2)


def _keys(shown: list[Drawn]) -> tuple[Key, Key]:
    """Return handles and labels in two rows: the answers by name, then what the marks mean."""
    named = [(label, colour) for _, label, colour in shown if label is not None]
    hue = MUTED if len(shown) > 1 else shown[0][2]
    marks: list[Artist] = [
        Line2D([], [], color=hue, marker="|", markersize=8, markeredgewidth=1.1, linestyle="none")
    ]
    meanings = ["eigenvalue ± residual"]
    if any(ink.settled for ink, _, _ in shown):
        marks = [Line2D([], [], color=hue), Patch(color=hue, alpha=0.18, linewidth=0), *marks]
        meanings = ["density", "95 % band", *meanings]
    counts = [int(ink.apart.sum()) for ink, _, _ in shown]
    if any(counts):
        marks.append(Line2D([], [], color=hue, marker="D", markersize=4, linestyle="none"))
        meanings.append(
            " and ".join(map(str, counts)) + (" outlier" if counts == [1] else " outliers")
        )
    lines: list[Artist] = [Line2D([], [], color=colour) for _, colour in named]
    return (lines, [label for label, _ in named]), (marks, meanings)
