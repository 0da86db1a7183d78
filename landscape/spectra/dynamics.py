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
from landscape.subject.normalisation import uses_running_statistics
from landscape.subject.optimizer_state import NoOptimizer, OptimizerState, read_optimizer
from landscape.subject.subject import Subject

NONE, OPTIMIZER = "none", "optimizer"
PRECONDITIONED = "landscape spectrum --precondition optimizer"  # the command that has the option


@dataclass(frozen=True)
class Dynamics:
    """What is known of the steps that training takes.

    Args:
        preconditioner: P (n,) of the spectrum that is asked for; None: the identity.
        rule: From which sharpness on steps grow; None when that is not known.
        learning_rate: η; None when it is not known.
        reason: Why there is no rule or no learning rate; empty when there are both.
        eval_mode: Whether BatchNorm's running statistics make the studied loss another than the one
            that training descends.
        batch: In train mode, the samples of the one batch that is studied.
    """

    preconditioner: Tensor | None
    rule: Rule | None
    learning_rate: float | None
    reason: str = ""
    eval_mode: bool = False
    batch: int | None = None

    def margin(self, sharpness: Estimate) -> StabilityMargin | None:
        """Return the stability margin of λ₁; None when it is not known."""
        if self.rule is None or self.learning_rate is None:
            return None
        return stability_margin(
            sharpness,
            self.rule,
            self.learning_rate,
            preconditioned=self.preconditioner is not None,
            eval_mode=self.eval_mode,
            batch=self.batch,
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
    state = read_optimizer(subject)
    if precondition == OPTIMIZER:
        scale = _of_optimizer(state, subject.checkpoint.label)
    elif precondition == NONE:
        scale = None
    else:
        scale = _of_file(Path(precondition), subject.parameters.size)
    rule, rate, reason = _steps(state, subject, plain=precondition == NONE)
    return Dynamics(
        scale,
        rule,
        rate,
        reason,
        eval_mode=uses_running_statistics(subject),
        batch=subject.batches.samples if subject.mode == "train" and subject.batches else None,
    )


def _steps(
    state: OptimizerState | NoOptimizer, subject: Subject, *, plain: bool
) -> tuple[Rule | None, float | None, str]:
    """Return the rule, the learning rate, and why one of them is not known."""
    given = subject.learning_rate
    if isinstance(state, NoOptimizer):
        rate = given or subject.checkpoint.learning_rate
        if not rate:
            return None, None, f"{state.reason}; give --learning-rate"
        return rule_of(OptimizerState(name="SGD", learning_rate=rate)), rate, ""
    rate = given or state.learning_rate
    if not rate:
        return None, None, "the learning rate in the checkpoint is 0"
    if plain and state.adaptive and given is None:
        reason = f"{state.name}'s is one of P⁻¹H: {state.reason or f'`{PRECONDITIONED}`'}"
        return None, rate, reason
    if plain and state.preconditioner is not None and not state.adaptive:
        reason = f"learning rates differ by group: `{PRECONDITIONED}`"
        return None, rate, reason
    if plain and state.adaptive:  # a rate was given: what plain descent would do
        return rule_of(OptimizerState(name="SGD", learning_rate=rate)), rate, ""
    return rule_of(state), rate, ""


def _of_optimizer(state: OptimizerState | NoOptimizer, label: str) -> Tensor:
    if isinstance(state, NoOptimizer) or state.reason:
        raise SettingError(
            f"the optimizer's preconditioner is not known at {label}",
            where="precondition",
            why=state.reason,
            hint="give a checkpoint that holds the optimizer's state after a step, or a file",
        )
    if state.preconditioner is None:
        raise SettingError(
            f"{state.name} has no preconditioner",
            where="precondition",
            why=f"the optimizer in {label} moves every coordinate with the same learning rate",
            hint="leave --precondition out: the plain Hessian is what it meets",
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
