"""The network as a map of flat inputs to flat outputs, sample by sample."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from landscape.errors import DataError
from landscape.lipschitz.epsilon import OwnEpsilon
from landscape.subject.batch import Batch
from landscape.subject.graph import read_by
from landscape.subject.point import Point
from landscape.subject.subject import Subject


class InputMap:
    """x ↦ f(x) on some samples: all floating inputs of a sample as one vector, outputs as another.

    Inputs are those of `args` and `kwargs` that are floating and have an entry for each sample;
    what else the batch holds (masks, indices) stays. Outputs are what the loss reads.

    Args:
        subject: Gives network and loss.
        point: Where in weight space.
        batch: On the subject's device, in the precision of the point.

    Raises:
        DataError: No input is floating.
    """

    def __init__(self, subject: Subject, point: Point, batch: Batch) -> None:
        self._subject, self._point, self.batch = subject, point, batch
        self.samples = batch.samples
        leaves, self._spec = pytree.tree_flatten((batch.args, dict(batch.kwargs)))
        self._leaves = leaves
        self._places = [n for n, one in enumerate(leaves) if self._moves(one)]
        if not self._places:
            raise DataError(
                "no input of the network is a vector of numbers",
                where="data",
                why=f"the batch holds {batch.described}; between token ids or labels there is no "
                "distance, so that no Lipschitz constant exists",
                hint="give a network whose forward takes the embeddings, and data that yield them",
            )

    @property
    def names(self) -> list[str]:
        """Return the inputs' names; the numbers of those that are positional."""
        paths = pytree.tree_flatten_with_path((self.batch.args, dict(self.batch.kwargs)))[0]
        keys = [
            [getattr(one, "key", getattr(one, "idx", one)) for one in path] for path, _ in paths
        ]
        return [".".join(str(key) for key in keys[place][1:]) for place in self._places]

    @property
    def start(self) -> Tensor:  # (b, n)
        """Return the inputs of the data."""
        return torch.cat([self._leaves[n].reshape(self.samples, -1) for n in self._places], 1)

    def parts(self, x: Tensor) -> list[Tensor]:
        """Return flat inputs (b, n) as the tensors that the network takes."""
        sizes = [self._leaves[n][0].numel() for n in self._places]
        flat = x.split(sizes, 1)
        shapes = [self._leaves[n].shape[1:] for n in self._places]
        return [one.reshape(len(x), *shape) for one, shape in zip(flat, shapes, strict=True)]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the outputs (b, m) at inputs (b, n)."""
        leaves = list(self._leaves)
        for place, part in zip(self._places, self.parts(x), strict=True):
            leaves[place] = part
        args, kwargs = pytree.tree_unflatten(leaves, self._spec)
        moved = Batch(tuple(args), kwargs, self.batch.targets, self.batch.target_key)
        network = self._subject.network
        own = next((t.dtype for t in network.own.values() if t.is_floating_point()), torch.float32)
        with OwnEpsilon(own):
            outputs = network.outputs(self._point, moved, self._subject.criterion)
        read = read_by(self._subject.criterion)(outputs)
        return torch.cat([one.reshape(len(x), -1) for one in read if one.is_floating_point()], 1)

    def of(self, rows: Sequence[int] | Tensor) -> InputMap:
        """Return the map on some of the samples, each as often as it is named."""
        whole, chosen = self.samples, torch.as_tensor(rows)

        def picked(tensor: Tensor) -> Tensor:
            kept = tensor.dim() and len(tensor) == whole
            return tensor[chosen.to(tensor.device)] if kept else tensor

        return InputMap(self._subject, self._point, self.batch.mapped(picked))

    def in_precision(self, subject: Subject, dtype: torch.dtype) -> InputMap:
        """Return the same map computed in another precision, by a subject of that precision."""
        point, batch = self._point.to(dtype), self.batch.to(subject.device, dtype)
        return InputMap(subject, point, batch)

    def _moves(self, leaf: object) -> bool:
        if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
            return False
        return leaf.dim() > 0 and len(leaf) == self.samples
