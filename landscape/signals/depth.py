"""How the lengths of the matrices' gradients go with depth: do they explode or vanish?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from landscape.estimate import Estimate
from landscape.signals.trend import theil_sen
from landscape.subject.subject import Subject


def matrices_of(subject: Subject, order: Sequence[str]) -> list[str]:
    """Return the studied weights of two or more axes, in the order of computation.

    Args:
        subject: What is studied.
        order: Names of modules as they are called; those that are not among them come where they
            were registered.
    """
    blocks = [block.name for block in subject.parameters.blocks if len(block.shape) > 1]
    place = {name: number for number, name in enumerate(dict.fromkeys(order))}
    known = [place[_module(name)] for name in blocks if _module(name) in place]
    if len(known) < len(blocks):  # some are never called as modules: one order for all
        return blocks
    return sorted(blocks, key=lambda name: place[_module(name)])


def trend_of(gradients: Mapping[str, Tensor], names: Sequence[str]) -> Estimate | None:
    """Return the Theil-Sen slope of ln ‖g_l‖ in the number l of the matrix; None from too few.

    From one matrix to the next, towards the output, gradients grow by a factor e^slope: above 0
    they vanish towards the input, below 0 they explode.
    """
    lengths = [float(torch.linalg.vector_norm(gradients[n], dtype=torch.float64)) for n in names]
    with np.errstate(divide="ignore"):
        logs = np.log(np.array(lengths, dtype=np.float64))
    return theil_sen(np.arange(len(names), dtype=np.float64), logs, method="Theil-Sen over depth")


def _module(name: str) -> str:
    return name.rpartition(".")[0]
