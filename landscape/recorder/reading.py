"""From a log to what it says."""

from __future__ import annotations

import numpy as np

from landscape.estimate import Estimate, Status
from landscape.recorder.answer import LayerTrack, Series, SignalTrack, TrackResult
from landscape.recorder.answers import answers_of
from landscape.recorder.depth import depth_slopes
from landscape.recorder.history import History, history_of
from landscape.recorder.idle import states
from landscape.recorder.log import Log
from landscape.recorder.spikes import outstanding
from landscape.recorder.verdict import RECENT
from landscape.recorder.verdicts import clip_rate, verdicts_of
from landscape.signals.intervals import ratio_of_means
from landscape.signals.two_batch import signal_and_noise

NOISE_DRAWS = 200  # rows of details that the noise scale is a ratio of means of
MOST_STEPS = 4000  # of a series that is kept
COLUMNS = 160  # of the layers over the run


def track(log: Log) -> TrackResult:
    """Return what a log says. Cost: one pass over it."""
    history = history_of(log)
    noise, reason = noise_scale(history)
    verdicts = verdicts_of(history)
    broken = any(one.kind == "not finite" for one in verdicts)
    steps, columns = len(history.steps), _columns(history)
    known = history.samples[np.isfinite(history.samples)]
    return TrackResult(
        status=Status.NOT_FINITE if broken else Status.CONVERGED,
        message="" if broken else "Everything that was recorded is finite.",
        provenance={**log.header.get("environment", {}), "files": {log.path.name: log.sha256}},
        log=log.path.name,
        steps=steps,
        first_step=int(history.steps[0]) if steps else None,
        last_step=int(history.steps[-1]) if steps else None,
        seconds=history.seconds,
        ended=log.ended,
        torn=log.torn,
        optimizer=history.optimizer,
        series_of=_series(history),
        layers=_layers(history),
        layer_steps=columns[0],
        layer_norms=columns[1],
        signals=_signals(history),
        slopes=depth_slopes(history),
        skipped_steps=int(history.skipped.sum()),
        clip_rate=clip_rate(history),
        noise_scale=noise,
        noise_unit=history.piece_unit,
        noise_reason=reason,
        samples_per_step=float(np.median(known)) if len(known) else None,
        answers=answers_of(history),
        runs=history.runs,
        verdicts=verdicts,
        overhead=(history.overhead or {}).get("share"),
        unseen=str(log.header.get("unseen", "")),
    )


def noise_scale(history: History, last: int = NOISE_DRAWS) -> tuple[Estimate | None, str]:
    """Return B = tr Σ / |G|² over the last steps with details, or None and why.

    It is the ratio of the means of unbiased estimates of both, with Fieller's interval; steps are
    taken as independent, and G as changing little among them.

    A step counts when it has one backward pass per forward pass, and nothing wrote into the
    gradients between them. That every micro-batch is drawn alike cannot be seen: an adversary that
    is trained on real and on made samples in two passes is not told apart.

    Source: McCandlish et al. 2018, arXiv 1812.06162, appendix A.
    """
    usable = history.pieces[:, 3] > 1
    usable &= np.isfinite(history.pieces).all(axis=1)
    rows = history.pieces[usable][-last:]
    if len(rows) < 2:
        return None, history.piece_reason or (
            "the noise is seen in the differences of micro-batches or ranks: accumulate gradients "
            "over two micro-batches or more, or train on several ranks"
        )
    small, big, inverse_size, pieces = rows.T
    signal, noise = signal_and_noise(small, big, inverse_size=inverse_size, pieces=pieces)
    method = f"two batch sizes, ratio of means over {len(rows)} steps, Fieller"
    return ratio_of_means(noise, signal, method, samples=len(rows)), ""


def _series(history: History) -> Series:
    before, after = history.total_before, history.total
    rows = _extremes(before)
    return Series(
        step=history.steps[rows].astype(float),
        loss=history.loss[rows],
        gradient_norm_before=before[rows],
        gradient_norm=after[rows],
        learning_rate=history.rate[rows],
        cosine_step=history.detailed.astype(float),
        cosine=history.cosine,
        spikes=history.steps[outstanding(before, history.begins)].astype(float),
        skipped=history.steps[history.skipped].astype(float),
    )


def _extremes(values: np.ndarray) -> np.ndarray:
    """Return the rows of the least and the greatest value of neighbours; all where they are few."""
    if len(values) <= MOST_STEPS:
        return np.arange(len(values))
    parts = np.array_split(np.arange(len(values)), MOST_STEPS // 2)
    sizes = np.nan_to_num(values, nan=np.inf)
    both = [(part[np.argmin(sizes[part])], part[np.argmax(sizes[part])]) for part in parts]
    return np.unique(np.array(both))


def _columns(history: History) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (c,) and gradient norms (N, c): medians over neighbours."""
    if not len(history.steps):
        return np.zeros(0), np.zeros((len(history.names), 0))
    parts = np.array_split(np.arange(len(history.steps)), min(COLUMNS, len(history.steps)))
    steps = np.array([float(history.steps[part].mean()) for part in parts])
    norms = np.stack([medians(history.present[part]) for part in parts], axis=1)
    return steps, norms


def _layers(history: History) -> tuple[LayerTrack, ...]:
    if not len(history.steps):
        return ()
    ratio, norms = history.ratio[-RECENT:], medians(history.present[-RECENT:])
    return tuple(
        LayerTrack(
            name=name,
            parameters=int(history.sizes[place]),
            state=state,
            gradient_norm=float(norm),
            weight_norm=float(history.weight[-1, place]),
            first_weight_norm=float(history.weight[0, place]),
            update_ratio=_median(ratio[:, place]),
        )
        for place, (name, state, norm) in enumerate(
            zip(history.names, states(history), norms, strict=True)
        )
    )


def medians(values: np.ndarray) -> np.ndarray:
    """Return the median of every column of (t, N) over the rows that have it; 0 where none has."""
    there = ~np.isnan(values)
    found = np.zeros(values.shape[1])
    some = there.any(axis=0)
    with np.errstate(over="ignore"):
        found[some] = np.nanmedian(values[:, some], axis=0)
    return found


def _signals(history: History) -> tuple[SignalTrack, ...]:
    if not len(history.detailed):
        return ()
    seen = history.signals
    return tuple(
        SignalTrack(
            name=name or "the network",
            forward=float(seen["forward"][-1, place]),
            first_forward=float(seen["forward"][0, place]),
            backward=float(seen["backward"][-1, place]),
            first_backward=float(seen["backward"][0, place]),
            dead_inputs=_known(seen["dead"][-1, place]),
            saturated=_known(seen["saturated"][-1, place]),
        )
        for place, name in enumerate(history.modules)
    )


def _median(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
