"""The Jacobian of a layer as a sum of outer products: what comes in, and what goes back.

For every use of a weight W (d_o, d_i) on rows X[n, t] with outputs Z[n, t] = W X[n, t],

    ∂f_c(x_n) / ∂W = Σ_t D[n, c, t] X[n, t]ᵀ,   D = ∂f_c(x_n) / ∂Z[n, t],

so that X and D hold all there is to know of it. Convolutions are such layers on unfolded patches, a
bias is one whose input is 1, an embedding one whose input is one-hot. A weight that is used several
times has the rows of all uses, one after another.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Outer:
    """J[n, c] = Σ_t D[n, c, t, g] ⊗ X[n, t, g] of a weight with g groups.

    Args:
        x: (n, T, g, d_i).
        d: (n, O, T, g, d_o).
        inward_first: Whether the parameter holds d_i before d_o, as transposed convolutions do.
    """

    x: Tensor
    d: Tensor
    inward_first: bool = False

    @property
    def rows(self) -> int:
        """Return T."""
        return self.x.shape[1]

    @property
    def numbers(self) -> int:
        """Return how many numbers the Jacobian has."""
        samples, outputs, _, groups, outward = self.d.shape
        return samples * outputs * groups * outward * self.x.shape[-1]

    def flat(self) -> Tensor:  # (n, O, g · d_o · d_i)
        """Return the Jacobian itself."""
        order = "gio" if self.inward_first else "goi"
        return torch.einsum(f"nctgo,ntgi->nc{order}", self.d, self.x).flatten(2)

    def pulled(self, u: Tensor) -> Tensor:  # (g · d_o · d_i,)
        """Return Jᵀu for u (n, O)."""
        order = "gio" if self.inward_first else "goi"
        return torch.einsum(f"ntgo,ntgi->{order}", self._mixed(u), self.x).flatten()

    def projected(self, u: Tensor, left: Tensor, right: Tensor) -> Tensor:  # (g, k, k)
        """Return A (Jᵀu) Bᵀ of every group, for A (k, d_o) and B (k, d_i), without Jᵀu."""
        outward = torch.einsum("ntgo,ko->ntgk", self._mixed(u), left)
        return torch.einsum("ntgk,ntgl->gkl", outward, self.x @ right.T)

    def _mixed(self, u: Tensor) -> Tensor:  # (n, T, g, d_o)
        return torch.einsum("nc,nctgo->ntgo", u, self.d)

    def joined(self, other: Outer) -> Outer:
        """Return both uses of one weight as one."""
        x, d = torch.cat([self.x, other.x], 1), torch.cat([self.d, other.d], 2)
        return replace(self, x=x, d=d)

    def to(self, device: torch.device) -> Outer:
        """Return the factors on a device."""
        return replace(self, x=self.x.to(device), d=self.d.to(device))

    @property
    def nbytes(self) -> int:
        """Return the memory of the factors."""
        return self.x.nbytes + self.d.nbytes


@dataclass(frozen=True, kw_only=True)
class Lookup:
    """J[n, c] = Σ_t e(id[n, t]) ⊗ D[n, c, t] of a table: its inputs are one-hot.

    Args:
        ids: Rows that are read (n, T).
        d: (n, O, T, d).
        size: Rows of the table.
    """

    ids: Tensor
    d: Tensor
    size: int

    @property
    def rows(self) -> int:
        """Return T."""
        return self.ids.shape[1]

    def flat(self) -> Tensor:  # (n, O, size · d)
        """Return the Jacobian itself."""
        samples, outputs, _, width = self.d.shape
        found = self.d.new_zeros(samples, outputs, self.size, width)
        places = self.ids[:, None, :, None].expand_as(self.d)
        return found.scatter_add_(2, places, self.d).flatten(2)

    def pulled(self, u: Tensor) -> Tensor:  # (size · d,)
        """Return Jᵀu for u (n, O)."""
        mixed = torch.einsum("nc,ncto->nto", u, self.d).flatten(0, 1)
        found = mixed.new_zeros(self.size, mixed.shape[1])
        return found.index_add_(0, self.ids.flatten(), mixed).flatten()

    def joined(self, other: Lookup) -> Lookup:
        """Return both uses of one table as one."""
        ids = torch.cat([self.ids, other.ids], 1)
        return Lookup(ids=ids, d=torch.cat([self.d, other.d], 2), size=self.size)

    def to(self, device: torch.device) -> Lookup:
        """Return the factors on a device."""
        return Lookup(ids=self.ids.to(device), d=self.d.to(device), size=self.size)

    @property
    def nbytes(self) -> int:
        """Return the memory of the factors."""
        return self.ids.nbytes + self.d.nbytes


@dataclass(frozen=True, kw_only=True)
class Flat:
    """The Jacobian of a parameter as it is: of scales, biases and whatever has no factors.

    Args:
        j: (n, O, p).
        rows: T of the factors that it was made of, because they take more room.
    """

    j: Tensor
    rows: int = 1

    def flat(self) -> Tensor:  # (n, O, p)
        """Return it."""
        return self.j

    def pulled(self, u: Tensor) -> Tensor:  # (p,)
        """Return Jᵀu for u (n, O)."""
        return torch.einsum("nc,ncp->p", u, self.j)

    def joined(self, other: Flat) -> Flat:
        """Return the sum of both uses."""
        return Flat(j=self.j + other.j, rows=self.rows + other.rows)

    def to(self, device: torch.device) -> Flat:
        """Return it on a device."""
        return replace(self, j=self.j.to(device))

    @property
    def nbytes(self) -> int:
        """Return its memory."""
        return self.j.nbytes


Factors = Outer | Lookup | Flat


def condensed(factors: Factors) -> Factors:
    """Return the Jacobian in place of factors that take more room: it is then cheapest as well."""
    if not isinstance(factors, Outer) or factors.numbers >= factors.x.numel() + factors.d.numel():
        return factors
    return Flat(j=factors.flat(), rows=factors.rows)
