"""The settings of training that finding and judging tickets share."""

from __future__ import annotations

from typing import Annotated, Literal

from landscape.base import Option

TICKET = "ticket.safetensors"  # what a ticket begins with, beside its mask
TRAIN = Option("function that trains: file.py:train; plain or empty: by the settings below")
Train = Annotated[str, TRAIN]
Optimizer = Annotated[Literal["sgd", "adam", "adamw"], Option("of plain training")]
LearningRate = Annotated[float, Option("of plain training, at its first step", above=0)]
Momentum = Annotated[float, Option("of SGD", at_least=0, at_most=1)]
WeightDecay = Annotated[float, Option("of plain training", at_least=0)]
Steps = Annotated[int, Option("of plain training", at_least=1)]
Minibatch = Annotated[int, Option("samples in a minibatch of plain training", at_least=1)]
Schedule = Annotated[
    Literal["constant", "cosine"], Option("of the learning rate of plain training")
]
RewindStep = Annotated[
    int, Option("step of training to rewind to; 0: the weights given", at_least=0)
]
