"""Profiles: estimates joined by lines, bounds as arrows to the side on which the quantity is."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text

from landscape.figures.profile import ProfileInk, Trace, draw_profile


def drawn(*bounds: int):
    value = np.array([1.0, 3.0, 20.0, 60.0])
    trace = Trace(name="noise scale", value=value, lower=value, upper=value, bound=np.array(bounds))
    axes = Figure().add_subplot()
    draw_profile(
        axes,
        ink=ProfileInk(names=tuple("abcd"), traces=(trace,), quantity="value", along="checkpoint"),
    )
    return axes, [text.get_text() for text in axes.findobj(Text)]


def test_a_line_joins_estimates_only():
    axes, texts = drawn(0, 1, 0, -1)
    joined = [
        line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "o"
    ]
    heights = np.asarray(joined[0].get_ydata(), dtype=float)
    assert np.isfinite(heights).tolist() == [True, False, True, False]
    arrows = [one for one in axes.texts if isinstance(one, Annotation)]
    assert [(one.xy, np.sign(one.xyann[1])) for one in arrows] == [((1, 3.0), 1), ((3, 60.0), -1)]
    assert {"at least", "at most"} <= set(texts)


def test_estimates_alone_have_no_arrows():
    axes, texts = drawn(0, 0, 0, 0)
    assert not [one for one in axes.texts if isinstance(one, Annotation)]
    assert not {"at least", "at most"} & set(texts)
