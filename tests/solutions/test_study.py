"""Networks side by side, held against what plain PyTorch and the other diagnostics say."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.difference import verdict
from landscape.errors import SettingError
from landscape.estimate import Estimate
from landscape.solutions.seen import look
from tests.cli.networks import drawn, filled, mlp, transformer

SETTINGS: dict[str, Any] = {"max_probes": 2000, "trace_tolerance": 1e-9, "samples": 30}


def blobs(number: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.arange(number) % 3
    inputs = torch.randn(number, 4, generator=drawn(seed)) + 2 * F.one_hot(labels, 4)
    return inputs, labels


def net(seed: int = 0) -> nn.Module:
    return filled(nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)), seed)


def trained(seed: int) -> nn.Module:
    model = net(seed)
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    inputs, labels = blobs(60, 0)
    for _ in range(80):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


MODELS = [net(9), trained(0), trained(1), trained(2)]
ENDS = [ls.Checkpoint.of_model(m, n) for m, n in zip(MODELS, ["start", "a", "b", "c"], strict=True)]
DATA = {"train": [blobs(60, 0)], "held_out": [blobs(45, 5)]}


def flat(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()]).double()


@pytest.fixture(scope="module")
def result() -> Any:
    subject = ls.Subject(net(), "ce", DATA, ENDS, dtype="float64", device="cpu")
    return ls.Solutions(initial=True, **SETTINGS).run(subject)


def test_loss_error_and_gap(result):
    for model, one in zip(MODELS[1:], result.solutions, strict=True):
        found = []
        for inputs, labels in (blobs(60, 0), blobs(45, 5)):
            outputs = model(inputs).detach().double()
            found.append(
                (
                    float(F.cross_entropy(outputs, labels)),
                    float((outputs.argmax(1) != labels).double().mean()),
                )
            )
        (loss, error), (outer, outer_error) = found
        assert one.loss.value == pytest.approx(loss, rel=1e-5)
        assert one.error.value == pytest.approx(error)
        assert one.held_out_loss.value == pytest.approx(outer, rel=1e-5)
        assert one.held_out_error.value == pytest.approx(outer_error)
        assert one.gap.value == pytest.approx(outer - loss, rel=1e-4)
        assert one.error_gap.value == pytest.approx(outer_error - error)
        assert one.gap.interval[1] - one.gap.interval[0] == pytest.approx(
            2 * one.held_out_loss.half_width
        )


def test_sharpness_and_trace_against_the_dense_hessian(result):
    inputs, labels = blobs(60, 0)
    for model, one in zip(MODELS[1:], result.solutions, strict=True):
        shapes = {name: p.detach().double() for name, p in model.named_parameters()}

        def loss(theta: torch.Tensor, shapes=shapes, model=model) -> torch.Tensor:
            parts = theta.split([p.numel() for p in shapes.values()])
            given = {
                name: part.view(p.shape)
                for (name, p), part in zip(shapes.items(), parts, strict=True)
            }
            outputs = torch.func.functional_call(model, given, (inputs.double(),))
            return F.cross_entropy(outputs, labels)

        dense = torch.func.hessian(loss)(flat(model))
        assert one.sharpness.value == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), 1e-4)
        low, high = one.trace.solver
        assert low * (1 - 1e-9) <= float(dense.trace()) <= high * (1 + 1e-9)  # and rounding


def test_margins(result):
    inputs, labels = blobs(60, 0)
    outputs = MODELS[1](inputs).detach().double()
    right = outputs.gather(1, labels[:, None])[:, 0]
    outputs.scatter_(1, labels[:, None], -torch.inf)
    expected = np.median((right - outputs.amax(1)).numpy())
    assert result.solutions[0].margin.value == pytest.approx(expected, rel=1e-5)


def test_distances_and_cosines(result):
    start, a, b, c = map(flat, MODELS)
    assert result.solutions[0].norm.value == pytest.approx(float(a.norm()))
    assert result.solutions[2].from_initial.value == pytest.approx(float((c - start).norm()))
    (pair, *_) = result.pairs
    assert (pair.a, pair.b) == ("a", "b")
    assert pair.distance.value == pytest.approx(float((a - b).norm()))
    expected = F.cosine_similarity(a - start, b - start, dim=0)
    assert pair.cosine.value == pytest.approx(float(expected))


def test_disagreement_on_what_judges(result):
    inputs, _ = blobs(45, 5)
    labels = [model(inputs).argmax(1) for model in MODELS[1:]]
    expected = [
        float((labels[i] != labels[j]).double().mean()) for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert [one.disagreement.value for one in result.pairs] == pytest.approx(expected)
    assert result.judged_on == "held-out data"
    assert result.samples == 45


def test_barriers_are_those_of_connect(result):
    subject = ls.Subject(net(), "ce", DATA, ENDS[1:], dtype="float64", device="cpu")
    found: Any = ls.Connect(path="line").run(subject)
    for one, other in zip(result.pairs, found.pairs, strict=True):
        assert (one.a, one.b) == (other.a, other.b)
        assert one.barrier_loss == other.paths["line"].barrier.loss
        assert one.barrier_error == other.paths["line"].barrier.error


def test_noise_scale_is_that_of_gradients(result):
    last = ls.Subject(net(), "ce", DATA, ENDS[-1:], dtype="float64", device="cpu")
    found: Any = ls.Gradients(samples=30, jacobian=0, steps=False).run(last)
    assert result.solutions[-1].noise_scale == found.noise_scale


def test_each_beside_the_first(result):
    names = {(one.name, one.number) for one in result.beside}
    assert {("b", "judged_loss"), ("c", "judged_error"), ("b", "sharpness")} <= names
    (one,) = (x for x in result.beside if (x.name, x.number) == ("c", "judged_loss"))
    a, *_, c = result.solutions
    assert one.difference.value == pytest.approx(c.held_out_loss.value - a.held_out_loss.value)
    assert one.better == "lower"
    assert all(x.verdict != "better" for x in result.beside if x.better is None)


def test_a_network_that_has_not_learned_is_worse():
    ends = [ENDS[1], ENDS[0]]
    subject = ls.Subject(net(), "ce", DATA, ends, device="cpu")
    found: Any = ls.Solutions(curvature=False, barriers=False, samples=0).run(subject)
    verdicts = {one.number: one.verdict for one in found.beside}
    assert (verdicts["judged_loss"], verdicts["judged_error"]) == ("worse", "worse")
    assert found.worse
    assert "start worse than a (higher held-out loss, higher held-out error)" in found.summary()
    turned = ls.Subject(net(), "ce", DATA, ends[::-1], device="cpu")
    other: Any = ls.Solutions(curvature=False, barriers=False, samples=0).run(turned)
    assert not other.worse
    missing = {one.part: one.reason for one in found.left_out}
    assert missing == dict.fromkeys(("curvature", "barriers", "noise scale"), "not asked for")


def judged(result: Any, loss: float, error: float) -> Any:
    """Return the answer with these differences of b and a, told apart at 0.36 and 0.01."""
    given = {"judged_loss": (loss, 0.36), "judged_error": (error, 0.01)}
    beside = []
    for one in result.beside:
        if one.name == "b" and one.number in given:
            value, half = given[one.number]
            apart = Estimate(value=value, kind="estimate", interval=(value - half, value + half))
            beside.append(replace(one, difference=apart, verdict=verdict(apart, one.better)))
    return replace(result, beside=tuple(beside))


def test_loss_and_error_that_disagree_are_one_finding(result):
    found = judged(result, 0.369, -0.2)
    told = "b beside a: higher held-out loss, lower held-out error"
    assert found.summary().endswith(told)
    (finding,) = found.findings()
    assert finding.sentence == f"{told}."
    assert "held-out loss +0.369 ± 0.36, held-out error -0.2 ± 0.01" in finding.evidence


def test_the_quantity_that_judges_is_named(result):
    assert judged(result, -0.5, -0.001).summary().endswith("b better than a (lower held-out loss)")
    worse = judged(result, 0.5, 0.2)
    assert worse.summary().endswith("b worse than a (higher held-out loss, higher held-out error)")
    (finding,) = worse.findings()
    assert finding.sentence.startswith("Worse than a: b (held-out loss +0.5 ± 0.4, held-out error")
    assert worse.headline()[0][0] == "held-out loss of a"


def test_a_trace_that_did_not_converge_is_undecided_and_named():
    subject = ls.Subject(net(), "ce", DATA, ENDS[1:3], device="cpu")
    asked = ls.Solutions(barriers=False, samples=0, max_probes=2, trace_tolerance=1e-9)
    found: Any = asked.run(subject)
    assert not found.status.settled
    assert found.message.startswith("Wider than asked for: trace of a, trace of b; raise max_pro")
    (trace,) = (one for one in found.beside if one.number == "trace")
    assert (trace.verdict, trace.reason) == ("undecided", "a: not converged; b: not converged")
    table = found.tables()[2]
    assert table.columns[-1] == "why undecided"
    assert any(trace.reason in row for row in table.rows)


def test_a_network_beside_itself():
    twins = [ENDS[1], ls.Checkpoint.of_model(MODELS[1], "twin")]
    subject = ls.Subject(net(), "ce", DATA, twins, device="cpu")
    found: Any = ls.Solutions(**SETTINGS).run(subject)
    verdicts = {one.number: one.verdict for one in found.beside}
    assert found.solutions[0].noise_scale.kind == "lower_bound"  # two of which tell nothing
    assert verdicts.pop("noise_scale") == "undecided"
    assert set(verdicts.values()) == {"indistinguishable"}
    assert found.pairs[0].similarity.value == pytest.approx(1)
    assert found.pairs[0].distance.value == found.pairs[0].disagreement.value == 0
    assert "have the same weights" in found.findings()[0].sentence


def test_given_data_that_judge_are_one_row():
    subject = ls.Subject(net(), "ce", DATA["train"], ENDS[1:3], device="cpu")
    found: Any = ls.Solutions(curvature=False, barriers=False, samples=0).run(subject)
    assert [name for name, _ in found.headline()] == ["loss of a", "loss of b"]
    assert [row[1] for row in found.tables()[2].rows][:2] == ["loss", "error"]
    assert "loss" not in {one.number for one in found.beside}  # one interval for one number


def test_permuted_units_are_far_in_weights_and_alike_in_outputs():
    turned: Any = trained(0)
    order = torch.tensor([3, 1, 4, 0, 2])
    with torch.no_grad():
        turned[0].weight.copy_(turned[0].weight[order])
        turned[0].bias.copy_(turned[0].bias[order])
        turned[2].weight.copy_(turned[2].weight[:, order])
    ends = [ENDS[1], ls.Checkpoint.of_model(turned, "turned")]
    found: Any = ls.Solutions(curvature=False, barriers=False).run(
        ls.Subject(net(), "ce", DATA, ends, device="cpu")
    )
    pair = found.pairs[0]
    assert pair.distance.value > 1
    assert pair.disagreement.value == 0
    assert pair.similarity.value == pytest.approx(1)


def test_regression_has_no_labels():
    data = [(torch.randn(40, 4, generator=drawn(3)), torch.randn(40, 3, generator=drawn(4)))]
    subject = ls.Subject(net(), "mse", data, ENDS[1:3], device="cpu")
    found: Any = ls.Solutions(**SETTINGS).run(subject)
    assert found.pairs[0].disagreement is None
    assert found.solutions[0].error is None
    assert found.solutions[0].margin is None
    assert found.pairs[0].similarity is not None
    assert {one.number for one in found.beside} >= {"judged_loss", "sharpness"}


def test_a_language_model_whose_samples_hold_several_labels():
    tokens = torch.randint(11, (30, 7), generator=drawn(5))
    targets = tokens[:, 1:].clone()
    targets[:10, 3:] = -100
    ends = [ls.Checkpoint.of_model(transformer(), "one"),
            ls.Checkpoint.of_model(filled(transformer(), 3), "two")]  # fmt: skip
    data = [(tokens[:20, :-1], targets[:20]), (tokens[20:, :-1], targets[20:])]
    subject = ls.Subject(transformer(), "ce", data, ends, device="cpu")
    found: Any = ls.Solutions(barriers=False, max_probes=4, samples=0).run(subject)
    labels = [
        torch.cat([subject.outputs(subject.point_of(one), batch).argmax(-1)
                   for batch in subject.device_batches()])
        for one in subject.checkpoints
    ]  # fmt: skip
    kept = targets != -100
    expected = float(((labels[0] != labels[1]) & kept).sum() / kept.sum())
    pair = found.pairs[0]
    assert pair.disagreement.value == pytest.approx(expected)
    assert pair.disagreement.interval[0] < expected < pair.disagreement.interval[1]
    assert found.solutions[0].margin is None
    for one, network in zip(found.solutions, subject.checkpoints, strict=True):
        outputs = torch.cat([subject.outputs(subject.point_of(network), batch)
                             for batch in subject.device_batches()])  # fmt: skip
        mean = F.cross_entropy(outputs[kept], targets[kept])  # over tokens, not over samples
        wrong = (outputs[kept].argmax(-1) != targets[kept]).double().mean()
        assert one.loss.value == pytest.approx(float(mean), rel=1e-5)
        assert one.error.value == pytest.approx(float(wrong))


def test_margins_leave_out_what_has_no_label():
    inputs, labels = blobs(60, 0)
    outputs = MODELS[1](inputs).detach().double()
    right = outputs.gather(1, labels[:, None])[:, 0]
    margins = right - outputs.scatter(1, labels[:, None], -torch.inf).amax(1)
    kept = margins.argsort()[20:]  # so that the median is another one
    hidden = torch.full_like(labels, -100)
    hidden[kept] = labels[kept]
    subject = ls.Subject(net(), "ce", [(inputs, hidden)], ENDS[1:3], device="cpu")
    found: Any = ls.Solutions(curvature=False, barriers=False, samples=0).run(subject)
    assert found.solutions[0].margin.value == pytest.approx(float(np.median(margins[kept])), 1e-5)
    assert found.solutions[0].margin.samples == 40


def test_outputs_are_of_samples_that_are_evenly_spaced():
    inputs, labels = blobs(60, 0)
    data = [(inputs[a:b], labels[a:b]) for a, b in ((0, 7), (7, 40), (40, 60))]
    subject = ls.Subject(net(), "ce", data, ENDS[1:3], device="cpu")
    points = [subject.point_of(one) for one in subject.checkpoints]
    seen = look(subject, points, subject.device_batches(), samples=60, rows=30)
    places = np.linspace(0, 59, 30).round().astype(int)
    assert seen.outputs is not None
    for found, model in zip(seen.outputs, MODELS[1:3], strict=True):
        expected = model(inputs[places]).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_loss_that_is_not_finite_decides_nothing(result):
    beside = replace(result.beside[0], difference=replace(result.beside[0].difference, value=nan))
    assert result.beside[0].better
    assert not result.unknown
    broken = replace(result, beside=(beside,))
    assert (broken.worse, broken.unknown) == (False, "loss or error is not finite: b")


def test_one_network_beside_the_initial_one_is_refused():
    subject = ls.Subject(net(), "ce", DATA, ENDS[:2], device="cpu")
    with pytest.raises(SettingError, match="cannot be compared"):
        ls.Solutions(initial=True).run(subject)


def test_train_mode_is_refused():
    subject = ls.Subject(net(), "ce", DATA, ENDS[:2], device="cpu", mode="train")
    with pytest.raises(SettingError, match="cannot be answered"):
        ls.Solutions().run(subject)


def test_a_report_of_many_leaves_barriers_to_connect():
    many = ls.Subject(mlp(), checkpoints=[ls.Checkpoint.of_model(mlp(), str(k)) for k in range(5)])
    assert not ls.Solutions().fitted(many).barriers
    few = ls.Subject(mlp(), checkpoints=[ls.Checkpoint.of_model(mlp(), str(k)) for k in range(2)])
    assert ls.Solutions().fitted(few).barriers
