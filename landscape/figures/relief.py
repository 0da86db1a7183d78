"""A grid of heights seen from a side: the projection, and the order that hides what lies behind."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class View:
    """A direction from which a surface over the square [−1, 1]² is seen, without perspective.

    Args:
        azimuth: Of the eye, in degrees from the x axis towards the y axis.
        elevation: Of the eye above the ground, in degrees.
        tall: The height of the surface, in the units of the square.
    """

    azimuth: float = -60.0
    elevation: float = 32.0
    tall: float = 1.1

    def project(self, x: np.ndarray, y: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Return places on paper, (…, 2), of points whose heights lie in [0, 1].

        The paper's axes are (−sin a, cos a, 0) and (−sin e cos a, −sin e sin a, cos e).
        """
        a, e = np.radians((self.azimuth, self.elevation))
        z = self.tall * (height - 0.5)
        across = -np.sin(a) * x + np.cos(a) * y
        up = np.cos(e) * z - np.sin(e) * (np.cos(a) * x + np.sin(a) * y)
        return np.stack(np.broadcast_arrays(across, up), axis=-1)

    def far_to_near(self, columns: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
        """Return columns and rows of cells in an order in which none hides one after it.

        Without perspective a cell hides another only if it is nearer to the eye along x and along
        y, or along one of them: far to near along both is such an order, whatever the heights.
        """
        a = np.radians(self.azimuth)
        across, up = np.arange(columns), np.arange(rows)
        return across[:: 1 if np.cos(a) >= 0 else -1], up[:: 1 if np.sin(a) >= 0 else -1]


def unit(places: np.ndarray) -> np.ndarray:
    """Return places along an axis of the grid, scaled to [−1, 1]."""
    low, high = float(np.min(places)), float(np.max(places))
    return (
        np.zeros_like(places, dtype=float) if high <= low else 2 * (places - low) / (high - low) - 1
    )


def finer(line: np.ndarray, steps: int = 8) -> np.ndarray:  # (T, 2) -> (steps (T - 1) + 1, 2)
    """Return a line with points between its points, so that it can follow a surface."""
    place = np.linspace(0, len(line) - 1, steps * (len(line) - 1) + 1)
    return np.stack([np.interp(place, np.arange(len(line)), column) for column in line.T], axis=1)


def shade(heights: np.ndarray, tall: float) -> np.ndarray:  # (h, g) -> (h - 1, g - 1)
    """Return the light on each cell, from 0 to 1: the cosine between its normal and the lamp."""
    up_x = np.diff((heights[1:] + heights[:-1]) / 2, axis=1) * tall * heights.shape[1] / 2
    up_y = np.diff((heights[:, 1:] + heights[:, :-1]) / 2, axis=0) * tall * heights.shape[0] / 2
    lamp = np.array([-0.45, -0.25, 0.86])
    along = lamp[2] - lamp[0] * up_x - lamp[1] * up_y
    return np.clip(along / np.sqrt(1 + up_x**2 + up_y**2), 0, 1)
