"""Figures that a script brings to life: the numbers that it needs, beside the figure at rest."""

from __future__ import annotations

import base64
import gzip
import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup

from landscape.figures.canvas import svg
from landscape.figures.live import Cells, Relief, cells_of, relief_of
from landscape.figures.relief import View, finer
from landscape.figures.surface_scale import Scale, hues
from landscape.reports.template import packaged
from landscape.reports.text import clean, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from landscape.figures.surface import SurfaceInk

CELLS = 100  # most along an axis of a surface to turn
HOLE = 0xFFFF  # the code of a height that is not finite
NAME = 40  # most characters of a name on a canvas

_SCRIPTS = ("numbers.js", "cells.js", "mesh.js", "painter.js", "relief.js")


def drawn(figure: Figure, *, name: str, title: str) -> Markup:
    """Return a figure as SVG, with what the scripts need where there is something to read or turn.

    Without scripts, and on paper, the SVG is what is seen.
    """
    drawing = svg(figure, name=name, title=title)
    relief, cells = relief_of(figure), cells_of(figure)
    if relief is not None:
        kind, numbers = "relief", _relief(relief)
    elif cells:
        kind, numbers = "cells", {"panels": [_panel(one) for one in cells]}
    else:
        return Markup(drawing)
    return Markup(
        f'<div class="live" data-live="{kind}">{_shorter(drawing)}'
        f'<script type="application/json">{island(numbers)}</script></div>'
    )


def _shorter(drawing: str) -> str:
    """Return SVG in which only colours that change with the theme are variables."""
    themed = set(re.findall(r"--figure-([0-9a-f]{6}):", packaged("style.css")))

    def told(match: re.Match[str]) -> str:
        return match[0] if match[1] in themed else f"#{match[1]}"

    return re.sub(r"var\(--figure-([0-9a-f]{6}), #[0-9a-f]{6}\)", told, drawing)


def is_live(drawing: Markup) -> bool:
    """Return whether a figure as `drawn` returns it needs the scripts."""
    return drawing.startswith('<div class="live"')


def script() -> str:
    """Return the script that brings figures to life, with names of its own."""
    return "\n".join(['"use strict";', "{", *map(packaged, _SCRIPTS), "}"])


def style() -> str:
    """Return the style of what the script adds."""
    return packaged("live.css")


def island(document: Any) -> str:
    """Return JSON that can stand inside a script element: no markup and nothing beyond ASCII."""
    compact = json.dumps(document, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        compact = compact.replace(character, f"\\u{ord(character):04x}")
    return compact


def packed(document: Any) -> str:
    """Return a document for a script element: gzip in base 64, a quarter of its size as text."""
    text = json.dumps(document, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode("utf-8", "surrogatepass"), mtime=0)).decode()


def _panel(cells: Cells) -> dict[str, Any]:
    """Return the values of a grid to four digits, and where it stands in its figure."""
    ink = cells.ink
    return {
        **_described(ink),
        "box": [round(share, 5) for share in cells.box],
        "view": [_rounded(end, 6) for end in cells.view],
        "values": [_rounded(value) for value in ink.values.ravel()],
        "clipped": np.flatnonzero(ink.clipped).tolist(),
        "doubtful": np.flatnonzero(ink.doubtful).tolist(),
    }


def _relief(relief: Relief) -> dict[str, Any]:
    """Return surfaces, each height as a number of 16 bits on the scale."""
    scale = Scale(*relief.scale, relief.logarithmic)
    rest, inks = View(), [ink.coarser(CELLS) for ink in relief.inks]
    return {
        "scale": [_rounded(end, 6) for end in relief.scale],
        "logarithmic": relief.logarithmic,
        "rest": [rest.azimuth, rest.elevation],
        "tall": rest.tall,
        "colours": hues(),
        "surfaces": [
            {
                **_described(ink),
                "label": _named(label),
                "heights": _codes(ink, scale),
                "grey": np.flatnonzero(ink.clipped | ink.doubtful).tolist(),
                "points": [
                    [_named(mark.name), _rounded(mark.x), _rounded(mark.y)] for mark in ink.points
                ],
                "path": _path(ink),
            }
            for ink, label in zip(inks, relief.labels, strict=True)
        ],
    }


def _described(ink: SurfaceInk) -> dict[str, Any]:
    return {
        "quantity": ink.quantity,
        "names": [_named(name) for name in ink.axis_names],
        "x": [_rounded(place) for place in ink.x],
        "y": [_rounded(place) for place in ink.y],
    }


def _codes(ink: SurfaceInk, scale: Scale) -> str:
    """Return heights from 0 to 65,534, low byte first, in base 64."""
    heights = scale.height(ink.shown) if ink.drawable else np.full(ink.values.shape, np.nan)
    codes = np.where(np.isfinite(heights), np.round(np.nan_to_num(heights) * (HOLE - 1)), HOLE)
    return base64.b64encode(codes.astype("<u2").tobytes()).decode()


def _path(ink: SurfaceInk) -> list[list[float | None]]:
    if ink.trajectory is None:
        return []
    return [[_rounded(x), _rounded(y)] for x, y in finer(ink.trajectory)]


def _rounded(value: float, digits: int = 4) -> float | None:
    return float(f"{value:.{digits}g}") if np.isfinite(value) else None


def _named(name: str) -> str:
    return shorten(clean(name), NAME)
