"""Answers on connectivity made by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from landscape.answer import Cost
from landscape.connectivity.components import cliques, components
from landscape.connectivity.result import (
    JUDGED,
    Alignment,
    Band,
    Barrier,
    ConnectResult,
    Definitions,
    Fitted,
    Group,
    Pair,
    PathAnswer,
    PlaneLoss,
)
from landscape.estimate import Estimate
from landscape.paths.verdict import Tolerance, Verdict, Word, pair_verdict

TOLERANCE = Tolerance(loss=0.1, error=0.02)


def estimate(value: float, half: float = 0.01) -> Estimate:
    interval = (value - half, value + half)
    return Estimate(
        value=value, kind="estimate", interval=interval, sampling=interval, method="made by hand"
    )


def definitions(height: float) -> Definitions:
    return Definitions(
        supremum=estimate(height),
        mean=estimate(height),
        maximum=estimate(height + 0.3),
        midpoint=estimate(height),
    )


def path(height: float, verdict: Word, *, error: bool = True, points: int = 25) -> PathAnswer:
    """A bump of a height over a loss that falls from 0.3 to 0.2."""
    t = np.linspace(0, 1, points)
    bump = height * np.sin(np.pi * t) ** 2
    loss, mistakes = 0.3 - 0.1 * t + bump, 0.05 + 0.4 * bump
    return PathAnswer(
        t=t,
        loss=loss,
        error=mistakes if error else None,
        loss_band=Band(lower=loss - 0.02 * bump, upper=loss + 0.03 * bump),
        error_band=Band(lower=mistakes - 0.01, upper=mistakes + 0.01) if error else None,
        barrier=Barrier(
            loss=estimate(height), error=estimate(0.4 * height, 0.004) if error else None
        ),
        argmax=0.5,
        verdict=verdict,
        reason="the band lies across the tolerance" if verdict == "inconclusive" else "",
        more_samples=1234 if verdict == "inconclusive" else None,
        loss_definitions=definitions(height),
        error_definitions=definitions(0.4 * height) if error else None,
        hidden=0.001,
        stale=None,
        length=1.0,
        training=None,
    )


LINE = path(1.2, "barrier")
ALIGNED = path(0.12, "inconclusive")
CURVE = path(0.01, "connected")
FITTED = Fitted(
    t=LINE.t,
    barrier=Barrier(loss=estimate(0.3), error=None),
    loss=np.linspace(0, 1, 25),
    error=None,
    verdict="barrier",
)


def pair(a: str = "a.pt", b: str = "b.pt", **paths: PathAnswer) -> Pair:
    judged = {
        name: Verdict(verdict=paths[name].verdict, sentence="because")
        for name in JUDGED
        if name in paths
    }
    found = pair_verdict(judged)
    verdict, by = found.verdict, found.by
    return Pair(
        a=a,
        b=b,
        verdict=verdict,
        by=by,
        reason="" if verdict == "connected" else "because",
        tolerance=TOLERANCE,
        paths=paths,
        missing={},
        alignment=Alignment(
            method="weights", groups=2, moved=0.99, units=0.9, proof=1e-15, distance=0.7
        )
        if "aligned" in paths
        else None,
        plane=None,
    )


def refused(a: str, b: str) -> Pair:
    return replace(pair(a, b), verdict="refused", reason="the error of a.pt is 0.9")


def plane() -> PlaneLoss:
    x, y = np.linspace(-1, 4, 11), np.linspace(-1, 2, 9)
    loss = 0.1 + (x[None, :] - 1.5) ** 2 * np.exp(-y[:, None])
    corners = np.array([[0.0, 0.0], [1.5, 1.2], [3.0, 0.0]])
    t = np.linspace(0, 1, 21)[:, None]
    curve = (1 - t) ** 2 * corners[0] + 2 * t * (1 - t) * corners[1] + t**2 * corners[2]
    return PlaneLoss(x=x, y=y, loss=loss, corners=corners, path=curve)


def result(*pairs: Pair, explained: bool = False, **more: Any) -> ConnectResult:
    names = tuple(dict.fromkeys(name for one in pairs for name in (one.a, one.b)))
    edges = [(names.index(p.a), names.index(p.b), p.verdict) for p in pairs]
    sure = [(a, b) for a, b, verdict in edges if verdict == "connected"]
    open_ = [(a, b) for a, b, verdict in edges if verdict in ("connected", "inconclusive")]
    parts = components(len(names), sure)
    return ConnectResult(
        message="The accuracy that was asked for was reached.",
        cost=Cost(seconds=1.5, samples=1000),
        provenance={"notes": []},
        checkpoint=", ".join(names),
        checkpoints=names,
        path="any",
        level=0.95,
        judged_on="the given data",
        samples=1000,
        pairs=pairs,
        components=tuple(tuple(names[i] for i in part) for part in parts),
        whole=cliques(parts, sure),
        fewest=len(components(len(names), open_)),
        explained=(
            Group(name="g0", kind="plain", size=32, axes="1.weight[0]", reason="add"),
            Group(name="frozen", kind="frozen", size=10, axes="3.weight[0]", reason="output"),
        )
        if explained
        else (),
        **more,
    )


def many() -> ConnectResult:
    """Five networks: 0, 1, 2 in a chain, 3 apart, 4 perhaps beside 3."""
    verdict = {(0, 1): CURVE, (1, 2): CURVE, (3, 4): ALIGNED}
    names = [f"runs/{i}/final.pt" for i in range(5)]
    pairs = []
    for i in range(5):
        for j in range(i + 1, 5):
            best = verdict.get((i, j))
            paths = {"line": LINE} | ({"curve": best} if best is not None else {})
            pairs.append(pair(names[i], names[j], **paths))
    return result(*pairs)


RESULTS = {
    "three paths": result(pair(line=LINE, aligned=ALIGNED, curve=CURVE)),
    "line": result(pair(line=CURVE), explained=True),
    "barrier": result(pair(line=LINE, curve=path(0.5, "barrier"))),
    "inconclusive": result(pair(line=LINE, aligned=ALIGNED)),
    "regression": result(pair(line=path(0.01, "connected", error=False))),
    "refused": result(refused("a.pt", "b.pt")),
    "plane": result(replace(pair(line=LINE, curve=CURVE), plane=plane())),
    "held out": result(pair(line=replace(CURVE, training=FITTED))),
    "stale": result(pair(line=replace(CURVE, stale=LINE.loss))),
    "many": many(),
    "many refused": result(*(refused(f"{i}", f"{j}") for i in range(3) for j in range(i))),
}
