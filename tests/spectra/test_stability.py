from __future__ import annotations

import pytest
import torch

from landscape.estimate import Estimate
from landscape.spectra.stability import rule_of, stability_margin
from landscape.subject.optimizer_state import OptimizerState

RATE = 0.1
RULES = {
    "gradient descent": {},
    "heavy ball": {"momentum": 0.9},
    "dampened": {"momentum": 0.9, "dampening": 0.5},
    "Nesterov": {"momentum": 0.9, "nesterov": True},
}


def known(**more) -> OptimizerState:
    return OptimizerState(**{"name": "SGD", "learning_rate": RATE, **more})


def grows(sharpness: float, **settings) -> bool:
    """Whether PyTorch's optimizer diverges on ½ s x²."""
    x = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    optimizer = torch.optim.SGD([x], lr=RATE, **settings)
    seen = []
    for _ in range(3000):
        optimizer.zero_grad()
        (sharpness * x.square().sum() / 2).backward()
        optimizer.step()
        seen.append(float(x.detach().abs()))
    return not max(seen[-20:]) < 1e-6


@pytest.mark.parametrize("name", RULES)
def test_the_threshold_is_where_the_optimizer_begins_to_diverge(name):
    settings = RULES[name]
    threshold = rule_of(known(**settings)).factor / RATE
    assert not grows(0.97 * threshold, **settings)
    assert grows(1.03 * threshold, **settings)


def test_adam_has_thirty_eight():
    adam = known(name="Adam", momentum=0.9, dampening=0.9, adaptive=True)
    rule = rule_of(adam)
    assert rule.factor == pytest.approx(38)
    assert rule.name == "Adam"
    assert "2207.14484" in rule.source


def test_the_interval_is_carried_through():
    sharpness = Estimate(
        value=19, kind="estimate", interval=(18, 20), sampling=(18.5, 19.5), residual=0.5
    )
    found = stability_margin(sharpness, rule_of(known()), RATE)
    assert found.threshold == pytest.approx(20)
    assert found.margin.value == pytest.approx(0.95)
    assert found.margin.interval == pytest.approx((0.9, 1.0))
    assert found.margin.sampling == pytest.approx((0.925, 0.975))
    assert found.margin.residual == pytest.approx(0.025)
    assert found.verdict == "at the edge"


@pytest.mark.parametrize(
    ("value", "half", "verdict", "settled"),
    [
        (10, 1, "below", True),
        (17, 2, "below", False),
        (20, 1, "at the edge", True),
        (23, 0.5, "above", True),
        (-3, 1, "below", True),
    ],
)
def test_verdicts(value, half, verdict, settled):
    sharpness = Estimate(value=value, kind="estimate", interval=(value - half, value + half))
    found = stability_margin(sharpness, rule_of(known()), RATE)
    assert (found.verdict, found.settled) == (verdict, settled)


def test_a_sharpness_of_the_eval_mode_loss_is_not_judged():
    sharpness = Estimate(value=100, kind="estimate", interval=(99, 101))
    found = stability_margin(sharpness, rule_of(known()), RATE, eval_mode=True)
    assert found.margin.value == pytest.approx(5)
    assert (found.verdict, found.settled) == ("not judged", False)
    assert "does not judge the training" in found.sentence
    assert "above" not in found.sentence
    assert "times the threshold" in found.sentence
