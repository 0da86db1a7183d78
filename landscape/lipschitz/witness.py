"""Pairs of inputs whose outputs lie far apart: lower bounds that anyone can evaluate again."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from landscape.encode import write_atomically
from landscape.errors import InputError
from landscape.lipschitz.inputs import InputMap
from landscape.operators.graph import narrowest
from landscape.subject.point import Point
from landscape.subject.subject import Subject
from landscape.subject.undisturbed import differentiable_attention

FORMAT = "landscape/lipschitz-witness/1"
ROUNDINGS = 64  # units in the last place of the outputs, that a forward pass may err by
AGREEMENT = 1e-6  # relative, of a ratio that is evaluated again


@dataclass(frozen=True, kw_only=True, eq=False)
class Witness:
    """Two inputs x ≠ y, with ‖f(x) − f(y)‖ and ‖x − y‖ evaluated in float64.

    Args:
        x: The first, as the parts that the network takes, one sample each; float64.
        y: The second.
        names: Of the parts.
        distance_inputs: ‖x − y‖₂ over all parts together.
        distance_outputs: ‖f(x) − f(y)‖₂ over all outputs that the loss reads.
        rounding: Relative, of the ratio: what the network's precision leaves open, an estimate.
        sample: Of the data, from which the search set out; what is not floating is its own.
    """

    x: tuple[np.ndarray, ...]
    y: tuple[np.ndarray, ...]
    names: tuple[str, ...]
    distance_inputs: float
    distance_outputs: float
    rounding: float
    sample: int

    @property
    def ratio(self) -> float:
        """Return ‖f(x) − f(y)‖ / ‖x − y‖, which no Lipschitz constant is below."""
        return self.distance_outputs / self.distance_inputs

    @property
    def value(self) -> float:
        """Return the ratio less its rounding."""
        return self.ratio * (1 - self.rounding)

    def save(self, path: Path, *, weights_fingerprint: str) -> None:
        """Write the pair as npz: `x/NAME`, `y/NAME`, the two distances, and whose weights."""
        arrays = {
            **{f"x/{name}": one for name, one in zip(self.names, self.x, strict=True)},
            **{f"y/{name}": one for name, one in zip(self.names, self.y, strict=True)},
            "distance_inputs": np.float64(self.distance_inputs),
            "distance_outputs": np.float64(self.distance_outputs),
            "rounding": np.float64(self.rounding),
            "sample": np.int64(self.sample),
            "weights_fingerprint": np.array(weights_fingerprint),
            "format": np.array(FORMAT),
        }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(path, buffer.getvalue())


def load(path: Path) -> tuple[Witness, str]:
    """Return the pair of a file, and the fingerprint of the weights that it is of.

    Raises:
        InputError: It is no such file.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if str(stored["format"]) != FORMAT:
                raise ValueError(f"its format is {stored['format']}, not {FORMAT}")
            names = tuple(key[2:] for key in stored.files if key.startswith("x/"))
            witness = Witness(
                x=tuple(stored[f"x/{name}"] for name in names),
                y=tuple(stored[f"y/{name}"] for name in names),
                names=names,
                distance_inputs=float(stored["distance_inputs"]),
                distance_outputs=float(stored["distance_outputs"]),
                rounding=float(stored["rounding"]),
                sample=int(stored["sample"]),
            )
            return witness, str(stored["weights_fingerprint"])
    except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
        raise InputError(
            f"{path.name} holds no pair of inputs",
            where=str(path),
            why=str(error),
            hint="give a file that `landscape lipschitz` wrote",
        ) from error


def precision(function: InputMap, x: Tensor) -> float:
    """Return eps of the least precise type that a network computes in: parts may be in float32.

    Cost: a forward pass.
    """
    with differentiable_attention(), torch.enable_grad():
        return torch.finfo(narrowest(function(x.detach().requires_grad_()))).eps


def evaluated(
    function: InputMap, x: Tensor, y: Tensor, *, sample: int, unit: float
) -> Witness | None:
    """Return the pair x, y (1, n) with its distances; None where they are equal or not finite.

    Args:
        function: In float64, of one sample.
        x: The first input.
        y: The second.
        sample: From which the pair comes.
        unit: As `precision` gives it.

    Cost: two forward passes of one sample.
    """
    with differentiable_attention(), torch.no_grad():
        first, second = function(x).double(), function(y).double()
    apart, outputs = float((x - y).double().norm()), float((first - second).norm())
    size = float(first.norm() + second.norm())
    if not (apart > 0 and outputs > 0 and math.isfinite(outputs)):
        return None
    return Witness(
        x=_arrays(function, x),
        y=_arrays(function, y),
        names=tuple(function.names),
        distance_inputs=apart,
        distance_outputs=outputs,
        rounding=min(1.0, ROUNDINGS * unit * size / outputs),
        sample=sample,
    )


def _arrays(function: InputMap, x: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(part.detach().cpu().double().numpy()[0] for part in function.parts(x))


def reevaluated(path: Path, subject: Subject, point: Point) -> Witness:
    """Return the pair of a file, its distances evaluated again in float64 from the network.

    Raises:
        InputError: It is no such file, is of other weights, or the ratio is not the one written.

    Cost: three forward passes of one sample.
    """
    stored, weights = load(path)
    if weights != subject.weights_fingerprint(subject.checkpoint):
        raise _refused(path, "the pair is of other weights", f"its weights are {weights}")
    wide = subject.in_precision(torch.float64)
    with subject.undisturbed(0):
        function = _sample(wide, point.to(torch.float64), stored.sample)
        x, y = (_flat(parts, function) for parts in (stored.x, stored.y))
        unit = precision(function, x)
        found = evaluated(function, x, y, sample=stored.sample, unit=unit)
    if found is None or abs(found.ratio / stored.ratio - 1) > AGREEMENT:
        told = "none" if found is None else f"{found.ratio:.9g}"
        why = f"{stored.ratio:.9g} was written, and {told} is found"
        raise _refused(path, "the pair does not have the ratio that was written", why)
    return found


def _sample(subject: Subject, point: Point, sample: int) -> InputMap:
    """Return the map of one sample of the data, by its number.

    Raises:
        InputError: There are fewer.
    """
    for batch in subject.device_batches():
        if sample < batch.samples:
            return InputMap(subject, point, batch).of([sample])
        sample -= batch.samples
    raise InputError(
        "the sample that the pair started from is not in the data",
        where="data",
        why="what the network takes beside the pair is read from it",
        hint="give the data that the pair was found with",
    )


def _flat(parts: tuple[np.ndarray, ...], function: InputMap) -> Tensor:
    flat = np.concatenate([part.reshape(1, -1) for part in parts], 1)
    return torch.from_numpy(flat).to(function.start)


def _refused(path: Path, what: str, why: str) -> InputError:
    return InputError(what, where=str(path), why=why, hint="find a new pair; do not trust this one")
