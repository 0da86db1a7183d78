"""What a person writes without a library: `jvp` of `grad`, and the double backward pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, grad, jvp, vmap

from tests.benchmarks.contenders.contract import Contender
from tests.benchmarks.data import Batch
from tests.benchmarks.problems import Problem

Images = Callable[..., tuple[Tensor, ...]]  # a batch and vectors, as parts, to products


class ForwardOverReverse(Contender):
    """`jvp(grad(loss))`, and `vmap` of it for several vectors."""

    def setup(self, problem: Problem) -> None:
        self.problem = problem
        names = [name for name, _ in problem.model.named_parameters()]
        tensors = [parameter.detach() for parameter in problem.parameters]

        def one(inputs: Tensor, targets: Tensor, *vectors: Tensor) -> tuple[Tensor, ...]:
            def loss(*weights: Tensor) -> Tensor:
                outputs = functional_call(
                    problem.model, dict(zip(names, weights, strict=True)), inputs
                )
                return problem.loss(outputs, targets)

            gradient = grad(loss, argnums=tuple(range(len(names))))
            return jvp(gradient, tuple(tensors), vectors)[1]

        self.one = self.wrapped(one)
        self.many = self.wrapped(vmap(one, in_dims=(None, None, *[0] * len(names))))

    def wrapped(self, function: Images) -> Images:
        return function

    def product(self, vector: Tensor) -> Tensor:
        parts = self.problem.parts(vector)
        return self._mean(lambda batch: self.problem.vector(self.one(*batch, *parts)))

    def products(self, columns: Tensor) -> Tensor:
        count = columns.shape[1]
        parts = [
            torch.stack(same) for same in zip(*map(self.problem.parts, columns.T), strict=True)
        ]

        def images(batch: Batch) -> Tensor:
            return torch.cat([one.reshape(count, -1) for one in self.many(*batch, *parts)], dim=1)

        return self._mean(images).T

    def _mean(self, function: Callable[[Batch], Tensor]) -> Tensor:
        batches = self.problem.batches
        count = sum(len(inputs) for inputs, _ in batches)
        total = function(batches[0]) * (len(batches[0][0]) / count)
        for batch in batches[1:]:
            total += function(batch) * (len(batch[0]) / count)
        return total


class ForwardOverReverseCompiled(ForwardOverReverse):
    """The same, compiled as a whole."""

    def wrapped(self, function: Images) -> Images:
        return torch.compile(function)


class DoubleBackward(Contender):
    """The gradient's graph, built at every call, differentiated once more.

    Several vectors share one graph, and the second pass is batched where PyTorch can.
    """

    def setup(self, problem: Problem) -> None:
        self.problem = problem

    def product(self, vector: Tensor) -> Tensor:
        return self.products(vector.unsqueeze(1)).squeeze(1)

    def products(self, columns: Tensor) -> Tensor:
        problem = self.problem
        count = sum(len(inputs) for inputs, _ in problem.batches)
        total = torch.zeros_like(columns.T)
        for inputs, targets in problem.batches:
            loss = problem.loss(problem.model(inputs), targets)
            parts = torch.autograd.grad(loss, problem.parameters, create_graph=True)
            total += self._second(problem.vector(parts), columns.T) * (len(inputs) / count)
        return total.T

    def _second(self, gradient: Tensor, rows: Tensor) -> Tensor:  # (k, n)
        parameters = self.problem.parameters
        if len(rows) == 1:
            parts = torch.autograd.grad(gradient, parameters, rows[0], materialize_grads=True)
            return self.problem.vector(parts).unsqueeze(0)
        parts = torch.autograd.grad(
            gradient, parameters, rows, is_grads_batched=True, materialize_grads=True
        )
        return torch.cat([part.reshape(len(rows), -1) for part in parts], dim=1)
