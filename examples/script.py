"""What examples share: their options, and a figure that looks like those of `landscape`."""

import argparse
from pathlib import Path
from typing import Any

import matplotlib
from cycler import cycler
from matplotlib.figure import Figure

from landscape.figures.style import PALETTE, RC


def arguments(description: str | None, picture: str, **switches: str) -> argparse.Namespace:
    """Return the options: a seed, the place of the picture, and switches with their help."""
    parser = argparse.ArgumentParser(description=description)
    for name, told in {"quick": "shorter runs", **switches}.items():
        parser.add_argument(f"--{name}", action="store_true", help=told)
    parser.add_argument("--seed", type=int, default=0, help="of weights and minibatches")
    parser.add_argument("-o", "--output", type=Path, default=Path(picture))
    return parser.parse_args()


def panels(rows: int = 1, columns: int = 1, *, height: float = 3.4, **settings: Any) -> Any:
    """Return a figure six inches wide, and its axes."""
    own: Any = {
        "axes.prop_cycle": cycler(color=PALETTE),
        "axes.titlesize": 9,
        "lines.markersize": 4,
    }
    matplotlib.rcParams.update({**RC, **own})
    figure = Figure(figsize=(6, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **settings)
