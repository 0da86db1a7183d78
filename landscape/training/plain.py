"""Plain training: a network, minibatches, and SGD with momentum, Adam or AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from landscape import progress
from landscape.subject.batch import Batch
from landscape.subject.losses import Loss, ModelLoss
from landscape.training.loop import minimise
from landscape.training.minibatches import Minibatches

Name = Literal["sgd", "adam", "adamw"]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The settings of plain training.

    Args:
        optimizer: Which.
        learning_rate: At the first step.
        momentum: Of SGD.
        weight_decay: As the optimizer takes it.
        steps: How many.
        minibatch: Samples in each.
        schedule: Of the learning rate; cosine: η (1 + cos πt/T) / 2.
    """

    optimizer: Name
    learning_rate: float
    momentum: float
    weight_decay: float
    steps: int
    minibatch: int
    schedule: Schedule

    def __str__(self) -> str:
        named = f"SGD, momentum {self.momentum:g}" if self.optimizer == "sgd" else self.optimizer
        decay = f", weight decay {self.weight_decay:g}" if self.weight_decay else ""
        return (
            f"{named}, learning rate {self.learning_rate:g} ({self.schedule}){decay}, "
            f"{self.steps:,} steps of {self.minibatch}"
        )

    def rate(self, step: int) -> float:
        """Return the learning rate of a step."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (1 + math.cos(math.pi * step / self.steps)) / 2

    def prepared(self, model: nn.Module) -> Optimizer:
        """Return a new optimizer of a network's trainable parameters."""
        parameters = [one for one in model.parameters() if one.requires_grad]
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, lr=rate, momentum=self.momentum, weight_decay=decay)
        kind = torch.optim.Adam if self.optimizer == "adam" else torch.optim.AdamW
        return kind(parameters, lr=rate, weight_decay=decay)


@dataclass(frozen=True, kw_only=True)
class PlainTraining:
    """Training by a recipe on minibatches.

    Args:
        recipe: The settings.
        data: The minibatches, on the device of the network.
        criterion: The loss.
    """

    recipe: Recipe
    data: Minibatches
    criterion: Loss

    @property
    def described(self) -> str:
        """Return the settings in words."""
        return str(self.recipe)

    @property
    def digest(self) -> dict[str, Any]:
        """Return what tells the training from others, but for the data."""
        return asdict(self.recipe)

    @property
    def resumes(self) -> bool:
        """Return that training may begin at any step."""
        return True

    def __call__(
        self, model: nn.Module, *, seed: int, start: int, save: Callable[[int], None], mask: Any
    ) -> None:
        """Train a network in place from a step on."""
        del mask  # held from outside
        optimizer = self.recipe.prepared(model)
        with progress.task("training", self.recipe.steps - start) as task:

            def loss(number: int) -> Tensor:
                step = start + number
                save(step)
                for group in optimizer.param_groups:
                    group["lr"] = self.recipe.rate(step)
                return mean_loss(model, self.data.at(step, seed), self.criterion)

            minimise(
                loss, optimizer, steps=self.recipe.steps - start, after=lambda _: task.advance()
            )
        save(self.recipe.steps)


def mean_loss(model: nn.Module, batch: Batch, criterion: Loss) -> Tensor:
    """Return the mean loss of a module on a batch, as training sees it."""
    kwargs = dict(batch.kwargs)
    if isinstance(criterion, ModelLoss) and batch.target_key is not None:
        kwargs[batch.target_key] = batch.targets
    outputs = model(*batch.args, **kwargs)
    total = criterion.total(outputs, batch.targets)
    return total / max(criterion.count(outputs, batch.targets), 1)
