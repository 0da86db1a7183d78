"""A proof by trial that a symmetry preserves a network's function, before it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from landscape.errors import ModelError
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention
from landscape.symmetry.defects import told
from landscape.symmetry.groups import Symmetry
from landscape.symmetry.permutation import Permutation
from landscape.symmetry.precision import doubled

TOLERANCE = 1e-10  # relative, in float64: rounding is 1e-15 to 1e-13 in deep networks

_TINY = torch.finfo(torch.float64).tiny


@dataclass(frozen=True)
class Proof:
    """How far a random permutation of every group moved the outputs of a random network.

    Attributes:
        error: max |f(πθ) − f(θ)| / max |f(θ)|, in float64.
        groups: The groups that were permuted.
    """

    error: float
    groups: tuple[str, ...]


def prove(subject: Subject, symmetry: Symmetry, generator: torch.Generator) -> Proof:
    """Return the change of the outputs under a random permutation of every group.

    Weights and running statistics are drawn at random, so that nothing hides behind zeros, ones
    or equal values; where such a network's outputs are not finite or all zero, the checkpoint's
    own weights take their place, each number scaled at random by up to a tenth. The samples are
    those that the graphs were read with; all is computed in float64, also where the network asks
    for less.

    Args:
        subject: The network and data.
        symmetry: Its groups, as inferred from this subject.
        generator: Of the draws, on the CPU.

    Raises:
        ModelError: The relative error exceeds 1e-10, and it names the groups; or the network
            cannot be run in float64.

    Cost: two forward passes over a few samples, and two more for each group when it fails.
    """
    with told("the permutations of this network could not be proved", subject.network.model):
        return _proved(subject, symmetry, generator)


def _proved(subject: Subject, symmetry: Symmetry, generator: torch.Generator) -> Proof:
    batches = [batch.to(subject.device, torch.float64) for batch in symmetry.samples]
    tensors = random_tensors(subject, symmetry, generator)
    before = _outputs(subject, tensors, batches)
    if not all(bool(each.isfinite().all()) and bool(each.any()) for each in before):
        tensors = _perturbed(subject, generator)
        before = _outputs(subject, tensors, batches)
    order = symmetry.random(generator)

    def error(names: Iterable[str]) -> float:
        orders = {name: order.orders[name] for name in names}
        moved = symmetry.apply(Permutation(symmetry.groups, orders), tensors)
        return _difference(_outputs(subject, moved, batches), before)

    names = tuple(order.orders)
    found = error(names) if names else 0.0
    if not found <= TOLERANCE:
        raise _refused(found, {name: error([name]) for name in names})
    return Proof(found, names)


def random_tensors(
    subject: Subject, symmetry: Symmetry, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return random values for weights and running statistics, in float64 on the device.

    Matrices have standard deviation 1/√(fan in), so that activations keep their scale.
    """
    found = {}
    weights = set(subject.network.parameter_names)
    for name, tensor in _doubled(subject).items():
        weight = name in weights
        if not tensor.is_floating_point() or not (weight or name in symmetry.statistics):
            found[name] = tensor
        elif weight:
            fan_in = max(tensor[0].numel(), 1) if tensor.dim() > 1 else 1
            found[name] = _normal(tensor, generator) / math.sqrt(fan_in)
        elif bool((tensor >= 0).all()):
            found[name] = 0.5 + _normal(tensor, generator).abs()  # variances
        else:
            found[name] = _normal(tensor, generator)
    return found


def _perturbed(subject: Subject, generator: torch.Generator) -> dict[str, Tensor]:
    names = set(subject.network.parameter_names)
    return {
        name: t * (1 + 0.1 * _normal(t, generator).tanh())
        if name in names and t.is_floating_point()
        else t
        for name, t in _doubled(subject).items()
    }


def _doubled(subject: Subject) -> dict[str, Tensor]:
    point = subject.point.to(torch.float64)
    return subject.network.tensors(point)


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return drawn.to(like.device)


def _outputs(
    subject: Subject, tensors: Mapping[str, Tensor], batches: Iterable[Batch]
) -> list[Tensor]:
    """Return what the loss reads of the network's outputs for some batches."""
    network, read = subject.network, read_by(subject.criterion)
    point = network.point(tensors)
    found: list[Tensor] = []
    for batch in batches:
        with subject.undisturbed(0), torch.no_grad(), differentiable_attention(), doubled():
            found += [each.double() for each in read(network.outputs(point, batch, None))]
    return [each for each in found if each.numel()]


def _difference(after: list[Tensor], before: list[Tensor]) -> float:
    pairs = list(zip(after, before, strict=True))
    if any(x.shape != y.shape for x, y in pairs):
        return math.inf
    return max(float((x - y).abs().max() / y.abs().max().clamp_min(_TINY)) for x, y in pairs)


def _refused(error: float, single: Mapping[str, float]) -> ModelError:
    guilty = [name for name, one in single.items() if not one <= TOLERANCE]
    named = ", ".join(guilty[:5]) or "several together: each alone preserves it"
    return ModelError(
        f"a permutation changes the network's function by {error:.1e}",
        where=f"groups {named}",
        why=f"the rules of its operations allow more than they may; allowed is {TOLERANCE:.0e}",
        hint="freeze these groups in an override file: freeze = ['tensor:axis']",
    )
