"""What is examined, attached part by part, so that one part that fails leaves the others."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

import torch
from torch import nn

from landscape.errors import LandscapeError, SettingError
from landscape.subject.attach import (
    READING,
    attach_checkpoints,
    attach_data,
    attach_held_out,
    attach_loss,
    attach_model,
)
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
from landscape.subject.device import choose_device, choose_dtype
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.losses import Loss
from landscape.subject.network import Network
from landscape.subject.spec.data_source import DataSource
from landscape.subject.subject import Subject

DATA = "give --data, for example --data nets.py:data or --data sklearn:digits"


class Parts:
    """The arguments of a `Subject`; each part is attached on first use and raises what is wrong.

    Args:
        given: The arguments, by name.
    """

    def __init__(self, given: Mapping[str, Any]) -> None:
        self._given = dict(given)

    @classmethod
    def of(cls, subject: Subject) -> Self:
        """Return the parts of a subject that is there already."""
        parts = cls({"model": subject.model})
        parts.__dict__.update(
            device=subject.device, checkpoints=subject.checkpoints, source=None, subject=subject
        )
        if subject.model is not None:
            name = type(subject.model).__name__
            parts.__dict__.update(named=(subject.model, name), network=subject.network)
        return parts

    @property
    def has_model(self) -> bool:
        """Return whether a model was given."""
        return self._given.get("model") is not None

    @cached_property
    def device(self) -> torch.device:
        """Return where products are computed."""
        choose_dtype(self._given.get("dtype", "auto"))
        return choose_device(self._given.get("device", "auto"))

    @cached_property
    def checkpoints(self) -> tuple[Checkpoint, ...]:
        """Return what the files hold."""
        reading = {key: self._given[key] for key in READING if key in self._given}
        return attach_checkpoints(self._given.get("checkpoints", ()), reading)

    @cached_property
    def named(self) -> tuple[nn.Module, str]:
        """Return the user's module and what to call it."""
        return attach_model(self._given["model"], allow_download=self._downloads)

    @cached_property
    def network(self) -> Network:
        """Return the module with the coordinates that are studied."""
        return Network(self.named[0], self._given.get("params"), self._given.get("mask"))

    @cached_property
    def source(self) -> tuple[DataSource | None, Loss | None]:
        """Return where the training data come from, and the loss; None: to be chosen."""
        loss = attach_loss(self._given.get("loss", "auto"))
        return attach_data(self._apart[0], allow_download=self._downloads), loss

    @cached_property
    def subject(self) -> Subject:
        """Return the subject; without its data when these cannot be attached."""
        return self._subject(self.named[0] if self.has_model else None, self.checkpoints)

    @cached_property
    def batches(self) -> Batches | None:
        """Return the data, read; also when the model or the checkpoint cannot be used."""
        _ = self.source
        attached = self.__dict__.get("subject") or self._subject(None, ())
        return attached.batches

    @cached_property
    def held_out(self) -> Batches | None:
        """Return the held-out data, read and verified to fit; from then on the subject has them.

        Raises:
            LandscapeError: They cannot be used; the subject is left without any.
        """
        subject, given = self.subject, self._apart[1]
        self.subject = subject.with_held_out(None)
        if given is not None:
            held_out = attach_held_out(given, allow_download=self._downloads)
            subject = subject.with_held_out(held_out)
        _ = subject.counted_held_out
        self.subject = subject
        return subject.held_out

    @property
    def _apart(self) -> tuple[object, object]:
        """Return the training data and those held out, as they were given."""
        given = self._given.get("data")
        if isinstance(given, Mapping) and "train" in given:
            return given["train"], given.get("held_out")
        return given, None

    @property
    def synthetic(self) -> bool:
        """Return whether the data are random numbers."""
        attached = self.__dict__.get("subject")
        if attached is not None:
            return attached.synthetic
        data, _ = self.source
        return data is not None and data.synthetic

    @property
    def first_batch(self) -> Batch:
        """Return the first batch on the device, in the model's precision."""
        batches = self.subject.batches
        if batches is None:
            raise SettingError(
                "no data were given",
                where="doctor",
                why="loss and curvature are functions of data",
                hint=DATA,
            )
        return next(iter(batches.on(self.subject.device, self.subject.dtype)))

    @property
    def _downloads(self) -> bool:
        return bool(self._given.get("allow_download"))

    def provenance(self) -> dict[str, Any]:
        """Return what the examination rests on, as far as it could be attached."""
        subject = self.__dict__.get("subject")
        if subject is None:
            return {}
        try:
            found = subject.provenance()
        except LandscapeError:  # its data cannot be read
            found = subject.without_data().provenance()
        return {**found, "model": self.named[1] if self.has_model else None}

    def _subject(self, model: nn.Module | None, checkpoints: tuple[Checkpoint, ...]) -> Subject:
        try:
            data, loss = self.source
        except LandscapeError:
            data, loss = None, None
        apart = {"model", "data", "loss", "checkpoints", *READING}
        rest = {key: value for key, value in self._given.items() if key not in apart}
        return Subject(model, loss or "auto", data, checkpoints, **rest)
