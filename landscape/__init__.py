"""What kind of place in the loss landscape has training reached?

    subject = ls.Subject(model, loss="ce", data=loader, checkpoints=["a.pt", "b.pt"])
    answer = ls.Spectrum(top=20).run(subject)

Every public name is loaded on first use (PEP 562): importing this package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from landscape.coordinates.check import Coordcheck
    from landscape.diagnostics import DIAGNOSTICS
    from landscape.diagnostics.connect import Connect
    from landscape.diagnostics.gradients import Gradients
    from landscape.diagnostics.lipschitz import Lipschitz
    from landscape.diagnostics.ntk import Ntk
    from landscape.diagnostics.solutions import Solutions
    from landscape.diagnostics.spectrum import Spectrum
    from landscape.diagnostics.surface import Surface
    from landscape.diagnostics.tickets.compare import TicketsCompare
    from landscape.diagnostics.tickets.eval import TicketsEval
    from landscape.diagnostics.tickets.find import TicketsFind
    from landscape.diagnostics.tickets.score import TicketsScore
    from landscape.diagnostics.weights import Weights
    from landscape.errors import LandscapeError
    from landscape.estimate import Estimate, Status
    from landscape.operators.gauss_newton import GaussNewtonOperator
    from landscape.operators.hessian import HessianOperator
    from landscape.recorder.recorder import Recorder
    from landscape.reports.report import Report
    from landscape.subject.files.checkpoint import Checkpoint
    from landscape.subject.parameters import Parameters
    from landscape.subject.subject import Subject
    from landscape.survey import report

_HOMES = {
    "Checkpoint": "landscape.subject.files.checkpoint",
    "Connect": "landscape.diagnostics.connect",
    "Coordcheck": "landscape.coordinates.check",
    "DIAGNOSTICS": "landscape.diagnostics",
    "Estimate": "landscape.estimate",
    "GaussNewtonOperator": "landscape.operators.gauss_newton",
    "Gradients": "landscape.diagnostics.gradients",
    "HessianOperator": "landscape.operators.hessian",
    "LandscapeError": "landscape.errors",
    "Lipschitz": "landscape.diagnostics.lipschitz",
    "Ntk": "landscape.diagnostics.ntk",
    "Parameters": "landscape.subject.parameters",
    "Recorder": "landscape.recorder.recorder",
    "Report": "landscape.reports.report",
    "Solutions": "landscape.diagnostics.solutions",
    "Spectrum": "landscape.diagnostics.spectrum",
    "Status": "landscape.estimate",
    "Subject": "landscape.subject.subject",
    "Surface": "landscape.diagnostics.surface",
    "TicketsCompare": "landscape.diagnostics.tickets.compare",
    "TicketsEval": "landscape.diagnostics.tickets.eval",
    "TicketsFind": "landscape.diagnostics.tickets.find",
    "TicketsScore": "landscape.diagnostics.tickets.score",
    "Weights": "landscape.diagnostics.weights",
    "report": "landscape.survey",
}

__all__ = [
    "DIAGNOSTICS",
    "Checkpoint",
    "Connect",
    "Coordcheck",
    "Estimate",
    "GaussNewtonOperator",
    "Gradients",
    "HessianOperator",
    "LandscapeError",
    "Lipschitz",
    "Ntk",
    "Parameters",
    "Recorder",
    "Report",
    "Solutions",
    "Spectrum",
    "Status",
    "Subject",
    "Surface",
    "TicketsCompare",
    "TicketsEval",
    "TicketsFind",
    "TicketsScore",
    "Weights",
    "report",
]


# a diagnostic is public by its file alone: the class is named after it, TicketsScore after
# tickets/score.py
_PARTS = [
    path.relative_to(Path(__file__).parent / "diagnostics").with_suffix("").parts
    for pattern in ("[!_]*.py", "[!_]*/[!_]*.py")
    for path in (Path(__file__).parent / "diagnostics").glob(pattern)
]
_DIAGNOSTICS = {
    "".join(part.title().replace("_", "") for part in parts): ".".join(
        ("landscape.diagnostics", *parts)
    )
    for parts in _PARTS
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or _DIAGNOSTICS.get(name)
    if home is None:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_DIAGNOSTICS})
