"""Whether an operator is as symmetric as it says, seen on products of basis vectors."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import NumericalError
from landscape.linalg.operator import LinearOperator

ASYMMETRY = 0.05  # of an image: far above any rounding
NOISE = 1e4  # units of eps times the longest image: below that, asymmetry may be rounding


def symmetry_defect(operator: LinearOperator, gaps: Tensor, lengths: Tensor) -> float:
    """Return the largest |u·Av − v·Au| of basis vectors.

    Args:
        operator: Is named in the error.
        gaps: |u·Av − v·Au| with a column for every v (k, m).
        lengths: ‖Av‖ as far as it is in the basis (m,).

    Raises:
        NumericalError: It is as large as the products themselves, which no rounding explains.
    """
    noise = NOISE * torch.finfo(operator.dtype).eps * lengths.max()
    wrong = gaps.amax(0) > ASYMMETRY * lengths + noise
    if bool(wrong.any()):
        place = int(wrong.nonzero()[0])
        raise NumericalError(
            "the operator is not symmetric, so its products are wrong",
            where=type(operator).__name__,
            why=f"|u·Av − v·Au| is {float(gaps[:, place].max()):.2g} where Av is about "
            f"{float(lengths[place]):.2g} long: the network holds an operation whose second "
            "derivative is wrong in PyTorch (weight_norm on the CPU)",
            hint="use --operator gauss-newton, or study the network with that operation replaced",
        )
    return float(gaps.max())
