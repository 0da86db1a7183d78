from __future__ import annotations

import copy
import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from landscape.budget import Budget, spending
from landscape.crosscheck import second_opinion
from landscape.diagnostics.spectrum import Spectrum, SpectrumResult
from landscape.errors import ModelError, SettingError
from landscape.estimate import Estimate, Status
from landscape.operators.fisher import FisherOperator
from landscape.operators.hessian import HessianOperator
from landscape.spectra.pictures import series_ink
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.cases import (
    ACCEPTANCE,
    CASES,
    dense_gauss_newton,
    dense_hessian,
    mlp,
    normal,
    reference,
    seeded,
)
from tests.oracles import F64, chain, softmax_regression, spectrum_of
from tests.selection import some

QUICK: dict[str, Any] = {"probes": 2, "lanczos_steps": 8, "max_probes": 32}


def ends(result: SpectrumResult) -> tuple[Estimate, ...]:
    return (*result.eigenvalues.top, *result.eigenvalues.bottom)


def assert_settled(result: SpectrumResult) -> None:
    assert result.complete
    assert all(one.status is Status.CONVERGED for one in ends(result))


def tops(result: SpectrumResult) -> list[float]:
    return [one.value for one in result.eigenvalues.top]


def bottoms(result: SpectrumResult) -> list[float]:
    return [one.value for one in result.eigenvalues.bottom]


# --- against dense float64 curvature -----------------------------------------------------------


@pytest.mark.parametrize("name", some(ACCEPTANCE, "mlp", "cnn", "tied", "partial", "ragged"))
def test_default_precision_gives_both_ends_of_the_dense_spectrum(name):
    exact = spectrum_of(dense_hessian(name))
    largest = np.abs(exact).max()
    subject = CASES[name]().subject()
    result = Spectrum(top=10, bottom=3, **QUICK).run(subject)
    assert subject.dtype == torch.float32
    assert result.parameters == len(exact)
    np.testing.assert_allclose(tops(result), exact[::-1][:10], rtol=0, atol=1e-4 * largest)
    np.testing.assert_allclose(bottoms(result), exact[:3], rtol=0, atol=1e-4 * largest)
    assert_settled(result)
    assert result.eigenvalues.top[0].value == max(tops(result))
    gradient = reference(name).gradient(reference(name).theta)
    assert result.gradient_norm.value == pytest.approx(float(gradient.norm()), rel=1e-4)
    loss = reference(name).loss(reference(name).theta)
    assert result.loss.value == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_every_case_and_seed_gives_both_ends(name, seed):
    exact = spectrum_of(dense_hessian(name))
    largest = np.abs(exact).max()
    result = Spectrum(top=10, bottom=3, seed=seed, **QUICK).run(CASES[name]().subject())
    np.testing.assert_allclose(tops(result), exact[::-1][:10], rtol=0, atol=1e-4 * largest)
    np.testing.assert_allclose(bottoms(result), exact[:3], rtol=0, atol=1e-4 * largest)
    assert_settled(result)


@pytest.mark.parametrize("name", ["mlp", "ragged", "ignored", "regression"])
def test_gauss_newton_gives_its_own_spectrum(name):
    exact = spectrum_of(dense_gauss_newton(name))
    result = Spectrum(operator="gauss-newton", top=6, bottom=2, **QUICK).run(
        CASES[name]().subject()
    )
    np.testing.assert_allclose(tops(result), exact[::-1][:6], rtol=0, atol=1e-4 * exact[-1])
    np.testing.assert_allclose(bottoms(result), exact[:2], rtol=0, atol=1e-4 * exact[-1])
    assert_settled(result)
    assert result.operator == "gauss-newton"


def test_an_eigenvalue_lies_within_each_residual_in_double_precision():
    exact = spectrum_of(dense_hessian("mlp"))
    result = Spectrum(tolerance=1e-6, **QUICK).run(CASES["mlp"]().subject(dtype="float64"))
    for one in ends(result):
        assert one.residual is not None
        assert one.solver is not None
        low, high = one.solver
        assert high - low == pytest.approx(2 * one.residual)
        assert np.abs(exact - one.value).min() <= one.residual + 1e-13
    assert result.symmetry_defect <= 1e-14
    assert result.orthogonality <= 1e-13


@pytest.mark.parametrize(("most", "samples"), [(64, 64), (512, 123)])  # 123: every column
def test_trace_and_frobenius_norm_hold_the_dense_ones(most, samples):
    exact = dense_hessian("mlp")
    result = Spectrum(
        top=1, bottom=0, probes=2, lanczos_steps=2, max_probes=most, trace_tolerance=1e-6
    ).run(CASES["mlp"]().subject(dtype="float64"))
    pairs = [
        (result.trace, float(exact.trace())),
        (result.frobenius_squared, float(exact.square().sum())),
    ]
    start = 0
    for layer in result.layers:
        stop = start + layer.parameters
        pairs.append((layer.trace, float(exact.diagonal()[start:stop].sum())))
        start = stop
    assert start == len(exact)
    for estimate, truth in pairs:
        slack = estimate.interval[1] - estimate.interval[0] + 1e-12
        assert abs(estimate.value - truth) <= slack
        assert estimate.samples == samples
    total = sum(layer.trace.value for layer in result.layers)
    assert total == pytest.approx(result.trace.value, rel=1e-9)
    assert [layer.name for layer in result.layers] == ["0", "2", "4"]


def test_density_and_effective_rank_are_those_of_the_dense_spectrum():
    exact = spectrum_of(dense_hessian("mlp"))
    result = Spectrum(top=1, bottom=0, probes=16, lanczos_steps=60, max_probes=2).run(
        CASES["mlp"]().subject(dtype="float64")
    )
    fractions = np.searchsorted(exact, result.distribution.grid, side="right") / len(exact)
    assert (result.distribution.lower <= fractions + 0.02).all()
    assert (fractions <= result.distribution.upper + 0.02).all()
    rank = np.abs(exact).sum() ** 2 / (exact**2).sum()
    low, high = result.effective_rank.interval
    assert abs(result.effective_rank.value - rank) <= 2 * (high - low)
    area = np.trapezoid(result.density.value, result.density.grid)
    assert area == pytest.approx(1, abs=0.05)


# --- closed forms ------------------------------------------------------------------------------


def test_softmax_regression_has_every_eigenvalue_as_often_as_it_occurs():
    model, data, values = softmax_regression(samples=40, features=6, classes=4)
    subject = Subject(model, "ce", data)
    result = Spectrum(top=18, bottom=6, tolerance=1e-9, **QUICK).run(subject)
    np.testing.assert_allclose(tops(result), values[::-1][:18], atol=1e-9)
    np.testing.assert_allclose(bottoms(result), np.zeros(6), atol=1e-9)
    assert result.complete
    groups = np.array(tops(result)).reshape(6, 3)  # σᵢ/C, each C − 1 times
    assert np.ptp(groups, axis=1).max() <= 1e-9


@pytest.mark.parametrize("classes", [2, 10])
def test_softmax_regression_in_default_precision(classes):
    model, (x, y), values = softmax_regression(samples=60, features=5, classes=classes)
    result = Spectrum(top=4, bottom=1, **QUICK).run(Subject(model.float(), "ce", (x.float(), y)))
    np.testing.assert_allclose(tops(result), values[::-1][:4], atol=1e-4 * values[-1])
    assert bottoms(result)[0] == pytest.approx(0, abs=1e-4 * values[-1])


def test_chain_at_a_minimum_has_one_eigenvalue_the_sum_of_inverse_squares():
    model, data = chain([2, 0.5, 4, 0.25])
    result = Spectrum(top=2, bottom=2, tolerance=1e-9, **QUICK).run(Subject(model, "mse", data))
    assert tops(result)[0] == pytest.approx(20.3125, rel=1e-12)
    assert tops(result)[1] == pytest.approx(0, abs=1e-8)
    assert bottoms(result) == pytest.approx([0, 0], abs=1e-8)
    assert result.loss.value == pytest.approx(0, abs=1e-28)
    assert result.gradient_norm.value == pytest.approx(0, abs=1e-14)


def test_chain_of_two_at_the_origin_is_a_strict_saddle():
    model, data = chain([0, 0])
    result = Spectrum(top=1, bottom=1, **QUICK).run(Subject(model, "mse", data))
    assert tops(result) == pytest.approx([1])
    assert bottoms(result) == pytest.approx([-1])
    assert result.loss.value == pytest.approx(0.5)
    sentences = [finding.sentence for finding in result.findings()]
    assert any("not at a minimum" in sentence for sentence in sentences)


def test_a_minimum_is_not_called_a_saddle():
    model, data, _ = softmax_regression()
    result = Spectrum(top=4, bottom=2, **QUICK).run(Subject(model, "ce", data))
    assert not any("not at a minimum" in finding.sentence for finding in result.findings())


def test_one_parameter_has_one_eigenvalue():
    model, data = chain([3.0])
    result = Spectrum(top=1, bottom=1, **QUICK).run(Subject(model, "mse", data))
    assert tops(result) == bottoms(result) == pytest.approx([1])
    assert result.trace.value == pytest.approx(1)
    assert result.effective_rank.value == pytest.approx(1)


# --- summaries of the spectrum -----------------------------------------------------------------


def planted(values: list[float]) -> Subject:
    """A linear regression whose Hessian is diag(values)."""
    size = len(values)
    x = torch.diag(torch.tensor(values, dtype=F64).sqrt() * math.sqrt(size / 2))
    return Subject(nn.Linear(size, 1, bias=False, dtype=F64), "mse", (x, torch.zeros(size, 1)))


def test_outliers_are_counted_up_to_the_largest_gap():
    result = Spectrum(top=6, bottom=0, **QUICK).run(planted([100, 90, 80, 4, 3, 2.5] + [1.0] * 30))
    np.testing.assert_allclose(tops(result), [100, 90, 80, 4, 3, 2.5], rtol=1e-3)
    assert result.outliers.count == 3
    assert result.outliers.gap_ratio == pytest.approx(20, rel=1e-3)


def test_an_even_spectrum_has_no_outliers():
    result = Spectrum(top=5, bottom=0, **QUICK).run(planted(list(np.linspace(10, 8, 30))))
    assert result.outliers.count == 0
    assert result.outliers.gap_ratio < 1.5


def test_condition_holds_the_largest_over_the_median():
    values = [*np.linspace(1, 3, 60), 200.0]
    result = Spectrum(top=1, bottom=0, probes=16, lanczos_steps=61, max_probes=2).run(
        planted(values)
    )
    low, high = result.condition.interval
    exact = 200 / np.median(values)
    assert low <= exact <= high
    assert low > 200 / 3.01
    assert low <= result.condition.value <= high


def test_condition_of_a_singular_hessian_is_a_lower_bound():
    result = Spectrum(top=1, bottom=0, probes=8, lanczos_steps=20, max_probes=2).run(
        planted([5.0] * 3 + [0.0] * 60)
    )
    assert result.condition.kind == "lower_bound" or result.condition.interval[1] > 1e6


# --- settings and statuses ---------------------------------------------------------------------


def test_a_budget_that_is_too_small_is_said():
    result = Spectrum(top=5, bottom=2, max_products=12, tolerance=1e-7, **QUICK).run(
        CASES["mlp"]().subject(dtype="float64")
    )
    assert result.status is Status.NOT_CONVERGED
    assert not result.complete
    assert "--max-products" in result.message
    assert all(one.status is Status.NOT_CONVERGED for one in ends(result))
    kinds = [one.kind for one in ends(result)]
    assert kinds == ["lower_bound"] * 5 + ["upper_bound"] * 2
    assert any(finding.severity == "warning" for finding in result.findings())


def test_a_trace_that_is_not_as_asked_is_said():
    result = Spectrum(
        top=1, bottom=0, probes=2, lanczos_steps=4, max_probes=32, trace_tolerance=1e-9
    ).run(CASES["mlp"]().subject())
    assert result.trace.status is Status.NOT_CONVERGED
    assert result.status is Status.NOT_CONVERGED
    assert "32 probes were not enough for ±1e-07 %" in result.message
    assert "--max-probes of `landscape spectrum`" in result.message
    assert "budget" not in result.message


def test_the_message_of_a_series_names_the_checkpoints():
    subject = CASES["mlp"]().subject()
    points = [replace(subject.checkpoint, label=label) for label in ("init.pt", "final.pt")]
    both = Subject(subject.model, "ce", CASES["mlp"]().data, points)
    settings = {**QUICK, "trace_tolerance": 1e-9}
    result = Spectrum(top=1, bottom=0, **settings).run(both)
    assert result.status is Status.NOT_CONVERGED
    assert result.message.startswith("init.pt: Trace: 32 probes were not enough")
    assert "final.pt: Trace: 32 probes were not enough" in result.message


def test_more_eigenvalues_than_parameters_are_refused():
    with pytest.raises(SettingError, match="5 eigenpairs"):
        Spectrum(top=5, bottom=0, **QUICK).run(planted([1.0, 2.0, 3.0]))


def test_gauss_newton_of_a_loss_inside_the_model_is_refused():
    with pytest.raises(ModelError):
        Spectrum(operator="gauss-newton").run(CASES["self-scored"]().subject())


@pytest.mark.parametrize(
    "settings",
    [
        {"top": 0},
        {"bottom": -1},
        {"tolerance": 0.0},
        {"tolerance": 2.0},
        {"probes": 1},
        {"operator": "identity"},
        {"weight_decay": -1.0},
        {"top": 2.5},
        {"top": True},
        {"seed": -1},
    ],
    ids=str,
)
def test_settings_outside_their_bounds_are_refused_before_computing(settings):
    with pytest.raises(SettingError, match=next(iter(settings))):
        Spectrum(**settings)


def test_products_are_counted():
    subject = CASES["mlp"]().subject()
    result = Spectrum(top=2, bottom=1, probes=3, lanczos_steps=5, max_probes=32).run(subject)
    rest = 3 * 5 + 32
    assert rest < result.cost.products <= rest + 4000
    assert result.cost.samples == 17
    assert result.cost.seconds > 0


def test_the_same_seed_gives_the_same_answer():
    def answer(seed: int) -> str:
        result = Spectrum(top=2, bottom=1, seed=seed, **QUICK).run(CASES["mlp"]().subject())
        return json.dumps(result.answer())

    assert answer(1) == answer(1)
    assert answer(1) != answer(2)


# --- several checkpoints -----------------------------------------------------------------------


def test_checkpoints_give_a_series_each_at_its_own_point():
    problem = CASES["mlp"]()
    other = seeded(mlp, 77)
    checkpoints = [
        Checkpoint.of_model(other, "before"),
        Checkpoint.of_model(problem.model, "after"),
    ]
    subject = problem.subject(checkpoints=checkpoints, product="cached")
    result = Spectrum(top=2, bottom=1, **QUICK).run(subject)
    assert [one.checkpoint for one in result.series] == ["before", "after"]
    assert result.checkpoint == "after"
    assert tops(result) == tops(result.series[1])
    alone = Spectrum(top=2, bottom=1, **QUICK).run(problem.subject())
    np.testing.assert_allclose(tops(result.series[1]), tops(alone), rtol=1e-4)
    first = Spectrum(top=2, bottom=1, **QUICK).run(
        Subject(other, "ce", problem.data, product="cached")
    )
    assert tops(result.series[0]) == tops(first)
    assert tops(result.series[0]) != tops(result.series[1])
    assert result.cost.products == sum(one.cost.products for one in result.series)


def test_each_checkpoint_brings_its_own_batchnorm_statistics():
    problem, changed = CASES["cnn"](), CASES["cnn"]()
    changed.model[1].running_var.mul_(4)
    checkpoints = [Checkpoint.of_model(m.model, str(i)) for i, m in enumerate((problem, changed))]
    series = Spectrum(top=1, bottom=0, **QUICK).run(problem.subject(checkpoints=checkpoints)).series
    alone = Spectrum(top=1, bottom=0, **QUICK).run(changed.subject())
    np.testing.assert_allclose(tops(series[1]), tops(alone), rtol=1e-4)
    assert tops(series[0])[0] > 1.2 * tops(series[1])[0]


# --- what training means for it ----------------------------------------------------------------


def trained(optimizer_of: Any, steps: int = 3) -> tuple[Subject, torch.optim.Optimizer]:
    """A small network some steps on, with its optimizer's state in the checkpoint."""
    model = seeded(mlp, 5)
    x, y = CASES["mlp"]().data[0] if isinstance(CASES["mlp"]().data, list) else CASES["mlp"]().data
    optimizer = optimizer_of(model.parameters())
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    state = copy.deepcopy(optimizer.state_dict())
    one = Checkpoint(label="one", tensors=model.state_dict(), optimizer=state, step=steps)
    return Subject(model, "ce", (x, y), one, dtype="float64"), optimizer


def test_the_margin_of_momentum_is_read_from_the_checkpoint():
    subject, _ = trained(lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9))
    result = Spectrum(top=2, bottom=1, **QUICK).run(subject)
    assert result.stability is not None
    assert result.stability.rule == "heavy ball"
    assert result.stability.threshold == pytest.approx(3.8 / 0.2)
    assert result.stability.margin.value == pytest.approx(tops(result)[0] * 0.2 / 3.8)
    assert result.step == 3
    assert "heavy ball" in result.summary()


def test_a_learning_rate_can_be_given():
    subject = CASES["mlp"]().subject(learning_rate=0.5)
    result = Spectrum(top=1, bottom=0, **QUICK).run(subject)
    assert result.stability is not None
    assert (result.stability.rule, result.stability.threshold) == ("gradient descent", 4.0)
    without = Spectrum(top=1, bottom=0, **QUICK).run(CASES["mlp"]().subject())
    assert without.stability is None
    assert "--learning-rate" in without.stability_reason


def test_adam_has_a_preconditioned_spectrum_and_its_margin_beside_the_plain_one():
    subject, optimizer = trained(lambda p: torch.optim.Adam(p, lr=0.01))
    result = Spectrum(top=3, bottom=2, precondition="optimizer", **QUICK).run(subject)
    states = optimizer.state_dict()["state"].values()
    square = torch.cat([state["exp_avg_sq"].flatten() for state in states]).double()
    scale = (((square / (1 - 0.999**3)).sqrt() + 1e-8) * (1 - 0.9**3)).rsqrt()
    dense = scale[:, None] * HessianOperator(subject).to_dense() * scale
    exact = spectrum_of(dense)
    np.testing.assert_allclose(tops(result), exact[::-1][:3], rtol=1e-4)
    np.testing.assert_allclose(bottoms(result), exact[:2], rtol=1e-3)
    assert result.stability is not None
    assert result.stability.margin.value == pytest.approx(exact[-1] * 0.01 / 38, rel=1e-4)
    plain = Spectrum(top=1, bottom=0, **QUICK).run(subject)
    beside = plain.stability
    assert beside is not None
    assert beside.preconditioned
    assert not plain.stability_reason
    assert beside.sharpness.value == pytest.approx(exact[-1], rel=1e-4)
    assert beside.sharpness.sampling == pytest.approx(result.stability.sharpness.sampling, rel=1e-3)
    assert beside.verdict == result.stability.verdict
    assert "λ₁(P⁻¹H) over the threshold of Adam" in rows_of(plain)
    assert np.isnan(series_ink((plain, plain)).threshold).all()  # that of another matrix
    assert not np.isnan(series_ink((result, result)).threshold).any()
    assert result.critical_point is None
    assert "preconditioned" in result.title


def test_another_optimizer_state_is_another_question(tmp_path):
    """The weights alone do not tell the margin: what is remembered goes by the state too."""
    subject, _ = trained(lambda p: torch.optim.Adam(p, lr=0.01))
    one = subject.checkpoint
    state = copy.deepcopy(one.optimizer)
    assert state is not None
    for held in state["state"].values():
        held["exp_avg_sq"] *= 16
    margins = []
    for checkpoint in (one, replace(one, optimizer=state)):
        remembering = Subject(
            seeded(mlp, 5),
            "ce",
            CASES["mlp"]().data[0],
            checkpoint,
            dtype="float64",
            folder=tmp_path,
        )
        found = Spectrum(top=1, bottom=0, **QUICK).run(remembering).stability
        assert found is not None
        margins.append(found.margin.value)
    assert margins[0] == pytest.approx(4 * margins[1], rel=1e-3)


def test_a_preconditioner_from_a_file(tmp_path):
    subject = planted([4.0, 9.0, 1.0])
    np.save(tmp_path / "p.npy", np.array([1.0, 3.0, 2.0]))
    settings: dict[str, Any] = {"top": 3, "bottom": 0, "precondition": str(tmp_path / "p.npy")}
    result = Spectrum(**settings, **QUICK).run(subject)
    np.testing.assert_allclose(tops(result), [4, 3, 0.5], rtol=1e-6)
    assert result.precondition == "p.npy"
    first = Spectrum(**settings).depends()
    np.save(tmp_path / "p.npy", np.array([1.0, 1.0, 1.0]))
    assert Spectrum(**settings).depends() != first
    np.save(tmp_path / "p.npy", np.array([1.0, -3.0, 2.0]))
    with pytest.raises(SettingError, match="not positive"):
        Spectrum(**settings, **QUICK).run(subject)


@pytest.mark.parametrize("given", ["optimizer", "nowhere.npy"])
def test_a_preconditioner_that_is_not_there_is_refused(given):
    with pytest.raises(SettingError, match="preconditioner"):
        Spectrum(precondition=given, **QUICK).run(planted([1.0, 2.0]))


def test_sgd_has_no_preconditioner():
    subject, _ = trained(lambda p: torch.optim.SGD(p, lr=0.2, momentum=0.9))
    with pytest.raises(SettingError, match="SGD has no preconditioner"):
        Spectrum(precondition="optimizer", **QUICK).run(subject)


def test_a_series_names_the_checkpoint_without_optimizer_steps():
    subject, _ = trained(lambda p: torch.optim.AdamW(p, lr=0.01), steps=0)
    later, _ = trained(lambda p: torch.optim.AdamW(p, lr=0.01))
    first = replace(subject.checkpoint, label="step0.pt")
    both = Subject(subject.model, "ce", CASES["mlp"]().data, [first, later.checkpoint])
    with pytest.raises(SettingError, match=r"step0\.pt") as caught:
        Spectrum(precondition="optimizer", **QUICK).run(both)
    assert "AdamW has not taken a step" in caught.value.why


def rows_of(result: SpectrumResult) -> dict[str, Any]:
    return {row[0]: row[1] for table in result.tables()[:2] for row in table.rows}


def test_why_there_is_no_margin_stands_in_the_summary():
    subject, _ = trained(lambda p: torch.optim.AdamW(p, lr=0.01))
    question = Spectrum(top=1, bottom=0, **QUICK)
    without = [question.run(CASES["mlp"]().subject())]
    with spending(Budget(products=20)):
        without.append(question.run(subject))
    assert "Left out, as the budget" in without[1].message
    assert "margin of λ₁(P⁻¹H)" in without[1].message
    for one in without:
        told = rows_of(one)["no stability margin"]
        assert "--precondition optimizer" in told or "--learning-rate" in told
        assert len(told) <= 80
        assert "landscape spectrum" in told or "--precondition" not in told  # a report has it not
    fresh, _ = trained(lambda p: torch.optim.AdamW(p, lr=0.01), steps=0)
    told = rows_of(question.run(fresh))["no stability margin"]
    assert told == "AdamW's is one of P⁻¹H: AdamW has not taken a step yet"


def test_a_margin_that_is_not_settled_is_told():
    subject, _ = trained(lambda p: torch.optim.Adam(p, lr=0.01))
    result = Spectrum(top=1, bottom=0, tolerance=1e-12, max_products=8, **QUICK).run(subject)
    assert result.stability is not None
    assert not result.stability.margin.status.settled
    assert not result.status.settled
    assert "λ₁(P⁻¹H) did not converge" in result.message


def test_the_margin_and_the_kind_of_point_are_of_another_question():
    result = Spectrum(top=1, bottom=1, **QUICK).run(CASES["mlp"]().subject(learning_rate=0.1))
    standing = [one for one in result.tables() if one.question == "convergence"]
    assert [one.title for one in standing] == ["Stability and kind of point"]
    assert {"kind of point", "that threshold"} <= {row[0] for row in standing[0].rows}


@pytest.mark.parametrize("operator", ["hessian", "gauss-newton"])
def test_with_batchnorm_the_eval_mode_loss_judges_no_training(operator):
    problem = CASES["cnn"]()
    question = Spectrum(top=3, bottom=1, operator=operator, **QUICK)
    result = question.run(problem.subject(learning_rate=1e3))
    assert result.stability is not None
    assert result.stability.margin.value > 1.1
    assert result.stability.verdict == "not judged"
    findings = result.findings()
    assert "does not judge the training" in dict(result.trust())["margin, kind of point"]
    assert not any("threshold" in one.sentence for one in findings)
    told = " ".join(f"{one.sentence} {one.advice}" for one in findings)
    assert "BatchNorm" not in told  # that is said once, in Trust
    assert "does not judge the training" in result.summary()
    for advice in ("Lower the learning rate", "2/λ_max", "not at a minimum", "Train on"):
        assert advice not in told
    assert "eval-mode" in rows_of(result)["what that margin is"]


def test_without_batchnorm_the_margin_warns():
    result = Spectrum(top=1, bottom=0, **QUICK).run(CASES["mlp"]().subject(learning_rate=1e3))
    edge = [one for one in result.findings() if "threshold" in one.sentence]
    assert [one.severity for one in edge] == ["warning"]
    assert "Lower the learning rate" in edge[0].advice


def test_weight_decay_is_added_to_every_eigenvalue():
    subject = planted([5.0, 3.0, 2.0, 1.0])
    plain = Spectrum(top=3, bottom=2, **QUICK).run(subject)
    decayed = Spectrum(top=3, bottom=2, weight_decay=0.5, **QUICK).run(subject)
    np.testing.assert_allclose(tops(decayed), np.array(tops(plain)) + 0.5, rtol=1e-6)
    assert decayed.trace.value == pytest.approx(plain.trace.value + 2)
    assert decayed.ridge == 0.5
    square = float(subject.point.theta.square().sum())
    assert decayed.loss.value == pytest.approx(plain.loss.value + 0.25 * square)


@pytest.mark.parametrize("draws", [1, None])
def test_fisher_matrices_are_those_of_their_operator(draws):
    subject = CASES["mlp"]().subject()
    name = "fisher" if draws else "empirical-fisher"
    result = Spectrum(operator=name, top=2, bottom=1, **QUICK).run(subject)
    exact = spectrum_of(FisherOperator(CASES["mlp"]().subject(), draws=draws).to_dense())
    np.testing.assert_allclose(tops(result), exact[::-1][:2], rtol=1e-3)
    assert result.critical_point is None
    assert result.stability is None


@pytest.mark.parametrize("product", ["reverse", "forward", "differences"])
def test_products_can_be_computed_otherwise(product):
    exact = spectrum_of(dense_hessian("mlp"))
    subject = CASES["mlp"]().subject(dtype="float64", product=product)
    result = Spectrum(top=1, bottom=0, tolerance=1e-2, **QUICK).run(subject)
    assert tops(result)[0] == pytest.approx(exact[-1], rel=1e-3)
    assert product in result.differentiation


def test_the_residual_operator_is_the_difference():
    exact = spectrum_of(dense_hessian("mlp") - dense_gauss_newton("mlp"))
    result = Spectrum(operator="residual", top=2, bottom=2, **QUICK).run(CASES["mlp"]().subject())
    np.testing.assert_allclose(tops(result), exact[::-1][:2], atol=1e-4 * np.abs(exact).max())
    np.testing.assert_allclose(bottoms(result), exact[:2], atol=1e-4 * np.abs(exact).max())
    assert result.stability is None


def test_the_kind_of_point_and_the_way_out_of_a_saddle():
    model, data = chain([0, 0])
    result = Spectrum(top=1, bottom=1, **QUICK).run(Subject(model, "mse", data))
    assert result.critical_point is not None
    assert result.critical_point.verdict == "saddle"
    assert result.critical_point.escape is not None
    assert result.critical_point.escape.lowered
    assert any("lowers the loss" in finding.evidence for finding in result.findings())


def test_the_smallest_eigenvalue_has_one_interval():
    result = Spectrum(top=1, bottom=1, **QUICK).run(CASES["mlp"]().subject())
    assert result.critical_point is not None
    smallest = result.critical_point.smallest
    assert smallest == result.eigenvalues.bottom[0]
    assert smallest is not None
    assert smallest.sampling is not None
    told = [
        one for one in result.findings() if "curvature" in one.sentence and "λ_min" in one.evidence
    ]
    assert all("(intervals: solver and other samples)" in one.evidence for one in told)
    assert told


def test_gradient_and_layers_against_dense_eigenvectors():
    result = Spectrum(top=3, bottom=0, tolerance=1e-7, **QUICK).run(
        CASES["mlp"]().subject(dtype="float64")
    )
    _, vectors = torch.linalg.eigh(dense_hessian("mlp"))
    top = vectors.flip(1)[:, :3].T
    gradient = reference("mlp").gradient(reference("mlp").theta)
    shares = ((top @ gradient) ** 2).cumsum(0) / gradient.square().sum()
    np.testing.assert_allclose([one.value for one in result.gradient_share], shares, atol=1e-6)
    mass = np.array([[float(one) for one in layer.mass] for layer in result.layers])
    np.testing.assert_allclose(mass.sum(0), 1)
    first = result.layers[0].parameters
    np.testing.assert_allclose(mass[0], top[:, :first].square().sum(1), atol=1e-6)
    spread = [float(one) for one in result.participation]
    np.testing.assert_allclose(spread, 1 / top.pow(4).sum(1), rtol=1e-5)


def test_blocks_are_the_diagonal_blocks():
    exact = dense_hessian("mlp")
    result = Spectrum(top=1, bottom=0, blocks=True, **QUICK).run(
        CASES["mlp"]().subject(dtype="float64")
    )
    assert result.heterogeneity is not None
    start = 0
    for block, layer in zip(result.heterogeneity.blocks, result.layers, strict=True):
        stop = start + layer.parameters
        largest = spectrum_of(exact[start:stop, start:stop])[-1]
        assert abs(block.largest.value - largest) <= (block.largest.residual or 0) + 1e-12
        start = stop


def test_a_comparison_is_made_when_asked_for():
    result = Spectrum(top=1, bottom=0, compare=True, **QUICK).run(CASES["mlp"]().subject())
    assert result.comparison is not None
    exact = spectrum_of(dense_gauss_newton("mlp"))[-1]
    assert result.comparison.gauss_newton.value == pytest.approx(exact, rel=2e-3)
    assert any(table.title == "Hessian and Gauss-Newton" for table in result.tables())


def test_sampling_is_part_of_the_interval():
    result = Spectrum(top=2, bottom=1, **QUICK).run(CASES["mlp"]().subject())
    assert result.groups >= 8
    for one in (*ends(result), result.trace):
        assert one.sampling is not None
        assert one.solver is not None
        assert one.interval[0] <= min(one.sampling[0], one.solver[0])
        assert one.interval[1] >= max(one.sampling[1], one.solver[1])


def test_classes_are_known_for_cross_entropy():
    result = Spectrum(top=6, bottom=0, **QUICK).run(CASES["mlp"]().subject())
    assert result.outliers.classes is not None
    assert result.outliers.comparison


# --- a series goes on from the checkpoint before -----------------------------------------------


def neighbours(count: int = 3) -> list[Checkpoint]:
    model = seeded(mlp, 5)
    found = []
    for number in range(count):
        found.append(Checkpoint.of_model(model, f"{number}.pt"))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(1.01)
    return found


def test_neighbours_overlap_and_are_drawn_as_a_series():
    subject = CASES["mlp"]().subject(checkpoints=neighbours())
    result = Spectrum(top=2, bottom=1, **QUICK).run(subject)
    assert result.series[0].overlap is None
    for one in result.series[1:]:
        assert one.overlap is not None
        assert one.overlap.value > 0.9
    names = [picture.name for picture in result.pictures()]
    assert names == ["series", "layers"]
    assert [picture.name for picture in result.series[0].pictures()] == ["layers"]


def test_a_series_that_is_taken_up_again_gives_the_same_numbers(tmp_path):
    def answer(folder, count: int = 3) -> list[str]:
        subject = CASES["mlp"]().subject(
            checkpoints=neighbours(count), folder=folder, product="cached"
        )
        found = Spectrum(top=2, bottom=1, **QUICK).run(subject)
        return [json.dumps(one.answer()) for one in found.series]

    whole = answer(tmp_path / "whole")
    answer(tmp_path / "cut", 2)
    assert answer(tmp_path / "cut") == whole
    assert answer(tmp_path / "whole") == whole
    kept = sorted((tmp_path / "whole").iterdir())
    for path in kept[::2]:
        path.unlink()
    assert answer(tmp_path / "whole") == whole


# --- PyHessian ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "ragged"])
def test_pyhessian_agrees_on_a_plain_network(name):
    result = Spectrum(top=1, bottom=1, crosscheck=True, **QUICK).run(CASES[name]().subject())
    assert result.crosscheck is not None
    assert result.crosscheck.status is Status.CONVERGED
    exact = spectrum_of(dense_hessian(name))
    largest = max(exact[0], exact[-1], key=abs)
    assert result.crosscheck.value == pytest.approx(largest, rel=5e-3)
    assert not any("PyHessian" in finding.sentence for finding in result.findings())


@pytest.mark.parametrize(
    ("name", "reason"), [("ignored", "one input tensor"), ("partial", "every parameter")]
)
def test_what_pyhessian_cannot_take_is_skipped_with_a_reason(name, reason):
    opinion = second_opinion(CASES[name]().subject(), seed=0)
    assert opinion.status is Status.SKIPPED
    assert opinion.value is None
    assert reason in opinion.reason


def test_no_opinion_is_asked_for_by_default():
    result = Spectrum(top=1, bottom=0, **QUICK).run(CASES["ragged"]().subject())
    assert result.crosscheck is None


# --- the document ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "partial"])
def test_document_fits_its_schema_and_comes_back(name):
    import jsonschema

    result = Spectrum(top=2, bottom=1, crosscheck=True, **QUICK).run(CASES[name]().subject())
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    jsonschema.validate(document, SpectrumResult.schema())
    back = SpectrumResult.from_json(document)
    assert back.to_json() == document
    assert back.eigenvalues == result.eigenvalues


def test_a_network_whose_loss_does_not_curve_has_a_readable_answer():
    """Every eigenvalue is zero: no division by them may raise."""

    class Deaf(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    subject = Subject(Deaf(3, 3), "mse", (normal(4, 3, seed=0), normal(4, 3, seed=1)))
    result = Spectrum(top=2, bottom=1, **QUICK).run(subject)
    assert tops(result) == [0, 0]
    assert result.trace.value == 0
    assert result.outliers.count == 0
    assert result.effective_rank.value == 0
    assert result.summary()
    assert result.findings() is not None
    json.dumps(result.to_json(), allow_nan=False)


# --- budgets ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "tied"])
@pytest.mark.parametrize("products", [1, 10, 40, 100, 250])
def test_no_more_is_spent_than_the_budget_or_the_least(name, products):
    with spending(Budget(products=products)):
        result = Spectrum(top=8, bottom=2, blocks=True, compare=True).run(CASES[name]().subject())
    assert result.status is Status.BUDGET_SPENT
    assert result.cost.products <= max(products, 4)
    assert result.complete != any(one.status is Status.BUDGET_SPENT for one in ends(result))
    assert "Left out, as the budget did not last for it" in result.message
    assert ("No answer takes fewer than 4 products" in result.message) == (products < 4)
    assert result.trace.samples >= 2
    json.dumps(result.to_json(), allow_nan=False)
    assert result.findings()
    assert result.tables()


def test_a_budget_that_is_spent_before_it_begins_takes_little():
    subject = CASES["mlp"]().subject()
    with spending(Budget(seconds=1e-6)):
        result = Spectrum(top=8, bottom=2).run(subject)
    assert result.cost.products <= 10
    assert result.status is Status.BUDGET_SPENT


def test_a_large_budget_changes_nothing():
    subject = CASES["mlp"]().subject()
    plain = Spectrum(top=3, bottom=1, **QUICK).run(subject)
    with spending(Budget(seconds=1e6, products=10**6)):
        budgeted = Spectrum(top=3, bottom=1, **QUICK).run(subject)
    for one, other in zip(ends(budgeted), ends(plain), strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-6)
        assert one.status is other.status is Status.CONVERGED
    assert budgeted.trace.value == pytest.approx(plain.trace.value, rel=1e-6)
    assert budgeted.trace.samples == plain.trace.samples
    assert budgeted.message == plain.message


def test_a_row_whose_rank_is_not_proved_is_no_converged_eigenvalue():
    """Two pairs of 5 and one start: the second is overlooked where the search cannot go on."""
    values = [5.0, 5.0, 1.0] + [0.01 * k for k in range(60)] * 5
    subject, bound = planted(values), []
    for products in (40, 60, 80, 100, 140, 200):
        with spending(Budget(products=products)):
            result = Spectrum(top=4, bottom=0, **QUICK).run(subject)
        if result.complete:
            break
        truth = sorted(values, reverse=True)
        for one, true in zip(result.eigenvalues.top, truth, strict=False):
            assert one.status is Status.BUDGET_SPENT
            assert one.kind == "lower_bound"
            assert one.interval[0] <= true + 1e-6
            assert one.interval[1] == math.inf
            assert str(one).startswith("≥")
        bound.append(products)
    assert bound
