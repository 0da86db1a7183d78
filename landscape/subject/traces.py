"""Tracebacks of the user's own code, trimmed to the frames that the user wrote."""

from __future__ import annotations

import sysconfig
import traceback
from pathlib import Path

_FOREIGN = (str(Path(__file__).parents[1]), sysconfig.get_path("stdlib"), "<")
_INSTALLED = {"site-packages", "dist-packages"}
_SHOWN = 5


def user_frames(failure: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames outside landscape, the standard library and installed packages.

    When all the others belong to an installed package, its frames are returned.
    """
    frames = traceback.extract_tb(failure.__traceback__)
    outside = [frame for frame in frames if not frame.filename.startswith(_FOREIGN)]
    own = [frame for frame in outside if _INSTALLED.isdisjoint(Path(frame.filename).parts)]
    return own or outside


def user_position(failure: BaseException) -> str:
    """Return `file:line` of the user's last frame, or of a syntax error; empty without one."""
    if isinstance(failure, SyntaxError) and failure.filename:
        return f"{failure.filename}:{failure.lineno}"
    frames = user_frames(failure)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def user_traceback(failure: BaseException) -> str:
    """Return the last few of the user's frames and the exception, as Python would print them."""
    frames = user_frames(failure)
    skipped = len(frames) - _SHOWN
    head = [f"  ... {skipped} earlier frames\n"] if skipped > 0 else []
    lines = [*head, *traceback.format_list(frames[-_SHOWN:])]
    return "".join([*lines, *traceback.format_exception_only(failure)]).rstrip()
