"""Budgets are parsed strictly, charged by products, and end by the clock or the count."""

from __future__ import annotations

import pytest
import torch

from landscape import budget
from landscape.budget import Budget, BudgetError, Pace, left_products, spending, spent
from landscape.diagnostics.spectrum import Spectrum
from landscape.errors import SettingError
from landscape.operators.hessian import HessianOperator
from landscape.subject.cost import count_products
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.cases import CASES, normal
from tests.cli.command import FAST, SUBJECT, done, run
from tests.cli.networks import mlp


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told otherwise."""
    now = [100.0]
    monkeypatch.setattr(budget.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    ("text", "seconds", "products"),
    [
        ("2m", 120, None),
        ("90s", 90, None),
        ("1h", 3600, None),
        ("1.5h", 5400, None),
        ("0.5s", 0.5, None),
        ("500hvp", None, 500),
        ("2m,500hvp", 120, 500),
        (" 500HVP , 2m ", 120, 500),
    ],
)
def test_what_is_written(text, seconds, products):
    found = Budget.parse(text)
    assert (found.seconds, found.products) == (seconds, products)
    assert Budget.parse(str(found)) == found


@pytest.mark.parametrize("text", ["2m", "90s", "1h", "0.5s", "500hvp", "2m,500hvp"])
def test_a_budget_is_told_as_it_was_written(text):
    assert str(Budget.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", ",", "2", "m", "2 m", "-2m", "2d", "nans", "1e3s", "0s", "0hvp", "1.5hvp"],
)
def test_what_is_not_a_budget(text):
    with pytest.raises(SettingError, match="is not a budget") as caught:
        Budget.parse(text)
    assert "2m,500hvp" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["2m,3h", "5hvp,6hvp", "2m;5s", "9" * 400 + "s", "9" * 400 + "hvp"]
)
def test_what_is_no_bound(text):
    with pytest.raises(SettingError, match="is not a budget"):
        Budget.parse(text)


@pytest.mark.parametrize(
    "bounds", [{}, {"seconds": 0}, {"products": -1}, {"seconds": float("nan")}]
)
def test_bounds_are_positive(bounds):
    with pytest.raises(SettingError):
        Budget(**bounds)


def test_without_a_budget_nothing_is_ever_spent():
    count_products(10**9)
    assert not spent()
    assert left_products() is None
    assert budget.told() is None
    with spending(None):
        assert budget.told() is None


def test_products_are_charged():
    with spending(Budget(products=10)):
        count_products(7)
        assert (spent(), left_products()) == (False, 3)
        count_products(5)
        assert (spent(), left_products()) == (True, 0)
    assert not spent()


def test_the_clock_ends_a_budget_and_bounds_no_products(clock):
    with spending(Budget(seconds=120)):
        clock[0] += 119.9
        assert not spent()
        clock[0] += 0.1
        assert spent()
        assert left_products() is None


def test_whichever_comes_first(clock):
    with spending(Budget.parse("1s,5hvp")):
        clock[0] += 2
        assert (spent(), left_products()) == (True, 5)


def test_a_budget_within_a_budget_is_charged_to_both(clock):
    with spending(Budget(products=10, seconds=60)):
        with spending(Budget(products=4)):
            count_products(3)
            assert (spent(), left_products(), budget.told()) == (False, 1, "4hvp")
        assert left_products() == 7
        with spending(Budget(products=100)):
            assert left_products() == 7
            clock[0] += 60
            assert spent()


def test_an_error_ends_the_block():
    with pytest.raises(ZeroDivisionError), spending(Budget(products=1)):
        _ = 1 / 0
    assert budget.told() is None


def test_the_products_of_an_operator_are_charged():
    subject = CASES["mlp"]().subject()
    operator = HessianOperator(subject)
    rows = normal(operator.shape[0], 3, seed=1)
    with spending(Budget(products=20)):
        operator.matmat(rows)
        operator.matvec(rows[:, 0])
        assert left_products() == 16


def test_what_is_left_is_shared_equally(clock):
    with spending(Budget.parse("90s,300hvp")):
        for parts, seconds, products in ((3, 30, 100), (2, 30, 100), (1, 30, 100)):
            with budget.shared(parts):
                assert (left_products(), budget.told()) == (products, "90s,300hvp")
                count_products(products - 1)
                clock[0] += seconds - 1
                assert not spent()
                count_products(1)
                clock[0] += 1
                assert spent()
        assert spent()


def test_what_one_part_leaves_goes_to_the_others():
    with spending(Budget(products=300)):
        with budget.shared(3):
            count_products(20)
        with budget.shared(2):
            assert left_products() == 140
            count_products(160)
        with budget.shared(1):
            assert left_products() == 120
            count_products(120)
        with budget.shared(1):
            assert (left_products(), budget.reached()) == (0, "the budget of 300hvp")


def test_nothing_to_share():
    with budget.shared(3):
        assert (spent(), left_products(), budget.reached()) == (False, None, None)


def test_the_bound_that_was_reached_is_told(clock):
    with spending(Budget.parse("2m,300hvp")):
        assert budget.reached() is None
        with budget.shared(2):
            count_products(150)
            told = "a share of the budget of 300hvp"
            assert budget.reached() == told
        assert budget.reached() is None
        clock[0] += 120
        assert budget.reached() == "the budget of 2m"


def test_what_is_afforded(clock):
    assert budget.affords(10**9)
    with spending(Budget.parse("2m,300hvp")):
        assert budget.affords(300)
        assert not budget.affords(301)
        clock[0] += 120
        assert not budget.affords(1)


def test_seconds_left_are_those_of_the_tightest_bound(clock):
    assert budget.left_seconds() is None
    with spending(Budget(products=5)):
        assert budget.left_seconds() is None
    with spending(Budget.parse("60s,100hvp")):
        clock[0] += 12
        with budget.shared(4):
            assert budget.left_seconds() == 12
            with spending(Budget(seconds=5)):
                assert budget.left_seconds() == 5
            with spending(Budget(seconds=500)):
                clock[0] += 2
                assert budget.left_seconds() == 10


def test_what_a_budget_does_not_last_for_is_refused(clock):
    budget.require("anything", 10**9)
    with spending(Budget.parse("2m,300hvp")):
        clock[0] += 1
        budget.require("the fit", 119)
        with pytest.raises(BudgetError) as caught:
            budget.require("the fit", 121)
        told = "the fit takes about 121 s: more than 119 s left of the budget of 2m"
        assert caught.value.what == told
        assert caught.value.exit == 6
        with budget.shared(20), pytest.raises(BudgetError, match="6 s left of a share of the bud"):
            budget.require("the fit", 61)
        count_products(300)
        with pytest.raises(BudgetError, match="the budget of 300hvp was spent before the fit"):
            budget.require("the fit")


def last_step(pace: Pace, clock: list[float], each: float) -> int:
    """The step after which the others are refused; 100 when none is."""
    for step in range(1, 101):
        clock[0] += each
        try:
            pace.check(step)
        except BudgetError as error:
            told = error.what
            break
    else:
        return 100
    whole = 100 * each
    assert told.startswith(f"the fit takes about {whole:,.0f} s: more than 100 s left of the")
    return step


@pytest.mark.parametrize(
    ("each", "last"),
    [(1.0, 100), (1.21, 48), (1.6, 10), (50.0, 2)],
    ids=["fits", "a little slow", "too slow", "not even two steps"],
)
def test_the_pace_of_equal_steps(clock, each, last):
    """Of 100 steps in 100 s those that are too slow are refused after ten, for a start counts."""
    with spending(Budget(seconds=100)):
        assert last_step(Pace("the fit", 100), clock, each) == last


def test_without_a_bound_on_time_no_pace_is_too_slow(clock):
    pace = Pace("the fit", 100)
    clock[0] += 10**6
    pace.check(1)


def test_every_checkpoint_of_a_series_has_its_share():
    model = torch.nn.Linear(40, 10)
    data = (normal(64, 40, seed=0).float(), torch.arange(64) % 10)
    checkpoints = [Checkpoint.of_model(model, name) for name in "abc"]
    subject = Subject(model, "ce", [data], checkpoints=checkpoints)
    with spending(Budget(products=360)):
        answer = Spectrum(top=3, bottom=1, trace_tolerance=1e-9).run(subject)
    for one in answer.series:
        assert 100 < one.cost.products < 160
        assert one.provenance["budget"] == "360hvp"


# --- the command line --------------------------------------------------------------------------


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(mlp().state_dict(), tmp_path / "final.pt")
    return tmp_path / "final.pt"


def test_the_budget_of_a_command_is_recorded(checkpoint):
    outcome = done(f"gradients {SUBJECT} --budget 90s,500hvp --json", checkpoint)
    assert outcome.document["provenance"]["budget"] == "90s,500hvp"
    free = done(f"gradients {SUBJECT} --json", checkpoint).document
    assert free["provenance"]["budget"] is None


def test_the_budget_of_a_report_is_recorded(checkpoint, monkeypatch):
    monkeypatch.chdir(checkpoint.parent)
    outcome = done("report final.pt --budget 1h --json")
    assert outcome.document["settings"] == {"preset": "standard", "budget": "1h"}


def test_a_budget_that_did_not_last_is_told(checkpoint):
    command = f"spectrum {SUBJECT} {FAST}"
    outcome = done(f"{command} --budget 5hvp", checkpoint)
    assert "note: the budget of 5hvp was spent: " in outcome.stderr
    assert "was spent" not in done(f"{command} --budget 1h,99999hvp", checkpoint).stderr


def test_a_command_under_a_budget_leaves_none_behind(checkpoint):
    done(f"gradients {SUBJECT} --budget 1h", checkpoint)
    assert budget.told() is None


def test_a_bad_budget_is_a_usage_error(checkpoint):
    outcome = run(f"gradients {SUBJECT} --budget 2days", checkpoint)
    assert outcome.code == 2
    assert "'2days' is not a budget" in outcome.stderr
    assert "--budget 500hvp" in outcome.stderr


def test_weights_have_no_budget():
    assert "--budget" not in done("weights --help").stdout
    assert "--budget 2m|500hvp" in done("spectrum --help").stdout


@pytest.mark.parametrize("option", ["--batch-size 0", "--batch-size two", "--learning-rate 0"])
def test_what_is_no_size_or_rate_is_a_usage_error(checkpoint, option):
    outcome = run(f"gradients {SUBJECT} {option}", checkpoint)
    assert outcome.code == 2
    assert option.split()[0] in outcome.stderr


def test_auto_is_not_handed_on(checkpoint):
    done(f"gradients {SUBJECT} --batch-size auto --product auto", checkpoint)
