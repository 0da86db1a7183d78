"""The Lipschitz constant of a network from above, over its exported graph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape import progress
from landscape.lipschitz import rules
from landscape.lipschitz.bounds import Bounds, Certify, FoundChain
from landscape.lipschitz.pieces import Piece, Scale
from landscape.lipschitz.reading import graph_of, inputs_of
from landscape.lipschitz.singular import Attained, largest_singular
from landscape.lipschitz.value import Layer, NoRuleError, Refusal, Value
from landscape.lipschitz.walk import Inputs, Walk, walk
from landscape.subject.graph import Exported
from landscape.subject.point import Point
from landscape.subject.subject import Subject

Domain = Literal["global", "ball"]

RULES = rules.RULES  # registered by importing them


@dataclass(frozen=True, kw_only=True)
class LayerNorm:
    """The constant of one layer between two numbers.

    Args:
        name: Of the module, or of the operation where it is no module's.
        operation: What it computes.
        upper: No smaller constant is proved.
        lower: Reached by some input; NaN where none was looked for.
        note: On what the constant holds.
    """

    name: str
    operation: str
    upper: float
    lower: float
    note: str


@dataclass(frozen=True, kw_only=True)
class NetworkBound:
    """What is proved of a network.

    Args:
        domain: Where the bound holds: everywhere, or on the ball ‖x‖ ≤ radius.
        radius: Of the ball, in ℓ₂ of a sample; ∞: everywhere.
        upper: Of the Lipschitz constant; ∞ where an operation is refused.
        layers: Each by itself.
        refused: Operations that have no bound on the domain.
        unbounded: Operations that have one on a ball only, which is why `domain` is one.
        chains: Feed-forward parts that were certified as a whole.
        floating: Whether an input is a vector of numbers; else the domain is sequences of rows of
            the embedding's table.
        vectors: What attains the norms of linear layers, one after the other (N,), float32.
    """

    domain: Domain
    radius: float
    upper: float
    layers: tuple[LayerNorm, ...]
    refused: tuple[Refusal, ...]
    unbounded: tuple[Refusal, ...]
    chains: tuple[FoundChain, ...]
    floating: bool
    vectors: np.ndarray


def network_bound(
    subject: Subject,
    point: Point,
    *,
    domain: Literal["auto", "global", "ball"] = "auto",
    radius: float | None = None,
    certify: Certify | None = None,
    starts: np.ndarray | None = None,
    generator: torch.Generator,
) -> NetworkBound:
    """Return an upper bound of the Lipschitz constant of one sample's outputs in its inputs.

    The forward in eval mode is exported; every value is a linear expression in what nonlinear
    operations give. Constants multiply along chains, add at sums, and add in squares at
    concatenations; consecutive linear maps are one map where their matrix or convolution is; a
    chain of matrices is handed to `certify`; channels between layers are rescaled. What has no rule
    is refused by name.

    Args:
        subject: Is left undisturbed.
        point: Where.
        domain: `auto`: everywhere, or on the ball where some operation is not globally Lipschitz.
        radius: Of the ball round the origin; None: the longest sample's norm.
        certify: (name, chain) ↦ its certified constant.
        starts: What `vectors` of the checkpoint before were: the searches start there.
        generator: Draws the other starts.

    Raises:
        ModelError: No graph can be made.
    """
    found, sample = graph_of(subject)
    inputs = inputs_of(found, sample, subject, point)
    device = subject.device
    with subject.undisturbed(0), torch.no_grad():
        idle = Walk(Bounds(idle=True), math.inf, device)
        _outputs(found, inputs, idle)
        needed = tuple(one for one in idle.refused if one.local)
        chosen: Domain = "ball" if domain == "ball" or (domain == "auto" and needed) else "global"
        if chosen == "ball":
            reach = longest(subject) if radius is None and inputs.varying else radius or 0.0
        else:
            reach = math.inf
        state = Walk(Bounds(certify), reach, device, idle.known)
        total = len(found.graph.nodes)
        with progress.task("operations of the network", total) as task:
            outputs = _outputs(found, inputs, state, task)
            upper = math.inf
            if outputs is not None and not state.refused:
                upper = state.bounds.of(outputs.expression)
        layers, vectors = _layers(state.layers, starts, generator)
    return NetworkBound(
        domain=chosen,
        radius=state.radius,
        upper=upper,
        layers=layers,
        refused=tuple(state.refused),
        unbounded=needed if chosen == "ball" else (),
        chains=tuple(state.bounds.chains),
        floating=bool(inputs.varying),
        vectors=vectors,
    )


def _outputs(
    found: Exported, inputs: Inputs, state: Walk, task: progress.Task | None = None
) -> Value | None:
    try:
        return walk(found, inputs, state, task=task)
    except NoRuleError as error:
        state.refused.append(Refusal("output", "", error.reason, local=False))
        return None


def longest(subject: Subject) -> float:
    """Return the largest ℓ₂ norm of a sample, over all of its floating inputs."""
    most = 0.0
    for batch in subject.device_batches():
        leaves = pytree.tree_leaves((batch.args, dict(batch.kwargs)))
        total = torch.zeros(batch.samples, dtype=torch.float64, device=subject.device)
        for leaf in leaves:
            if isinstance(leaf, Tensor) and leaf.is_floating_point() and len(leaf) == len(total):
                total += leaf.detach().double().reshape(len(total), -1).square().sum(1)
        most = max(most, float(total.max().sqrt()))
    return most


def _layers(
    layers: list[Layer], before: np.ndarray | None, generator: torch.Generator
) -> tuple[tuple[LayerNorm, ...], np.ndarray]:
    """Return the norms of layers, and the vectors that attain those of linear ones."""
    pieces = [one.piece.core for one in layers if one.piece is not None and _searched(one)]
    sizes = [math.prod(one.entering) for one in pieces]
    starts = None
    if before is not None and len(before) == sum(sizes):
        starts = iter(np.split(before, np.cumsum(sizes)[:-1]))
    found, vectors, seen = [], list[np.ndarray](), dict[str, int]()
    with progress.task("norms of layers", len(layers)) as task:
        for layer in layers:
            turn = seen[layer.name] = seen.get(layer.name, 0) + 1
            name = layer.name if turn == 1 else f"{layer.name} ({turn})"
            if layer.piece is None or not _searched(layer):
                found.append(_known(layer, name))
            else:
                start = next(starts) if starts is not None else None
                attained = _search(layer.piece.core, start, generator)
                vectors.append(attained.vector.float().flatten().cpu().numpy())
                found.append(_between(layer, layer.piece, name, attained.value))
            task.advance()
    return tuple(found), np.concatenate([np.zeros(0, np.float32), *vectors])


def _searched(layer: Layer) -> bool:
    """Return whether the norm from below is to be searched for."""
    return layer.piece is not None and not isinstance(layer.piece, Scale)


def _known(layer: Layer, name: str) -> LayerNorm:
    constant = layer.piece.norm if layer.piece is not None else layer.constant
    return LayerNorm(
        name=name,
        operation=layer.operation,
        upper=constant,
        lower=constant if layer.piece is not None else layer.attained,
        note=layer.note,
    )


def _search(piece: Piece, start: np.ndarray | None, generator: torch.Generator) -> Attained:
    if start is not None and start.any():
        warm = torch.from_numpy(start.copy()).double().reshape(piece.entering)
        return largest_singular(piece.apply, warm.to(piece.device), quick=True)
    drawn = torch.randn(piece.entering, dtype=torch.float64, generator=generator)
    return largest_singular(piece.apply, drawn.to(piece.device))


def _between(layer: Layer, piece: Piece, name: str, lower: float) -> LayerNorm:
    return LayerNorm(
        name=name,
        operation=layer.operation,
        upper=max(piece.norm, lower),
        lower=lower,
        note=layer.note,
    )
