from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from landscape.errors import OutputError
from landscape.figures.canvas import overlay, save, svg
from landscape.figures.norms import NormsInk, draw_norms
from landscape.figures.spectrum import SpectrumInk, draw_spectrum

Ink = NormsInk | SpectrumInk


@dataclass(frozen=True)
class Answer:
    ink: Ink
    text: str = "method and cost"

    def draw(self, axes: object, *, label: str | None = None, colour: str | None = None) -> None:
        function = draw_norms if isinstance(self.ink, NormsInk) else draw_spectrum
        function(axes, self.ink, label=label, colour=colour)  # type: ignore[arg-type]

    def caption(self) -> str:
        return self.text

    def summary(self) -> str:
        return self.text


def spectrum(
    eigenvalues: tuple[float, ...] = (100.0, 50.0, 25.0, -4.0),
    *,
    bulk: float = 2.0,
    n: int = 10**6,
    outliers: int = 3,
) -> SpectrumInk:
    generator = np.random.default_rng(0)
    nodes = np.concatenate([generator.normal(0, bulk, 200), eigenvalues])
    extent = float(np.ptp(nodes))
    width = 0.005 * extent
    grid = np.linspace(nodes.min() - 5 * width, nodes.max() + 5 * width, 400)
    weights = np.where(np.arange(len(nodes)) < 200, 1 / 200, 1 / n)
    kernel = np.exp(-0.5 * ((grid[:, None] - nodes) / width) ** 2) / width / np.sqrt(2 * np.pi)
    value = kernel @ weights
    return SpectrumInk(
        grid=grid,
        value=value,
        lower=value * 0.5,
        upper=value * 2,
        eigenvalues=np.array(eigenvalues),
        residuals=np.full(len(eigenvalues), 0.1 * width),
        outliers=outliers,
        parameters=n,
        operator="hessian",
    )


def point(value: float = 0.0) -> SpectrumInk:
    """The spectrum of a 1 × 1 or an all-zero operator: a single point."""
    width = 5e-9 * max(abs(value), 1e-24)
    grid = np.linspace(value - 5 * width, value + 5 * width, 400)
    density = np.exp(-0.5 * ((grid - value) / width) ** 2) / width / np.sqrt(2 * np.pi)
    return SpectrumInk(
        grid=grid,
        value=density,
        lower=density * 0,
        upper=np.full(400, 1e300),
        eigenvalues=np.array([value]),
        residuals=np.zeros(1),
        outliers=0,
        parameters=1,
        operator="gauss-newton",
    )


def broken() -> SpectrumInk:
    nothing = np.full(400, np.nan)
    return SpectrumInk(
        grid=nothing,
        value=nothing,
        lower=nothing,
        upper=nothing,
        eigenvalues=np.full(3, np.nan),
        residuals=np.full(3, np.nan),
        outliers=0,
        parameters=10,
        operator="hessian",
    )


def norms(count: int, *, fill: float | None = None) -> NormsInk:
    generator = np.random.default_rng(0)
    return NormsInk(
        names=tuple(f"_layers.{i}.$weight$.<b>\x1b[31m漢" + "x" * i for i in range(count)),
        series={
            name: list(
                np.full(count, fill) if fill is not None else 10 ** generator.normal(size=count)
            )
            for name in ("gradient", "weight", "_last $step$")
        },
    )


INKS: dict[str, Ink] = {
    "spectrum": spectrum(),
    "wide bulk": spectrum(bulk=20.0, outliers=0),
    "narrow bulk": spectrum(bulk=0.2),
    "no eigenvalues": spectrum(()),
    "single eigenvalue": point(3.0),
    "all-zero operator": point(),
    "not finite": broken(),
    "density cut short": replace(spectrum(), settled=False),
    "one eigenvalue, no density": replace(point(3.0), settled=False),
    "norms": norms(6),
    "one norm": norms(1),
    "forty norms": norms(40),
    "three hundred norms": norms(300),
    "no norms": norms(0),
    "zero norms": norms(5, fill=0.0),
    "many zero norms": norms(50, fill=0.0),
    "NaN norms": norms(5, fill=np.nan),
}


@pytest.mark.parametrize("name", INKS)
@pytest.mark.parametrize("count", [pytest.param(1, marks=pytest.mark.full), 2])
def test_draws(name: str, count: int) -> None:
    labels = [f"_checkpoint ${i}$ \x9b" for i in range(count)] if count > 1 else [None]
    figure = overlay([Answer(INKS[name])] * count, labels)
    assert svg(figure).startswith("<svg")


@pytest.mark.parametrize(
    "other", ["not finite", "single eigenvalue", "wide bulk", "density cut short"]
)
def test_unlike_spectra_can_be_overlaid(other: str) -> None:
    alone = svg(overlay([Answer(INKS["spectrum"])], ["a"]))
    both = svg(overlay([Answer(INKS["spectrum"]), Answer(INKS[other])], ["a", "b"]))
    assert (both.count("<path") > alone.count("<path")) == (other != "not finite")  # no ink


def test_a_density_that_was_cut_short_is_not_drawn() -> None:
    text = svg(overlay([Answer(replace(spectrum(), settled=False))], [None]))
    assert "no density: the budget was spent" in text
    assert "95 % band" not in text
    assert "eigenvalue ± residual" in text


@pytest.mark.parametrize(
    "values",
    [
        (0.37, 0.9, 6.1),
        (3.0, 5.0),
        (1.0, 1.0),
        (0.3, 299.0),
        (2e-9, 7e11),
        (1e-45, 3e38),
        (0.0, 4.0),
    ],
)
@pytest.mark.parametrize("count", [1, 30])
def test_ticks_cover_the_norms(values: tuple[float, ...], count: int) -> None:
    names = tuple(str(number) for number in range(len(values) * count))
    ink = NormsInk(names=names, series={"norm": values * count})
    axes = overlay([Answer(ink)], [None]).axes[0]
    axis = axes.xaxis if len(names) <= 40 else axes.yaxis
    ticks, (low, high) = axis.get_majorticklocs(), axis.get_view_interval()
    positive = [value for value in values if value > 0]
    assert low <= ticks[0] <= min(positive)
    assert max(positive) <= ticks[-1] <= high
    assert len(ticks) <= 14


def test_norms_of_other_tensors_can_be_overlaid() -> None:
    alone = svg(overlay([Answer(norms(6))], ["a"]))
    both = svg(overlay([Answer(norms(6)), Answer(norms(9))], ["a", "b"]))
    assert both.count("<use") + both.count("<path") > alone.count("<use") + alone.count("<path")


def test_text_is_shown_literally() -> None:
    text = svg(overlay([Answer(norms(2), "cost $5$ <b> \x1b")], [None]))
    assert "$weight$" in text
    assert "cost $5$ &lt;b&gt;" in text
    assert "\x1b" not in text
    assert "_last $step$" in text


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_save(tmp_path: Path, suffix: str) -> None:
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    path = tmp_path / f"figure{suffix}"
    save(overlay([Answer(spectrum())], [None]), path)
    assert path.read_bytes().startswith(starts[suffix])
    first = path.read_bytes()
    save(overlay([Answer(spectrum())], [None]), path)
    assert path.read_bytes() == first  # no dates, no random ids
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", ["figure.jpeg", "figure"])
def test_unknown_suffix(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="no figure format"):
        save(overlay([Answer(norms(2))], [None]), tmp_path / name)


def test_unwritable_place(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        save(overlay([Answer(norms(2))], [None]), tmp_path / "nowhere" / "figure.png")


def test_numbers_written_in_an_inline_figure_are_not_rounded() -> None:
    figure = overlay([Answer(spectrum())], [None], caption=False)
    figure.axes[0].set_xlim(0.0012, 0.0018)
    figure.axes[0].set_title("0.00347 of M L 1.2345")
    drawing = svg(figure)
    assert ">0.00347 of M L 1.2345<" in drawing
    assert ">0.0015<" in drawing, "a tick"


def test_inline_svg_stands_alone() -> None:
    figure = overlay([Answer(spectrum())], [None], caption=False)
    first, second = svg(figure, name="a"), svg(figure, name="b")
    assert svg(figure, name="a") == first
    ids = [set(re.findall(r' id="([^"]+)"', text)) for text in (first, second)]
    assert ids[0]
    assert not ids[0] & ids[1]
    for text, own in zip((first, second), ids, strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]+)', text)) == own
        assert "http" not in text
        assert "<style" not in text
        assert "<?xml" not in text
    assert len(first) < 60_000


def test_caption_can_be_left_to_the_page() -> None:
    assert "method and cost" not in svg(overlay([Answer(norms(2))], [None], caption=False))
