"""The optimizer that trained a checkpoint, as far as a spectrum's meaning depends on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from landscape.errors import SettingError
from landscape.estimate import Estimate
from landscape.spectra.stability import Rule, StabilityMargin, rule_of, stability_margin
from landscape.subject.optimizer_state import NoOptimizer, OptimizerState, read_optimizer
from landscape.subject.subject import Subject

NONE, OPTIMIZER = "none", "optimizer"


@dataclass(frozen=True)
class Dynamics:
    """What is known of the steps that training takes.

    Args:
        preconditioner: P (n,) of the spectrum that is asked for; None: the identity.
        rule: From which sharpness on steps grow; None when that is not known.
        learning_rate: η; None when it is not known.
        reason: Why there is no rule or no learning rate; empty when there are both.
    """

    preconditioner: Tensor | None
    rule: Rule | None
    learning_rate: float | None
    reason: str = ""

    def margin(self, sharpness: Estimate) -> StabilityMargin | None:
        """Return the stability margin of λ₁; None when it is not known."""
        if self.rule is None or self.learning_rate is None:
            return None
        return stability_margin(
            sharpness,
            self.rule,
            self.learning_rate,
            preconditioned=self.preconditioner is not None,
        )


def dynamics_of(subject: Subject, precondition: str = NONE) -> Dynamics:
    """Return the preconditioner that is asked for, and what is known of step size and momentum.

    Args:
        subject: With one checkpoint. Its learning rate, where given, goes before the checkpoint's.
        precondition: `none`, `optimizer` (from the state in the checkpoint), or a file of NumPy
            with one positive number P for each studied parameter.

    Raises:
        SettingError: The preconditioner cannot be had.
    """
    state, given = read_optimizer(subject), subject.learning_rate
    if precondition == OPTIMIZER:
        scale = _of_optimizer(state)
    elif precondition == NONE:
        scale = None
    else:
        scale = _of_file(Path(precondition), subject.parameters.size)
    if isinstance(state, NoOptimizer):
        rate = given or subject.checkpoint.learning_rate
        if not rate:
            return Dynamics(scale, None, None, f"{state.reason}; give --learning-rate")
        return Dynamics(scale, rule_of(OptimizerState(name="SGD", learning_rate=rate)), rate)
    rate = given or state.learning_rate
    if not rate:
        return Dynamics(scale, None, None, "the learning rate in the checkpoint is 0")
    if precondition == NONE and state.adaptive and given is None:
        reason = f"{state.name}'s threshold is one of P⁻¹H: ask with precondition='optimizer'"
        return Dynamics(scale, None, rate, reason)
    if precondition == NONE and state.preconditioner is not None and not state.adaptive:
        reason = "the parameter groups have different learning rates: precondition='optimizer'"
        return Dynamics(scale, None, rate, reason)
    if precondition == NONE and state.adaptive:  # a rate was given: what plain descent would do
        return Dynamics(scale, rule_of(OptimizerState(name="SGD", learning_rate=rate)), rate)
    return Dynamics(scale, rule_of(state), rate)


def _of_optimizer(state: OptimizerState | NoOptimizer) -> Tensor | None:
    if isinstance(state, NoOptimizer) or state.reason:
        raise SettingError(
            "the optimizer's preconditioner is not known",
            where="precondition",
            why=state.reason,
            hint="give a checkpoint that holds the optimizer's state, or a file",
        )
    return state.preconditioner


def _of_file(path: Path, size: int) -> Tensor:
    try:
        found = np.load(path, allow_pickle=False)
        values = np.asarray(found, dtype=np.float64)
    except (OSError, ValueError, EOFError, TypeError) as error:
        raise SettingError(
            f"no preconditioner could be read from {path.name}",
            where="precondition",
            why=str(error),
            hint="give none, optimizer, or a .npy file with one positive number per parameter",
        ) from error
    if values.shape != (size,) or not (np.isfinite(values) & (values > 0)).all():
        raise SettingError(
            f"{path.name} holds an array of shape {values.shape}, or numbers that are not positive",
            where="precondition",
            why=f"expected {size} positive numbers, in the order of the studied parameters",
            hint="save numpy.float64 of shape (n,)",
        )
    return torch.from_numpy(values)
