"""Sections held against each other: what agrees, and what each kind of error would show."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import landscape as ls
from landscape.estimate import Estimate
from landscape.reports.report import Section
from landscape.survey.agreement import agreements_of
from tests.test_survey import FAST, saved, subject
from tests.test_survey import asked as surveyed

TRACE = "trace: by random signs, and as the mean of the density"
TOP = "λ_max: of the search, and as the end of the density"
BOTTOM = "λ_min: of the search, and as the end of the density"
SLICES = "curvature of the surface: between λ_min and λ_max"
ON_SURFACE = "loss: over the data, and sample by sample on the surface"
ON_PATH = "loss: over the data, and sample by sample at the end of a path"
OF_SAMPLES = "gradient norm: of the data as a whole, and of the mean over single samples"
FALL = "gradient norm: of a backward pass, and by the fall of the loss over a step"


@cache
def report() -> ls.Report:
    return surveyed(subject())


def sections(**changed: Any) -> list[Section]:
    """The sections of a report, some of their answers replaced."""
    return [
        replace(one, result=changed[one.name](one.result)) if one.name in changed else one
        for one in report().sections
    ]


def wrong(**changed: Any) -> list[str]:
    return [one.claim for one in agreements_of(sections(**changed)) if one.agrees is False]


def scaled(estimate: Estimate, factor: float) -> Estimate:
    low, high = estimate.interval
    solver = estimate.solver and tuple(factor * end for end in estimate.solver)
    return replace(
        estimate,
        value=factor * estimate.value,
        interval=(factor * low, factor * high),
        solver=solver,  # pyright: ignore[reportArgumentType]
    )


def test_a_sound_report_agrees_with_itself():
    found = report().agreements
    assert found == agreements_of(report().sections)
    assert {one.agrees for one in found} == {True}
    told = [one.claim for one in found]
    assert len(told) == 8, told
    assert not {TOP, BOTTOM} & {*told}, "a few Lanczos steps do not reach the ends"
    assert not [one for one in report().findings if "disagree" in one.sentence]
    assert all(one.evidence.endswith(".") for one in found)


def test_a_wrong_trace():
    assert wrong(spectrum=lambda r: replace(r, trace=scaled(r.trace, 50))) == [TRACE]


def test_a_wrong_density():
    def shifted(result: Any) -> Any:
        grid = result.density.grid + 10 * np.ptp(result.density.grid)
        return replace(result, density=replace(result.density, grid=grid))

    assert wrong(spectrum=shifted) == [TRACE, TOP]


def test_another_loss():
    assert wrong(gradients=lambda r: replace(r, loss=scaled(r.loss, 1.01))) == [ON_SURFACE]
    assert wrong(spectrum=lambda r: replace(r, loss=scaled(r.loss, 1.01))) == [ON_SURFACE]


def test_another_gradient():
    changed = {"gradients": lambda r: replace(r, total_norm=scaled(r.total_norm, 1.01))}
    assert wrong(**changed) == [OF_SAMPLES]


def test_a_bound_below_what_is_attained():
    def lowered(result: Any) -> Any:
        upper = scaled(result.network.upper, 0.01)
        return replace(result, network=replace(result.network, upper=upper))

    assert wrong(lipschitz=lowered) == [
        "Lipschitz constant: the proved bound, and an attained pair",
        "Lipschitz constant: the proved bound, and the Jacobian of the gradients",
    ]


def test_a_bound_on_a_smaller_ball_says_nothing_of_the_samples():
    def small(result: Any) -> Any:
        settings = {**result.settings, "radius": 1e-3}
        return replace(result, domain="ball", settings=settings)

    found = agreements_of(sections(lipschitz=small))
    assert not [one for one in found if "Jacobian" in one.claim]


def test_a_kernel_that_is_too_small():
    claim = "largest Gauss-Newton eigenvalue: by products, below what the kernel's trace allows"
    assert wrong(ntk=lambda r: replace(r, trace=scaled(r.trace, 1e-3))) == [claim]


def test_a_kernel_of_another_loss_is_left_out():
    def other(result: Any) -> Any:
        return replace(result, provenance={**result.provenance, "loss": "own"})

    found = agreements_of(sections(ntk=other))
    assert not [one for one in found if "Gauss-Newton" in one.claim]


def test_the_full_kernel_is_held_against_the_products_by_duality():
    settings = {**FAST, "ntk": {"kind": "full", "samples": 20}}
    full = ls.Ntk.preset("quick", **settings["ntk"]).run(subject())
    (found,) = agreements_of([Section.of(full)])
    assert found.agrees
    assert "by the kernel" in found.claim
    dynamics = replace(full.dynamics, duality=0.5)  # pyright: ignore[reportArgumentType]
    (found,) = agreements_of([Section.of(replace(full, dynamics=dynamics))])
    assert found.agrees is False
    assert found.finding is None, "the section tells of it by itself"
    assert full.findings() != replace(full, dynamics=dynamics).findings()


def test_the_spectrum_of_the_gauss_newton_matrix_is_that_of_the_kernel():
    samples = report().cost.samples
    ntk = ls.Ntk.preset("quick", samples=samples).run(subject())
    spectrum = ls.Spectrum.preset("quick", operator="gauss-newton", **FAST["spectrum"]).run(
        subject()
    )
    claim = "largest Gauss-Newton eigenvalue: of the spectrum, and of the kernel's samples"
    given = [Section.of(spectrum), Section.of(ntk)]
    assert {one.claim: one.agrees for one in agreements_of(given)}[claim]
    top = (scaled(spectrum.eigenvalues.top[0], 1.1), *spectrum.eigenvalues.top[1:])
    off = replace(spectrum, eigenvalues=replace(spectrum.eigenvalues, top=top))
    found = {one.claim: one for one in agreements_of([Section.of(off), Section.of(ntk)])}
    assert found[claim].agrees is False


def test_a_curvature_beyond_the_spectrum():
    def lowered(result: Any) -> Any:
        top = tuple(scaled(one, 1e-4) for one in result.eigenvalues.top)
        bottom = tuple(scaled(one, 1e-4) for one in result.eigenvalues.bottom)
        return replace(result, eigenvalues=replace(result.eigenvalues, top=top, bottom=bottom))

    assert wrong(spectrum=lowered) == [TOP, BOTTOM, SLICES]


def test_a_disagreement_is_a_finding_before_those_of_the_sections():
    changed = sections(gradients=lambda r: replace(r, loss=scaled(r.loss, 2)))
    broken = replace(report(), sections=tuple(changed), agreements=agreements_of(changed))
    warnings = [one for one in broken.findings if one.severity == "warning"]
    assert warnings[0].sentence == (f"Two ways to one number disagree ({ON_SURFACE}).")
    assert warnings[0].section == "gradients"
    assert len(warnings) > 1, "a section has one of its own, which comes after"
    assert "WARN" in broken.badges
    again = ls.Report.from_json(broken.to_json())
    assert again.findings == broken.findings
    assert again.agreements == broken.agreements


def test_documents_without_cross_checks_are_read():
    document = report().to_json()
    del document["answer"]["agreements"]
    assert ls.Report.from_json(document).agreements == ()


def test_one_line_for_a_series(tmp_path):
    ends = saved(tmp_path, "first.pt", 1), saved(tmp_path)
    found = surveyed(subject(*ends)).agreements
    assert len({one.claim for one in found}) == len(found)
    trace = next(one for one in found if one.claim.startswith("trace"))
    assert "(2 of 2 comparisons)" in trace.evidence


def test_the_gravest_of_a_series_is_told(tmp_path):
    """The numbers of the second checkpoint alone are wrong, and its slices are held against it."""
    ends = saved(tmp_path, "first.pt", 1), saved(tmp_path)
    whole = surveyed(subject(*ends))

    def changed(result: Any) -> Any:
        first, second = result.series
        top, bottom = (
            tuple(scaled(one, 1e-4) for one in end)
            for end in (second.eigenvalues.top, second.eigenvalues.bottom)
        )
        wrong = replace(
            second,
            trace=scaled(second.trace, 50),
            eigenvalues=replace(second.eigenvalues, top=top, bottom=bottom),
        )
        return replace(result, series=(first, wrong))

    told = {one.claim: one for one in agreements_of(whole.sections)}
    assert told[TRACE].agrees
    assert told[SLICES].agrees
    found = [
        replace(one, result=changed(one.result)) if one.name == "spectrum" else one
        for one in whole.sections
    ]
    told = {one.claim: one for one in agreements_of(found)}
    for claim, count in ((TRACE, "1 of 2"), (SLICES, "2 of 4")):
        assert told[claim].agrees is False
        assert told[claim].evidence.startswith("final")
        assert f"({count} comparisons)" in told[claim].evidence


def test_the_kernel_of_a_mean_square_bounds_the_gauss_newton_matrix():
    """The loss is the mean over N O elements, so that G is at most 2 tr Θ / (N O)."""
    ntk = next(one.result for one in report().sections if one.name == "ntk")
    largest = ntk.dynamics.sharpness.value  # pyright: ignore
    tight = largest * ntk.samples * ntk.outputs / 2  # pyright: ignore
    for factor, agrees in ((0.5, False), (2.0, True)):
        trace = scaled(ntk.trace, factor * tight / ntk.trace.value)  # pyright: ignore
        told = replace(ntk, provenance={**ntk.provenance, "loss": "mse"}, trace=trace)  # pyright: ignore
        (found,) = agreements_of([Section.of(told)])
        assert found.agrees is agrees


@pytest.mark.parametrize("name", ["spectrum", "gradients", "lipschitz", "ntk", "surface"])
def test_a_section_that_is_not_there_is_not_missed(name):
    left = [one for one in report().sections if one.name != name]
    assert all(name not in one.sections for one in agreements_of(left))
