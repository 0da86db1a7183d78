"""What a reader of a verdict on connectivity should not miss."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landscape.answer import Finding
from landscape.connectivity.tables import SAID

if TYPE_CHECKING:
    from landscape.connectivity.result import ConnectResult, Pair, PathAnswer

ADVICE = {
    "line": "Their weights may be averaged.",
    "aligned": "Their weights may be averaged once the units are aligned, not as they are.",
    "curve": "Networks on the curve may be taken; the plain average of the weights is not on it.",
}
BARRED = (
    "Do not average these weights; another path may still connect them (more bends, more steps of "
    "the curve)."
)
STALE = 0.5  # of the tolerance, by which stale statistics may mislead before it is told


def findings_of(result: ConnectResult) -> tuple[Finding, ...]:
    """Return the findings: the verdict first, then what could mislead.

    That a pair is refused, because an end is untrained, is no finding: its summary says so.
    """
    if result.declined:
        return ()
    found = [_verdict(result) if result.drawn is None else _pair(result.drawn)]
    looks = (_chained, _own_data, _overfitted, _stale)
    return (*found, *(one for look in looks if (one := look(result)) is not None))


def _pair(pair: Pair) -> Finding:
    if pair.verdict == "connected" and pair.by is not None:
        return Finding(
            severity="notable",
            sentence=f"{pair.name}: connected along the {SAID.get(pair.by, pair.by)}.",
            evidence=_evidence(pair, pair.paths[pair.by]),
            advice=ADVICE[pair.by],
        )
    if pair.verdict == "barrier":
        told = " ".join(
            f"{SAID.get(name, name)}: {_evidence(pair, path)}" for name, path in pair.paths.items()
        )
        return Finding(
            severity="warning",
            sentence=f"{pair.name}: a barrier on every path that was tried.",
            evidence=told,
            advice=BARRED
            if not pair.cut
            else f"{BARRED} The budget left some untried: {pair.cut}.",
        )
    if pair.cut:
        return Finding(
            severity="warning",
            sentence=f"{pair.name}: the budget was spent before it was decided whether they are "
            "connected.",
            evidence=_sentence(pair.cut),
            advice="Give a larger --budget.",
        )
    return Finding(
        severity="warning",
        sentence=f"{pair.name}: the data do not decide whether they are connected.",
        evidence=_sentence(pair.reason),
        advice="Give more samples, or raise the tolerances.",
    )


def _evidence(pair: Pair, path: PathAnswer) -> str:
    text = f"Loss barrier {path.barrier.loss:.3g} (tolerated: {pair.tolerance.loss:.3g})"
    error = path.barrier.error
    if error is not None and pair.tolerance.error is not None:
        text += f", error barrier {error:.3g} (tolerated: {pair.tolerance.error:.3g})"
    return f"{text} at t = {path.argmax:.3g}."


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."


def _verdict(result: ConnectResult) -> Finding:
    """Return the finding of many pairs."""
    barriers = [pair.name for pair in result.pairs if pair.verdict == "barrier"]
    undecided = [pair.name for pair in result.pairs if pair.verdict == "inconclusive"]
    refused = sum(pair.verdict == "refused" for pair in result.pairs)
    parts = len(result.components)
    number = f"{parts}" if result.fewest == parts else f"{result.fewest} to {parts}"
    grave = bool(barriers or undecided)
    of = f"{len(result.checkpoints)} networks"
    sentence = (
        f"{of} fall into {number} components at the tolerance."
        if parts > 1
        else f"{of} are one component at the tolerance."
    )
    told = f"Pairs with a barrier: {len(barriers)}; undecided: {len(undecided)}"
    if refused:
        told += f"; without a verdict, because an end is untrained: {refused}"
    named = barriers or undecided
    return Finding(
        severity="warning" if grave else "notable",
        sentence=sentence,
        evidence=f"{told}, such as {named[0]}." if named else f"{told}.",
        advice="Do not average weights across components, nor of pairs that are undecided."
        if grave
        else "Average two of them on the path that is named for the pair.",
    )


def _chained(result: ConnectResult) -> Finding | None:
    chained = [
        part for part, whole in zip(result.components, result.whole, strict=True) if not whole
    ]
    if not chained:
        return None
    return Finding(
        severity="notable",
        sentence="A component holds pairs that are not connected directly, only through others.",
        evidence=f"The component of {chained[0][0]} has {len(chained[0])} members.",
        advice="Connectedness is not transitive: look at the matrix before averaging all.",
    )


def _own_data(result: ConnectResult) -> Finding | None:
    """Return that a curve was fitted on the very data that judge it."""
    curves = [pair for pair in result.pairs if pair.by == "curve"]
    if not curves or any(path.training for pair in curves for path in pair.paths.values()):
        return None
    return Finding(
        severity="notable",
        sentence="The curve is judged on the data that it was fitted on.",
        evidence=f"{curves[0].name}: {result.samples:,} samples, and none held out.",
        advice="Give --held-out: on other data the curve may rise.",
    )


def _overfitted(result: ConnectResult) -> Finding | None:
    """Return where training and held-out data disagree."""
    for pair in result.pairs:
        for name, path in pair.paths.items():
            fitted = path.training
            if fitted is not None and {fitted.verdict, path.verdict} == {"connected", "barrier"}:
                return Finding(
                    severity="warning",
                    sentence=f"{pair.name}, {name}: {fitted.verdict} on the training data, "
                    f"{path.verdict} on held-out data.",
                    evidence=f"Loss barrier {fitted.barrier.loss:.3g} and {path.barrier.loss:.3g}.",
                    advice="The verdict is that of the held-out data.",
                )
    return None


def _stale(result: ConnectResult) -> Finding | None:
    """Return what the same weights would have said with stale BatchNorm statistics."""
    for pair in result.pairs:
        if pair.verdict == "refused":
            continue
        for name, path in pair.paths.items():
            if path.stale is None or not np.isfinite(path.stale).any():
                continue
            gap = float(np.nanmax(np.abs(path.stale - path.loss)))
            if gap > STALE * pair.tolerance.loss:
                return Finding(
                    severity="notable",
                    sentence=f"{pair.name}, {name}: with interpolated BatchNorm statistics the "
                    f"loss would be up to {gap:.2g} off.",
                    evidence="The statistics were recomputed at every point, both ends included.",
                    advice="Do the same wherever these weights are averaged.",
                )
    return None
