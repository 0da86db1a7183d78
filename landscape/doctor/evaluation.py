"""The network as a function: one forward pass, the same twice, the loss, the gradient."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from landscape.doctor.baseline import best_constant
from landscape.doctor.inputs import described
from landscape.doctor.parts import Parts
from landscape.doctor.verdict import NotGiven, Verdict, counted
from landscape.errors import NumericalError
from landscape.subject.faithful import refuse_unfaithful
from landscape.subject.files.wording import listed
from landscape.subject.outputs import logits_of

SHOWN = 4  # names in a line
UNITS = {"ce": "label", "mse": "element", "bce": "element", "hf": "label", "custom": "item"}


def check_forward(parts: Parts) -> Verdict:
    """Say what the network returns for the first batch, and which loss that goes into."""
    subject, batch = parts.subject, parts.first_batch
    loss = subject.criterion
    with subject.undisturbed(0), torch.no_grad(), _Attention() as attention:
        outputs = subject.network.outputs(subject.point, batch, loss)
        loss.check(outputs, batch.targets)
    values = logits_of(outputs)
    shape = "×".join(map(str, values.shape)) or "scalar"
    text = f"outputs {str(values.dtype).removeprefix('torch.')} {shape}, loss {loss.name}"
    multihead = any(isinstance(one, nn.MultiheadAttention) for one in parts.named[0].modules())
    if attention.called or multihead:
        text += "; attention runs on the MATH kernel, which can be differentiated twice"
    return Verdict(text)


def check_determinism(parts: Parts) -> Verdict:
    """Say whether the same input gives the same output; anything else is refused."""
    subject, batch = parts.subject, parts.first_batch
    loss = subject.criterion
    with subject.undisturbed(0):
        refuse_unfaithful(subject.network, loss, subject.point, batch)
        with torch.no_grad():
            one, other = (
                logits_of(subject.network.outputs(subject.point, batch, loss)) for _ in range(2)
            )
    if torch.equal(one, other):
        return Verdict("two forward passes agree bit for bit, whatever the seed")
    apart = float((one - other).double().norm() / one.double().norm())
    return Verdict(f"two forward passes differ by {apart:.1g}, relative: by the kernels' rounding")


def check_loss(parts: Parts) -> tuple[Verdict, float]:
    """Return the loss against the best constant prediction, and the seconds of a pass."""
    subject = parts.subject
    items, loss = subject.counted.items, subject.criterion
    started = time.perf_counter()
    value = subject.loss(subject.point)
    seconds = time.perf_counter() - started
    unit = UNITS.get(loss.name, "item")
    text = f"{value:.4g} per {unit}, over {counted(items, unit)}"
    constant = best_constant(loss, subject.batches or ())
    if constant is None:
        return Verdict(text), seconds
    text += f"; the best constant prediction has {constant:.4g}"
    if value <= constant:
        return Verdict(text), seconds
    why = "the network does worse than one that ignores its inputs"
    hint = "fine before training; else check labels, scaling of inputs, and the load map"
    return Verdict(text, why, hint), seconds


def check_held_out(parts: Parts) -> Verdict:
    """Say what the held-out data hold; they must fit network and loss as the others do."""
    batches = parts.held_out
    if batches is None:
        raise NotGiven("no held-out data were given", "give --held-out")
    text = described(batches)
    found = parts.subject.counted_held_out
    if found is None:
        return Verdict(text)
    unit = UNITS.get(parts.subject.criterion.name, "item")
    return Verdict(f"{text}; {found.total / found.items:.4g} per {unit}")


def check_gradient(parts: Parts) -> Verdict:
    """Say how large the gradient is, and which parameters have none.

    Raises:
        NumericalError: It is not finite.
    """
    subject = parts.subject
    gradient = subject.gradient(subject.point)
    pieces = subject.parameters.split(gradient)
    bad = [name for name, piece in pieces.items() if not bool(piece.isfinite().all())]
    if bad:
        raise NumericalError(
            f"the gradient is not finite in {listed(bad, SHOWN)}",
            where="gradient of the mean loss",
            why="the loss is finite, so a derivative overflowed or divided by zero",
            hint="try --dtype float64; look for square roots and divisions at zero",
        )
    norm = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
    text = f"norm {norm:.4g}"
    idle = [name for name, piece in pieces.items() if not _moves(piece)]
    if not idle:
        return Verdict(f"{text}, finite, none of {counted(len(pieces), 'tensor')} zero")
    return Verdict(
        f"{text}; zero in {len(idle)} of {counted(len(pieces), 'tensor')}: {listed(idle, SHOWN)}",
        "forward does not use them, or every path through them is dead",
        "their curvature is zero as well; leave them out with --params, or mend the forward",
    )


def _moves(piece: Tensor) -> bool:
    return bool((piece != 0).any())


class _Attention(TorchFunctionMode):
    """Watches whether scaled dot-product attention is called."""

    called = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.called = self.called or func is F.scaled_dot_product_attention
        return func(*args, **(kwargs or {}))
