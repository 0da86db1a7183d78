"""This library: the Hessian operator, block Lanczos, Hutchinson with an interval, quadrature."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

import landscape as ls
from landscape.linalg.density import spectral_measure
from landscape.linalg.eigenpairs import eigenpairs
from landscape.linalg.trace import estimate_traces
from tests.benchmarks.contenders.contract import Contender, Measure, Top
from tests.benchmarks.problems import Problem


class Landscape(Contender):
    """As `Spectrum` runs it: the trace after ten eigenpairs, which are taken out of it.

    Efforts: the tolerance of the pairs; that of the trace's interval; Lanczos steps.
    """

    efforts: ClassVar = {"top10": (1e-3,), "trace": (0.02,), "density": (2, 4, 8, 16, 32)}
    product_mode = "auto"

    def setup(self, problem: Problem) -> None:
        subject = ls.Subject(
            problem.model,
            loss="ce",
            data=problem.batches,
            device=problem.parameters[0].device,
        )
        chosen: dict[str, Any] = {}
        if "product" in signature(ls.HessianOperator.__init__).parameters:
            chosen["product"] = self.product_mode
        self.operator = ls.HessianOperator(subject, **chosen)

    def product(self, vector: Tensor) -> Tensor:
        return self.operator.matvec(vector)

    def products(self, columns: Tensor) -> Tensor:
        return self.operator.matmat(columns)

    def top10(self, effort: float, seed: int) -> Top:
        source = torch.Generator().manual_seed(seed)
        found = eigenpairs(self.operator, top=10, tolerance=effort, generator=source)
        return Top(found.top.values, found.top.vectors, found.top.residuals)

    def trace(self, effort: float, seed: int) -> float:
        source = torch.Generator().manual_seed(seed)
        known = eigenpairs(self.operator, top=10, tolerance=0.01, generator=source).known
        found = estimate_traces(
            self.operator,
            blocks=[],
            generator=source,
            known=known,
            tolerance=effort,
            max_probes=8192,
        )
        return found.trace.value

    def density(self, effort: float, seed: int) -> Measure:
        source = torch.Generator().manual_seed(seed)
        found = spectral_measure(self.operator, probes=8, steps=int(effort), generator=source)
        nodes = np.concatenate([one.nodes for one in found.quadratures])
        weights = np.concatenate([one.weights for one in found.quadratures])
        return Measure(nodes, weights / weights.sum())

    def attention(self) -> AbstractContextManager[object]:
        return nullcontext()  # seen to by the operator

    @property
    def told(self) -> str:
        engine = getattr(self.operator, "engine", self.operator)
        return str(getattr(engine, "way", None) or "")


class LandscapeCompiled(Landscape):
    product_mode = "compiled"
