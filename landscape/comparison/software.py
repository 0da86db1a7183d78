"""What held documents against one another: versions, and nothing that names a host or a user."""

from __future__ import annotations

import platform
from importlib.metadata import version


def software() -> dict[str, str]:
    """Return the versions of landscape and Python, and the system."""
    return {
        "landscape": version("landscape"),
        "python": platform.python_version(),
        "system": platform.system(),
    }
