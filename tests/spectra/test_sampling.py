from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape.diagnostics.spectrum import Spectrum
from landscape.estimate import Estimate
from landscape.spectra.curvature import Curvature
from landscape.spectra.groups import data_groups, group_forms
from landscape.spectra.sampling import ordered, sampling_interval, with_sampling
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from tests.cases import CASES
from tests.oracles import F64, generator, softmax_regression

# --- the groups ----------------------------------------------------------------------------------

HESSIAN = Curvature(kind="hessian")


@pytest.mark.parametrize("name", ["mlp", "ragged", "ignored", "regression", "cnn"])
@pytest.mark.parametrize("kind", ["hessian", "residual", "fisher"])
def test_the_groups_add_up_to_the_whole(name, kind):
    subject = CASES[name]().subject(dtype="float64")
    size = subject.parameters.size
    scale = torch.rand(size, generator=generator(1), dtype=F64) + 0.5
    curvature = Curvature(kind=kind, weight_decay=0.3, preconditioner=scale)
    rows = torch.randn(2, size, generator=generator(0), dtype=F64)
    found = group_forms(subject, curvature, rows)
    assert found.counts.sum() == subject.count
    whole = (curvature.of(subject).matmat(rows.T).T * rows).sum(1)
    np.testing.assert_allclose(found.whole, whole.numpy(), rtol=1e-9, atol=1e-12)


def test_one_batch_is_cut_and_many_are_taken_together():
    def counts(*sizes: int) -> list[int]:
        x = torch.zeros(max(sizes), 2)
        batches = [Batch((x[:size],), {}, x[:size]) for size in sizes]
        return [sum(one.samples for one in group) for group in data_groups(batches, len(batches))]

    one = counts(50)
    assert len(one) == 16
    assert sum(one) == 50
    assert max(one) - min(one) <= 1
    assert counts(3) == [1, 1, 1]
    assert counts(*[4] * 9) == [4] * 9
    assert counts(*[1] * 150) == [3] * 50


def test_groups_that_do_not_add_up_leave_no_interval():
    class Centred(nn.Module):
        """What it makes of a sample depends on its batch."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 1)

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x)
            return out - out.mean()

    x = torch.randn(40, 3, generator=generator(0))
    result = Spectrum(top=1, bottom=0, probes=2, lanczos_steps=3, max_probes=4).run(
        Subject(Centred(), "mse", (x, torch.zeros(40, 1)))
    )
    assert result.groups == 0
    assert result.eigenvalues.top[0].sampling is None


# --- the intervals -------------------------------------------------------------------------------


def test_equal_groups_leave_no_doubt():
    assert sampling_interval(np.full(9, 2.5), np.full(9, 4.0)) == pytest.approx((2.5, 2.5))


def test_one_group_says_nothing():
    assert sampling_interval(np.array([1.0]), np.array([5.0])) is None


def test_the_interval_scales_mirrors_and_is_laid_around_a_value():
    forms, counts = np.array([1.0, 2.0, 1.5, 1.2, 1.8]), np.array([2.0, 1.0, 3.0, 2.0, 2.0])
    found = sampling_interval(forms, counts)
    assert found is not None
    assert sampling_interval(1e6 * forms, counts) == pytest.approx((1e6 * found[0], 1e6 * found[1]))
    assert sampling_interval(-forms, counts) == pytest.approx((-found[1], -found[0]))
    moved = sampling_interval(forms - 10, counts, around=100.0)
    assert moved is not None
    assert moved[0] < 100 < moved[1]


def test_the_total_of_an_eigenvalue_is_the_sum_of_its_parts():
    pair = Estimate(value=5, kind="estimate", interval=(4.9, 5.1), level=1.0, solver=(4.9, 5.1))
    total = with_sampling(pair, (4.0, 7.0))
    assert total.interval == pytest.approx((3.9, 7.1))
    assert total.solver == (4.9, 5.1)
    assert total.sampling == (4.0, 7.0)
    assert total.level == 0.95
    drawn = Estimate(value=5, kind="estimate", interval=(2, 8), solver=(2, 8))
    assert with_sampling(drawn, (1.0, 9.0)).interval == pytest.approx((0.0, 10.0))
    assert with_sampling(pair, None) == pair


def within(value: float, low: float, high: float) -> Estimate:
    return Estimate(value=value, kind="estimate", interval=(low, high))


def test_the_first_eigenvalue_is_told_to_lie_above_what_the_second_reaches():
    top = (within(29.5, -41.5, 100.5), within(19, 14.1, 23.8), within(6, -3, 15))
    told = [one.interval for one in ordered(top)]
    assert told == [pytest.approx((9.2, 100.5)), (14.1, 23.8), (-3, 15)]
    bottom = tuple(within(-one.value, -one.interval[1], -one.interval[0]) for one in top)
    mirrored = [(-high, -low) for low, high in told]
    assert [one.interval for one in ordered(bottom, upwards=True)] == mirrored
    assert ordered(()) == ()


@pytest.mark.full
@pytest.mark.parametrize("spread", [0.3, 1.0, 1.5])
def test_intervals_that_know_their_order_cover_as_often(spread):
    rng, truth = np.random.default_rng(0), (2.0, 1.0)
    hits, before = np.zeros(2), np.zeros(2)
    for _ in range(2000):
        heavy = truth[0] * rng.lognormal(-(spread**2) / 2, spread, (16, 12)).mean(1)
        light = truth[1] * rng.chisquare(4, (16, 12)).mean(1) / 4
        pairs = []
        for forms in sorted((heavy, light), key=lambda one: -one.mean()):
            found = sampling_interval(forms, np.full(16, 12.0))
            pairs.append(with_sampling(Estimate.exact(float(forms.mean())), found))
        for k, (one, raw) in enumerate(zip(ordered(tuple(pairs)), pairs, strict=True)):
            assert one.interval[0] <= one.value <= one.interval[1]
            hits[k] += one.interval[0] <= truth[k] <= one.interval[1]
            before[k] += raw.interval[0] <= truth[k] <= raw.interval[1]
    assert (hits >= before - 4).all()
    assert (hits >= 0.93 * 2000).all()


# --- coverage: population vᵀHv of softmax regression at W = 0 ------------------------------------


def covered(seeds: range, samples: int, groups: int, v: Tensor, features: int, classes: int):
    """How often the interval holds the population's vᵀHv, here ‖v‖²-weighted unit covariance."""
    middle = torch.eye(classes, dtype=F64) / classes - 1 / classes**2
    rows = v.view(classes, features)
    truth = float(torch.einsum("cf,cd,df->", rows, middle, rows))  # E xxᵀ = I
    hits = 0
    for seed in seeds:
        x = torch.randn(samples, features, generator=generator(seed), dtype=F64)
        each = x @ rows.T
        forms = torch.einsum("nc,cd,nd->n", each, middle, each).numpy()
        parts = np.array_split(forms, groups)
        means, counts = (
            np.array([p.mean() for p in parts]),
            np.array([float(len(p)) for p in parts]),
        )
        found = sampling_interval(means, counts)
        assert found is not None
        hits += found[0] <= truth <= found[1]
    return hits / len(seeds)


DESIGNS = [(64, 8), (100, 16), (200, 16), (1000, 16), (33, 16)]


@pytest.mark.full
@pytest.mark.parametrize(("samples", "groups"), DESIGNS)
@pytest.mark.parametrize("spread", ["one class and feature", "even"])
def test_the_interval_covers_the_population(samples, groups, spread):
    v = torch.zeros(3, 5, dtype=F64)
    if spread == "even":
        v = torch.randn(3, 5, generator=generator(1), dtype=F64)
    else:
        v[0, 0] = 1
    assert covered(range(2000), samples, groups, v.flatten(), 5, 3) >= 0.93


def test_the_interval_covers_in_a_few_draws():
    v = torch.zeros(15, dtype=F64)
    v[0] = 1
    assert covered(range(60), 100, 16, v, 5, 3) >= 0.85


def test_forms_of_softmax_regression_have_their_closed_form():
    model, (x, y), _ = softmax_regression(samples=32, features=3, classes=4)
    subject = Subject(model, "ce", (x, y))
    v = torch.randn(1, 12, generator=generator(3), dtype=F64)
    found = group_forms(subject, HESSIAN, v)
    middle = torch.eye(4, dtype=F64) / 4 - 1 / 16
    each = x @ v.view(4, 3).T
    forms = torch.einsum("nc,cd,nd->n", each, middle, each)
    np.testing.assert_allclose(found.forms[:, 0], forms.view(16, 2).mean(1).numpy(), rtol=1e-9)
