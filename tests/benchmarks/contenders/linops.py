"""curvlinops 3.0.1: single and matrix products, ARPACK, Hutchinson, Lanczos densities.

Its check of determinism is switched off, which saves it two products at set-up.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from curvlinops import HessianLinearOperator, hutchinson_trace, xtrace
from curvlinops.papyan2020traces.spectrum import fast_lanczos
from scipy.sparse.linalg import eigsh
from torch import Tensor

from tests.benchmarks.contenders.contract import Contender, Measure, Top, UnableError
from tests.benchmarks.problems import Problem


class CurvLinOps(Contender):
    """As its documentation shows it.

    Efforts: the tolerance of ARPACK; the products of the trace; the steps of the density, whose
    nodes are taken as they are, without the smoothing, which adds distance, and without the search
    for the boundaries, which costs products.
    """

    efforts: ClassVar = {
        "top10": (0.1, 3e-2, 1e-2, 3e-3, 1e-3, 1e-4, 1e-5),
        "trace": (16, 32, 64, 128, 256, 512, 1024),
        "density": (2, 4, 8, 16, 32, 64),
    }

    def setup(self, problem: Problem) -> None:
        self.operator = HessianLinearOperator(
            problem.model,
            problem.loss,  # pyright: ignore[reportArgumentType]
            problem.parameters,
            problem.batches,
            check_deterministic=False,
            num_data=sum(len(inputs) for inputs, _ in problem.batches),
        )

    def product(self, vector: Tensor) -> Tensor:
        return self.operator @ vector  # pyright: ignore[reportReturnType]

    def products(self, columns: Tensor) -> Tensor:
        return self.operator @ columns  # pyright: ignore[reportReturnType]

    def top10(self, effort: float, seed: int) -> Top:
        start = np.random.default_rng(seed).standard_normal(self.operator.shape[0])
        settings: dict[str, Any] = {"k": 10, "which": "LA", "tol": effort, "v0": start}
        values, vectors = eigsh(self.operator.to_scipy(), **settings)
        rows = torch.as_tensor(vectors.T[::-1].copy(), dtype=self.operator.dtype)
        rows = rows.to(self.operator.device)
        return Top.checked(values[::-1].copy(), rows, self.products(rows.T).T)

    def trace(self, effort: float, seed: int) -> float:
        torch.manual_seed(seed)
        return float(self._estimator(self.operator, int(effort)))

    _estimator = staticmethod(hutchinson_trace)

    def density(self, effort: float, seed: int) -> Measure:
        torch.manual_seed(seed)
        runs = [fast_lanczos(self.operator, int(effort)) for _ in range(8)]
        nodes = np.concatenate([values.numpy(force=True) for values, _ in runs])
        weights = np.concatenate([vectors[0].square().numpy(force=True) for _, vectors in runs])
        return Measure(nodes, weights / weights.sum())


class CurvLinOpsXTrace(CurvLinOps):
    """The same with XTrace (Epperly, Tropp & Webber 2024)."""

    efforts: ClassVar = {"trace": CurvLinOps.efforts["trace"]}
    _estimator = staticmethod(xtrace)

    def product(self, vector: Tensor) -> Tensor:
        raise UnableError("as curvlinops")

    def products(self, columns: Tensor) -> Tensor:
        raise UnableError("as curvlinops")


class CurvLinOpsCompiled(CurvLinOps):
    """The products compiled as a whole; eigenpairs, trace and density are those of the above."""

    efforts: ClassVar = {}

    def setup(self, problem: Problem) -> None:
        super().setup(problem)
        operator = self.operator
        self.compiled = torch.compile(lambda right: operator @ right)

    def product(self, vector: Tensor) -> Tensor:
        return self.compiled(vector)

    def products(self, columns: Tensor) -> Tensor:
        return self.compiled(columns)
