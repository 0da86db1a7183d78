"""Iterative magnitude pruning: exact counts, nested masks, weights rewound bit for bit, resumed."""

import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

import landscape as ls
from landscape.diagnostics.tickets.find import TicketsFind
from landscape.errors import InputError, SettingError
from landscape.pruning.files import load
from landscape.pruning.mask import Mask
from landscape.pruning.prunable import prunable
from landscape.subject.spec.train import of_function
from landscape.tickets.data import split
from landscape.tickets.imp import Plan, search
from landscape.tickets.training import OwnTraining, Trainer
from tests.cases import CASES
from tests.tickets.made import (
    built,
    digits,
    digits_subject,
    lenet,
    script,
    small,
    small_subject,
)

QUICK: dict[str, Any] = {"rounds": 3, "rate": 0.4, "steps": 12, "minibatch": 16}


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(
        torch.equal(first[name], second[name]) for name in first
    )


def plan(**changed):
    settings = {
        "rounds": 2,
        "rate": 0.5,
        "last_rate": None,
        "shared": "global",
        "dense": "",
        "rewinding": "weights",
        "step": 0,
        "seed": 0,
    }
    return Plan(**{**settings, **changed})


def own(subject, function):
    return Trainer(
        subject=subject, training=OwnTraining(of_function(function)), data=split(subject, own=True)
    )


def descent(model, inputs, labels, steps, start=0, save=lambda _: None):
    """Gradient descent with momentum, written again."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.9)
    for step in range(start, steps):
        save(step)
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


X, Y = (part[:120] for part in digits())


def whole_batch(model, *, start, save):
    descent(model, X, Y, 15, start, save)


# --- counts, nesting, rewinding ------------------------------------------------------------------


@pytest.mark.parametrize("shared", ["global", "layer"])
def test_levels_keep_exact_numbers_and_are_nested(shared):
    question = TicketsFind(**{**QUICK, "rate": 0.2}, last_rate=0.1, shared=shared)
    subject = small_subject()
    result = question.run(subject)
    masks = question.masks(subject)
    first, last = 72, 36
    for number, (mask, level) in enumerate(zip(masks, result.levels, strict=True)):
        assert mask.counts == {
            "0.weight": round(first * 0.8**number),
            "2.weight": round(last * 0.9**number),
        }
        assert level.kept == mask.total
        assert level.asked == pytest.approx((first * 0.8**number + last * 0.9**number) / 108)
    assert all(b.within(a) for a, b in pairwise(masks))


def test_the_largest_of_the_trained_weights_are_kept():
    """Against training by hand: the second mask is that of the magnitudes after the first."""
    model = built(lenet, 3)
    levels = search(own(digits_subject(model), whole_batch), plan())
    twin = built(lenet, 3)
    kept = {n: torch.ones_like(p, dtype=torch.bool) for n, p in twin.named_parameters()}
    for level in levels:
        for name, found in level.mask.kept.items():
            assert torch.equal(found, kept[name]), (level.number, name)
        twin = built(lenet, 3)
        with torch.no_grad():
            for name, parameter in twin.named_parameters():
                parameter *= kept[name]
        weights = [p for n, p in twin.named_parameters() if n in level.mask.kept]
        gone = [~kept[n] for n, _ in twin.named_parameters() if n in level.mask.kept]
        optimizer = torch.optim.SGD(twin.parameters(), lr=0.2, momentum=0.9)
        for _ in range(15):
            optimizer.zero_grad()
            F.cross_entropy(twin(X), Y).backward()
            optimizer.step()
            with torch.no_grad():
                for weight, out in zip(weights, gone, strict=True):
                    weight[out] = 0
                    optimizer.state[weight]["momentum_buffer"][out] = 0
        sizes = torch.cat([w.detach().abs().flatten() for w in weights])
        left = torch.cat([~g.flatten() for g in gone])
        keep = round(left.numel() * 0.5 ** (level.number + 1))
        bound = sizes[left].sort(descending=True).values[keep - 1]
        for name, parameter in twin.named_parameters():
            if name in level.mask.kept:
                kept[name] = kept[name] & (parameter.detach().abs() >= bound)


def test_every_level_starts_from_the_given_weights_bit_for_bit():
    model = CASES["cnn"]().model  # with BatchNorm, whose statistics go back as well
    subject = ls.Subject(model, "ce", CASES["cnn"]().data, device="cpu")
    before = state(model)
    question = TicketsFind(rounds=3, rate=0.5, steps=5, minibatch=4)
    levels = question.levels(subject)
    assert len(levels) == 4
    for level in levels:
        for name, tensor in before.items():
            kept = level.mask.kept.get(name)
            expected = tensor if kept is None else tensor * kept
            assert torch.equal(level.begin[name], expected), name
    assert same(state(model), before)


def test_late_rewinding_starts_from_the_weights_of_the_step():
    model = built(lenet, 0)
    levels = search(own(digits_subject(model), whole_batch), plan(step=6))
    twin = built(lenet, 0)
    descent(twin, X, Y, 6)
    weights = state(twin)
    for level in levels[1:]:
        for name, tensor in weights.items():
            kept = level.mask.kept.get(name)
            expected = tensor if kept is None else tensor * kept
            assert torch.equal(level.begin[name], expected), name


def test_rewinding_the_learning_rate_goes_on_from_trained_weights():
    model = built(lenet, 0)
    seen = []

    def train(model, *, start):
        seen.append((start, state(model)))
        descent(model, X, Y, 5, start)

    found = search(own(digits_subject(model), train), plan(rewinding="learning-rate", step=0))
    twin = built(lenet, 0)
    descent(twin, X, Y, 5)
    expected = found[1].mask.applied(state(twin))
    assert same(seen[1][1], expected)
    assert same(found[1].begin, expected)


def test_training_that_cannot_begin_later_is_refused():
    trainer = own(small_subject(), lambda _: None)
    with pytest.raises(SettingError, match="cannot begin at step 6"):
        search(trainer, plan(step=6))


def test_a_step_that_training_never_reaches_is_told():
    trainer = own(digits_subject(built(lenet, 0)), whole_batch)
    with pytest.raises(InputError, match="never reached step 99"):
        search(trainer, plan(step=99))


# --- networks of every kind ----------------------------------------------------------------------


@pytest.mark.parametrize("network", ["cnn", "tied", "residual", "multihead", "self-scored"])
def test_networks_of_every_kind(network):
    problem = CASES[network]()
    subject = problem.subject()
    before = state(subject.network.model)
    question = TicketsFind(rounds=2, rate=0.3, steps=3, minibatch=4)
    result = question.run(subject)
    total = sum(one.size for one in prunable(subject))
    assert [one.kept for one in result.levels] == [round(total * 0.7**n) for n in range(3)]
    assert same(state(subject.network.model), before)
    assert result.judged_on != "held-out data"
    masks = question.masks(subject)
    assert masks[2].within(masks[1])


def test_regression_is_judged_by_its_loss():
    result = TicketsFind(rounds=1, steps=3, minibatch=4).run(CASES["regression"]().subject())
    assert all(one.accuracy is None for one in result.levels)
    assert "loss" in result.summary()


def test_a_search_ends_where_no_path_is_left():
    subject = small_subject()
    result = TicketsFind(rounds=6, rate=0.9, steps=2, minibatch=16).run(subject)
    assert result.deepest.level < 6
    assert result.deepest.paths
    assert any("ended at level" in one.sentence for one in result.findings())
    assert any("no path is left" in note for note in result.provenance["notes"])


def test_a_masked_subject_is_refused():
    mask = {"0.weight": torch.arange(72).view(12, 6) % 2 == 0}
    with pytest.raises(SettingError, match="masked already"):
        TicketsFind(**QUICK).run(small_subject(mask=mask))


# --- the user's function -------------------------------------------------------------------------


def test_a_function_in_a_file_trains(tmp_path):
    train = script(tmp_path)
    subject = digits_subject(built(lenet, 0))
    before = state(subject.network.model)
    result = TicketsFind(train=train, rounds=2, rate=0.5).run(subject)
    assert [one.kept for one in result.levels] == [11900, 5950, 2975]
    assert same(state(subject.network.model), before)
    longer = TicketsFind(train=f"{train},steps=80", rounds=1).run(subject)
    assert float(longer.levels[0].loss) < float(result.levels[0].loss)


def test_what_the_function_does_wrong_is_told(tmp_path):
    def fails(model):
        raise ValueError(f"no such file for {model}")

    def moves(model):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 1

    subject = small_subject()
    with pytest.raises(InputError, match="the training function raised ValueError"):
        search(own(subject, fails), plan())
    with pytest.raises(InputError, match="moved pruned weights"):
        search(own(subject, moves), plan())
    (tmp_path / "bad.py").write_text("def train(model, loader): ...\n")
    with pytest.raises(InputError, match="no training function"):
        TicketsFind(train=f"{tmp_path}/bad.py:train").run(subject)


def test_numbers_that_the_function_returns_are_told():
    def train(model):
        for one in model.parameters():
            one.data.mul_(1.1)
        return 0.25

    levels = search(own(small_subject(), train), plan())
    assert [one.reported for one in levels] == [0.25] * 3


# --- resuming ------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from landscape.diagnostics.tickets.find import TicketsFind
from tests.tickets.made import built, digits_subject, lenet
folder, train = Path(sys.argv[1]), sys.argv[2]
subject = digits_subject(built(lenet, 0), folder=folder / "cache")
question = TicketsFind(train=train, rounds=6, rate=0.3)
question.run(subject)
question.keep(subject, folder)
"""


@pytest.mark.full
def test_killed_in_the_middle_and_resumed_the_masks_are_the_same(tmp_path):
    """SIGKILL after a few levels; the second run trains only those that are missing."""
    train = script(tmp_path)
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    root = os.getcwd()

    def start(folder, log):
        environment = {**os.environ, "RUNS": str(log), "PYTHONPATH": root}
        command = [sys.executable, str(child), str(folder), f"{train},steps=20", root]
        return subprocess.Popen(command, env=environment, cwd=root)

    cut, whole = tmp_path / "cut", tmp_path / "whole"
    whole.mkdir()
    log = tmp_path / "log"
    process = start(cut, log)
    deadline = time.monotonic() + 120
    while not log.exists() or log.read_text().count("trained") < 3:
        assert process.poll() is None, "it ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = log.read_text().count("trained")
    assert 3 <= before < 7
    assert start(cut, log).wait() == 0
    again = log.read_text().count("trained") - before
    assert 7 - before <= again <= 7 - before + 1  # what was under way is trained again
    subject = digits_subject(built(lenet, 0))
    question = TicketsFind(train=f"{train},steps=20", rounds=6, rate=0.3)
    question.run(subject)
    question.keep(subject, whole)
    files = sorted(path.name for path in (whole / "levels").iterdir())
    assert len(files) == 6
    for name in (*(f"levels/{file}" for file in files), "mask.safetensors"):
        first, second = load(cut / name), load(whole / name)
        assert same(first.kept, second.kept), name
        assert first.provenance == second.provenance
    first, second = (load_file(folder / "ticket.safetensors") for folder in (cut, whole))
    assert same(first, second)


def test_what_is_written(tmp_path):
    subject = small_subject(folder=tmp_path / "cache")
    question = TicketsFind(**QUICK)
    question.run(subject)
    question.keep(subject, tmp_path)
    mask = load(tmp_path / "mask.safetensors")
    assert mask.provenance["method"] == "imp"
    assert mask.provenance["kept"] == mask.total == round(108 * 0.6**3)
    assert mask.provenance["weights_fingerprint"] == subject.weights_fingerprint(subject.checkpoint)
    assert subject.batches is not None
    assert mask.provenance["batches_hash"] == subject.batches.hash
    ticket = ls.Checkpoint.read(tmp_path / "ticket.safetensors").tensors
    weights = subject.network.model.state_dict()
    assert torch.equal(ticket["0.weight"], weights["0.weight"] * mask.kept["0.weight"])
    assert isinstance(mask, Mask)
    other = TicketsFind(**{**QUICK, "steps": 13})
    assert not torch.equal(other.masks(subject)[-1].kept["0.weight"], mask.kept["0.weight"])


def test_optimizers_and_schedules_of_plain_training():
    subject = small_subject()
    found = {
        name: float(TicketsFind(**QUICK, optimizer=name, learning_rate=0.02).run(subject)
                    .levels[0].loss)
        for name in ("sgd", "adam", "adamw")
    }  # fmt: skip
    assert len(set(found.values())) >= 2
    falling = TicketsFind(**QUICK, schedule="cosine").run(subject)
    assert float(falling.levels[0].loss) != float(TicketsFind(**QUICK).run(subject).levels[0].loss)
    assert isinstance(built(small, 0), nn.Module)
