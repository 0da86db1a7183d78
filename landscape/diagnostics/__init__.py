"""The registry: every diagnostic, in the order in which a report shows them."""

from __future__ import annotations

from typing import Any

from landscape.answer import Result
from landscape.base import Diagnostic
from landscape.diagnostics.connect import Connect, ConnectResult
from landscape.diagnostics.gradients import Gradients, GradientsResult
from landscape.diagnostics.lipschitz import Lipschitz, LipschitzResult
from landscape.diagnostics.ntk import Ntk, NtkResult
from landscape.diagnostics.spectrum import Spectrum, SpectrumResult
from landscape.diagnostics.surface import Surface, SurfaceResult
from landscape.diagnostics.tickets.compare import TicketsCompare, TicketsCompareResult
from landscape.diagnostics.tickets.eval import EvalResult, TicketsEval
from landscape.diagnostics.tickets.find import FindResult, TicketsFind
from landscape.diagnostics.tickets.score import TicketsScore, TicketsScoreResult
from landscape.diagnostics.weights import Weights, WeightsResult

DIAGNOSTICS: tuple[type[Diagnostic[Any]], ...] = (
    Gradients,
    Lipschitz,
    Spectrum,
    Surface,
    Connect,
    Ntk,
    TicketsScore,
    TicketsFind,
    TicketsEval,
    TicketsCompare,
    Weights,
)


def by_name(name: str) -> type[Diagnostic[Any]]:
    """Return the diagnostic of a name such as `spectrum`."""
    return next(diagnostic for diagnostic in DIAGNOSTICS if diagnostic.name == name)


def result_of(document: dict[str, Any]) -> Result:
    """Return the result whose JSON document is given, whichever diagnostic wrote it.

    Raises:
        InputError: No diagnostic writes such documents, or another version of it did.
    """
    from landscape.errors import InputError

    written = document.get("schema") if isinstance(document, dict) else None
    for diagnostic in DIAGNOSTICS:
        if written == diagnostic.result.schema_name():
            return diagnostic.result.from_json(document)
    if str(written).startswith("landscape/report/"):
        raise InputError(
            "this is a report, not the answer of one diagnostic",
            where="schema",
            why="a report holds several answers",
            hint="give what `landscape spectrum ... -o DIR` writes: DIR/spectrum.json",
        )
    known = ", ".join(diagnostic.result.schema_name() for diagnostic in DIAGNOSTICS)
    raise InputError(
        f"a document of schema {written!r} cannot be read",
        where="schema",
        why=f"this version reads {known}",
        hint="write it again with this version of landscape",
    )


__all__ = [
    "DIAGNOSTICS",
    "Connect",
    "ConnectResult",
    "EvalResult",
    "FindResult",
    "Gradients",
    "GradientsResult",
    "Lipschitz",
    "LipschitzResult",
    "Ntk",
    "NtkResult",
    "Spectrum",
    "SpectrumResult",
    "Surface",
    "SurfaceResult",
    "TicketsCompare",
    "TicketsCompareResult",
    "TicketsEval",
    "TicketsFind",
    "TicketsScore",
    "TicketsScoreResult",
    "Weights",
    "WeightsResult",
    "by_name",
    "result_of",
]
