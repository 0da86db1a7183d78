"""A figure beside the main one of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is drawn, and how it is called.

    Args:
        name: Of the file, without the name of the answer.
        title: What it shows, in a few words.
        draw: Puts it on axes.
        text: Method, below the figure.
    """

    name: str
    title: str
    draw: Callable[[Axes], None]
    text: str

    def figure(self, *, caption: bool = True) -> Figure:
        """Return the figure."""
        from landscape.figures.canvas import overlay

        return overlay([_Alone(self)], [None], caption=caption)


@runtime_checkable
class Pictured(Protocol):
    """An answer with figures beside its main one."""

    def pictures(self) -> tuple[Picture, ...]:
        """Return them."""
        ...


@dataclass(frozen=True)
class _Alone:
    picture: Picture

    def draw(self, axes: Axes, *, label: str | None = None, colour: str | None = None) -> None:
        self.picture.draw(axes)

    def caption(self) -> str:
        return self.picture.text

    def summary(self) -> str:
        return self.picture.title
