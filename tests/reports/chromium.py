"""A page in Chromium as a reader has it: real keys, pointers and fingers, through Playwright."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
NEEDED = (
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
)
FLAGS = ("--disable-gpu", "--hide-scrollbars")
HEIGHT = 900
PATIENCE = 20_000.0  # milliseconds for an answer; the machine may be busy
READBACK = "willReadFrequently"  # advice to tests that read a canvas again and again

Scheme = Literal["light", "dark"]


@contextmanager
def launched() -> Iterator[Browser]:
    """Give a browser, which ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Reader:
    """Someone who reads a file; what it complains of and asks for is kept."""

    def __init__(self, browser: Browser, path: Path) -> None:
        self.browser, self.path = browser, path
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._context: BrowserContext | None = None
        self._page: Page | None = None

    def open(
        self,
        *,
        width: int = 1280,
        scripts: bool = True,
        scheme: Scheme = "light",
        motion: Literal["reduce", "no-preference"] = "reduce",
    ) -> Page:
        """Open the file at a width, for a reader with such preferences, who can touch, too."""
        self.close()
        self._context = self.browser.new_context(
            viewport={"width": width, "height": HEIGHT},
            java_script_enabled=scripts,
            color_scheme=scheme,
            reduced_motion=motion,
            has_touch=True,
        )
        self._page = page = self._context.new_page()
        page.set_default_timeout(PATIENCE)
        self._hands = self._context.new_cdp_session(page)
        page.on("console", lambda told: self.complaints.append(told.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.path.as_uri())
        return page

    @property
    def page(self) -> Page:
        """Return the page that is open."""
        assert self._page is not None
        return self._page

    def close(self) -> None:
        """Close the page, if one is open."""
        if self._context is not None:
            self._context.close()
        self._context = self._page = None

    def check_innocent(self) -> None:
        """Check that nothing was complained of, and that nothing but the file was asked for."""
        assert [one for one in self.complaints if READBACK not in one] == []
        assert set(self.requests) == {self.path.as_uri()}

    def frames(self, count: int = 3) -> None:
        """Wait until so many frames were shown."""
        self.page.evaluate(
            """(count) => new Promise((done) => {
              const next = () => (count-- ? requestAnimationFrame(next) : done());
              next();
            })""",
            count,
        )

    def at(self, selector: str, x: float = 0.5, y: float = 0.5) -> tuple[float, float]:
        """Return where a share of the first such element is, which is brought into view."""
        left, top, width, height = self.page.locator(selector).first.evaluate(
            """(one) => {
              one.scrollIntoView({ block: "center", behavior: "instant" });
              const box = one.getBoundingClientRect();
              return [box.left, box.top, box.width, box.height];
            }"""
        )
        return left + x * width, top + y * height

    def touch(self, kind: Literal["Start", "Move", "End"], *points: tuple[float, float]) -> None:
        """Touch with several fingers at once, which Playwright itself has no word for."""
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        told = {"type": f"touch{kind}", "touchPoints": fingers}
        self._hands.send("Input.dispatchTouchEvent", told)
