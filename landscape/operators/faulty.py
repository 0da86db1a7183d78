"""Which part of a network has a wrong second derivative: every module is asked by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._pytree import tree_flatten, tree_unflatten

from landscape.linalg.probes import spherical
from landscape.operators.local import LocalHessian
from landscape.operators.misfit import LIMITS, misfit
from landscape.subject.batch import Batch
from landscape.subject.outputs import logits_of

if TYPE_CHECKING:
    from landscape.operators.curvature import CurvatureOperator


def faulty_part(operator: CurvatureOperator, batch: Batch) -> str | None:
    """Return the innermost module, or the loss, whose second derivative is wrong by itself.

    Modules are looked at from the inside out, each at the inputs that it gets in a forward pass.
    """
    point, subject = operator.point, operator.subject
    model = subject.network.model
    exact = batch.to(point.theta.device, point.theta.dtype)
    calls: dict[str, tuple[Any, Any]] = {}

    def watch(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            del module
            calls.setdefault(name, (args, kwargs))

        return hook

    handles = [
        module.register_forward_pre_hook(watch(name), with_kwargs=True)
        for name, module in model.named_modules()
    ]
    try:
        outputs = subject.outputs(point, exact)
    finally:
        for handle in handles:
            handle.remove()
    tensors = subject.network.tensors(point)
    inside_out = sorted(calls, key=lambda name: -(name.count(".") + bool(name)))
    for name in inside_out:
        module = model.get_submodule(name)
        own = _own_tensors(name, module, tensors)
        if _is_wrong(_applied(module, own, *calls[name])):
            return _described(name, module)
    if subject.criterion.separable and _is_wrong(_loss(operator, exact, logits_of(outputs))):
        return f"the loss {subject.criterion.name}"
    return None


def _own_tensors(name: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{name}." if name else ""
    names = [*dict(module.named_parameters()), *dict(module.named_buffers())]
    return {one: tensors[prefix + one].detach() for one in names if prefix + one in tensors}


def _applied(
    module: nn.Module, tensors: dict[str, Tensor], args: Any, kwargs: Any
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    """Return a weighted sum of a module's outputs as a function of its weights and inputs."""
    flat, structure = tree_flatten((tensors, args, kwargs))
    real = [isinstance(part, Tensor) and part.is_floating_point() for part in flat]
    fixed = [part.detach() if isinstance(part, Tensor) else part for part in flat]
    moved = [part for part, is_real in zip(fixed, real, strict=True) if is_real]
    start = torch.cat([part.flatten() for part in moved]) if moved else torch.zeros(0)

    def function(vector: Tensor) -> Tensor:
        pieces = iter(vector.split([part.numel() for part in moved]))
        filled = [
            next(pieces).view_as(part) if is_real else part
            for part, is_real in zip(fixed, real, strict=True)
        ]
        own, inputs, named = tree_unflatten(filled, structure)
        results, _ = tree_flatten(functional_call(module, own, inputs, named))
        generator = torch.Generator().manual_seed(1)
        total = vector.sum() * 0
        for result in results:
            if isinstance(result, Tensor) and result.is_floating_point():
                weights = torch.randn(result.shape, generator=generator, dtype=torch.float64)
                total = total + (weights.to(result) * result).sum()
        return total

    return function, start


def _loss(
    operator: CurvatureOperator, batch: Batch, outputs: Tensor
) -> tuple[Callable[[Tensor], Tensor], Tensor]:
    loss, shape = operator.subject.criterion, outputs.shape
    return lambda flat: loss.total(flat.view(shape), batch.targets), outputs.detach().flatten()


def _is_wrong(part: tuple[Callable[[Tensor], Tensor], Tensor]) -> bool:
    function, start = part
    if not start.numel():
        return False
    local = LocalHessian(function, start)
    generator = torch.Generator().manual_seed(2)
    vector = spherical(1, start.numel(), like=start, generator=generator)[0]
    try:
        precision = local.precision()
        image = local.graph()(vector[None])[0]
    except RuntimeError:
        return False
    return precision in LIMITS and misfit(local, vector, image, precision) > LIMITS[precision]


def _described(name: str, module: nn.Module) -> str:
    return f"module {name or '(the network itself)'} ({type(module).__name__})"
