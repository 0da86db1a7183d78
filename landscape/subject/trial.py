"""Inputs that a network takes, found by trial from its layers where no data tell of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError
from landscape.subject.batch import Batch
from landscape.subject.custom_loss import CustomLoss
from landscape.subject.losses import Loss
from landscape.subject.outputs import logits_of
from landscape.subject.spec.data import load_data
from landscape.subject.undisturbed import undisturbed

if TYPE_CHECKING:
    from landscape.subject.network import Network

SIDES: Mapping[int, tuple[int, ...]] = {  # of the inputs of convolutions, by their dimensions
    1: (32, 16, 64, 128, 8, 4),
    2: (32, 28, 64, 224, 16, 8),
    3: (16, 32, 8),
}
WIDEST: Mapping[int, int] = {1: 256, 2: 128, 3: 32}  # side, where no usual one fits
LENGTHS = SIDES[1]  # of sequences
AGREEMENT = 1e-2  # relative, of the outputs of a sample alone with those in a batch
SAMPLES = 32  # that stand in for data
LISTED = 3  # other shapes that are told

Shape = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """Inputs that a network takes.

    Args:
        shape: Of one sample.
        tokens: Below what number its entries are; None: they are real numbers.
        others: Further shapes that fit among those that were tried.
    """

    shape: Shape
    tokens: int | None
    others: tuple[Shape, ...] = ()

    @property
    def spec(self) -> str:
        """Return data of such inputs as a spec string; their labels mean nothing."""
        shape, tokens = "x".join(map(str, self.shape)), f",tokens={self.tokens}"
        return f"random:shape={shape},samples={SAMPLES}{tokens if self.tokens else ''}"

    @property
    def named(self) -> str:
        """Return what the inputs are."""
        kind = "" if self.tokens is None else f", token ids below {self.tokens},"
        return f"inputs of shape {_by(self.shape)}{kind}"

    @property
    def told(self) -> str:
        """Return what the inputs are, how they were found, and what else would do."""
        alike = ", ".join(_by(one) for one in self.others[:LISTED])
        more = f" and {len(self.others) - LISTED} more" if len(self.others) > LISTED else ""
        fit = f"{alike}{more} would fit too, and the numbers depend on which"
        return (
            f"{self.named} were found by trial; "
            f"{fit if alike else 'no other that was tried fits'}; "
            "--data random:shape=… fixes another"
        )


class Unread(Loss):
    """Compares the outputs to nothing: for what only asks which of them a loss reads."""

    name = "unread"

    def total(self, outputs: Any, targets: Any) -> Tensor:
        """Return the sum of squares of the outputs."""
        del targets
        return _squares(outputs).sum()

    def count(self, outputs: Any, targets: Any) -> int:
        """Return the number of samples."""
        del targets
        return len(logits_of(outputs))


def unread(loss: Loss | None) -> Loss:
    """Return a loss that reads the outputs that another reads, and needs no targets."""
    own = isinstance(loss, CustomLoss)
    return CustomLoss(lambda outputs, _: _squares(outputs)) if own else Unread()


def inputs_of(network: Network) -> Trial | str:
    """Return inputs that a network takes, of a shape that its first layers suggest.

    A shape fits if the outputs have one entry for each sample, and that of a sample alone is that
    of the sample in a batch. Where no usual side of images fits, and the reason depends on the
    side, as with a linear layer behind flattened features, every side is tried.

    Returns:
        The first that fits; the reason why the first tried does not, where none does.

    Cost: three samples in a forward pass for each shape.
    """
    first = ""
    with undisturbed(network.model, 0), torch.no_grad(), warnings.catch_warnings(action="ignore"):
        for tokens, usual, more in _candidates(network.model):
            reasons = _misfits(network, tokens, usual)
            if all(reasons.values()) and len({*reasons.values()}) > 1:
                reasons |= _misfits(network, tokens, more)
            first = first or next(iter(reasons.values()))
            if found := [shape for shape, reason in reasons.items() if not reason]:
                return Trial(shape=found[0], tokens=tokens, others=tuple(found[1:]))
    return first or "no layer suggests a shape"


Candidates = tuple[int | None, tuple[Shape, ...], tuple[Shape, ...]]  # tokens, usual, all others


def _candidates(model: nn.Module) -> Iterator[Candidates]:
    """Yield shapes of one kind together, each kind once, by the layers in their order."""
    kinds = (kind for module in model.modules() for kind in _suggested(module))
    yield from dict.fromkeys(kinds)


def _suggested(module: nn.Module) -> list[Candidates]:
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        return [(module.num_embeddings, tuple((length,) for length in LENGTHS), ())]
    if isinstance(module, nn.modules.conv._ConvNd):
        axes, channels = len(module.kernel_size), module.in_channels
        every = sorted(range(1, WIDEST[axes] + 1), key=lambda side: (-(side & -side), side))
        usual, more = (
            tuple((channels, *(side,) * axes) for side in sides) for sides in (SIDES[axes], every)
        )
        return [(None, usual, more)]
    if isinstance(module, nn.Linear):
        width = module.in_features
        return [(None, ((width,),), ()), (None, tuple((length, width) for length in LENGTHS), ())]
    if isinstance(module, nn.RNNBase):
        return [(None, tuple((length, module.input_size) for length in LENGTHS), ())]
    return []


def _misfits(network: Network, tokens: int | None, shapes: Iterable[Shape]) -> dict[Shape, str]:
    return {shape: _misfit(network, Trial(shape=shape, tokens=tokens)) for shape in shapes}


def _misfit(network: Network, trial: Trial) -> str:
    """Return why a network does not take inputs; empty: it does."""
    try:
        batch = _two_samples(network, trial)
        whole, alone = (_outputs(network, one) for one in (batch, batch.head(1)))
    except Exception as error:  # the network's own code may fail in any way on strange inputs
        text = error.what if isinstance(error, LandscapeError) else str(error)
        return text.strip().split("\n")[0] or type(error).__name__
    if not whole.dim() or (len(whole), len(alone)) != (2, 1) or not whole.is_floating_point():
        return f"the outputs have the shape {_by(tuple(whole.shape))} for two samples"
    if not all(bool(one.isfinite().all()) for one in (whole, alone)):
        return "the outputs are not finite"
    apart = (whole[:1] - alone).abs().max()
    if apart > AGREEMENT * whole.abs().max():
        return "the outputs of a sample depend on the others in the batch"
    return ""


def _two_samples(network: Network, trial: Trial) -> Batch:
    source: Any = load_data(trial.spec).source
    inputs, targets = source[0]
    first = next(iter(network.own.values()))
    floating = next((t for t in network.own.values() if t.is_floating_point()), first)
    return Batch((inputs,), {}, targets).head(2).to(first.device, floating.dtype)


def _outputs(network: Network, batch: Batch) -> Tensor:
    return logits_of(network.outputs(network.point(network.own), batch, None))


def _squares(outputs: Any) -> Tensor:  # (b,)
    return logits_of(outputs).flatten(1).square().sum(1)


def _by(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "scalar"
