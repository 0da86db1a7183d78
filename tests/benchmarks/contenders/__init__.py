"""Who is compared: by name, where the class is. A module is imported in its own process only."""

from __future__ import annotations

from importlib import import_module

from tests.benchmarks.contenders.contract import Contender

HERE = "tests.benchmarks.contenders"
CONTENDERS = {
    "landscape": f"{HERE}.ours:Landscape",
    "landscape-compiled": f"{HERE}.ours:LandscapeCompiled",
    "pyhessian": f"{HERE}.power:PyHessian",
    "pyhessian-tight": f"{HERE}.power:PyHessianTight",
    "pyhessian-loader": f"{HERE}.power:PyHessianLoader",
    "curvlinops": f"{HERE}.linops:CurvLinOps",
    "curvlinops-xtrace": f"{HERE}.linops:CurvLinOpsXTrace",
    "curvlinops-compiled": f"{HERE}.linops:CurvLinOpsCompiled",
    "torch.func": f"{HERE}.naive:ForwardOverReverse",
    "torch.func-compiled": f"{HERE}.naive:ForwardOverReverseCompiled",
    "double-backward": f"{HERE}.naive:DoubleBackward",
}


def contender(name: str) -> Contender:
    """Return a contender by its name, or by `module:Class`."""
    module, _, attribute = CONTENDERS.get(name, name).partition(":")
    return getattr(import_module(module), attribute)()
