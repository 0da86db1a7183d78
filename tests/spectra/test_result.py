"""What an answer says of a density that the budget cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from landscape.diagnostics.spectrum import Spectrum
from landscape.estimate import Status
from landscape.figures.canvas import overlay, svg
from landscape.spectra.result import SpectrumResult
from tests.cases import CASES


@pytest.fixture(scope="module")
def result() -> SpectrumResult:
    return Spectrum(top=2, bottom=1, probes=2, lanczos_steps=9, max_probes=32).run(
        CASES["mlp"]().subject()
    )


def test_what_is_told_of_layers_and_vectors_has_its_doubt(result):
    tables = {table.title: table for table in result.tables()}
    for row, layer in zip(tables["Trace per layer"].rows, result.layers, strict=True):
        ends = [end / layer.parameters for end in layer.trace.interval]
        assert row[3].interval == pytest.approx(ends)
        assert row[4] == layer.mass[0]
    for row, spread in zip(tables["Top eigenvectors"].rows, result.participation, strict=True):
        assert row[2] == spread
        assert row[4].interval[0] <= row[4].value <= row[4].interval[1]


def test_the_figure_of_the_layers_tells_how_well_the_first_eigenvector_is_known(result):
    def said(result: SpectrumResult) -> str:
        return next(one.text for one in result.pictures() if one.name == "layers")

    widest = max(layer.mass[0].half_width for layer in result.layers)
    assert f"share of the first eigenvector, known to ± {widest:.1g}" in said(result)
    alone = Spectrum(top=1, bottom=0, probes=2, lanczos_steps=9, max_probes=32)
    assert "known to ± 0.5" in said(alone.run(CASES["mlp"]().subject()))


def test_a_density_is_captioned_with_its_steps(result):
    assert "Curve: stochastic Lanczos quadrature, 2 probes × 9 steps" in result.caption()
    assert "95 % band" in svg(overlay([result], [None]))


def test_a_density_that_was_cut_short_is_told_and_not_drawn(result):
    short = replace(
        result,
        density=replace(result.density, status=Status.BUDGET_SPENT),
        bulk=None,
        lanczos_steps=3,
    )
    assert "No curve: the budget was spent after 2 probes × 3 steps" in short.caption()
    assert "Marks: 3 eigenvalues" in short.caption()
    assert "95 % band" not in svg(overlay([short], [None]))
    read = SpectrumResult.from_json(short.to_json())
    assert read.density.status is Status.BUDGET_SPENT
    assert read.caption() == short.caption()
