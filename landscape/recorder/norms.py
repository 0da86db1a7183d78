"""Norms of many tensors in few calls, accumulated in float32 or better, without waiting.

To be called where no graph is kept (`torch.no_grad`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def accumulation(tensors: Sequence[Tensor]) -> torch.dtype:
    """Return float64 where a tensor has it, float32 otherwise."""
    wide = (torch.float64, torch.complex128)
    return torch.float64 if any(one.dtype in wide for one in tensors) else torch.float32


def norms(tensors: Sequence[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """Return ‖x‖₂ of each tensor as a scalar tensor on its device.

    Squares are summed in `dtype`, whatever the precision of the tensors: PyTorch's own total of
    bfloat16 gradients is rounded to bfloat16 twice.

    Cost: one pass over the tensors, in one fused call per device and precision.
    """
    if not tensors:
        return []
    plain = [_plain(one) for one in tensors]
    return list(torch._foreach_norm(plain, 2.0, dtype=dtype))  # pyright: ignore[reportPrivateImportUsage]


def norm(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ‖x‖₂ of one tensor as a scalar tensor on its device."""
    return torch.linalg.vector_norm(_plain(tensor), dtype=dtype)


def copies(tensors: Sequence[Tensor]) -> list[Tensor] | None:
    """Return copies that later steps do not change; None where the memory does not hold them."""
    try:
        return [_plain(one).clone() for one in tensors]
    except torch.OutOfMemoryError:
        return None


def differences(tensors: Sequence[Tensor], before: Sequence[Tensor]) -> list[Tensor]:
    """Return each tensor less its copy."""
    plain = [_plain(one) for one in tensors]
    return list(torch._foreach_sub(plain, list(before)))  # pyright: ignore[reportPrivateImportUsage]


def inner_products(
    left: Sequence[Tensor], right: Sequence[Tensor], dtype: torch.dtype
) -> list[Tensor]:
    """Return ⟨x, y⟩ of each pair as a scalar tensor."""
    pairs = zip(left, right, strict=True)
    return [torch.dot(_plain(x).flatten().to(dtype), y.flatten().to(dtype)) for x, y in pairs]


def _plain(tensor: Tensor) -> Tensor:
    """Return the numbers of a tensor as a dense real one."""
    if tensor.is_sparse:
        tensor = tensor.coalesce().values()
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor
