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
    from landscape.diagnostics import DIAGNOSTICS
    from landscape.diagnostics.connect import Connect
    from landscape.diagnostics.gradients import Gradients
    from landscape.diagnostics.spectrum import Spectrum
    from landscape.diagnostics.weights import Weights
    from landscape.errors import LandscapeError
    from landscape.estimate import Estimate, Status
    from landscape.operators.gauss_newton import GaussNewtonOperator
    from landscape.operators.hessian import HessianOperator
    from landscape.reports.report import Report
    from landscape.subject.files.checkpoint import Checkpoint
    from landscape.subject.parameters import Parameters
    from landscape.subject.subject import Subject
    from landscape.survey import report

_HOMES = {
    "Checkpoint": "landscape.subject.files.checkpoint",
    "Connect": "landscape.diagnostics.connect",
    "DIAGNOSTICS": "landscape.diagnostics",
    "Estimate": "landscape.estimate",
    "GaussNewtonOperator": "landscape.operators.gauss_newton",
    "Gradients": "landscape.diagnostics.gradients",
    "HessianOperator": "landscape.operators.hessian",
    "LandscapeError": "landscape.errors",
    "Parameters": "landscape.subject.parameters",
    "Report": "landscape.reports.report",
    "Spectrum": "landscape.diagnostics.spectrum",
    "Status": "landscape.estimate",
    "Subject": "landscape.subject.subject",
    "Weights": "landscape.diagnostics.weights",
    "report": "landscape.survey",
}

__all__ = [
    "DIAGNOSTICS",
    "Checkpoint",
    "Connect",
    "Estimate",
    "GaussNewtonOperator",
    "Gradients",
    "HessianOperator",
    "LandscapeError",
    "Parameters",
    "Report",
    "Spectrum",
    "Status",
    "Subject",
    "Weights",
    "report",
]


# a diagnostic is public by its file alone: the class is named after it
_DIAGNOSTICS = {
    path.stem.title().replace("_", ""): f"landscape.diagnostics.{path.stem}"
    for path in (Path(__file__).parent / "diagnostics").glob("[!_]*.py")
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name) or _DIAGNOSTICS.get(name)
    if home is None:
        raise AttributeError(f"module 'landscape' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_DIAGNOSTICS})
