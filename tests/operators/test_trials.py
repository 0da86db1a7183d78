from __future__ import annotations

from landscape.operators.trials import Trials


def test_the_first_is_used_until_setting_up_another_is_paid_for():
    trials = Trials(["cheap", "dear"], worth=1.0)
    used = []
    for _ in range(8):
        used.append(trials.next())
        trials.report(trials.next(), 0.3)
    assert used == ["cheap"] * 4 + ["dear"] * 2 + ["cheap"] * 2  # as fast: the first stays
    assert trials.settled


def test_nothing_but_the_first_is_tried_in_a_short_run():
    trials = Trials(["cheap", "dear"], worth=100.0)
    for _ in range(50):
        assert trials.next() == "cheap"
        trials.report("cheap", 0.1)
    assert not trials.settled


def test_the_faster_is_kept():
    for dear, best in ((0.1, "dear"), (3.0, "cheap")):
        trials = Trials(["cheap", "dear"], worth=0.0)
        while not trials.settled:
            trials.report(name := trials.next(), dear if name == "dear" else 1.0)
        assert trials.best == trials.next() == best


def test_set_up_is_not_compared():
    trials = Trials(["cheap", "dear"], worth=0.0)
    for name, seconds in (("cheap", 0.5), ("cheap", 1.0), ("dear", 50.0), ("dear", 0.2)):
        assert trials.next() == name
        trials.report(name, seconds)
    assert trials.seconds == {"cheap": 1.0, "dear": 0.2}
    assert trials.next() == "dear"


def test_a_close_one_is_timed_again_before_it_is_given_up():
    trials = Trials(["cheap", "dear"], worth=0.0)
    for name, seconds in (("cheap", 0.5), ("cheap", 1.0), ("dear", 9.0), ("dear", 1.2)):
        trials.report(name, seconds)
    assert not trials.settled
    assert trials.next() == "dear"
    trials.report("dear", 0.8)  # something else had held it up
    assert trials.settled
    assert trials.next() == "dear"


def test_the_shortest_of_several_times_counts():
    trials = Trials(["cheap", "dear"], worth=5.0)
    for seconds in (9.0, 2.0, 1.0, 4.0):
        trials.report("cheap", seconds)
    assert trials.seconds == {"cheap": 1.0}


def test_one_candidate_is_settled_from_the_start():
    assert Trials(["only"], worth=1.0).settled
    assert Trials(["only"], worth=1.0).next() == "only"


def test_a_dropped_candidate_leaves_its_reason():
    trials = Trials(["cheap", "dear"], worth=0.0)
    trials.drop("cheap", "it does not exist")
    assert trials.settled
    assert trials.next() == trials.best == "dear"
    trials.drop("dear", "nor does it")
    assert trials.candidates == []
    trials.add("last")
    assert trials.next() == "last"
    assert trials.reasons == {"cheap": "it does not exist", "dear": "nor does it"}
