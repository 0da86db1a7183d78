"""What the right answer is, from closed forms and from dense float64 autograd.

Nothing here imports landscape: losses, weights of batches and flat vectors are written again, so
that a mistake in the library cannot agree with itself.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev
from torch.nn.attention import SDPBackend, sdpa_kernel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cases import Problem

F64 = torch.float64


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- matrices with a prescribed spectrum -------------------------------------------------------


def orthogonal(size: int, seed: int = 0) -> Tensor:
    """A random orthogonal matrix (n, n), float64."""
    gauss = torch.randn(size, size, generator=generator(seed), dtype=F64)
    q, r = torch.linalg.qr(gauss)
    return q * r.diagonal().sign()


def symmetric(
    eigenvalues: Sequence[float] | np.ndarray | Tensor, seed: int = 0, dtype: torch.dtype = F64
) -> Tensor:
    """A symmetric matrix with these eigenvalues and random eigenvectors."""
    values = torch.as_tensor(np.asarray(eigenvalues), dtype=F64)
    basis = orthogonal(len(values), seed)
    matrix = (basis * values) @ basis.T
    return ((matrix + matrix.T) / 2).to(dtype)


def spectrum_of(matrix: Tensor) -> np.ndarray:
    """Eigenvalues in ascending order, float64."""
    return torch.linalg.eigvalsh(matrix.double()).numpy()


# --- problems with a known Hessian -------------------------------------------------------------


def softmax_regression(
    samples: int = 40, features: int = 6, classes: int = 4, seed: int = 0
) -> tuple[nn.Module, tuple[Tensor, Tensor], np.ndarray]:
    """Softmax regression without bias at W = 0, and the eigenvalues of its Hessian, ascending.

    H = (I/C − 11ᵀ/C²) ⊗ XᵀX/n: σᵢ/C with multiplicity C − 1, and d zeros.
    """
    x = torch.randn(samples, features, generator=generator(seed), dtype=F64)
    y = torch.randint(classes, (samples,), generator=generator(seed + 1))
    model = nn.Linear(features, classes, bias=False, dtype=F64)
    nn.init.zeros_(model.weight)
    sigma = np.linalg.eigvalsh((x.T @ x / samples).numpy())
    values = np.concatenate([np.repeat(sigma / classes, classes - 1), np.zeros(features)])
    return model, (x, y), np.sort(values)


class Chain(nn.Module):
    """The product of some weights, once for every row of the input."""

    def __init__(self, weights: Sequence[float]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights, dtype=F64))

    def forward(self, x: Tensor) -> Tensor:
        return self.weights.prod() * x / math.sqrt(2)


def chain(weights: Sequence[float]) -> tuple[nn.Module, tuple[Tensor, Tensor]]:
    """A model and data whose mean squared error is F(w) = ½ (Πw − 1)².

    At a minimum H = v vᵀ with vᵢ = 1/wᵢ, so λ₁ = Σ 1/wᵢ² and every other eigenvalue is zero.
    """
    ones = torch.ones(3, 1, dtype=F64)
    return Chain(weights), (ones, ones / math.sqrt(2))


def linear_regression_hessian(x: Tensor) -> Tensor:
    """2 XᵀX/n: the Hessian of the mean squared error of one linear output without bias."""
    return 2 * x.T @ x / len(x)


def logistic_bound(x: Tensor) -> float:
    """¼ λ₁(XᵀX/n): no Hessian of binary logistic regression has a larger eigenvalue."""
    return float(torch.linalg.eigvalsh(x.T @ x / len(x))[-1]) / 4


# --- dense float64 autograd --------------------------------------------------------------------


class Reference:
    """A problem in float64 as a function of one flat vector, with its own weighting of batches."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.model = copy.deepcopy(problem.model).double().requires_grad_(False)
        for module in self.model.modules():
            module.training = False
        owned = {name: p.detach().double() for name, p in self.model.named_parameters()}
        self.kept = {
            name: problem.masks.get(name, torch.ones_like(owned[name], dtype=torch.bool))
            for name in problem.studied
        }
        self.owned = owned
        self.theta = torch.cat([owned[name][kept] for name, kept in self.kept.items()])
        self.batches = [_doubled(item, keep_labels=problem.loss == "hf") for item in problem.data]
        counts = [self._terms(self._outputs(self.theta, b), b)[1] for b in self.batches]
        self.count = sum(counts)

    def loss(self, theta: Tensor) -> Tensor:
        """The sum over what counts, divided by the count."""
        with math_attention():
            sums = [self._terms(self._outputs(theta, b), b)[0] for b in self.batches]
        return torch.stack(sums).sum() / self.count

    def gradient(self, theta: Tensor) -> Tensor:
        theta = theta.detach().requires_grad_()
        return torch.autograd.grad(self.loss(theta), theta)[0]

    def hessian(self) -> Tensor:
        """The dense Hessian (n, n): forward over reverse, or twice reverse where that is wrong.

        torch.func.hessian returns an asymmetric matrix for LayerNorm (torch 2.10 … 2.15); which of
        the two is right, central differences decide in `test_hessian.py`.
        """
        if self.problem.functional:
            return hessian(self.loss)(self.theta).detach()
        theta = self.theta.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(self.loss(theta), theta, create_graph=True)
        rows = [torch.autograd.grad(g, theta, retain_graph=True)[0] for g in gradient]
        return torch.stack(rows)

    def differences(self, direction: Tensor, step: float = 1e-6) -> Tensor:
        """H v by central differences of the gradient."""
        ahead = self.gradient(self.theta + step * direction)
        behind = self.gradient(self.theta - step * direction)
        return (ahead - behind) / (2 * step)

    def gauss_newton(self) -> Tensor:
        """Σ Jᵢᵀ (∂²ℓᵢ/∂z²) Jᵢ / count, with the closed form of the loss's second derivative."""
        total = torch.zeros(len(self.theta), len(self.theta), dtype=F64)
        for batch in self.batches:
            with math_attention():
                outputs = self._outputs(self.theta, batch).detach()
                jacobian = _jacobian(lambda t, b=batch: self._outputs(t, b), self.theta)
            total += _sandwich(self.problem, jacobian, outputs, batch[2])
        return total / self.count

    def _terms(self, outputs: Any, batch: tuple[Any, Any, Any]) -> tuple[Tensor, int]:
        return self.problem.terms(outputs, batch[2])

    def _outputs(self, theta: Tensor, batch: tuple[Any, Any, Any]) -> Any:
        args, kwargs, _ = batch
        tensors, start = {}, 0
        for name, kept in self.kept.items():
            size = int(kept.sum())
            whole = self.owned[name]
            flat = whole.reshape(-1).index_copy(
                0, kept.reshape(-1).nonzero()[:, 0], theta[start : start + size]
            )
            tensors[name] = flat.view_as(whole)
            start += size
        return functional_call(self.model, tensors, args, kwargs)


@contextmanager
def math_attention() -> Iterator[None]:
    with sdpa_kernel(SDPBackend.MATH):
        yield


def dense(products: Callable[[Tensor], Tensor], size: int) -> Tensor:
    """The matrix whose products with vectors are given."""
    return torch.stack([products(row) for row in torch.eye(size, dtype=F64)], dim=1)


def log_softmax_loss(logits: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Summed −log softmax at labels ≥ 0, classes on the last axis; and how many labels count."""
    logits, labels = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    counted = labels >= 0
    chosen = logits[counted].gather(1, labels[counted][:, None])[:, 0]
    return (logits[counted].logsumexp(1) - chosen).sum(), int(counted.sum())


def _doubled(item: Any, *, keep_labels: bool) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    def raised(value: Any) -> Any:
        floating = isinstance(value, Tensor) and value.is_floating_point()
        return value.double() if floating else value

    if isinstance(item, Mapping):
        named = {key: raised(value) for key, value in item.items()}
        labels = named["labels"] if keep_labels else named.pop("labels")
        return (), named, labels
    return (raised(item[0]),), {}, raised(item[1])


def _jacobian(function: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    try:
        return jacrev(function)(theta)
    except RuntimeError:  # vmap is missing for some recurrent kernels
        theta = theta.detach().requires_grad_()
        outputs = function(theta)
        rows = [
            torch.autograd.grad(one, theta, retain_graph=True)[0] for one in outputs.reshape(-1)
        ]
        return torch.stack(rows).view(*outputs.shape, -1)


def _sandwich(problem: Problem, jacobian: Tensor, outputs: Tensor, targets: Tensor) -> Tensor:
    n = jacobian.shape[-1]
    if problem.curvature == "softmax":
        axis, last = problem.classes_axis % outputs.dim(), outputs.dim() - 1
        outputs, jacobian = outputs.movedim(axis, last), jacobian.movedim(axis, last)
        p = outputs.softmax(-1).reshape(-1, outputs.shape[-1])
        j = jacobian.reshape(-1, outputs.shape[-1], n)
        if not targets.is_floating_point():
            counted = targets.reshape(-1) >= 0
            p, j = p[counted], j[counted]
        weight = targets.sum(1) if targets.is_floating_point() else torch.ones(len(p), dtype=F64)
        mean = torch.einsum("ic,icn->in", p, j)
        return torch.einsum("i,ic,icn,icm->nm", weight, p, j, j) - (mean.T * weight) @ mean
    z, j = outputs.reshape(-1), jacobian.reshape(-1, n)
    second = {
        "square": 2 * torch.ones_like(z),
        "sigmoid": torch.sigmoid(z) * torch.sigmoid(-z),
        "logcosh": 1 / torch.cosh(z - targets.reshape(-1).to(z.dtype)) ** 2,
    }[problem.curvature]
    return j.T @ (second[:, None] * j)


def relative(difference: Tensor | np.ndarray, scale: Tensor | np.ndarray) -> float:
    """The largest difference, in units of the largest |entry| of the scale."""
    return float(abs(difference).max()) / max(float(abs(scale).max()), 1e-300)
