"""The weights of several checkpoints under the names of one network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from landscape.subject.device import working_dtype
from landscape.subject.files.checkpoint import Checkpoint, refuse_integers
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.files.names import NameMatch, match_names
from landscape.subject.files.pairs import joined
from landscape.subject.network import Network
from landscape.subject.point import check_finite


class Weights:
    """What a network takes from each checkpoint; pruning, of the file or by a mask, is applied.

    Args:
        network: None: the weights alone, of which nothing is taken.
        checkpoints: In the order of training.

    Attributes:
        checkpoints: The same; what pruning takes out is zero.
        notes: What was chosen among the names, and what was pruned.

    Raises:
        CheckpointError: A parameter is missing, of another shape, or packed into integers.
    """

    def __init__(self, network: Network | None, checkpoints: Sequence[Checkpoint]) -> None:
        self._network = network
        own = network.saved_shapes() if network is not None else {}
        checkpoints = [joined(one, own) for one in checkpoints]
        matches = [_match(network, one) for one in checkpoints] if network is not None else []
        self.checkpoints = tuple(checkpoints)
        self.notes = [note for match in matches for note in match.notes]
        mappings = [match.mapping for match in matches] or [{} for _ in checkpoints]
        if network is not None and network.pruned is not None:
            pairs = zip(checkpoints, mappings, strict=True)
            found = [network.pruned.pruned(one, mapping) for one, mapping in pairs]
            self.checkpoints = tuple(one for one, _ in found)
            self.notes += [note for _, note in found]
        pairs = zip(self.checkpoints, mappings, strict=True)
        self._mappings = {id(one): mapping for one, mapping in pairs}
        self._prints: dict[int, str] = {}

    def of(self, checkpoint: Checkpoint) -> dict[str, Tensor]:
        """Return what the network takes from a checkpoint, by the network's names."""
        mapping = self._mappings[id(checkpoint)]
        return {name: checkpoint.tensors[mapping[name]] for name in sorted(mapping)}

    def fingerprint(self, checkpoint: Checkpoint) -> str:
        """Return a hash of the weights that ignores container, prefixes and tied copies."""
        if id(checkpoint) not in self._prints:
            found = self.of(checkpoint)
            value = fingerprint(found) if found else checkpoint.fingerprint
            self._prints[id(checkpoint)] = value
        return self._prints[id(checkpoint)]

    def placed(
        self, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype | None
    ) -> dict[str, Tensor]:
        """Return every tensor of the network at a checkpoint.

        Args:
            checkpoint: Its tensors come before the network's own.
            device: Where they are put.
            dtype: Of floating tensors; None: what the checkpoint's call for.

        Raises:
            NumericalError: A weight is NaN or infinite.
        """
        found = self.of(checkpoint)
        check_finite(found, where=checkpoint.path or checkpoint.label)
        chosen = dtype or working_dtype(found.values())
        own = self._network.own if self._network is not None else {}
        return {
            name: tensor.detach().to(device, chosen if tensor.is_floating_point() else None)
            for name, tensor in {**own, **found}.items()
        }


def _match(network: Network, checkpoint: Checkpoint) -> NameMatch:
    """Return the checkpoint's name of each of the network's own tensors."""
    where = checkpoint.path or checkpoint.label
    match = match_names(
        {name: tuple(t.shape) for name, t in checkpoint.tensors.items()},
        network.saved_shapes(),
        required=network.parameter_names,
        aliases=network.aliases,
        where=where,
    )
    weights = {n: checkpoint.tensors[match.mapping[n]] for n in network.parameter_names}
    refuse_integers(weights, network.own, where)
    own = {name: match.mapping[name] for name in network.own if name in match.mapping}
    return replace(match, mapping=own)
