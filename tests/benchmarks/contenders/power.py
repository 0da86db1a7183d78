"""PyHessian 0.1: one batch with its graph kept, or a loader."""

from __future__ import annotations

import warnings
from typing import Any, ClassVar

import numpy as np
import torch
from pyhessian import hessian
from pyhessian.utils import hessian_vector_product
from torch import Tensor

from tests.benchmarks.contenders.contract import Contender, Measure, Top, UnableError
from tests.benchmarks.problems import Problem


class PyHessian(Contender):
    """As its documentation shows it; several batches go in as a loader.

    The efforts of the trace are the largest numbers of probes: the first with its own stopping
    rule, the others without. The eigenvalues have its defaults only: 100 iterations, 1e-3.
    """

    efforts: ClassVar = {
        "top10": (100,),
        "trace": (100, 400, 1600, 6400),
        "density": (100,),
    }
    always_loader = False

    def setup(self, problem: Problem) -> None:
        self.problem = problem
        self.loader = self.always_loader or len(problem.batches) > 1
        batches = problem.batches
        data: dict[str, Any] = {"dataloader": batches} if self.loader else {"data": batches[0]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that backward(create_graph=True) leaks
            cuda = problem.parameters[0].device.type == "cuda"
            self.hessian = hessian(problem.model, problem.loss, cuda=cuda, **data)

    def product(self, vector: Tensor) -> Tensor:
        return self._image(vector)

    def _image(self, vector: Tensor) -> Tensor:
        parts = self.problem.parts(vector)
        if self.loader:
            _, images = self.hessian.dataloader_hv_product(parts)
        else:
            images = hessian_vector_product(self.hessian.gradsH, self.hessian.params, parts)
        return self.problem.vector(images)

    def top10(self, effort: float, seed: int) -> Top:
        torch.manual_seed(seed)
        values, vectors = self.hessian.eigenvalues(maxIter=int(effort), top_n=10)
        return self._checked(values, vectors)

    def _checked(self, values: list[float], vectors: list[list[Tensor]]) -> Top:
        rows = torch.stack([self.problem.vector(parts) for parts in vectors])
        rows = rows / torch.linalg.vector_norm(rows, dim=1, keepdim=True)
        return Top.checked(np.array(values), rows, torch.stack([self._image(v) for v in rows]))

    def trace(self, effort: float, seed: int) -> float:
        torch.manual_seed(seed)
        own_rule = effort == self.efforts["trace"][0]
        draws = self.hessian.trace(maxIter=int(effort), tol=1e-3 if own_rule else -np.inf)
        return float(np.mean(draws))

    def density(self, effort: float, seed: int) -> Measure:
        torch.manual_seed(seed)
        nodes, weights = self.hessian.density(iter=int(effort), n_v=1)
        return Measure(np.real(nodes[0]), np.real(weights[0]))


class PyHessianTight(PyHessian):
    """Power iteration until it is accurate: its own stopping rule, tightened. Pairs only."""

    efforts: ClassVar = {"top10": (1e-4, 1e-5, 1e-6, 1e-7)}

    def product(self, vector: Tensor) -> Tensor:
        raise UnableError("as pyhessian")

    def top10(self, effort: float, seed: int) -> Top:
        torch.manual_seed(seed)
        values, vectors = self.hessian.eigenvalues(maxIter=10_000, tol=effort, top_n=10)
        return self._checked(values, vectors)


class PyHessianLoader(PyHessian):
    """A single batch as a loader: what most users of PyHessian run."""

    always_loader = True

    def setup(self, problem: Problem) -> None:
        if len(problem.batches) > 1:
            raise UnableError("several batches are a loader already")
        super().setup(problem)
