"""Training functions from spec strings: what they take, and what is refused."""

import copy

import pytest
from torch import nn

from landscape.errors import InputError, SpecError
from landscape.subject.spec.train import load_train, of_function

FUNCTIONS = """
def moved(model):
    next(model.parameters()).data.add_(1)

def plain(model):
    moved(model)
    model.touched = True

def all_of_them(model, *, seed, start, save, mask, steps=3):
    moved(model)
    save(start)
    return seed + steps

def open_ended(model, **more):
    moved(model)
    return len(more)

def greedy(model, loader): ...

def wrong(model):
    return "done"

def fails(model):
    return {}["no such key"]

ready = 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "own.py").write_text(FUNCTIONS)
    return tmp_path / "own.py"


def given(saved=None):
    saved = saved if saved is not None else []
    return {"seed": 7, "start": 2, "save": saved.append, "mask": {}}


def test_a_function_gets_what_it_takes(file):
    model, saved = nn.Linear(1, 1), []
    one = load_train(f"{file}:plain")
    assert one.takes == frozenset()
    assert one(model, **given()) is None
    assert model.touched
    full = load_train(f"{file}:all_of_them,steps=10")
    assert full.takes == {"seed", "start", "save", "mask"}
    assert full(model, **given(saved)) == 17.0
    assert saved == [2]
    assert load_train(f"{file}:open_ended")(model, **given()) == 4.0


def test_another_file_or_other_options_are_another_function(file):
    digests = {load_train(f"{file}:{name}").digest for name in ("plain", "wrong")}
    digests.add(load_train(f"{file}:all_of_them,steps=10").digest)
    digests.add(load_train(f"{file}:all_of_them,steps=11").digest)
    file.write_text(FUNCTIONS + "\n# changed\n")
    digests.add(load_train(f"{file}:plain").digest)
    assert len(digests) == 5


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("greedy", "missing a required argument: 'loader'"),
        ("ready", "int, not a function"),
        ("plain,steps=3", "unexpected keyword argument 'steps'"),
        ("all_of_them,seed=3", "seed cannot be options"),
    ],
)
def test_what_cannot_be_called_so_is_refused(file, name, told):
    with pytest.raises(InputError, match="no training function") as caught:
        load_train(f"{file}:{name}")
    assert told in caught.value.why


def test_what_goes_wrong_inside_is_told_with_its_place(file):
    with pytest.raises(InputError, match="raised KeyError") as caught:
        load_train(f"{file}:fails")(nn.Linear(1, 1), **given())
    assert "own.py" in caught.value.where
    with pytest.raises(InputError, match="returned str"):
        load_train(f"{file}:wrong")(nn.Linear(1, 1), **given())
    with pytest.raises(InputError, match="no attribute"):
        load_train(f"{file}:absent")
    with pytest.raises(SpecError):
        load_train("nothing")


def test_functions_of_the_program_itself():
    def train(model, seed):
        for one in model.parameters():
            nn.init.constant_(one, seed)
        return seed * len(list(model.parameters())) / 2

    assert of_function(train)(nn.Linear(1, 1), **given()) == 7.0


def test_a_function_that_trains_nothing_is_refused():
    def train(model):
        copy.deepcopy(model).weight.data.zero_()

    with pytest.raises(InputError, match="changed no weight"):
        of_function(train)(nn.Linear(1, 1))
