"""The operator norm of a convolution, on the input size that it really sees."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from landscape.lipschitz.eigenvalue import largest_eigenvalue, ritz_values

SAMPLED, ROUGH = 16, 6  # frequencies and steps of an estimate
CHUNK = 1_000_000  # complex numbers of the symbol held at once: more is given back and paged anew

_FORWARD: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution:
    """y[i] = Σ_t K[t] x[s i + d t − p], zero outside or around a torus, groups apart.

    A transposed convolution has the norm of the convolution whose adjoint it is: that one is given.

    Args:
        weight: K (o, i/g, k, …).
        stride: s along every axis.
        padding: p, what is put before; what is put after follows from `leaving`.
        dilation: d.
        groups: g.
        entering: Sizes of the input's axes.
        leaving: Sizes of the output's axes.
        circular: Whether the input is continued periodically.
    """

    weight: Tensor
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int
    entering: tuple[int, ...]
    leaving: tuple[int, ...]
    circular: bool = False

    @property
    def rank(self) -> int:
        """Return the number of space axes."""
        return len(self.entering)

    def torus(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Return sizes of a torus in which the convolution lies, and strides on it.

        On Z_N the positions before 0 and from n on must not meet the input: N ≥ n + p and
        N > s (m − 1) + d (k − 1) − p; the stride must divide N.
        """
        sizes, strides = [], []
        for n, m, k, s, p, d in zip(
            self.entering,
            self.leaving,
            self.weight.shape[2:],
            self.stride,
            self.padding,
            self.dilation,
            strict=True,
        ):
            if self.circular:
                sizes.append(n)
                strides.append(s if n % s == 0 else 1)
                continue
            least = max(n + p, s * (m - 1) + d * (k - 1) - p + 1, m * s)
            sizes.append(s * math.ceil(least / s))
            strides.append(s)
        return tuple(sizes), tuple(strides)

    def apply(self, x: Tensor) -> Tensor:
        """Return the convolution of x (b, i, …) without bias."""
        after = [
            s * (m - 1) + d * (k - 1) + 1 - n - p
            for n, m, k, s, p, d in zip(
                self.entering,
                self.leaving,
                self.weight.shape[2:],
                self.stride,
                self.padding,
                self.dilation,
                strict=True,
            )
        ]
        if self.circular:
            x = _wrapped(x, self.padding, after)
        else:
            pads = [q for pair in zip(self.padding, after, strict=True) for q in pair]
            x = functional.pad(x, [q for i in range(len(after)) for q in pads[-2 * i - 2 :][:2]])
        return _FORWARD[self.rank](
            x,
            self.weight.to(x),
            stride=self.stride,
            dilation=self.dilation,
            groups=self.groups,
        )

    def norm(self) -> float:
        """Return an upper bound of the operator norm.

        On the torus the convolution is block diagonal in the Fourier basis. With the kernel's
        autocorrelation G[Δ] = Σ_t K[t + Δ] K[t]ᵀ, whose taps with d Δ not divisible by s cancel
        among the s aliases of an output frequency,

            σ² = max_ω λ_max( Σ_{d Δ ≡ 0 mod s} G[Δ] e^{−i ω·d Δ} ),

        exactly where the continuation is circular and s divides n. With zeros outside, the
        convolution is a submatrix of the one on the torus, which bounds it from above.

        Cost: Π M / 2 Hermitian matrices on a torus of M = N / s points, each factorised.

        Source: Sedghi, Gupta & Long 2019, arXiv 1805.10408. Differs from the source: stride,
        dilation, groups and zero padding; proved by factorisation instead of decomposed.
        """
        scale = float(self.weight.abs().max()) if self.weight.numel() else 0.0
        if scale == 0:
            return 0.0
        shifts, grams = self._autocorrelation(scale)
        inner = self.weight.shape[1] * math.prod(self.weight.shape[2:]) + 4 * len(shifts)
        top = 0.0
        for symbol in self._symbols(shifts, grams):
            top = largest_eigenvalue(symbol, top, inner)
        return scale * math.sqrt(top) * (1 + 1e-14)

    def estimate(self) -> float:
        """Return the largest singular value at a few frequencies, roughly: no bound."""
        scale = float(self.weight.abs().max()) if self.weight.numel() else 0.0
        if scale == 0:
            return 0.0
        shifts, grams = self._autocorrelation(scale, torch.float32)
        symbols = self._symbols(shifts, grams.double(), sampled=SAMPLED)
        return scale * max(float(ritz_values(one, ROUGH).max()) for one in symbols) ** 0.5

    def _autocorrelation(
        self, scale: float, dtype: torch.dtype = torch.float64
    ) -> tuple[Tensor, Tensor]:
        """Return shifts d Δ (T, rank) and G[Δ] (T, g, c, c) of the channels on the smaller side."""
        strides, g, kernel = self.torus()[1], self.groups, self.weight.shape[2:]
        weight = self.weight.detach().to(dtype) / scale
        split = weight.reshape(g, -1, *weight.shape[1:])  # (g, o, i, k, …)
        if math.prod(strides) == 1 and split.shape[2] < split.shape[1]:
            split = split.transpose(1, 2)  # K Kᵀ and Kᵀ K have the same eigenvalues
        shifts, grams, known = [], [], dict[tuple[int, ...], Tensor]()
        for delta in itertools.product(*(range(1 - k, k) for k in kernel)):
            moved = [d * e for d, e in zip(self.dilation, delta, strict=True)]
            if any(d % s for d, s in zip(moved, strides, strict=True)):
                continue
            if (opposite := known.get(tuple(-e for e in delta))) is not None:
                shifts.append(moved)
                grams.append(opposite.mT)  # G[−Δ] = G[Δ]ᵀ
                continue
            here = [slice(max(e, 0), k + min(e, 0)) for e, k in zip(delta, kernel, strict=True)]
            there = [slice(max(-e, 0), k + min(-e, 0)) for e, k in zip(delta, kernel, strict=True)]
            left, right = (split[(..., *at)].flatten(2) for at in (here, there))
            known[delta] = left @ right.mT
            shifts.append(moved)
            grams.append(known[delta])
        device = self.weight.device
        return torch.tensor(shifts, dtype=torch.float64, device=device), torch.stack(grams)

    def _symbols(
        self, shifts: Tensor, grams: Tensor, *, sampled: int | None = None
    ) -> Iterator[Tensor]:
        """Yield Hermitian matrices (frequencies · g, c, c) of chunks of output frequencies."""
        sizes, strides = self.torus()
        coarse = [n // s for n, s in zip(sizes, strides, strict=True)]
        ranges = [torch.arange(m, device=shifts.device) for m in coarse]
        ranges[-1] = ranges[-1][: coarse[-1] // 2 + 1]  # the symbol at −ω is the conjugate
        points = torch.cartesian_prod(*ranges).reshape(-1, self.rank).double()
        if len(shifts) == 1:
            points = points[:1]  # it does not depend on the frequency
        if sampled is not None:
            points = points[:: max(1, len(points) // sampled)]
        angles = 2 * math.pi * points / torch.tensor(sizes, device=shifts.device).double()
        flat = grams.flatten(1)  # (T, g c c)
        for some in angles.split(max(1, CHUNK // flat.shape[1])):
            phase = some @ shifts.T  # (f, T)
            symbol = torch.complex(phase.cos() @ flat, -(phase.sin() @ flat))
            yield symbol.reshape(-1, *grams.shape[-2:])


def _wrapped(x: Tensor, before: tuple[int, ...], after: list[int]) -> Tensor:
    for axis, (p, q) in enumerate(zip(before, after, strict=True), start=x.dim() - len(before)):
        n = x.shape[axis]
        places = torch.arange(-p, n + q, device=x.device) % n
        x = x.index_select(axis, places)
    return x


def output_size(
    entering: tuple[int, ...],
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[int, ...]:
    """Return the sizes of a convolution's output that is padded alike on both sides."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(entering, kernel, stride, padding, dilation, strict=True)
    )
