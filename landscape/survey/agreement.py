"""Sections held against each other: a pure function of finished answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from landscape.answer import Result
from landscape.bracket.result import LipschitzResult
from landscape.connectivity.result import ConnectResult
from landscape.kernels.result import NtkResult
from landscape.reports.agreement import Agreement
from landscape.reports.report import Section
from landscape.signals.result import GradientsResult
from landscape.spectra.result import SpectrumResult
from landscape.surfaces.result import SurfaceResult
from landscape.survey import claims, losses, spectral
from landscape.survey.held import Held


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the sections say of one checkpoint; None where they say nothing."""

    checkpoint: str
    gradients: GradientsResult | None
    lipschitz: LipschitzResult | None
    spectrum: SpectrumResult | None
    ntk: NtkResult | None


def agreements_of(sections: Sequence[Section]) -> tuple[Agreement, ...]:
    """Return every cross-check that some answers allow; one for all checkpoints of a series."""
    results = {section.result.name: section.result for section in sections}
    held = [one for answers in _by_checkpoint(results) for one in _compared(answers)]
    held += _along_slices(results)
    held += _losses(results)
    said = dict.fromkeys(one.claim for one in held)
    return tuple(_joined([one for one in held if one.claim == claim]) for claim in said)


def _by_checkpoint(results: Mapping[str, Result]) -> Iterator[Answers]:
    """Yield the answers of each checkpoint; sections that studied others are left out."""
    kinds = (GradientsResult, LipschitzResult, SpectrumResult, NtkResult)
    series = {kind.name: _members(results.get(kind.name)) for kind in kinds}
    longest = max(map(len, series.values()), default=0)
    for number in range(longest):
        at: dict[str, Any] = {
            name: found[number] if len(found) == longest else None for name, found in series.items()
        }
        label = next(one.label for one in at.values() if one is not None)
        yield Answers(checkpoint=label, **at)


def _members(result: Result | None) -> tuple[Result, ...]:
    return () if result is None else result.series or (result,)


def _compared(at: Answers) -> Iterator[Held]:
    if at.spectrum is not None:
        yield from spectral.trace_and_density(at.spectrum, at.checkpoint)
        yield from spectral.ends_and_density(at.spectrum, at.checkpoint)
        yield from spectral.eigenvalues_and_norm(at.spectrum, at.checkpoint)
    if at.gradients is not None:
        yield from losses.gradient_of_samples(at.gradients, at.checkpoint)
        yield from losses.gradient_and_fall(at.gradients, at.checkpoint)
    if at.lipschitz is not None:
        yield from claims.bound_and_attained(at.lipschitz, at.gradients, at.checkpoint)
    if at.ntk is not None:
        yield from claims.products_and_kernel(at.ntk, at.spectrum, at.checkpoint)


def _along_slices(results: Mapping[str, Result]) -> Iterator[Held]:
    surface = results.get(SurfaceResult.name)
    if not isinstance(surface, SurfaceResult):
        return
    at = _named(surface.checkpoints, results.get(SpectrumResult.name))
    for check in surface.checks:
        yield from claims.differences_and_products(check)
        found = at.get(check.checkpoint)
        if isinstance(found, SpectrumResult) and found.cost.samples == surface.samples:
            yield from claims.slice_and_spectrum(found, check)


def _losses(results: Mapping[str, Result]) -> Iterator[Held]:
    """Yield the losses of checkpoints beside those of surfaces and paths."""
    surface, connect = results.get(SurfaceResult.name), results.get(ConnectResult.name)
    for kind in (GradientsResult, SpectrumResult):
        own = results.get(kind.name)
        if own is None or own.provenance.get("mode") == "train":
            continue
        if isinstance(surface, SurfaceResult):
            for name, one in _named(surface.checkpoints, own).items():
                yield from losses.loss_on_surface(one, surface, name)
        if isinstance(connect, ConnectResult):
            for name, one in _named(connect.checkpoints, own).items():
                yield from losses.loss_on_path(one, connect, name)


def _named(names: Sequence[str], result: Result | None) -> dict[str, Result]:
    """Return the answers by the names of their checkpoints; none where they are of others."""
    members = _members(result)
    return dict(zip(names, members, strict=True)) if len(members) == len(names) else {}


def _joined(held: Sequence[Held]) -> Agreement:
    """Return one claim over all places where it was looked at: the gravest, with their number."""
    worst = min(held, key=lambda one: (False, None, True).index(one.agrees))
    places = list(dict.fromkeys(one.checkpoint for one in held))
    alike = sum(one.agrees is worst.agrees for one in held)
    told = f"{worst.checkpoint}: {worst.evidence}" if len(places) > 1 else worst.evidence
    if len(held) > 1:
        told += f" ({alike} of {len(held)} comparisons)"
    return Agreement(
        claim=worst.claim,
        sections=worst.sections,
        agrees=worst.agrees,
        evidence=f"{told}.",
        advice=worst.advice,
    )
