"""Documents made by hand, as landscape writes them."""

from __future__ import annotations

from typing import Any

from landscape.encode import encode
from landscape.estimate import Estimate, Status


def number(value: float, half: float = 0.0, **more: Any) -> Any:
    """Return the JSON of a number with its interval; exact without a half-width."""
    kind = "exact" if half == 0 else "estimate"
    one = Estimate(
        value=value,
        kind=kind,
        interval=(value - half, value + half),
        method="by hand",
        **more,
    )
    return encode(one)


def unconverged(value: float, half: float) -> Any:
    return number(value, half, status=Status.BUDGET_SPENT)


def spectrum(top: Any = None, **answer: Any) -> dict[str, Any]:
    """Return the part of a spectrum's document that is asked for here."""
    whole = {
        "operator": "hessian",
        "checkpoint": "final.pt",
        "complete": True,
        "loss": number(0.5),
        "eigenvalues": {"top": [top or number(40, 3), number(9, 1)], "bottom": [number(-1, 0.1)]},
        "density": {"grid": [0.0, 1.0, 2.0], "value": [0.1, 0.2, 0.1]},
        "layers": [
            {"name": "stem", "parameters": 10, "trace": number(5, 1)},
            {"name": 'head".weight', "parameters": 20, "trace": number(7, 1)},
        ],
        "quantiles": {"0.5": 1.25},
        **answer,
    }
    return {
        "schema": "landscape/spectrum/5",
        "status": "converged",
        "message": "Done.",
        "settings": {"top": 2, "operator": "hessian", "seed": 0},
        "seed": 0,
        "cost": {},
        "answer": whole,
        "provenance": {
            "batches_hash": "data",
            "loss": "ce",
            "mode": "eval",
            "dtype": "float32",
            "weights_fingerprint": "one",
        },
    }


def report(**sections: Any) -> dict[str, Any]:
    answer = {
        "findings": [],
        "sections": sections,
        "skipped": [{"section": "connect", "reason": "one checkpoint", "unlock": "another"}],
        "failures": [{"section": "ntk", "error": {"what": "memory ran out"}}],
    }
    return {**spectrum(), "schema": "landscape/report/1", "settings": {}, "answer": answer}
