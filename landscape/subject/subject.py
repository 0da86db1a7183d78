"""What is studied, frozen: a network, its data and loss, and the checkpoints training visited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from landscape import budget
from landscape.errors import (
    ModelError,
    NumericalError,
    SettingError,
    about,
    not_differentiable,
)
from landscape.subject.attach import (
    HELD_OUT,
    attach_checkpoints,
    attach_data,
    attach_loss,
    attach_model,
    check_learning_rate,
)
from landscape.subject.batch import Batch
from landscape.subject.batches import Batches
from landscape.subject.choosing import choose_loss
from landscape.subject.counting import Counted
from landscape.subject.device import choose_device, choose_dtype, working_dtype
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.losses import Loss, ModelLoss
from landscape.subject.memory import returned_kind
from landscape.subject.mode import DEPENDENT, Mode, check_mode, one_batch, put_in_train_mode
from landscape.subject.network import Network
from landscape.subject.parameters import Parameters
from landscape.subject.point import Point
from landscape.subject.provenance import (
    described_checkpoints,
    described_data,
    described_network,
    described_sources,
    environment,
)
from landscape.subject.pruned import MaskLike
from landscape.subject.random_layers import refuse_dropout
from landscape.subject.ranks import RankedMemory, Ranks
from landscape.subject.series import in_order
from landscape.subject.spec.data import load_data
from landscape.subject.sums import count_all, divisible, part_of, summed_gradient, summed_loss
from landscape.subject.trial import Trial, unread
from landscape.subject.undisturbed import undisturbed
from landscape.subject.weights import Weights

T = TypeVar("T")

Product = Literal["auto", "reverse", "cached", "linearize", "forward", "compiled", "differences"]


class Subject:
    """A network, its loss and data, and ordered checkpoints; nothing of the user's is changed.

    Args:
        model: A module, or a spec string such as `"nets.py:cnn"`. None: the weights alone.
        loss: `"auto"`, `"ce"`, `"mse"`, `"bce"`, `"hf"`, a spec string, or a function
            `fn(outputs, targets)` that returns one loss per sample or their mean.
        data: What `Batches` reads, a spec string, or `{"train": ..., "held_out": ...}` of these.
        checkpoints: A path or `Checkpoint`, or several in the order of training; none: the model
            as it is.
        params: Which parameters are studied: None (trainable), `"all"`, or globs.
        mask: A mask of pruning (a file that `landscape tickets` wrote, or a `Mask`): pruned weights
            are zero at every checkpoint, and the others are studied. Or boolean tensors by
            parameter name: false coordinates are held fixed as they are.
        device: `"auto"` (CUDA where there is one), or a PyTorch device.
        dtype: `"auto"` (the checkpoint's, half precision raised to float32), or a name.
        max_samples: Keep only the first samples of the data.
        seed: Fixes the order of shuffled data.
        folder: Where shared work is remembered across runs; None: in memory only.
        learning_rate: Of training; None: the checkpoint's, where it holds one.
        product: How products of the curvature are computed; `auto` takes the fastest way.
        batch_size: Samples computed at a time; None goes by the memory. In train mode, the size of
            the one batch that is studied; None: the first batch of the data.
        ranks: The processes that share the data; None: those of `torchrun`, or of the process
            group that the program has set up. `Ranks()` stays alone.
        mode: `eval`: BatchNorm uses the running statistics of the checkpoint. `train`: those of one
            fixed batch, which is all that is studied; no buffer changes, random layers are refused.
        allow_download: Whether torchvision may fetch what a spec string names: data that are
            missing, and the weights of `weights=DEFAULT`. Nothing else uses the network.
        reading: `state_key`, `ema`, `trust_pickle`, as `Checkpoint.read` takes them.

    Raises:
        InputError: Something given cannot be used.
        UnsafeError: A checkpoint would run code.
    """

    def __init__(  # noqa: PLR0913 - the one place where everything meets
        self,
        model: nn.Module | str | None = None,
        loss: Loss | str | Callable[[Any, Any], Tensor] = "auto",
        data: object = None,
        checkpoints: Checkpoint | str | Path | Sequence[Checkpoint | str | Path] = (),
        *,
        params: str | None = None,
        mask: MaskLike | None = None,
        device: str | torch.device = "auto",
        dtype: str = "auto",
        max_samples: int | None = None,
        seed: int = 0,
        folder: Path | None = None,
        learning_rate: float | None = None,
        product: Product = "auto",
        batch_size: int | None = None,
        ranks: Ranks | None = None,
        mode: Mode = "eval",
        allow_download: bool = False,
        **reading: Any,
    ) -> None:
        self.ranks = ranks or Ranks.current()
        self.mode: Mode = check_mode(mode, processes=self.ranks.size)
        self.device = choose_device(self.ranks.device(device))
        self._dtype = choose_dtype(dtype)
        given = attach_checkpoints(checkpoints, reading)
        self.checkpoints = in_order(given)
        self._network, self._model_name = None, None
        if model is not None:
            module, self._model_name = attach_model(model, allow_download=allow_download)
            self._network = Network(module, params, mask)
            if self.mode == "train":
                refuse_dropout(self._network.model)
                _ = self._network.digest  # of the modules before they are told to train
            self.checkpoints = self.checkpoints or (Checkpoint.of_model(self._network.model),)
        self._loss = attach_loss(loss)
        self._data = attach_data(data, allow_download=allow_download)
        self.allow_download = allow_download
        self._batching = (max_samples, seed)
        self.learning_rate = check_learning_rate(learning_rate)
        self.product: Product = product
        self.batch_size = batch_size
        self.memory = RankedMemory(folder, self.ranks)
        self._notes: dict[str, None] = {}
        if given and self.checkpoints != given:
            self.note("checkpoints are taken in the order of training, not as given")
        if mask is not None:
            _ = self.network  # which a mask is of
        self._weights = Weights(self._network, self.checkpoints)
        self.checkpoints = self._weights.checkpoints
        for text in self._weights.notes:
            self.note(text)
        self._stands_in = True  # whether inputs found by trial may
        self._points: dict[int, Point] = {}

    def __repr__(self) -> str:
        labels = [one.label for one in self.checkpoints]
        shown = labels if len(labels) < 3 else [labels[0], "…", labels[-1]]
        parts = ["weights alone"]
        if self._network is not None:
            name = self._model_name or type(self._network.model).__name__
            parts = [f"{name}, {self.parameters.size:,} parameters studied"]
        parts.append(f"{len(labels)} checkpoint{'s' * (len(labels) != 1)}: {', '.join(shown)}")
        loss = self._loss.name if self._loss is not None else "auto"
        parts.append("no data" if self._data is None else f"loss {loss}")
        return f"<Subject: {'; '.join(parts)}; {self.mode} mode on {self.device}>"

    # --- the parts -------------------------------------------------------------------------

    @property
    def model(self) -> nn.Module | None:
        """Return the user's module; None when the weights alone are studied."""
        return self._network.model if self._network is not None else None

    @property
    def network(self) -> Network:
        """Return the module as a pure function.

        Raises:
            SettingError: No model was given.
        """
        if self._network is None:
            raise SettingError(
                "no model was given",
                where="Subject",
                why="weights alone say nothing of outputs and derivatives",
                hint="give --model",
            )
        return self._network

    @property
    def parameters(self) -> Parameters:
        """Return the coordinates that are studied."""
        return self.network.parameters

    @cached_property
    def batches(self) -> Batches | None:
        """Return the data, read once; None when there are none; in train mode, one batch."""
        if self._data is None or self._data.source is None or self.mode == "eval":
            return self._read(self._data.source) if self._data is not None else None
        most, seed = self._batching
        found, told = one_batch(self._data.source, self.batch_size, max_samples=most, seed=seed)
        self.note(f"train mode: {told}, normalised by its own statistics")
        return found

    @cached_property
    def held_out(self) -> Batches | None:
        """Return the held-out data, read once; None when there are none."""
        with about(HELD_OUT):
            return self._read(self._data.held_out) if self._data is not None else None

    @cached_property
    def criterion(self) -> Loss:
        """Return the loss; with `auto`, the one that outputs and targets call for."""
        if self._loss is not None:
            return self._loss
        batch = next(iter(self._on_device()))
        own = ModelLoss() if self.network.takes(batch.target_key) else None
        with self.undisturbed(0), torch.no_grad():
            outputs = self.network.outputs(self.point, batch, own)
            loss, reason = choose_loss(outputs, batch.targets, batch.kwargs)
        self.note(f"loss {loss.name} chosen: {reason}")
        return loss

    @property
    def checkpoint(self) -> Checkpoint:
        """Return the last checkpoint.

        Raises:
            SettingError: There is none.
        """
        if not self.checkpoints:
            raise SettingError(
                "no checkpoint was given",
                where="Subject",
                why="there is nothing to study",
                hint="name one",
            )
        return self.checkpoints[-1]

    @property
    def point(self) -> Point:
        """Return the point of the last checkpoint, on the subject's device."""
        return self.point_of(self.checkpoint)

    def point_of(self, checkpoint: Checkpoint) -> Point:
        """Return the point of a checkpoint, on the subject's device.

        Raises:
            NumericalError: A weight is NaN or infinite.
        """
        if id(checkpoint) not in self._points:
            tensors = self._weights.placed
            point = self.network.point(tensors(checkpoint, self.device, self._dtype))
            self._points[id(checkpoint)] = point
        return self._points[id(checkpoint)]

    @property
    def dtype(self) -> torch.dtype:
        """Return the precision of every product."""
        return self._dtype or working_dtype(self._weights.of(self.checkpoint).values())

    @property
    def synthetic(self) -> bool:
        """Return whether the data are random numbers."""
        return self._data is not None and self._data.synthetic

    def at(self, checkpoint: Checkpoint) -> Subject:
        """Return the same subject with one checkpoint only; everything else is shared."""
        if self._network is not None and self.batches is not None:
            _ = self.criterion  # read and chosen once, for every checkpoint
        return self._with(checkpoints=(checkpoint,), _points={}, _notes=dict(self._notes))

    def without_data(self) -> Subject:
        """Return the same subject without its data, which nothing stands in for."""
        anew = ("batches", "held_out", "counted_held_out")
        return self._with(anew=anew, _data=None, _stands_in=False)

    def with_held_out(self, source: object) -> Subject:
        """Return the same subject with other held-out data; None: without any."""
        data = replace(self._data, held_out=source) if self._data is not None else None
        return self._with(anew=("held_out", "counted_held_out"), _data=data)

    @property
    def trial(self) -> Trial | str:
        """Return inputs found by trial that stand in for data; why not, where there are none."""
        return self.network.trial if self._stands_in else "the data given cannot be used"

    def tried(self) -> Subject:
        """Return the same subject with inputs found by trial for data; everything else is shared.

        For what depends on data by the shape of the inputs alone: no loss of theirs means anything.

        Raises:
            SettingError: None were found.
        """
        trial = self.trial
        if isinstance(trial, str):
            raise SettingError(
                "no inputs were found by trial", where="Subject", why=trial, hint="give --data"
            )
        self.note(trial.told)
        return self._with(
            anew=("batches", "held_out", "criterion", "counted", "counted_held_out"),
            _data=load_data(trial.spec),
            _loss=unread(self._loss),
        )

    def in_precision(self, dtype: torch.dtype) -> Subject:
        """Return the same subject computed in another precision; everything else is shared."""
        return self._with(_dtype=dtype, _points={})

    def narrowed(self, kept: Tensor) -> Subject:
        """Return the same subject with some of its coordinates, by their increasing positions."""
        return self._with(_network=self.network.narrowed(kept), _points={})

    def _with(self, anew: tuple[str, ...] = (), **changed: Any) -> Subject:
        """Return a copy with other attributes; what is found anew is forgotten."""
        one = object.__new__(Subject)
        kept = {key: value for key, value in self.__dict__.items() if key not in anew}
        one.__dict__.update({**kept, **changed})
        return one

    # --- pure functions of a point ---------------------------------------------------------

    def outputs(self, point: Point, batch: Batch) -> Any:
        """Return the network's outputs for a batch on the subject's device."""
        return self.network.outputs(point, batch, self.criterion)

    def objective(self, point: Point, batch: Batch) -> Callable[[Tensor], Tensor]:
        """Return the batch's summed loss as a function of the coordinates (n,)."""

        def total(theta: Tensor) -> Tensor:
            return self.criterion.total(self.outputs(point.moved(theta), batch), batch.targets)

        return total

    def loss(self, point: Point) -> float:
        """Return the mean loss over what counts. Cost: one forward pass over the data."""
        batches = self.share(self.device_batches())
        return summed_loss(self, point, batches, "the loss") / self.count

    def gradient(self, point: Point) -> Tensor:  # (n,)
        """Return the gradient of the mean loss. Cost: one forward and backward pass."""
        batches = self.share(self.device_batches())
        return summed_gradient(self, point, batches) / self.count

    @property
    def count(self) -> int:
        """Return the number of items that the mean loss runs over."""
        return self.counted.items

    @cached_property
    def counted(self) -> Counted:
        """Return what the mean loss runs over.

        The pass that counts also verifies that network, targets and loss fit together.
        """
        return count_all(self, self._needed())

    @cached_property
    def counted_held_out(self) -> Counted | None:
        """Return the same of held-out data; None: there are none, or train mode uses none."""
        batches = self.held_out if self.mode == "eval" else None
        if batches is None or self.batches is None:
            return None
        _ = self.counted
        with about(HELD_OUT):
            return count_all(self, batches)

    @cached_property
    def undifferentiable(self) -> ModelError | None:
        """Return why the loss has no gradient, by that of two samples; None where it has one."""
        batch = next(iter(self._on_device())).head(2)
        theta = self.point.theta.detach().requires_grad_()
        try:
            with self.undisturbed(0):
                loss = self.objective(self.point, batch)(theta)
                if loss.requires_grad:
                    torch.autograd.grad(loss, theta)
        except Exception as error:  # the network's own code may fail in any way on few samples
            return not_differentiable(error)
        return None

    def share(self, batches: Iterable[Batch]) -> Iterable[Batch]:
        """Return the part of some batches that this rank sums over; all of them on one rank.

        The sum over the ranks is the sum over the batches. A list gives a list.
        """
        if self.ranks.size == 1:
            return batches
        part = part_of(self.ranks, batches, by_sample=self._divisible)
        return list(part) if isinstance(batches, list) else part

    def device_batches(self) -> Iterable[Batch]:
        """Return the batches on the device, in the model's precision, checked against the loss."""
        _ = self.count
        return self._on_device()

    # --- shared work, guards, provenance ---------------------------------------------------

    def once(self, function: Callable[..., T], **settings: Any) -> T:
        """Return `function(self, **settings)`, computed once for these weights, data and settings.

        The function's return annotation must be a dataclass, a number or an array. What is computed
        under a budget may have been cut by it, and is kept for that budget alone.
        """
        name = f"{function.__module__}.{function.__qualname__}"
        key = (name, settings, self.identity(), budget.told())
        return self.memory.once(key, lambda: function(self, **settings), returned_kind(function))

    def identity(self) -> dict[str, Any]:
        """Return what every number about this subject depends on.

        The loss is among it: it tells of changes in code that no digest sees.
        """
        network = self._network
        return {
            "weights": [self.weights_fingerprint(one) for one in self.checkpoints],
            "training": [one.training for one in self.checkpoints],
            "batches": self.batches.hash if self.batches is not None else None,
            "held_out": self.held_out.hash if self.held_out is not None else None,
            "model": network.digest if network is not None else None,
            "loss": self._loss.digest if self._loss is not None else "auto",
            "parameters": network.parameters.described if network is not None else None,
            "dtype": str(self._dtype),
            "device": self.device.type,
            "ranks": self.ranks.size,
            "computing": [self.learning_rate, self.product, self.batch_size],
            "mode": self.mode,
            "value": self._total_loss(),
            "versions": [version("landscape"), torch.__version__],
        }

    def weights_fingerprint(self, checkpoint: Checkpoint) -> str:
        """Return a hash of the weights that ignores container, prefixes and tied copies."""
        return self._weights.fingerprint(checkpoint)

    @contextmanager
    def undisturbed(self, seed: int) -> Iterator[None]:
        """Return a block in the subject's mode, after which everything is as before.

        The model, the random state and the precision flags.
        """
        with undisturbed(self.model, seed):
            if self.mode == "train" and self.model is not None:
                put_in_train_mode(self.model)
            yield

    def refuse_dependent(self, what: str) -> None:
        """Refuse what needs samples that do not depend on one another.

        Raises:
            SettingError: The mode is train.
        """
        if self.mode == "train":
            raise SettingError(
                f"{what} cannot be had in train mode",
                where="--mode train",
                why=DEPENDENT,
                hint="use --mode eval",
            )

    def note(self, text: str) -> None:
        """Keep a remark for the provenance: a choice that was made, a switch that was flipped."""
        self._notes[text] = None

    def provenance(self) -> dict[str, Any]:
        """Return what the numbers rest on: versions, devices, files, data, mapping, switches."""
        network = self._network
        return {
            **environment(self.device),
            "ranks": self.ranks.size,
            "learning_rate": self.learning_rate,
            "product": self.product,
            "batch_size": self.batch_size,
            "mode": self.mode,
            "allow_download": self.allow_download,
            **described_checkpoints(
                [(one, self.weights_fingerprint(one)) for one in self.checkpoints]
            ),
            "model": self._model_name,
            "data": self._data.description if self._data is not None else None,
            "sources": described_sources(model=self.model, data=self._data),
            "synthetic": self.synthetic,
            **described_data(self.batches, self.held_out),
            "loss": self._loss_name(),
            **described_network(network, self.dtype if network is not None else None, self.mode),
            "notes": [*(note for c in self.checkpoints for note in c.notes), *self._notes],
        }

    # --- inside ----------------------------------------------------------------------------

    def _total_loss(self) -> float | None:
        if self._network is None or self.batches is None:
            return None
        try:
            return self.counted.total
        except NumericalError:
            return None

    @cached_property
    def _divisible(self) -> bool:
        """Return whether ranks may cut batches; where not, say so."""
        found = divisible(self)
        if not found:
            self.note("ranks take whole batches: the loss is not a sum over samples")
        return found

    def _loss_name(self) -> str | None:
        known = self._loss or self.__dict__.get("criterion")
        return known.name if known is not None and self._data is not None else None

    def _read(self, source: object) -> Batches | None:
        max_samples, seed = self._batching
        return Batches(source, max_samples=max_samples, seed=seed) if source is not None else None

    def _needed(self) -> Batches:
        if self.batches is None:
            raise SettingError(
                "no data were given",
                where="Subject",
                why="the loss is a mean over data",
                hint="give --data",
            )
        return self.batches

    def _on_device(self) -> Iterable[Batch]:
        return self._needed().on(self.device, self.dtype)
