"""The Hessian of the mean loss."""

from __future__ import annotations

from landscape.operators.curvature import CurvatureOperator
from landscape.operators.local import LocalHessian
from landscape.subject.batch import Batch


class HessianOperator(CurvatureOperator):
    """v ↦ ∇²L(θ) v over the studied parameters, exact over the whole dataset.

    Attention runs on the kernel that can be differentiated twice while products are set up.

    Cost of a block of k products: k to 2k gradients, by the network and the way.

    Source: Pearlmutter 1994.
    """

    def local(self, batch: Batch) -> LocalHessian:
        """Return the share of a micro-batch."""
        return LocalHessian(self.subject.objective(self.point, batch), self.point.theta)
