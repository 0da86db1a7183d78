"""Where the first number that is not finite arose: step, layer, micro-batch."""

from __future__ import annotations

import numpy as np

from landscape.recorder.history import History
from landscape.recorder.verdict import Verdict, listed


def not_finite(history: History) -> list[Verdict]:
    """Return where the first NaN or infinity arose: step, layer, micro-batch."""
    kept = ~history.skipped
    odd_weight = ~np.isfinite(history.weight)
    odd_gradient = ~np.isfinite(history.before) & ~history.missing
    odd_loss = history.shown & ~np.isfinite(history.loss)
    rows = np.flatnonzero(kept & (odd_weight.any(1) | odd_gradient.any(1) | odd_loss))
    if not len(rows):
        return []
    row = int(rows[0])
    step = int(history.steps[row])
    weights, gradients = _names(history, odd_weight[row]), _names(history, odd_gradient[row])
    layers, sentence, advice = _arose(history, row, step, weights, gradients)
    evidence = (
        f"At step {step}: {len(weights)} of {len(history.names)} weight tensors and "
        f"{len(gradients)} gradients were not finite; loss {history.loss[row]:.4g}. "
        f"{int(kept.sum() - row)} steps were recorded from there on."
    )
    verdict = Verdict(
        kind="not finite",
        severity="critical",
        sentence=sentence,
        evidence=evidence,
        advice=advice,
        step=step,
        layers=layers,
    )
    return [verdict]


def _arose(
    history: History, row: int, step: int, weights: tuple[str, ...], gradients: tuple[str, ...]
) -> tuple[tuple[str, ...], str, str]:
    """Return the layers where it arose, the sentence and the advice."""
    told = f"The first number that is not finite arose at step {step}"
    origin, batch = history.origins.get(step, {}), ""
    replayed = "module" in origin
    if origin:
        batch = f" (micro-batch {origin['micro_batch']})"
    if 0 < len(weights) < len(history.names):
        text = f"{told} in the weights of {listed(weights)}{batch}."
        return weights, text, "Look at what wrote these weights before that step."
    if weights:
        text = f"{told}{batch}: all weights were already not finite."
        return (), text, "Attach the recorder from the first step on."
    if replayed:
        if origin["inputs"]:
            text = f"{told}{batch}: the batch itself holds it."
            return (), text, "Look at this batch, and check the data for NaN and infinity."
        if origin["module"] is not None:
            module = origin["module"]
            text = f"{told} in the forward pass of {module or 'the network'}{batch}."
            advice = "Look at its inputs; lower the learning rate, or compute it in float32."
            return (module,), text, advice
    if gradients and len(gradients) < int((~history.missing[row]).sum()):
        last = max(gradients, key=lambda name: history.depth[history.names.index(name)])
        way = "in the backward pass" if replayed else "in the forward or backward pass"
        text = f"{told} {way} at {last}{batch}: the gradients of later layers were finite."
        return (last,), text, "Look for 0/0, √0, log 0 or an overflow behind that layer."
    place = "in the loss, or in its gradient" if replayed else "in the forward pass or in the loss"
    text = f"{told} {place}{batch}."
    return gradients[-1:], text, "Look at the loss of this batch, and at the learning rate before."


def _names(history: History, marked: np.ndarray) -> tuple[str, ...]:
    return tuple(name for name, mark in zip(history.names, marked, strict=True) if mark)
