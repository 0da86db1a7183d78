from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from landscape.paths import scan as scanning
from landscape.paths.curves import Line
from landscape.paths.evaluation import Evaluated, evaluate
from landscape.paths.grid import COARSE, COUNT
from landscape.paths.route import Route
from landscape.paths.scan import scan
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from tests.cases import Residual, labels, normal, seeded, with_statistics
from tests.paths.networks import pair


def residual() -> Residual:
    return with_statistics(Residual())


def problem(folder: Path | None = None) -> tuple[Subject, Point, Point]:
    data = [(normal(b, 1, 6, 6, seed=b), labels(b, classes=4, seed=b)) for b in (9, 4)]
    return pair([seeded(residual, s) for s in (0, 1)], "ce", data, folder=folder)


def scanned(folder: Path | None = None, *, refined: bool = True) -> Evaluated:
    subject, a, b = problem(folder)
    route = Route(subject.network, Line(a.theta, b.theta), a, b)
    batches = list(subject.device_batches())
    if not refined:
        return evaluate(subject, route, COARSE, batches)
    return scan(subject, route, batches, name=route.digest)


def same(one: Evaluated, other: Evaluated) -> None:
    for name in ("t", "losses", "errors", "weights", "stale"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_coarse_points_are_among_the_refined_ones():
    found, coarse = scanned(), scanned(refined=False)
    assert len(found.t) == COUNT
    assert (np.diff(found.t) > 0).all()
    rows = np.searchsorted(found.t, COARSE)
    np.testing.assert_array_equal(found.t[rows], COARSE)
    np.testing.assert_allclose(found.losses[rows], coarse.losses, rtol=1e-6)
    assert found.stale is not None
    assert np.isfinite(found.stale[rows]).all()
    assert np.isnan(np.delete(found.stale, rows)).all()


def test_points_crowd_about_the_maximum():
    found = scanned()
    excess = found.loss - (1 - found.t) * found.loss[0] - found.t * found.loss[-1]
    top = int(np.argmax(excess))
    assert np.diff(found.t)[max(top - 1, 0) : top + 1].max() < 0.05


class Interrupted(Exception):
    pass


@pytest.mark.parametrize("after", [0, 1, 2, 3, 5])
def test_after_an_interruption_the_rest_is_done_and_the_outcome_is_the_same(
    after, tmp_path, monkeypatch
):
    whole = scanned()
    left, asked = [after], []

    def failing(*args, **settings):
        asked.append(list(args[2]))
        if left[0] == 0:
            raise Interrupted
        left[0] -= 1
        return evaluate(*args, **settings)

    monkeypatch.setattr(scanning, "evaluate", failing)
    with pytest.raises(Interrupted):
        scanned(tmp_path)
    kept = [t for ts in asked[:-1] for t in ts]
    left[0], _ = -1, asked.clear()
    same(scanned(tmp_path), whole)
    again = [t for ts in asked for t in ts]
    assert sorted(kept + again) == whole.t.tolist()
    asked.clear()
    same(scanned(tmp_path), whole)
    assert asked == []


def test_other_paths_and_other_data_are_not_taken_for_one_another():
    subject, a, b = problem()
    route = Route(subject.network, Line(a.theta, b.theta), a, b)
    batches = list(subject.device_batches())
    one = scan(subject, route, batches, name=f"{route.digest} all")
    back = Route(subject.network, Line(b.theta, a.theta), b, a)
    assert scan(subject, back, batches, name=f"{back.digest} all").loss[0] == one.loss[-1]
    assert scan(subject, route, batches[:1], name=f"{route.digest} one").losses.shape[1] == 9


def test_at_once_over_stacked_weights_the_points_are_the_same(monkeypatch):
    alone = scanned()
    monkeypatch.setattr(scanning, "_pays", lambda *_: True)
    stacked = scanned()
    np.testing.assert_array_equal(stacked.t[np.searchsorted(stacked.t, COARSE)], COARSE)
    rows = [np.searchsorted(found.t, COARSE) for found in (alone, stacked)]
    np.testing.assert_allclose(stacked.losses[rows[1]], alone.losses[rows[0]], rtol=1e-4, atol=1e-6)
