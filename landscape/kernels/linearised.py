"""The kernel of the network linearised at a checkpoint, among samples and with held-out ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from landscape.kernels.decomposition import Decomposition
from landscape.kernels.regression import fitted, ridge_path
from landscape.subject.batch import Batch
from landscape.subject.subject import Subject
from landscape.tangent.products import TangentOperator

Product = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Linearised:
    """K of the linearised network; from the trace kernel, what every output has on average.

    Args:
        kernel: Which, in words.
        modes: Of K; its vectors (N O, ·), or (N, ·) where every output has the same.
        held_out: v ↦ K(held-out, samples) v for v (k, N, O), to (k, M, O).
    """

    kernel: str
    modes: Decomposition
    held_out: Product

    @property
    def largest(self) -> float:
        """Return λ_max."""
        return float(self.modes.values[0])

    def among(self, values: np.ndarray) -> Product:
        """Return v ↦ U diag(values) Uᵀ v for v (N, O), with U the eigenvectors of K."""
        matrix = (self._vectors * values) @ self._vectors.T
        return lambda v: (matrix @ v.reshape(len(matrix), -1)).reshape(v.shape)

    def regressed(self, gap: np.ndarray) -> np.ndarray:  # (M, O)
        """Return what regression of the residuals (N, O) adds to the held-out outputs.

        At the ridge of the least leave-one-out error.
        """
        rows = gap.reshape(len(self._vectors), -1)
        path = ridge_path(self.modes, rows)
        weights = fitted(self.modes, rows, float(path.ridge[path.best])).weights
        return self.held_out(weights.reshape(1, *gap.shape))[0]

    @property
    def _vectors(self) -> np.ndarray:
        if self.modes.vectors is None:
            raise ValueError("a kernel in blocks has no joint eigenvectors")
        return self.modes.vectors


def by_trace(own: Decomposition, cross: np.ndarray, outputs: int) -> Linearised:
    """Return Σ_c K_cc / O for every output, which is K where there is one output.

    Args:
        own: Of the trace kernel (N, N).
        cross: With held-out samples (M, N).
        outputs: O.
    """
    scaled = replace(own, values=own.values / outputs, floor=own.floor / outputs)
    return Linearised(
        kernel="the mean kernel of its outputs" if outputs > 1 else "its kernel",
        modes=scaled,
        held_out=lambda v: cross @ v / outputs,
    )


def by_full(
    modes: Decomposition,
    subject: Subject,
    batches: list[Batch],
    others: list[Batch],
) -> Linearised:
    """Return the full kernel; that with held-out samples is known by its products.

    Args:
        modes: Of the full kernel (N O, N O), samples major.
        subject: Network and loss.
        batches: The samples, on its device.
        others: Held-out samples.
    """
    operator = TangentOperator(subject, [*batches, *others])

    def held_out(v: np.ndarray) -> np.ndarray:
        rows = v.reshape(len(v), -1)
        block = torch.zeros(operator.shape[0], len(v), dtype=torch.float64)
        block[: rows.shape[1]] = torch.from_numpy(rows.T)
        block = block.to(operator.device, operator.dtype)
        parts = [operator.matmat(part) for part in block.split(operator.preferred_block, 1)]
        found = torch.cat(parts, 1)[rows.shape[1] :].T.double().cpu().numpy()
        return found.reshape(len(v), -1, v.shape[2])

    return Linearised(
        kernel="its full kernel",
        modes=modes,
        held_out=held_out,
    )
