"""What a survey looks at before its first section: everything that was given."""

from __future__ import annotations

from dataclasses import dataclass

from landscape.errors import NumericalError
from landscape.reports.plan import PLAIN
from landscape.subject.point import check_finite
from landscape.subject.spec.train import load_train
from landscape.subject.subject import Subject


@dataclass(frozen=True)
class Examined:
    """A subject whose parts fit together.

    Args:
        subject: Without its data, where these are not finite.
        lost: Why the data cannot be used; None where they can.
        not_finite: What is not finite: that, a weight or the loss. A report of the rest can still
            be made, and is, so that whoever asks may refuse it or not.
    """

    subject: Subject
    lost: NumericalError | None = None
    not_finite: NumericalError | None = None


def examined(subject: Subject, train: str = "") -> Examined:
    """Return a subject after a look at its data, and a pass of the network over them.

    Args:
        subject: What is studied.
        train: Spec of a training function, or `plain`; empty: none.

    Raises:
        InputError: Data, network, loss and training function do not fit together.
    """
    if train not in ("", PLAIN):
        load_train(train)
    if subject.model is None:
        return Examined(subject)
    try:
        if subject.batches is None:
            return Examined(subject)
    except NumericalError as error:
        return Examined(subject.without_data(), lost=error, not_finite=error)
    try:
        _ = subject.count
    except NumericalError as error:
        return Examined(subject, not_finite=error)
    _ = subject.counted_held_out
    return Examined(subject)


def check_weights(subject: Subject) -> None:
    """Refuse weights that are not finite.

    Raises:
        NumericalError: One is not, at any checkpoint.
    """
    for checkpoint in subject.checkpoints:
        if subject.model is not None:
            subject.point_of(checkpoint)
        else:
            floating = {k: t for k, t in checkpoint.tensors.items() if t.is_floating_point()}
            check_finite(floating, where=str(checkpoint.path or checkpoint.label))
