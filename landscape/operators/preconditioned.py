"""A curvature as a diagonally preconditioned optimizer meets it."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import SettingError
from landscape.linalg.operator import LinearOperator


class PreconditionedOperator(LinearOperator):
    """v ↦ P^{-1/2} A P^{-1/2} v with a positive diagonal P; it has the eigenvalues of P⁻¹ A.

    For Adam P = (1 − β₁ᵗ)(√v̂ + ε), and training is at the edge of stability where the largest
    eigenvalue is (2 + 2β₁) / ((1 − β₁) η).

    Args:
        operator: A, symmetric, n × n.
        diagonal: P, positive (n,).

    Raises:
        SettingError: The diagonal has another length, or an entry that is not positive.

    Cost: that of A.

    Source: Cohen et al. 2022, arXiv 2207.14484, §3.
    """

    def __init__(self, operator: LinearOperator, diagonal: Tensor) -> None:
        if diagonal.shape != operator.shape[:1] or not bool((diagonal > 0).all()):
            raise SettingError(
                f"a positive diagonal of length {operator.shape[0]} is needed",
                where="PreconditionedOperator",
                why=f"got shape {tuple(diagonal.shape)}, smallest entry "
                f"{float(diagonal.min()) if diagonal.numel() else None}",
                hint="give one positive number for each coordinate",
            )
        super().__init__(
            operator.shape,
            dtype=operator.dtype,
            device=operator.device,
            symmetric=operator.symmetric,
        )
        self.inner = operator
        self.preferred_block = operator.preferred_block
        self.scale = diagonal.to(operator.device, torch.float64).rsqrt().to(operator.dtype)

    @property
    def imprecision(self) -> float:
        """Return that of A."""
        return self.inner.imprecision

    def _products(self, rows: Tensor) -> Tensor:
        return self.scale * self.inner.unchecked(self.scale * rows)
