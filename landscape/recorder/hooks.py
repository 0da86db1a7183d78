"""Hooks on a network, its optimizer and its scaler: what happens in a step, and in which order.

Nothing waits for the device, nothing returns a value, and no random number is drawn, so that the
run goes on exactly as it would have; what goes wrong here costs the details of that step.

    forward passes     samples are counted; signals are seen, in the steps that ask for details
    backward passes    at the end of each, norms of what has been accumulated: before clipping
    optimizer.step     before it, norms as the optimizer sees them; after it, the update
    scaler.step        that does not step: a skipped step
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Variable
from torch.optim import Optimizer

from landscape.recorder.beginning import Beginning
from landscape.recorder.cadence import Cadence
from landscape.recorder.details import Details
from landscape.recorder.guard import Guard
from landscape.recorder.inert import Hook, graph_pass, nothing, traced
from landscape.recorder.network import Trainable, Watched, sample_first
from landscape.recorder.norms import accumulation
from landscape.recorder.origin import Origin
from landscape.recorder.overhead import Meter
from landscape.recorder.rows import Rows, Told
from landscape.recorder.scaler import Scaler

_PATIENCE = 0.2  # seconds that a row waits for others to travel with


class Hooks:
    """What is attached for the length of a run; all of it is gone after `stop`.

    Args:
        watched: What is recorded.
        optimizer: Whose steps are recorded.
        scaler: A gradient scaler, or None.
        cadence: Which steps are recorded.
        step: The number of the next step.
        ranks: Processes whose gradients are averaged; 0: not known.
        meter: Adds up the time that all of this takes.
        after_step: Called after every step, with the number of the step that was taken.
        beginning: Looks at the weights before the first step.
    """

    def __init__(  # noqa: PLR0913 - what a run consists of
        self,
        watched: Watched,
        optimizer: Optimizer,
        *,
        scaler: Any,
        cadence: Cadence,
        step: int,
        ranks: int,
        meter: Meter,
        after_step: Callable[[int], None],
        beginning: Beginning,
    ) -> None:
        self.step = step
        self._watched = watched
        self._optimizer = optimizer
        self._cadence = cadence
        self._ranks = ranks
        self._meter = meter
        self._after_step = after_step
        self._beginning = beginning
        dtype = accumulation(watched.tensors)
        self._rows = Rows(watched, optimizer, dtype)
        self.guard = Guard(lambda: self.step, self._drop)
        self._details = Details(watched, dtype, meter, self.guard, ranks=ranks)
        self._trainable = Trainable(watched, optimizer)
        self._sized = sample_first(watched.model)
        self._scaler = (
            Scaler(scaler, optimizer, lambda: self.step, self._skipped)
            if scaler is not None
            else None
        )
        self._origin = Origin(watched)
        self._handles: list[Any] = []
        self._started = self._sent = time.perf_counter()
        self._away = False
        self._clear()
        self._passes_before = 1

    def start(self) -> None:
        """Attach everything."""
        for tensor in self._watched.tensors:
            self._handles.append(tensor.register_post_accumulate_grad_hook(self._accumulated))
        self._handles += [
            self._watched.model.register_forward_hook(Hook(self._forward), with_kwargs=True),
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after),
        ]
        if self._scaler is not None:
            self._scaler.start()
        self._prepare()

    def stop(self) -> None:
        """Remove everything."""
        for handle in self._handles:
            handle.remove()
        self._handles = []
        if self._scaler is not None:
            self._scaler.stop()
        self._details.stop()
        self._after_step = nothing  # whoever asked can go
        self._clear()

    def loss(self, value: Tensor | float) -> None:
        """Note the loss of a micro-batch."""
        with self.guard.inside("Recorder.loss"):
            if isinstance(value, Tensor):
                self._losses.append(value.detach().clone())  # the loop may divide it in place
            else:
                self._host_losses.append(float(value))

    def records(self, *, all_of_them: bool = False) -> list[dict[str, Any]]:
        """Return the records that have reached the host; all that are left, waiting, if asked."""
        ring = self._rows.ring
        now = time.perf_counter()
        if now - self._sent > _PATIENCE:
            self._sent = now
            ring.send()
        rows = ring.rest() if all_of_them else ring.arrived()
        found = [self._rows.record(told, row) for told, row in rows]
        found += self._origin.taken() + self._details.arrived(all_of_it=all_of_them)
        return found + self._trainable.taken() + self.guard.taken()

    # --- the hooks -------------------------------------------------------------------------

    def _forward(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> None:
        if traced() or self._away or not torch.is_grad_enabled():
            return
        with self.guard.inside("the forward pass"):
            self._called(args, kwargs, output)

    def _called(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> None:
        self._calls += 1
        self._origin.called(args, kwargs)
        first = next((v for v in (*args, *kwargs.values()) if isinstance(v, Tensor)), None)
        if self._sized and first is not None and first.dim():
            self._sizes.append(first.size(0))
        loss = output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)
        if isinstance(loss, Tensor) and loss.numel() == 1:
            self._own_losses.append(loss.detach().clone())

    def _accumulated(self, tensor: Tensor) -> None:
        """Ask to be called at the end of a backward pass, after all others that asked before."""
        if self._queued and not self._details.under_way:
            return  # all tensors but the first: there are many, at every step
        with self.guard.inside("a backward pass"):
            if self._details.under_way:
                self._details.reached(graph_pass())
            if not self._queued:
                self._queued = True
                Variable._execution_engine.queue_callback(self._behind_others)

    def _behind_others(self) -> None:
        with self.guard.inside("a backward pass"):
            Variable._execution_engine.queue_callback(self._end_of_backward)

    def _end_of_backward(self) -> None:
        self._queued = False
        self._passes += 1
        if not self._cadence.recorded(self.step):
            return
        with self.guard.inside("a backward pass"), self._meter.recording(), torch.no_grad():
            if self._details.under_way:
                self._details.close_pass()
            self._before = self._rows.gradient_norms()
            self._origin.after_backward(self.step, self._passes, self._before)

    def _before_step(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        given = args[1:] or tuple(kwargs.values())  # the first is the optimizer itself
        self._closure = any(callable(one) for one in given)
        with self.guard.inside("the beginning of a step"), self._meter.recording():
            self._beginning.look()
            self._trainable.look(self.step)
            if self._details.under_way:
                with torch.no_grad():
                    self._details.keep_weights()
        if not self._closure:
            self._put(skipped=False)

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if self._closure:  # its gradients were computed inside the step
            self._put(skipped=False)
        with self.guard.inside("the end of a step"), self._meter.recording(), torch.no_grad():
            if self._details.under_way:
                self._details.after()
            if self._cadence.detailed(self.step + 1):
                self._details.keep_gradients()
        self._advance()

    def _skipped(self) -> None:
        self._put(skipped=True)
        self._drop()
        self._advance()

    # --- a step ----------------------------------------------------------------------------

    def _put(self, *, skipped: bool) -> None:
        if not self._cadence.recorded(self.step):
            return
        with self.guard.inside("a step"), self._meter.recording(), torch.no_grad():
            losses = self._losses or (self._own_losses if not self._host_losses else [])
            host = self._host_losses
            told = Told(
                step=self.step,
                time=time.perf_counter() - self._started,
                passes=self._passes,
                samples=sum(self._sizes) or None,
                loss=sum(host) / len(host) if host and not self._losses else None,
                loss_seen=bool(losses or host),
                rates=[],
                skipped=skipped,
            )
            scale = self._scaler.scale if self._scaler is not None else None
            self._rows.put(told, losses=losses, scale=scale, before=self._before)
            if self._details.under_way and not skipped:
                self._details.before(
                    self.step,
                    norms_before=self._before,
                    scale=scale,
                    sizes=self._sizes,
                    calls=self._calls,
                    passes=self._passes,
                )

    def _advance(self) -> None:
        """Make ready for the next step."""
        with self._meter.recording():
            self._passes_before = self._passes
            self._meter.step()
            self.step += 1
            self._clear()
            self._away = True
            try:
                with self.guard.inside("writing"):
                    self._after_step(self.step - 1)
            finally:
                self._away = False
            with self.guard.inside("the preparation of a step"):
                self._prepare()

    def _drop(self) -> None:
        """Let the details of this step go."""
        with self._meter.recording():
            self._details.stop()

    def _prepare(self) -> None:
        if self._cadence.detailed(self.step):
            several = self._ranks * max(self._passes_before, 1) > 1
            self._details.start(pieces=several)

    def _clear(self) -> None:
        self._queued = False  # also after a backward pass that raised
        self._passes = 0
        self._before: Tensor | None = None
        self._losses: list[Tensor] = []
        self._own_losses: list[Tensor] = []
        self._host_losses: list[float] = []
        self._sizes: list[int] = []
        self._calls = 0
        self._closure = False
        self._origin.forget()
