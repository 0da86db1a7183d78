"""What trains and what judges: splits that share nothing, numbers that are those of the subject."""

import pytest
import torch

import landscape as ls
from landscape.errors import DataError
from landscape.tickets.data import GIVEN, HELD_OUT, SPLIT, split
from tests.cases import CASES
from tests.tickets.made import built, small, small_subject


def rows(batches):
    return {tuple(row) for batch in batches for row in batch.args[0].tolist()}


def test_held_out_data_judge():
    found = split(small_subject(), own=False)
    assert found.told == HELD_OUT
    assert found.fresh
    assert len(rows(found.training)) == 63
    assert found.samples == 27
    assert not rows(found.training) & rows(found.judging)


def test_a_fifth_is_held_out_where_none_is_given():
    x, y = torch.randn(53, 6), torch.arange(53) % 3
    subject = ls.Subject(built(small, 0), "ce", [(x[:30], y[:30]), (x[30:], y[30:])])
    found = split(subject, own=False)
    assert found.told == SPLIT
    assert len(rows(found.judging)) == found.samples == 10
    assert rows(found.training) | rows(found.judging) == rows(split(subject, own=True).judging)
    assert not rows(found.training) & rows(found.judging)
    assert rows(split(subject, own=False).judging) == rows(found.judging)


def test_a_function_of_the_users_is_judged_on_what_is_given():
    subject = ls.Subject(built(small, 0), "ce", [(torch.randn(9, 6), torch.arange(9) % 3)])
    found = split(subject, own=True)
    assert found.told == GIVEN
    assert not found.fresh
    assert found.samples == 9


def test_too_few_samples_to_split():
    subject = ls.Subject(built(small, 0), "ce", [(torch.randn(3, 6), torch.arange(3) % 3)])
    with pytest.raises(DataError, match="too few"):
        split(subject, own=False)


KINDS = "mlp cnn tied ignored regression binary custom-samples custom-mean self-scored pixels"


@pytest.mark.parametrize("case", KINDS.split())
def test_what_judges_adds_up_to_the_loss_of_the_subject(case):
    subject = CASES[case]().subject()
    found = split(subject, own=True).judged(subject, subject.network.tensors(subject.point))
    assert found.loss == pytest.approx(subject.loss(subject.point), rel=1e-5)
    if case in ("mlp", "cnn"):
        batches = list(subject.device_batches())
        with torch.no_grad(), subject.undisturbed(0):
            right = [
                (subject.outputs(subject.point, one).argmax(1) == one.targets) for one in batches
            ]
        assert found.accuracy == pytest.approx(float(torch.cat(right).float().mean()))
    if case == "regression":
        assert found.accuracy is None
