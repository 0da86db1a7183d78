"""The page in a real browser: layout, colours, and the script under its own policy."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from matplotlib.image import imread

from landscape.reports.html import render_html
from landscape.reports.report import Report

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--allow-file-access-from-files",
    "--virtual-time-budget=3000",
)

# a page around the report: it can look into the frame, and the report itself is left as it is
AROUND = """<!doctype html><body style="margin:0"><iframe id="f" src="report.html"
style="border:0;width:{width}px;height:2000px"></iframe><script>
const frame = document.getElementById("f");
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  const told = {{ scroll: root.scrollWidth, client: root.clientWidth,
    buttons: page.querySelectorAll("th button").length,
    theme: page.querySelector(".theme").hidden, ground: "" }};
  page.querySelector('.theme button[data-theme="dark"]').click();
  told.ground = frame.contentWindow.getComputedStyle(page.body).backgroundColor;
  const heads = [...page.querySelectorAll("#weights th button")];
  heads.find(one => one.textContent === "norm").click();
  const rows = [...page.querySelectorAll("#weights tbody tr")];
  told.sorted = rows.map(row => Number(row.cells[3].dataset.sort));
  document.title = "told " + JSON.stringify(told) + " end";
}};
</script>"""


@pytest.fixture(scope="module")
def folder(several: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("browser")
    (folder / "report.html").write_text(render_html(several.to_json()), encoding="utf-8")
    return folder


def chromium(folder: Path, page: str, *flags: str) -> str:
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    command = (
        str(CHROMIUM),
        *FLAGS,
        f"--user-data-dir={profile}",
        *flags,
        (folder / page).as_uri(),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def told(folder: Path, width: int) -> dict[str, object]:
    import json

    (folder / "around.html").write_text(AROUND.format(width=width), encoding="utf-8")
    found = re.search(r"told (\{.*?\}) end", chromium(folder, "around.html", "--dump-dom"))
    assert found, "the page did not load"
    return json.loads(found[1].replace("&quot;", '"'))


@pytest.mark.parametrize("width", [400, 700, 1280, 1920])
def test_the_page_never_scrolls_sideways(folder: Path, width: int) -> None:
    seen = told(folder, width)
    assert seen["client"] == width
    assert seen["scroll"] == width


def test_the_script_runs_under_its_policy(folder: Path) -> None:
    seen = told(folder, 1280)
    assert seen["theme"] is False
    assert seen["buttons"]
    assert seen["ground"] == "rgb(17, 20, 23)"
    norms = seen["sorted"]
    assert isinstance(norms, list)
    assert norms == sorted(norms)
    assert len(set(norms)) > 1


@pytest.mark.parametrize("width", [400, 1280])
@pytest.mark.parametrize("dark", [False, True])
def test_screenshots_are_not_blank(folder: Path, width: int, dark: bool) -> None:
    scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
    picture = folder / f"{width}-{dark}.png"
    chromium(
        folder, "report.html", f"--window-size={width},1500", f"--screenshot={picture}", scheme
    )
    pixels = imread(picture)[..., :3]
    assert pixels.shape[:2] == (1500, width)
    assert (pixels[1400, 2] < 0.2).all() == dark
    assert pixels.std() > 0.02
