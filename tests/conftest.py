"""What every test runs under: `--full` asks for the long ones, `gpu` needs a CUDA device."""

from __future__ import annotations

from functools import cache

import pytest
import torch

torch.set_num_threads(
    1
)  # the networks are tiny, and two threads on a busy core wait for each other


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full", action="store_true", default=False, help="run statistical and exhaustive tests"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    asked = config.getoption("--full")
    for item in items:
        if not asked and item.get_closest_marker("full"):
            item.add_marker(pytest.mark.skip(reason="statistical or exhaustive: pass --full"))
        if item.get_closest_marker("gpu") and not _has_cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture
def blank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are blank, which is most of a report's time: for tests of what is not in them."""
    monkeypatch.setattr("landscape.figures.canvas._rendered", lambda _, suffix: _empty(suffix))


@cache
def _empty(suffix: str) -> bytes:
    from io import BytesIO

    from matplotlib.figure import Figure

    stream = BytesIO()
    Figure().savefig(stream, format=suffix[1:])
    return stream.getvalue()


def _has_cuda() -> bool:
    return torch.cuda.is_available()
