"""The block Lanczos recurrence: a basis, the operator projected on it, and the next block."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.linalg.basis import Basis
from landscape.linalg.operator import LinearOperator
from landscape.linalg.overlooked import sight
from landscape.linalg.products import combined, lengths, projections
from landscape.linalg.symmetry import symmetry_defect

ROUNDING = 4  # units of eps times the scale: what is new in a row below that is rounding


@dataclass(frozen=True)
class Ritz:
    """Ritz pairs of a recurrence, ascending, on the host in float64."""

    values: Tensor  # (m,)
    weights: Tensor  # (m, m), columns: the pairs' coordinates in the basis
    residuals: Tensor  # (m,), as the recurrence gives them
    defect: float  # largest |u·Av − v·Au| of basis vectors so far: the noise floor


class Recurrence:
    """Block Lanczos with full reorthogonalisation, whose steps never wait for the device.

    The projected matrix is measured, not assumed tridiagonal: every image is projected on the
    whole basis, and what was fixed, restarted or replaced is accounted for.

    Args:
        operator: Symmetric, n × n.
        start: Rows (b, n); dependent ones are replaced by random rows.
        capacity: The largest number of basis rows, at least 2·b unless the space is smaller.
        generator: Seeds the vectors that replace what has no new direction.
        fixed: Orthonormal rows (l, n) in whose orthogonal complement everything happens.
        on_host: Keep the basis in host memory.
        images: Keep the products as well, so that those of Ritz vectors need not be computed.

    Cost: b products a step, and 12·b·m·n operations for orthogonality to m basis rows.

    Source: Golub & Underwood 1977 (blocks); Wu & Simon 2000 (thick restart).
    """

    def __init__(
        self,
        operator: LinearOperator,
        start: Tensor,
        *,
        capacity: int,
        generator: torch.Generator,
        fixed: Tensor | None = None,
        on_host: bool = False,
        images: bool = False,
    ) -> None:
        self.operator = operator
        self.basis = Basis(capacity, start[0], fixed, on_host=on_host)
        self._images = start.new_empty(capacity, start.shape[1]) if images else None
        self._projected = start.new_zeros(capacity, capacity, dtype=torch.float64)
        self._chain = torch.zeros_like(self._projected)
        self._scale = start.new_zeros((), dtype=torch.float64)
        self._spare = _on_device(generator, start.device)
        self._rounding = ROUNDING * self.precision
        self._next, _, self.coordinates = self._following(start, _longest(start))
        self._coupling = self.coordinates
        self._first = slice(0, len(self._next))
        self._defect = 0.0

    @property
    def width(self) -> int:
        """Return how many products the next step takes."""
        return len(self._next)

    @property
    def full(self) -> bool:
        """Return whether there is no room for the next block."""
        return self.width == 0 or self.basis.room < self.width

    @property
    def spans(self) -> bool:
        """Return whether the basis and what was fixed span the whole space."""
        return self.basis.spans

    def sight(self, limit: float, extent: float, *, top: bool) -> float:
        """Return the most that the first block since the last restart sees beyond a limit.

        Args:
            limit: Beyond all Ritz values.
            extent: Length of the range beyond, in which it is asked.
            top: Whether beyond is above; if not, it is asked of the mirrored operator −A.
        """
        size = self.basis.size
        chain = self._chain[:size, :size].cpu()
        coupling = self._sure(self._coupling).cpu()
        return sight(chain if top else -chain, coupling, self._first, limit, extent)

    def combine(self, weights: Tensor) -> Tensor:  # (k, n)
        """Return combinations of the basis: weights (k, m), float64."""
        return self.basis.combine(weights)

    def image(self, weights: Tensor) -> Tensor | None:  # (k, n)
        """Return the products of such combinations, from the products of the basis, if kept."""
        if self._images is None:
            return None
        return combined(weights.to(self._images.device), self._images[: self.basis.size])

    @property
    def projected(self) -> Tensor:  # (m, m)
        """Return the operator projected on the basis, on the host.

        Raises:
            NumericalError: It is not finite.
        """
        self.require_finite()
        size = self.basis.size
        matrix = self._projected[:size, :size].cpu()
        return (matrix + matrix.T) / 2

    def require_finite(self) -> None:
        """Refuse to go on with what is not finite.

        Raises:
            NumericalError: A product was NaN or infinite.
        """
        self.operator.require_finite(self._projected)

    @property
    def precision(self) -> float:
        """Return the precision of the operator's products."""
        return torch.finfo(self.operator.dtype).eps

    @property
    def coupling(self) -> Tensor:  # (b, b')
        """Return what couples the last block to the next one, on the host: rows of the last."""
        return self._coupling.cpu()

    def step(self) -> None:
        """Multiply the next block and project its image."""
        first = self.basis.size
        self.basis.append(self._next)
        size = self.basis.size
        images = self.operator.unchecked(self._next)
        if self._images is not None:
            self._images[first:size] = images
        self._scale = self._scale.maximum(_longest(images))
        self._next, coefficients, self._coupling = self._following(images, self._scale)
        self._projected[:size, first:size] = coefficients.T
        self._projected[first:size, :size] = coefficients
        self._chain[first:size, first:size] = coefficients[:, first:]
        self._couple(slice(first, size), self._sure(self._coupling))

    def _sure(self, coupling: Tensor) -> Tensor:  # (b, b')
        """Return a coupling in which none is nothing: what was cut off may have been rounding."""
        cut = (coupling == 0).all(0) * (self._rounding * self._scale)
        return coupling + cut * torch.eye(*coupling.shape, dtype=cut.dtype, device=cut.device)

    def _couple(self, rows: slice, coupling: Tensor) -> None:
        """Note what couples some rows to the next block, if there is room for it."""
        size = self.basis.size
        if size + self.width <= len(self._chain):
            following = slice(size, size + self.width)
            self._chain[rows, following] = coupling
            self._chain[following, rows] = coupling.T

    def ritz(self) -> Ritz:
        """Return all Ritz pairs; the one place where the host waits for the device.

        Raises:
            NumericalError: A product was NaN or infinite, or the operator is not symmetric.
        """
        values, weights = torch.linalg.eigh(self.projected)
        coupling = self.coupling
        residuals = torch.linalg.vector_norm(coupling.T @ weights[-len(coupling) :], dim=0)
        return Ritz(values, weights, residuals, self._symmetry_defect())

    def _symmetry_defect(self) -> float:
        """Return the largest |u·Av − v·Au| of basis vectors so far.

        Every product of two of them is known twice: from the image of the one, whose next block
        tells its couplings, and measured on the image of the other.
        """
        size = self.basis.size
        chain, projected = self._chain[:size, :size].cpu(), self._projected[:size, :size].cpu()
        lengths = torch.linalg.vector_norm(projected, dim=0)
        defect = symmetry_defect(self.operator, (projected - chain).abs(), lengths)
        self._defect = max(self._defect, defect)
        return self._defect

    def restart(self, ritz: Ritz, keep: Tensor) -> None:
        """Go on with some Ritz pairs (mask over all) and the next block; forget the rest."""
        weights = ritz.weights.T[keep]
        if self._images is not None:
            kept = self._images[: len(weights)]
            combined(weights.to(kept.device), self._images[: self.basis.size], out=kept)
        self.basis.compress(weights)
        size = self.basis.size
        for matrix in (self._projected, self._chain):
            matrix.zero_()
            matrix[:size, :size] = torch.diag(ritz.values[keep]).to(matrix)
        last = weights[:, -len(self._coupling) :].to(self._coupling)
        self._couple(slice(0, size), last @ self._sure(self._coupling))
        self._first = slice(size, size + self.width)

    def _following(self, images: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the next block, the images' coefficients, and their coupling to that block."""
        count = min(len(images), self.basis.left)
        block, coefficients, coupling = self.basis.orthonormalised(
            images[:count], lambda: self._spares(count), self._rounding * scale
        )
        if count == len(images):
            return block, coefficients, coupling
        rest, found = self.basis.free(images[count:])  # the block spans all that is left
        return (
            block,
            torch.cat([coefficients, found]),
            torch.cat([coupling, projections(rest, block)]),
        )

    def _spares(self, count: int) -> Tensor:  # (count, n)
        size = self.basis.rows.shape[1]
        spare = torch.empty(count, size, dtype=self.operator.dtype, device=self.operator.device)
        spare.uniform_(-1, 1, generator=self._spare)
        return spare / math.sqrt(size / 3)  # about unit length


def _longest(rows: Tensor) -> Tensor:
    return lengths(rows).amax()


def _on_device(generator: torch.Generator, device: torch.device) -> torch.Generator:
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.Generator(device).manual_seed(seed)
