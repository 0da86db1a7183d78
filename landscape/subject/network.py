"""The user's network as a pure function of its tensors."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import disable_saved_tensors_hooks
from torch.func import functional_call
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.nn.parameter import is_lazy

from landscape.errors import DataError, LandscapeError, ModelError, out_of_memory
from landscape.subject.batch import Batch
from landscape.subject.files.fingerprint import fingerprint
from landscape.subject.identity import network_digest
from landscape.subject.losses import Loss, ModelLoss
from landscape.subject.parameters import Parameters
from landscape.subject.point import Point
from landscape.subject.pruned import MaskLike, Pruned, attach_mask
from landscape.subject.traces import user_position, user_traceback
from landscape.subject.trial import Trial, inputs_of
from landscape.subject.undisturbed import differentiable_attention

CHECKPOINTING = "activations are recomputed in the backward pass"


class Network:
    """A module that is never touched, and the coordinates of it that are studied.

    Args:
        model: The module; wrappers (data parallel, compiled) are looked through.
        params: Which parameters are studied, as `Parameters` takes it.
        mask: Which coordinates of them: of a mask of pruning those that it keeps, the others being
            zero; else as `Parameters` takes it.
    """

    def __init__(
        self, model: nn.Module, params: str | None = None, mask: MaskLike | None = None
    ) -> None:
        self.model = unwrapped(model)
        self.own = _tensors_of(self.model)
        found = attach_mask(mask, {n: tuple(p.shape) for n, p in self.model.named_parameters()})
        self.pruned = found if isinstance(found, Pruned) else None
        if isinstance(found, Pruned):
            self.own = found.applied(self.own)
            found = found.among(Parameters(self.model, params).names)
        self.parameters = Parameters(self.model, params, found)
        self._buffers = [name for name, _ in self.model.named_buffers()]

    @property
    def parameter_names(self) -> list[str]:
        """Return the names of all parameters, tied ones once."""
        return [name for name, _ in self.model.named_parameters()]

    def saved_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shape of every tensor that a state dict holds, tied ones under each name."""
        state = self.model.state_dict()
        return {name: tuple(t.shape) for name, t in state.items() if isinstance(t, Tensor)}

    @cached_property
    def aliases(self) -> dict[str, set[str]]:
        """Return, for every parameter, the other names by which it is reachable (tied weights)."""
        names: dict[int, list[str]] = {}
        for name, tensor in self.model.named_parameters(remove_duplicate=False):
            names.setdefault(id(tensor), []).append(name)
        return {same[0]: set(same[1:]) for same in names.values()}

    @cached_property
    def trial(self) -> Trial | str:
        """Return inputs that the network takes, found by trial; why not, where there are none."""
        return inputs_of(self)

    @cached_property
    def digest(self) -> str:
        """Return what tells the network from others: its code, and tensors no checkpoint holds."""
        saved = self.saved_shapes()
        transient = {name: tensor for name, tensor in self.own.items() if name not in saved}
        return network_digest(self.model) + (fingerprint(transient) if transient else "")

    def counts(self) -> dict[str, int]:
        """Return how many coordinates are studied, trainable, frozen and tied."""
        tensors = dict(self.model.named_parameters())
        return {
            "studied": self.parameters.size,
            "trainable": sum(t.numel() for t in tensors.values() if t.requires_grad),
            "frozen": sum(t.numel() for t in tensors.values() if not t.requires_grad),
            "tied": sum(tensors[name].numel() * len(more) for name, more in self.aliases.items()),
        }

    def point(self, values: Mapping[str, Tensor]) -> Point:
        """Return the point at which the network's tensors have the given values."""
        theta = self.parameters.flatten(values)
        whole = {block.name for block in self.parameters.blocks if block.kept is None}
        return Point(theta, {name: t for name, t in values.items() if name not in whole})

    def narrowed(self, kept: Tensor) -> Network:
        """Return the same network with some of its coordinates, by their increasing positions."""
        other = copy.copy(self)
        other.parameters = self.parameters.subset(kept)
        return other

    def tensors(self, point: Point) -> dict[str, Tensor]:
        """Return every tensor of the network at a point, by name."""
        return {**point.rest, **self.parameters.unflatten(point.theta, point.rest)}

    def outputs(self, point: Point, batch: Batch, loss: Loss | None) -> Any:
        """Return the model's outputs for a batch at a point.

        Raises:
            DataError: The batch does not fit the model's forward.
        """
        own = batch.mapped(torch.clone)  # a forward may write into its inputs and buffers
        kwargs = dict(own.kwargs)
        if isinstance(loss, ModelLoss) and batch.target_key is not None:
            kwargs[batch.target_key] = own.targets
        tensors = self.tensors(point)
        tensors |= {name: tensors[name].clone() for name in self._buffers}
        # a fused kernel reads a mask in float32 as if it were in the queries' float64
        double = point.theta.dtype == torch.float64
        attention = differentiable_attention() if double else nullcontext()
        try:
            with disable_saved_tensors_hooks(CHECKPOINTING), attention:
                return functional_call(self.model, tensors, own.args, kwargs)
        except LandscapeError:
            raise
        except Exception as error:
            if out_of_memory(error) is not None:
                raise
            if CHECKPOINTING in str(error):
                raise checkpointing(self.model) from error
            raise self._uncallable(error, batch) from error

    def _uncallable(self, error: Exception, batch: Batch) -> DataError:
        misfit = isinstance(error, TypeError | ValueError | IndexError | RuntimeError)
        hint = "check that the data yield what forward expects, in that shape and dtype"
        if self.model.training and batch.samples < 2:
            hint = "give at least two samples: train mode normalises by the batch"
        if "for argument #1 'indices'" in str(error):  # an embedding was given real numbers
            kinds = nn.Embedding | nn.EmbeddingBag
            sizes = [one.num_embeddings for one in self.model.modules() if isinstance(one, kinds)]
            tokens = sizes[0] if sizes else "…"
            hint = "token ids are integers: return int64, or give --data random:shape=…,tokens="
            hint += f"{tokens}"
        frames = "" if misfit else f"\n{user_traceback(error)}"
        return DataError(
            f"the model could not be called on a batch: {first_line(error)}",
            where=f"{type(self.model).__name__}.forward {user_position(error)}".rstrip(),
            why=f"the batch holds {batch.described}{frames}",
            hint=hint,
        )

    def takes(self, name: str | None) -> bool:
        """Return whether the model's forward has an argument of that name."""
        return name is not None and name in inspect.signature(self.model.forward).parameters

    def first_non_finite_module(self, point: Point, batch: Batch, loss: Loss) -> str | None:
        """Return the name of the module whose output is first not finite, by one forward pass."""
        found: list[str] = []

        def watch(name: str) -> Any:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                del module, inputs
                bad = isinstance(output, Tensor) and output.is_floating_point()
                if bad and not found and not bool(output.isfinite().all()):
                    found.append(name)

            return hook

        leaves = [(n, m) for n, m in self.model.named_modules() if not list(m.children())]
        handles = [module.register_forward_hook(watch(name)) for name, module in leaves]
        try:
            self.outputs(point, batch, loss)
        finally:
            for handle in handles:
                handle.remove()
        return found[0] if found else None


def checkpointing(model: nn.Module) -> ModelError:
    """Return the refusal of activation checkpointing."""
    return ModelError(
        "the network uses activation checkpointing",
        where=f"{type(model).__name__}.forward",
        why="its backward pass runs forward again, when the weights studied are no longer in place",
        hint="switch it off in the factory, for example gradient_checkpointing_disable()",
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's text."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside data-parallel and compiled wrappers."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _tensors_of(model: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    for name, tensor in found.items():
        if is_lazy(tensor) or tensor.is_meta:
            raise ModelError(
                f"{name} has no values yet",
                where="model",
                why="lazy modules and the meta device get shapes or values only in a first use",
                hint="call the model once in the factory, or build it on the CPU",
            )
    buffers = {name for name, _ in model.named_buffers()}  # copied: training may go on
    return {n: t.detach().clone() if n in buffers else t.detach() for n, t in found.items()}
