"""The Jacobian of layers in the network's input, one matrix for each sample."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from landscape.linalg.operator import LinearOperator
from landscape.operators.graph import refuse_once_differentiable
from landscape.operators.local import transposed_products
from landscape.subject.activations import observing
from landscape.subject.batch import Batch
from landscape.subject.cost import count_products
from landscape.subject.outputs import logits_of
from landscape.subject.point import Point
from landscape.subject.subject import Subject

OUTPUT = "output"  # the network's, under which it stands beside its layers
ROWS = 64  # of Jacobians that are pulled back at a time
UNBATCHED = re.compile(r"vmap|functorch|batching rule|storage|data pointer", re.IGNORECASE)


class InputJacobian:
    """Jᵀ of some layers' outputs in the input, from one forward pass whose graph is kept.

    The input is the first tensor of real numbers that the network is called with; where there is
    none, as in a language model, the first one that a module gives: the embedded tokens. Samples
    must not mix: the Jacobian of each is a block.

    Args:
        subject: Network and loss; the caller guards it.
        point: Where.
        batch: Some samples.
        names: Of modules whose first output is a target; the network's own comes last.

    Cost: a forward pass.
    """

    def __init__(self, subject: Subject, point: Point, batch: Batch, names: Iterable[str]) -> None:
        self._names = set(names)
        self._size = batch.samples
        self.source: Tensor | None = None
        self.origin = "input"
        self.targets: dict[str, Tensor] = {}
        given = self._rooted(batch)
        with self._placing(subject), observing(subject, _nothing, self._left):
            outputs = logits_of(subject.outputs(point, given))
        if self._of_samples(outputs):
            same = [name for name, one in self.targets.items() if _equal(one, outputs)]
            for name in same:  # the last layer's output is the network's
                del self.targets[name]
            self.targets[OUTPUT] = outputs

    @property
    def inputs(self) -> int:
        """Return n, the numbers of one sample's input."""
        return self.source[0].numel() if self.source is not None else 0

    def pulled(self, name: str, rows: Tensor) -> Tensor:  # (k, b, n)
        """Return Jᵀ u for rows u (k, b, m), for every sample its own."""
        target, source = self.targets[name], self.source
        if source is None or not target.requires_grad:
            return rows.new_zeros(*rows.shape[:2], self.inputs)
        parts = [self._pulled(target, source, part) for part in rows.split(ROWS)]
        return torch.cat(parts).flatten(2)

    def dense(self, name: str) -> Tensor:  # (b, m, n)
        """Return the Jacobian of every sample. Cost: m backward passes."""
        target = self.targets[name]
        size = target[0].numel()
        unit = torch.eye(size, dtype=target.dtype, device=target.device)
        rows = unit[:, None].expand(size, len(target), size)
        return self.pulled(name, rows).movedim(0, 1)

    def gram(self, name: str, sample: int) -> JacobianGram:
        """Return Jᵀ J of one sample."""
        return JacobianGram(self, name, sample)

    def _pulled(self, target: Tensor, source: Tensor, rows: Tensor) -> Tensor:
        shaped = rows.reshape(len(rows), *target.shape)
        try:
            (found,) = torch.autograd.grad(
                target, source, shaped, retain_graph=True, is_grads_batched=True, allow_unused=True
            )
        except RuntimeError as error:
            if UNBATCHED.search(str(error)) is None:
                raise
            return transposed_products(target, source, shaped)
        return found if found is not None else source.new_zeros(len(rows), *source.shape)

    def _rooted(self, batch: Batch) -> Batch:
        """Return the batch with its first real input as the source, if it has one."""
        inputs = Batch(batch.args, batch.kwargs, None)
        first = next((t for t in inputs.tensors() if self._of_samples(t)), None)
        if first is None:
            return batch
        self.source = first.detach().clone().requires_grad_()
        return batch.mapped(lambda t: self.source if t is first else t)  # type: ignore[return-value]

    def _of_samples(self, tensor: Tensor) -> bool:
        return tensor.is_floating_point() and tensor.dim() > 1 and len(tensor) == self._size

    @contextmanager
    def _placing(self, subject: Subject) -> Iterator[None]:
        """Let the first real numbers inside the network be the source, where the input has none."""
        if self.source is not None:
            yield
            return

        def hook(name: str) -> Any:
            def placed(module: nn.Module, given: Any, output: Any) -> Any:
                del module, given
                if self.source is None and isinstance(output, Tensor) and self._of_samples(output):
                    self.source, self.origin = output.detach().clone().requires_grad_(), name
                    return self.source.clone()
                return None

            return placed

        leaves = [(n, m) for n, m in subject.network.model.named_modules() if not any(m.children())]
        handles = [module.register_forward_hook(hook(name)) for name, module in leaves]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _left(self, name: str, module: nn.Module, output: Tensor | None) -> None:
        del module
        wanted = name in self._names and name not in self.targets
        if wanted and output is not None and self._of_samples(output):
            self.targets[name] = output.clone()  # what follows may write into it


class JacobianGram(LinearOperator):
    """Jᵀ J of one sample, n × n, whose eigenvalues are the squared singular values of J.

    J v is the derivative of Jᵀ w in w. Cost of a product: two backward passes.
    """

    def __init__(self, jacobian: InputJacobian, name: str, sample: int) -> None:
        target, size = jacobian.targets[name], jacobian.inputs
        super().__init__((size, size), dtype=target.dtype, device=target.device)
        source = jacobian.source if jacobian.source is not None else target
        self._source, self._target, self._sample = source, target, sample
        refuse_once_differentiable(target)
        self._weights = torch.zeros_like(target, requires_grad=True)
        (self._pulled,) = torch.autograd.grad(target, source, self._weights, create_graph=True)

    def _products(self, rows: Tensor) -> Tensor:
        whole = rows.new_zeros(len(rows), *self._source.shape)
        whole[:, self._sample] = rows.view(len(rows), *self._source.shape[1:])
        pushed = transposed_products(self._pulled, self._weights, whole)
        pushed[:, : self._sample] = 0
        pushed[:, self._sample + 1 :] = 0
        pulled = transposed_products(self._target, self._source, pushed)
        count_products(len(rows))
        return pulled[:, self._sample].flatten(1)


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _nothing(name: str, module: nn.Module, given: Tensor | None) -> None:
    del name, module, given
