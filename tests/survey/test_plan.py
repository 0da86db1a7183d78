"""One plan and one budget for all sections: shares, what is left over, what is told before."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape import budget
from landscape.budget import Budget, spending
from landscape.survey import plan_of, survey
from landscape.work import Pace, Work
from tests.cli.networks import data, mlp
from tests.test_contracts import QUICK
from tests.test_survey import ALONE, FAST, answering, asked, failing, saved, subject, told

BUDGET = Budget(products=400)


def planned(**more: Any) -> Any:
    return plan_of(subject(), preset="quick", settings=FAST, **more)


@pytest.fixture
def shares(monkeypatch) -> dict[str, tuple[int | None, int | None]]:
    """Products left in all, and in the share of a section, as each begins."""
    seen: dict[str, tuple[int | None, int | None]] = {}
    for kind in ls.DIAGNOSTICS:
        original = getattr(kind, answering(kind))

        def watched(self: Any, *studied: Any, original: Any = original) -> Any:
            account = budget._account.get()
            outer = account.outer if account is not None else None
            seen[type(self).name] = (outer and outer.left(), budget.left_products())
            return original(self, *studied)

        monkeypatch.setattr(kind, answering(kind), watched)
    return seen


def test_every_section_is_planned_in_the_order_of_the_report():
    plan = planned()
    assert [one.name for one in plan.sections] == [k.name for k in ls.DIAGNOSTICS if k.surveyed]
    assert [one.name for one in plan.asked] == ALONE
    assert {one.section: one.unlock for one in plan.skipped} == {
        "connect": "another checkpoint",
        "solutions": "another checkpoint",
        "tickets-eval": "--train",
    }


def test_presets_differ_in_every_section_that_has_them():
    for kind in ls.DIAGNOSTICS:
        if kind.surveyed and kind.presets:
            quick, standard, full = (kind.preset(one) for one in ("quick", "standard", "full"))
            assert quick != standard != full, kind.name


def test_parts_are_by_weight_and_the_last_has_all_that_is_left():
    plan = planned()
    weights = [one.weight for one in plan.asked]
    parts = [plan.parts(one) for one in plan.asked]
    assert parts[0] == pytest.approx(sum(weights) / weights[0])
    assert parts[-1] == 1
    left = 1.0
    for one, part in zip(plan.asked, parts, strict=True):
        taken = left / part  # were every share spent, each would have had its weight's
        assert taken == pytest.approx(one.weight / sum(weights))
        left -= taken


def test_a_share_is_of_what_is_left(shares):
    """What a section does not spend is there for those after it."""
    with spending(BUDGET):
        asked(subject())
    plan = planned()
    for one in plan.asked:
        left, own = shares[one.name]
        assert left is not None
        assert own == max(int(left / plan.parts(one)), 1)
    assert shares["lipschitz"][0] == shares["spectrum"][0], "Lipschitz takes no products"


def test_no_section_begins_after_the_budget(shares):
    """The weights cost nothing; what needs data says what would unlock it."""
    with spending(Budget(products=1)):
        budget.charge(1)
        report = asked(subject())
    assert [one.name for one in report.sections] == ["weights"]
    spent = [one for one in report.skipped if one.unlock == "a larger --budget"]
    assert [one.section for one in spent] == [name for name in ALONE if name != "weights"]
    assert spent[0].reason == "the budget of 1hvp was spent before it"
    assert set(shares) == {"weights"}


def test_a_budget_in_products_gives_the_same_when_it_goes_on(monkeypatch, tmp_path):
    """What is remembered is charged again, so that the others have the same shares."""
    settings = {**FAST, "spectrum": {**QUICK["spectrum"], "max_products": 4000, "top": 3}}
    ends = saved(tmp_path, "a.pt", 1), saved(tmp_path, "b.pt")

    def answer(folder: str) -> Any:
        with spending(BUDGET):
            studied = subject(*ends, folder=tmp_path / folder)
            return told(survey(studied, preset="quick", settings=settings))

    whole = answer("whole")
    with monkeypatch.context() as patch:
        failing(patch, ls.Ntk, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            answer("cut")
    assert answer("cut") == whole


def test_what_is_told_before():
    rows = {name: (share, cost) for name, share, cost in planned().told(BUDGET)}
    assert "about" in rows["spectrum"][1]
    assert rows["connect"] == (
        "-",
        "skipped: 2 checkpoints are needed, 1 given; another checkpoint",
    )
    shares = [share for share, _ in rows.values() if share != "-"]
    assert sum(int(one.split()[0]) for one in shares) == pytest.approx(400, abs=len(shares))
    assert {share for _, share, _ in planned().told() if share != "-"} == {"no limit"}
    assert "s or" in next(share for _, share, _ in planned().told(Budget(seconds=9, products=9)))


def test_the_expected_products_are_about_those_that_are_spent():
    question = ls.Spectrum.preset("quick")
    number = int(question.expected(subject()).split()[1].replace(",", ""))
    assert number / 4 < question.run(subject()).cost.products < 6 * number


def test_the_expected_training_runs_are_those_that_are_made(monkeypatch):
    from landscape.tickets.training import Trainer

    runs = []
    original = Trainer._run
    monkeypatch.setattr(
        Trainer, "_run", lambda self, *a, **k: (runs.append(1), original(self, *a, **k))[1]
    )
    question = ls.TicketsEval(rounds=2, seeds=2, controls="reinit,random", steps=1)
    question.run(subject())
    assert question.expected(subject()) == f"{len(runs)} training runs"


# --- how long it takes -------------------------------------------------------------------------

PACE = Pace(forward=1, gradient=3, product=10, step=0.1, call=0.01, operation=1e-6)


def test_work_is_counted_at_a_pace():
    passes = Work(forwards=2, gradients=1, products=4, steps=10, calls=20)
    work = replace(passes, operations=1e6, seconds=0.5)
    assert PACE.seconds(work) == pytest.approx(2 + 3 + 40 + 1 + 0.2 + 1 + 0.5)
    assert PACE.seconds(work.times(3)) == pytest.approx(3 * PACE.seconds(work))
    assert PACE.seconds(replace(passes, limit=7.0)) == 7
    assert PACE.seconds(replace(work, limit=7.0).times(2)) == 2 * (7 + 1 + 0.5)


def test_every_section_but_training_of_the_users_tells_how_long_it_takes():
    foretold = planned().foretold(PACE)
    assert foretold.unknown == ()
    assert set(foretold.seconds) == set(ALONE)
    assert all(seconds > 0 for seconds in foretold.seconds.values())
    assert planned().foretold(None).unknown == tuple(ALONE)
    assert "not known before" in planned().foretold(None).sentence()
    assert "2 min" not in foretold.sentence(Budget(seconds=90))
    assert "the budget of 90s; beyond it" in foretold.sentence(Budget(seconds=90))


def test_twice_the_points_take_four_times_as_long():
    few, many = (
        plan_of(subject(), settings={"surface": {"points": points}}).foretold(PACE).seconds
        for points in (11, 21)
    )
    checks = 2 * PACE.product + 60 * PACE.forward
    assert (many["surface"] - checks) / (few["surface"] - checks) == pytest.approx(21**2 / 11**2)


def test_a_section_that_will_fail_is_told_before():
    plan = plan_of(subject(), settings={"spectrum": {"precondition": "absent.npy"}})
    found = next(one for one in plan.asked if one.name == "spectrum")
    assert found.refused is not None
    assert "spectrum" not in plan.foretold(PACE).names
    assert {n: cost for n, _, cost in plan.told()}["spectrum"].startswith("fails: no precondition")


class Opaque(torch.autograd.Function):
    """Has no backward pass."""

    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        del ctx
        return inputs[0].round()


class Rounding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()

    def forward(self, x: Tensor) -> Tensor:
        return Opaque.apply(self.body(x))


def test_a_network_without_a_gradient_is_told_before():
    found = {one.name: one for one in plan_of(ls.Subject(Rounding(), "ce", data())).asked}
    refused = {name for name, one in found.items() if one.refused is not None}
    assert refused == {"gradients", "spectrum", "surface", "ntk"}
    assert all("cannot be differentiated" in str(found[name].refused) for name in refused)
    assert {"lipschitz", "weights"} <= found.keys() - refused


def test_no_more_samples_are_told_than_there_are():
    cost = {name: told for name, _, told in planned().told()}
    assert cost["surface"].endswith(" points, on all 23 samples")
