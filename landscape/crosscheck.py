"""PyHessian as a second opinion; the only file that imports it.

It gives the eigenvalue of largest magnitude by power iteration, without a residual. It changes the
model it is given (mode, gradients), so it works on a deep copy; a model or a batch that it cannot
take is skipped, with the reason.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from landscape.estimate import Status
from landscape.subject.network import first_line
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What another library says about the top eigenvalue; None when it could not say anything."""

    value: float | None
    status: Status
    reason: str

    @property
    def told(self) -> str:
        """Return the opinion in words."""
        return f"{self.value:.6g} ({self.reason})" if self.value is not None else self.reason


def second_opinion(subject: Subject, *, seed: int) -> Opinion:
    """Return PyHessian's eigenvalue of largest magnitude, for the same weights and data."""
    if subject.mode == "train":
        return _skipped("PyHessian puts the network in eval mode")
    if len(subject.parameters.names) != len(subject.network.parameter_names):
        return _skipped("PyHessian differentiates every parameter, and only some are studied")
    if any(batch.kwargs or len(batch.args) != 1 for batch in subject.device_batches()):
        return _skipped("PyHessian takes batches of one input tensor and one target only")
    sizes = {batch.samples for batch in subject.device_batches()}
    try:
        with subject.undisturbed(seed), differentiable_attention(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = _top_eigenvalue(subject)
    except Exception as error:  # a foreign library may raise anything
        return _skipped(f"PyHessian failed: {type(error).__name__}: {first_line(error)}")
    ragged = ", ragged batches" if len(sizes) > 1 else ""
    reason = f"power iteration, no residual{ragged}"
    return Opinion(value=value, status=Status.CONVERGED, reason=reason)


def _top_eigenvalue(subject: Subject) -> float:
    from pyhessian import hessian

    model = copy.deepcopy(subject.network.model)
    tensors = subject.network.tensors(subject.point)
    for name, parameter in model.named_parameters():
        parameter.data = tensors[name].clone()
        parameter.requires_grad_(True)
    for name, buffer in model.named_buffers():
        buffer.data = tensors[name].clone()
    batches = [(batch.args[0], batch.targets) for batch in subject.device_batches()]
    data: dict[str, Any] = {"data": batches[0]} if len(batches) == 1 else {"dataloader": batches}
    computed = hessian(model, _mean_loss(subject), cuda=subject.device.type == "cuda", **data)
    return float(computed.eigenvalues(maxIter=200, tol=1e-5, top_n=1)[0][0])


def _mean_loss(subject: Subject) -> Callable[[Any, Any], Tensor]:
    loss = subject.criterion
    return lambda outputs, targets: loss.total(outputs, targets) / loss.count(outputs, targets)


def _skipped(reason: str) -> Opinion:
    return Opinion(value=None, status=Status.SKIPPED, reason=reason)
