"""The registry: every diagnostic, in the order in which a report shows them."""

from __future__ import annotations

from typing import Any

from landscape.answer import Result
from landscape.base import Diagnostic
from landscape.coordinates.result import CoordcheckResult
from landscape.diagnostics.connect import Connect, ConnectResult
from landscape.diagnostics.gradients import Gradients, GradientsResult
from landscape.diagnostics.lipschitz import Lipschitz, LipschitzResult
from landscape.diagnostics.ntk import Ntk, NtkResult
from landscape.diagnostics.solutions import Solutions, SolutionsResult
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
    Solutions,
    Ntk,
    TicketsScore,
    TicketsFind,
    TicketsEval,
    TicketsCompare,
    Weights,
)
RESULTS: tuple[type[Result], ...] = (  # what can be read back: answers with no subject too
    *(diagnostic.result for diagnostic in DIAGNOSTICS),
    CoordcheckResult,
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
    for kind in RESULTS:
        if written == kind.schema_name():
            return kind.from_json(document)
    if str(written).startswith("landscape/report/"):
        raise InputError(
            "this is a report, not the answer of one diagnostic",
            where="schema",
            why="a report holds several answers",
            hint="give what `landscape spectrum ... -o DIR` writes: DIR/spectrum.json",
        )
    read = [kind.schema_name() for kind in RESULTS]
    same = [one for one in read if one.rpartition("/")[0] == str(written).rpartition("/")[0]]
    made = document.get("provenance") if same else None
    author = made.get("landscape") if isinstance(made, dict) else None
    raise InputError(
        f"a document of schema {written!r} cannot be read",
        where="schema",
        why=f"landscape {author or 'of another version'} wrote it, and this one reads {same[0]}"
        if same
        else f"this version reads {', '.join(read)}",
        hint="use the version that wrote it, or write it again with this one",
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
    "Solutions",
    "SolutionsResult",
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
