"""Statistics of normalisation layers at a point: recomputed from data, as they are never averaged.

Between two networks the running statistics of BatchNorm belong to neither; what interpolated
weights see is measured again, with the same samples at every point, the ends included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from landscape.errors import DataError
from landscape.subject.batch import Batch
from landscape.subject.moments import Moments
from landscape.subject.point import Point
from landscape.subject.subject import Subject

COUNTER = "num_batches_tracked"
SAMPLES = 5000  # that statistics are computed from, by default


def normalised(model: nn.Module) -> dict[str, _BatchNorm]:
    """Return the modules that keep running statistics over batches, by name."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.running_mean is not None
    }


def uses_running_statistics(subject: Subject) -> bool:
    """Return whether the studied loss normalises by running statistics, as training never does."""
    return subject.mode == "eval" and bool(normalised(subject.network.model))


def statistics_of(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the running means and variances."""
    return tuple(
        f"{name}.{kind}" if name else kind
        for name in normalised(model)
        for kind in ("running_mean", "running_var")
    )


def some_batches(subject: Subject, samples: int = SAMPLES) -> list[Batch]:
    """Return every s-th batch of the data, so that about `samples` remain: the same every time."""
    batches = subject.batches
    stride = max(1, batches.samples // samples) if batches is not None else 1
    stride = min(stride, len(batches)) if batches is not None else 1
    return [one for n, one in enumerate(subject.device_batches()) if n % stride == 0]


def refreshed(subject: Subject, point: Point, batches: Iterable[Batch]) -> Point:
    """Return the point with the statistics that its own weights see on the given batches.

    Every batch passes once, normalised by its own statistics as in training but with dropout off;
    the statistics of all batches are pooled by how many values they are of,

        m = Σ n_b m_b / n,   s² = Σ [n_b v_b + n_b (m_b − m)²] / (n − 1),

    so that ragged batches weigh what they hold. A network without such layers gives the point back,
    and so does train mode, where the batch at hand is what normalises.

    Args:
        subject: Is left undisturbed.
        point: Where.
        batches: On the subject's device.

    Raises:
        DataError: There was a single value for a channel.

    Cost: one forward pass over the batches.

    Source: Chan, Golub & LeVeque 1979 (pooling); Izmailov et al. 2018, arXiv 1803.05407, §3.2.
    Differs from the source: that takes the plain mean over batches, with dropout on.
    """
    pooled = Pooled(subject)
    if pooled.needed:
        with subject.undisturbed(0), torch.no_grad():
            for batch in batches:
                pooled.add(point, batch)
    return pooled.at(point)


class Pooled:
    """Statistics of every normalisation layer, pooled over the batches that are added."""

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        running = uses_running_statistics(subject)
        self._modules = normalised(subject.network.model) if running else {}
        self._layers = {name: _Layer() for name in self._modules}

    @property
    def needed(self) -> bool:
        """Return whether the network has such layers, and normalises by what they keep."""
        return bool(self._modules)

    def add(self, point: Point, batch: Batch) -> None:
        """Take a batch in, at a point that must always be the same; the caller guards the model."""
        with self._watching():
            self._subject.outputs(point, batch)

    def at(self, point: Point) -> Point:
        """Return the point with the pooled statistics; layers that never ran keep theirs."""
        seen = {name: layer.moments for name, layer in self._layers.items()}
        rest = dict(point.rest)
        for name, moments in seen.items():
            if moments is None:
                continue
            if moments.count < 2:
                raise _single(name)
            prefix = f"{name}." if name else ""
            unbiased = moments.square / (moments.count - 1)
            for kind, value in (("running_mean", moments.mean), ("running_var", unbiased)):
                rest[prefix + kind] = value.to(rest[prefix + kind])
        return Point(point.theta, rest) if self.needed else point

    @contextmanager
    def _watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, module in self._modules.items():
                layer = self._layers[name]
                stack.callback(module.register_forward_pre_hook(layer.before).remove)
                stack.callback(module.register_forward_hook(layer.after).remove)
            yield


class _Layer:
    """What one layer has seen; it normalises by the batch at hand, whose statistics it then holds.

    In train mode with momentum 1, running statistics are those of the last batch.
    """

    def __init__(self) -> None:
        self.moments: Moments | None = None

    def before(self, module: Any, inputs: tuple[Any, ...]) -> None:
        """Switch train mode on; a single value has no variance: it waits for all so far."""
        module.momentum = 1.0  # put back at the end of the block, with everything else
        module.training = _count(inputs[0]) > 1
        if not module.training:
            mean = inputs[0].detach().double().flatten()
            self._take(Moments(count=1, mean=mean, square=torch.zeros_like(mean)))
            module.running_mean.copy_(self._seen.mean)
            module.running_var.copy_(self._seen.variance)

    def after(self, module: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Take the statistics of the batch in."""
        del output
        if module.training:
            count = _count(inputs[0])
            held = (module.running_mean, module.running_var)
            mean, unbiased = (one.detach().clone().double() for one in held)
            self._take(Moments(count=count, mean=mean, square=unbiased * (count - 1)))
            module.training = False

    @property
    def _seen(self) -> Moments:
        if self.moments is None:
            raise ValueError("the layer has seen nothing")
        return self.moments

    def _take(self, own: Moments) -> None:
        self.moments = own if self.moments is None else self.moments.merged(own)


def _count(values: Tensor) -> int:
    """Return how many values (b, c, …) each channel has."""
    return values.numel() // values.shape[1]


def _single(name: str) -> DataError:
    return DataError(
        f"{name or 'the network'} saw one value of each channel",
        where="normalisation statistics",
        why="a variance needs two",
        hint="give more samples",
    )
