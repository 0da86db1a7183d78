"""How a training run is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from landscape.figures.canvas import WIDTH
from landscape.figures.history import HistoryInk, LayersOverTimeInk, SignalsInk
from landscape.figures.style import (
    INK,
    MUTED,
    PALETTE,
    gathered,
    legend_above,
    nothing_to_draw,
    plain,
)

GAP = 0.055  # between panels, of the height
PANEL = 1.15  # inches
FEW = 100.0  # ratio below which a logarithmic panel has plain numbers
DECADES = 8.0  # ratio from which on a panel is logarithmic
MARKS = {"not finite": ("X", PALETTE[1]), "spike": ("v", PALETTE[1]), "skipped": ("|", MUTED)}
SHOWN_ROWS = 40  # layers that are named
ROW = 0.15  # inches
_FIELDS = {"loss": ("loss",), "gradient": ("gradient", "before"), "rate": ("rate",)}
_SCALE = LinearSegmentedColormap.from_list("norms", ["#f4f8fb", "#7fb3d5", "#0b4f80", "#08203a"])


def draw(axes: Axes, ink: HistoryInk, label: str | None, colour: str | None) -> None:
    """Draw one more run on axes, with those drawn there before."""
    runs: list[tuple[HistoryInk, str | None, str | None]] = gathered(axes, (ink, label, colour))
    inks = [one for one, _, _ in runs]
    if not any(len(one.step) for one in inks):
        nothing_to_draw(axes, "no step was recorded")
        return
    names = [name for name in ("loss", "gradient", "rate") if _worth(inks, name)]
    names += dict.fromkeys(name for one in inks for name in one.answers)
    panels = _panels(axes, names)
    for one, _, hue in runs:
        _run(panels, one, hue or PALETTE[0], alone=len(runs) == 1)
        _answers(panels, one, hue or PALETTE[0])
    for name, panel in panels.items():
        shown = [series for one in inks for series in _series(one, name)]
        _lay_out(panel, name, shown, _ends(inks))
    list(panels.values())[-1].set_xlabel("optimizer step")
    lines = [(Line2D([], [], color=hue or PALETTE[0]), text) for _, text, hue in runs if text]
    legend_above(axes, *_key(inks, lines))


def _worth(inks: list[HistoryInk], name: str) -> bool:
    """Return whether there is something to see in a panel."""
    values = [getattr(one, name)[np.isfinite(getattr(one, name))] for one in inks]
    whole = np.concatenate(values)
    return bool(len(whole)) and (name != "rate" or float(np.ptp(whole)) > 0)


def _panels(axes: Axes, names: list[str]) -> dict[str, Axes]:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(False)
    height = (1 - GAP * (len(names) - 1)) / len(names)
    panels: dict[str, Axes] = {}
    for place, name in enumerate(names):
        bottom = 1 - (place + 1) * height - place * GAP
        first = next(iter(panels.values()), None)
        panels[name] = axes.inset_axes((0, bottom, 1, height), sharex=first)
        if place < len(names) - 1:
            panels[name].tick_params(labelbottom=False)
    axes.set_box_aspect(PANEL * len(names) / (WIDTH * 0.75))
    return panels


def _run(panels: dict[str, Axes], ink: HistoryInk, colour: str, *, alone: bool) -> None:
    width = 1.2 if len(ink.step) < 400 else 0.7
    if "loss" in panels:
        panels["loss"].plot(ink.step, ink.loss, color=colour, linewidth=width)
    if "rate" in panels:
        panels["rate"].plot(ink.step, ink.rate, color=colour, linewidth=width)
    if "gradient" not in panels:
        return
    panel = panels["gradient"]
    if alone and _clipped(ink):
        panel.plot(ink.step, ink.before, color=PALETTE[5], linewidth=width)
    panel.plot(ink.step, ink.gradient, color=colour, linewidth=width)
    for name, steps in ink.marks.items():
        marker, hue = MARKS[name]
        if steps:
            # a mark at the upper edge: what happened there need have no height
            panel.plot(
                steps,
                np.full(len(steps), 0.97),
                marker,
                color=hue,
                markersize=5,
                transform=panel.get_xaxis_transform(),
                clip_on=False,
            )


def _series(ink: HistoryInk, name: str) -> list[np.ndarray]:
    """Return what a panel shows of a run."""
    if name in _FIELDS:
        return [getattr(ink, field) for field in _FIELDS[name]]
    return [ink.answers[name][1]] if name in ink.answers else []


def _answers(panels: dict[str, Axes], ink: HistoryInk, colour: str) -> None:
    """Draw answers of diagnostics with their intervals, and where a further run begins."""
    for name, (step, value, low, high) in ink.answers.items():
        panel = panels[name]
        closed = np.isfinite(low) & np.isfinite(high)
        panel.vlines(step[closed], low[closed], high[closed], color=colour, linewidth=0.8)
        for part in np.split(np.arange(len(step)), np.searchsorted(step, ink.begins)):
            line = {"marker": "o", "markersize": 2.5, "color": colour, "linewidth": 0.8}
            panel.plot(step[part], value[part], **line)
    for panel in panels.values():
        for begin in ink.begins:
            panel.axvline(begin - 0.5, color=MUTED, linestyle=(0, (3, 2)), linewidth=0.8)


def _clipped(ink: HistoryInk) -> bool:
    known = np.isfinite(ink.before) & np.isfinite(ink.gradient)
    return bool((ink.before[known] != ink.gradient[known]).any())


def _ends(inks: list[HistoryInk]) -> tuple[float, float]:
    """Return the first and the last step of all runs, with a little room."""
    steps = np.concatenate([one.step for one in inks])
    room = max(0.01 * float(np.ptp(steps)), 0.5)
    return float(steps.min()) - room, float(steps.max()) + room


def _lay_out(panel: Axes, name: str, series: list[np.ndarray], ends: tuple[float, float]) -> None:
    words = {"loss": "loss", "gradient": "gradient\nnorm", "rate": "learning\nrate"}
    values = np.concatenate([one[np.isfinite(one)] for one in series])
    positive = bool(len(values)) and bool((values > 0).all())
    if positive and values.max() > DECADES * values.min():
        panel.set_yscale("log")
        few = values.max() < FEW * values.min()
        subs = (1.0, 2.0, 5.0) if few else (1.0,)
        panel.yaxis.set_major_locator(LogLocator(subs=subs, numticks=5))
        if few:
            panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        panel.yaxis.set_minor_formatter(NullFormatter())
    else:
        panel.yaxis.set_major_locator(MaxNLocator(nbins=3))
    panel.set_ylabel(words.get(name, name), rotation=0, ha="right", va="center")
    panel.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True))
    panel.grid(axis="y")
    panel.set_xlim(*ends)


def _key(
    inks: list[HistoryInk], named: Sequence[tuple[Artist, str]]
) -> tuple[tuple[list[Artist], list[str]], ...]:
    runs: tuple[list[Artist], list[str]] = (
        [artist for artist, _ in named],
        [text for _, text in named],
    )
    handles: list[Artist] = []
    labels: list[str] = []
    if len(inks) == 1 and _clipped(inks[0]):
        handles += [Line2D([], [], color=PALETTE[5]), Line2D([], [], color=PALETTE[0])]
        labels += ["before clipping", "after"]
    if any(one.begins for one in inks):
        handles.append(Line2D([], [], color=MUTED, linestyle=(0, (3, 2))))
        labels.append("a run begins")
    for name in MARKS:
        if any(one.marks.get(name) for one in inks):
            marker, hue = MARKS[name]
            handles.append(Line2D([], [], color=hue, marker=marker, linestyle="none"))
            labels.append(name)
    return runs, (handles, labels)


def draw_layers(axes: Axes, ink: LayersOverTimeInk) -> None:
    """Draw one row per layer, first at the top, and one column per step."""
    norms = np.where(np.isfinite(ink.norms) & (ink.norms > 0), ink.norms, np.nan)
    if not np.isfinite(norms).any():
        nothing_to_draw(axes, "no gradient norm to draw")
        return
    low, high = np.nanquantile(norms, [0.02, 1.0])
    edges = _edges(ink.step)
    mesh = axes.pcolormesh(
        edges,
        np.arange(len(ink.names) + 1),
        np.ma.masked_invalid(norms),
        norm=LogNorm(max(low, high * 1e-8), high * 1.0001),
        cmap=_SCALE,
        rasterized=True,
    )
    axes.set_facecolor("#e4e7eb")
    axes.set_ylim(len(ink.names), 0)
    every = -(-len(ink.names) // SHOWN_ROWS)
    shown = range(0, len(ink.names), every)
    axes.set_yticks([row + 0.5 for row in shown], [plain(ink.names[row], 26) for row in shown])
    axes.tick_params(axis="y", length=0, labelsize=6.5)
    axes.set_xlabel("optimizer step")
    axes.set_box_aspect(max(ROW * len(list(shown)), 1.2) / (WIDTH * 0.75))
    bar = axes.figure.colorbar(mesh, ax=axes, pad=0.015, aspect=30)
    bar.set_label("gradient norm", color=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]


def _edges(steps: np.ndarray) -> np.ndarray:
    """Return the edges of columns whose centres are the steps."""
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[2 * steps[0] - middle[0]], middle, [2 * steps[-1] - middle[-1]]])


def draw_signals(axes: Axes, ink: SignalsInk) -> None:
    """Draw one line per kind and step, over the modules."""
    drawn = False
    handles: list[Artist] = []
    labels: list[str] = []
    for place, (kind, lines) in enumerate(ink.lines.items()):
        for turn, (when, values) in enumerate(lines.items()):
            shown = np.where(values > 0, values, np.nan)
            if not np.isfinite(shown).any():
                continue
            drawn = True
            style = "-" if turn == len(lines) - 1 else (0, (3, 2))
            axes.plot(shown, marker="o", markersize=2.5, color=PALETTE[place], linestyle=style)
            handles.append(Line2D([], [], color=PALETTE[place], linestyle=style))
            labels.append(f"{kind}, {when}")
    if not drawn:
        nothing_to_draw(axes, "no signals were seen")
        return
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel("root mean square")
    axes.grid(axis="y")
    every = -(-len(ink.names) // 24)
    ticks = range(0, len(ink.names), every)
    axes.set_xticks(
        list(ticks), [plain(ink.names[one], 20) for one in ticks], rotation=45, ha="right"
    )
    legend_above(axes, (handles, labels))
