"""Figures of tickets: what is drawn stands where the numbers say, overlaid and hostile too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from landscape.figures.tickets import (
    AlikeInk,
    Arm,
    ArmsInk,
    DensityInk,
    OverlapInk,
    draw_alike,
    draw_arms,
    draw_layers,
    draw_overlaps,
)

HOSTILE = "$\\frac{x}$\u202e"


def arms(*densities: float, name: str = "ticket") -> ArmsInk:
    d = np.array(densities)
    value = 0.9 + 0.05 * d
    one = Arm(name=name, density=d, value=value, lower=value - 0.01, upper=value + 0.02)
    return ArmsInk(arms=(one,), dense=(0.97, 0.96, 0.98))


def drawn(draw: Any, *inks: Any, label: str | None = None) -> Any:
    figure = Figure()
    axes: Any = figure.add_subplot()
    for ink in inks:
        draw(axes, ink, label=label)
    figure.canvas.draw()
    return axes


def test_arms_stand_at_their_accuracy_in_per_cent():
    axes = drawn(draw_arms, arms(0.5, 0.1))
    (line, *_) = axes.get_lines()
    np.testing.assert_allclose(line.get_xdata(), [0.1, 0.5])
    np.testing.assert_allclose(line.get_ydata(), [90.5, 92.5])
    low, high = axes.get_xlim()
    assert low > high, "sparse is on the right"
    rows = drawn(draw_arms, arms(0.1))
    points = [line for line in rows.get_lines() if len(line.get_xdata()) == 1]
    assert float(points[0].get_xdata()[0]) == pytest.approx(90.5)


def layers(name: str = "a.weight", live: bool = True) -> DensityInk:
    kept = np.array([50, 0])
    return DensityInk(
        names=(name, "b.weight"),
        sizes=np.array([100, 10]),
        kept=kept,
        live=kept if live else None,
    )


def test_densities_are_shares_and_empty_layers_arrows_at_the_edge():
    axes = drawn(draw_layers, layers(live=False))
    at = {float(x): line.get_marker() for line in axes.get_lines() for x in line.get_xdata()}
    assert at[0.5] == "o"
    assert at[min(at)] == "<"
    assert axes.get_xscale() == "log"


def test_overlaps_above_the_diagonal_and_chance_below():
    jaccard, chance = np.full((2, 2), 0.4), np.full((2, 2), 0.1)
    axes = drawn(draw_overlaps, OverlapInk(names=("a", "b"), jaccard=jaccard, chance=chance))
    shown = axes.get_images()[0].get_array()
    assert shown[0, 1] == 0.4
    assert shown[1, 0] == 0.1
    assert bool(shown.mask[0, 0])


@pytest.mark.parametrize(
    ("draw", "ink"),
    [
        (draw_arms, arms(0.1, name=HOSTILE)),
        (draw_layers, layers(HOSTILE)),
        (
            draw_alike,
            AlikeInk(
                names=(HOSTILE,),
                jaccard=np.array([0.3]),
                chance=np.array([0.1]),
                spread=np.zeros(1),
            ),
        ),
        (
            draw_overlaps,
            OverlapInk(
                names=(HOSTILE, "b"), jaccard=np.full((2, 2), 0.5), chance=np.full((2, 2), 0.1)
            ),
        ),
    ],
)
def test_hostile_names_and_labels_stay_text(draw, ink):
    axes = drawn(draw, ink, label=HOSTILE)
    assert axes.has_data()
    assert axes.get_xlabel()
    assert not any("\u202e" in text.get_text() for text in axes.findobj(Text))


def test_many_layers_are_drawn_over_depth():
    count = 60
    ink = DensityInk(
        names=tuple(f"layers.{i}" for i in range(count)),
        sizes=np.full(count, 100),
        kept=np.arange(count),
        live=None,
    )
    axes = drawn(draw_layers, ink, ink)
    assert axes.get_yscale() == "log"
    assert "60" in axes.get_xlabel()
