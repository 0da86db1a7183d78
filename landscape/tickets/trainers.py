"""Who trains: the user's function, or plain training by its settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from landscape.subject.spec.train import load_train
from landscape.subject.subject import Subject
from landscape.tickets.data import split
from landscape.tickets.training import OwnTraining, Trainer
from landscape.training.plain import PlainTraining, Recipe

PLAIN = "plain"  # the spec that asks for plain training in words


def recipe_of(settings: object) -> Recipe:
    """Return the settings of plain training among those of a diagnostic."""
    return Recipe(**{one.name: getattr(settings, one.name) for one in fields(Recipe)})


def trainer_of(subject: Subject, train: str, recipe: Recipe) -> Trainer:
    """Return what trains copies of a subject's network.

    Args:
        subject: Has data.
        train: The spec of a function; empty or `plain`: plain training.
        recipe: Of plain training.

    Raises:
        InputError: There is no such function, or the data do not fit.
    """
    own = _own(train)
    data = split(subject, own=own)
    if own:
        return Trainer(subject=subject, training=OwnTraining(load_train(train)), data=data)
    subject.note(f"plain training: {recipe}")
    plain = PlainTraining(
        recipe=recipe, data=data.minibatches(recipe.minibatch), criterion=subject.criterion
    )
    return Trainer(subject=subject, training=plain, data=data)


def depends_on(train: str) -> dict[str, Any]:
    """Return what an answer depends on beside the name of the training function: its file."""
    return {"function": load_train(train).digest} if _own(train) else {}


def training_of(train: str, recipe: Recipe) -> str:
    """Return who trains, in words: the spec of the function, or the recipe."""
    return train if _own(train) else str(recipe)


def _own(train: str) -> bool:
    return train.strip() not in ("", PLAIN)
