"""The full tangent kernel by its products, where it is too large to be held."""

from __future__ import annotations

import torch
from torch import Tensor

from landscape.errors import LandscapeError, ModelError, NumericalError, out_of_memory
from landscape.linalg.operator import LinearOperator
from landscape.linalg.products import dots
from landscape.operators.graph import refuse_once_differentiable
from landscape.operators.local import transposed_products
from landscape.operators.memory import block_size
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.regrouping import regrouped
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention
from landscape.tangent.calling import called, counted_outputs, outputs_of
from landscape.tangent.certificate import AGREEMENT

TOGETHER = 64  # samples whose graph is held at a time, unless the subject says otherwise


class TangentOperator(LinearOperator):
    """v ↦ J (Jᵀ v) over the outputs of some samples that the loss reads (N O), samples major.

    Jᵀ v is one backward pass; J w is the derivative of Jᵀ u in u along w, so that no operation
    needs a forward mode. Neither kernel nor Jacobian is formed.

    Args:
        subject: In eval mode, so that samples do not depend on one another.
        batches: Samples on the subject's device; None: all of its data.

    Raises:
        SettingError: The subject is in train mode.
        ModelError: A part of the network can be differentiated once only.

    Cost of a block of k products: three forward passes, 2 k + 1 backward passes.

    Source: Pearlmutter 1994 (products with derivatives); Novak et al. 2022, arXiv 2206.08720, §3.2.
    """

    def __init__(self, subject: Subject, batches: list[Batch] | None = None) -> None:
        subject.refuse_dependent("a tangent kernel")
        given = batches if batches is not None else list(subject.device_batches())
        self.subject = subject
        self.batches = list(regrouped(given, subject.batch_size or TOGETHER))
        self.outputs = outputs_of(subject, given[0])
        self.samples = sum(one.samples for one in given)
        theta = subject.point.theta
        parts = [counted_outputs(subject, batch) for batch in self.batches]
        self._counted = None
        if any(part is not None for part in parts):
            shapes = [(batch.samples, self.outputs) for batch in self.batches]
            pairs = zip(parts, shapes, strict=True)
            rows = [torch.ones(s, dtype=torch.bool) if p is None else p.cpu() for p, s in pairs]
            self._counted = torch.cat(rows).flatten().nonzero()[:, 0].to(theta.device)
        size = self.samples * self.outputs if self._counted is None else len(self._counted)
        super().__init__((size, size), dtype=theta.dtype, device=theta.device)
        self.preferred_block = block_size(theta)
        self._scale = 0.0  # the largest ‖Jᵀ v‖² / ‖v‖² so far

    def _products(self, rows: Tensor) -> Tensor:
        subject = self.subject
        try:
            with subject.undisturbed(0), differentiable_attention(), torch.enable_grad():
                pulled = self._pulled(self._spread(rows))
                pushed = torch.cat([self._pushed(batch, pulled) for batch in self.batches], 1)
        except LandscapeError:
            raise
        except Exception as error:
            if (resources := out_of_memory(error)) is not None:
                raise resources from error
            raise
        pushed = pushed if self._counted is None else pushed[:, self._counted]
        self._check(rows, pushed, pulled)
        count_products(len(rows))
        return pushed

    def _spread(self, rows: Tensor) -> Tensor:  # (k, N O)
        """Return rows with zeros where the loss reads no output."""
        if self._counted is None:
            return rows
        whole = rows.new_zeros(len(rows), self.samples * self.outputs)
        whole[:, self._counted] = rows
        return whole

    def _check(self, rows: Tensor, pushed: Tensor, pulled: Tensor) -> None:
        """Hold vᵀ K v against ‖Jᵀ v‖², which a plain backward pass gave.

        Their difference is measured by the largest that any v so far had: both are rounding for a v
        that K maps to nothing.

        Raises:
            NumericalError: They differ, so that a second derivative of PyTorch is wrong.
        """
        inner, length, own = (
            dots(*pair).diagonal() for pair in ((rows, pushed), (pulled, pulled), (rows, rows))
        )
        inner, length = ((one / own.clamp_min(1e-300)) for one in (inner, length))
        self._scale = max(self._scale, float(length.max()))
        gap = float((inner - length).abs().max())
        if not gap <= AGREEMENT[self.dtype] * self._scale:
            raise NumericalError(
                "the products of the tangent kernel are not those of J Jᵀ",
                where="tangent kernel",
                why=f"vᵀKv and ‖Jᵀv‖² differ by {gap / (self._scale or 1.0):.1e}: "
                "an operation has a wrong second derivative",
                hint="use --kind full or trace, which need none",
            )

    def _pulled(self, rows: Tensor) -> Tensor:  # (k, P)
        """Return Jᵀ v for rows (k, N O)."""
        theta = self._theta()
        total = torch.zeros(len(rows), theta.numel(), dtype=self.dtype, device=self.device)
        for batch, part in zip(self.batches, self._parts(rows), strict=True):
            total += transposed_products(self._called(theta, batch), theta, part)
        return total

    def _parts(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Return the columns of every batch."""
        return rows.split([one.samples * self.outputs for one in self.batches], 1)

    def _pushed(self, batch: Batch, rows: Tensor) -> Tensor:  # (k, n O)
        """Return J w for rows (k, P)."""
        theta = self._theta()
        outputs = self._called(theta, batch)
        if not outputs.requires_grad:
            return rows.new_zeros(len(rows), outputs.numel())
        _refuse_once_differentiable(outputs)
        weights = torch.zeros_like(outputs, requires_grad=True)
        (pulled,) = torch.autograd.grad(outputs, theta, weights, create_graph=True)
        return transposed_products(pulled, weights, rows).flatten(1)

    def _theta(self) -> Tensor:
        return self.subject.point.theta.detach().requires_grad_()

    def _called(self, theta: Tensor, batch: Batch) -> Tensor:
        point = self.subject.point.moved(theta)
        return called(self.subject, self.subject.network.tensors(point), batch)


def _refuse_once_differentiable(outputs: Tensor) -> None:
    try:
        refuse_once_differentiable(outputs)
    except NotImplementedError as error:
        raise ModelError(
            "the network cannot be differentiated twice",
            where="tangent kernel",
            why=str(error),
            hint="use --kind full or trace, which need first derivatives only",
        ) from error
