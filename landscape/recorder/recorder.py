"""`Recorder`: per-layer statistics and diagnostics inside any training loop."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from torch import Tensor, nn
from torch.optim import Optimizer

from landscape.answer import Finding
from landscape.base import Diagnostic
from landscape.errors import OutputError, SettingError
from landscape.recorder.answer import TrackResult
from landscape.recorder.beginning import Beginning, weights_at_the_end
from landscape.recorder.cadence import Cadence
from landscape.recorder.hooks import Hooks
from landscape.recorder.journal import Journal
from landscape.recorder.log import Log, read_log
from landscape.recorder.network import inner_optimizer, watched
from landscape.recorder.opening import header, opening
from landscape.recorder.overhead import Meter, Overhead
from landscape.recorder.processes import averaged, place, rank
from landscape.recorder.reading import track
from landscape.recorder.schedule import Schedule

L = TypeVar("L", Tensor, float)


class Recorder:
    """Watches a training run: one line around the loop, nothing in the network is rewritten.

        with ls.Recorder(model, optimizer, log="run.jsonl") as rec:
            for inputs, targets in loader:
                optimizer.zero_grad()
                rec.loss(criterion(model(inputs), targets)).backward()
                optimizer.step()
        print(rec.result().summary())

    At every step: norms of the gradient of each parameter tensor, before and after clipping, norms
    of the weights, learning rate, loss, loss scale and skipped steps. Every tenth step besides:
    size of the update, second moments of activations and of the gradients that reach them, dead
    inputs of layers, saturated units, the cosine of successive gradients, and, with several
    micro-batches or ranks, the gradient noise. The run goes on bit for bit as without; nothing
    waits for a GPU.

    The loss is recorded when it is shown to `rec.loss`, or when the network returns it itself.
    Gradients are counted as clipped when their norms at `optimizer.step` differ from those at the
    end of the last backward pass.

    Args:
        model: The network, as the loop calls it: wrapped for data parallelism, or compiled.
        optimizer: Whose steps are recorded.
        every: Steps between rows of norms.
        details_every: Steps between rows of the dearer statistics; 0: none.
        log: A file of JSON lines; gone on with where it is there, and told when training begins
            anew in it. `{rank}` in its name stands for the rank of the process; without, only
            rank 0 records. None: a temporary file.
        scaler: The `GradScaler` of mixed precision, so that norms are those of unscaled gradients
            and skipped steps are known.
        schedule: Diagnostics, and the steps between their answers: `{ls.Spectrum(top=1): 500}`.
        data: A fixed probe for them, as `Subject` takes it.
        loss: For them, as `Subject` takes it.
        share: Of wall-clock time that they may take, divided evenly among them. Each is asked in
            full when it is due for the first time, which measures what it costs and counts as a
            debt; later at those of its dates at which the share pays for what it took last. Dates
            that are put off are recorded.
        step: The number of the first step; None: where the log ends, or 0.
        quiet: Say nothing at the end.

    Raises:
        ModelError: The network is sharded, or does not train.
        SettingError: A setting is out of bounds.
        OutputError: The log cannot be written, or is that of another network.

    Cost: one pass over gradients per backward pass, one over gradients and weights per step;
    of details, three passes over activations, and copies of weights and of gradients.
    """

    def __init__(  # noqa: PLR0913 - the one line around a loop
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        every: int = 1,
        details_every: int = 10,
        log: str | Path | None = None,
        scaler: Any = None,
        schedule: Mapping[Diagnostic[Any], int] | None = None,
        data: object = None,
        loss: Any = "auto",
        share: float = 0.05,
        step: int | None = None,
        quiet: bool = False,
    ) -> None:
        _check(every >= 1, "every", "at least 1", every)
        _check(details_every >= 0, "details_every", "at least 0", details_every)
        _check(share > 0, "share", "above 0", share)
        self._optimizer, found = inner_optimizer(optimizer)
        self._scaler = scaler if scaler is not None else found
        self._watched = watched(model, self._optimizer)
        self._cadence = Cadence(every=every, details_every=details_every)
        self._settings = {
            **vars(self._cadence),
            "share": share if schedule else None,
            "schedule": {repr(question): steps for question, steps in (schedule or {}).items()},
        }
        self._asked_step, self._quiet = step, quiet
        self._path, self._active = place(log)
        self._meter = Meter(self._watched.tensors[0].device.type)
        self._schedule = Schedule(
            schedule if schedule and rank() == 0 else {},
            model=model,
            optimizer=self._optimizer,
            data=data,
            loss=loss,
            share=share,
            meter=self._meter,
        )
        self._share = share
        self._hooks: Hooks | None = None
        self._journal: Journal | None = None
        self._beginning: Beginning | None = None
        self._first = 0  # step

    # --- attaching -------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self.attach()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.detach()

    def attach(self) -> Self:
        """Begin to record; for loops that a `with` does not fit around."""
        if self._hooks is not None or not self._active:
            return self
        begun = opening(self._path, self._watched, self._asked_step)
        self._say(begun.told)
        first = self._first = begun.step
        self._journal = Journal(self._path)
        self._journal.write([header(self._watched, self._optimizer, self._settings, first)])
        self._beginning = Beginning(self._watched, self._optimizer, begun.end)
        self._hooks = Hooks(
            self._watched,
            self._optimizer,
            scaler=self._scaler,
            cadence=self._cadence,
            step=first,
            ranks=averaged(self._watched.model),
            meter=self._meter,
            after_step=self._after_step,
            beginning=self._beginning,
        )
        self._hooks.start()
        return self

    def detach(self) -> None:
        """Write what is left, remove every hook, and say what recording cost."""
        if self._hooks is None or self._journal is None:
            return
        hooks, self._hooks = self._hooks, None
        hooks.stop()
        cost = self.overhead
        end = {"kind": "end", "step": hooks.step, "overhead": {**vars(cost), "share": cost.share}}
        with hooks.guard.inside("writing what is left"):
            self._write([*hooks.records(all_of_them=True), *self._begun(waiting=True)])
        with hooks.guard.inside("the weights at the end"):
            end["weight"] = weights_at_the_end(self._watched)
        with hooks.guard.inside("writing the end"):
            self._write([*hooks.guard.taken(), end])
            self._journal.close()
        if not self._quiet:
            with hooks.guard.inside("reading the log"):
                self._tell(cost)

    def loss(self, value: L) -> L:
        """Record the loss of a batch or micro-batch, and return it unchanged.

        Args:
            value: A scalar tensor, which is not waited for, or a number. Of several in one step
                the mean is recorded.
        """
        if self._hooks is not None:
            self._hooks.loss(value)
        return value

    # --- reading ---------------------------------------------------------------------------

    @property
    def overhead(self) -> Overhead:
        """Return what recording has cost so far."""
        return self._meter.read()

    def log(self) -> Log:
        """Return everything that was recorded so far, waiting for what is under way."""
        if self._journal is None:
            raise SettingError(
                "nothing was recorded",
                where="Recorder",
                why="the recorder has not been attached"
                if self._active
                else "only rank 0 records; {rank} in log= lets all",
                hint="attach it first: with ls.Recorder(model, optimizer) as rec",
            )
        if self._hooks is not None:
            records = self._hooks.records(all_of_them=True)
            self._journal.write([*records, *self._begun(waiting=True)])
        return read_log(self._journal.path)

    def result(self) -> TrackResult:
        """Return what the run looks like so far: series, layers, noise scale, verdicts."""
        return track(self.log())

    def findings(self) -> tuple[Finding, ...]:
        """Return the verdicts, gravest first."""
        return self.result().findings()

    # --- inside ----------------------------------------------------------------------------

    def _after_step(self, step: int) -> None:
        if self._hooks is None or self._journal is None:
            return
        self._write([*self._hooks.records(), *self._begun(), *self._schedule.run(step)])

    def _begun(self, *, waiting: bool = False) -> list[dict[str, Any]]:
        """Return a record, and say so, once the run is found to begin anew in an old log."""
        if self._beginning is None or not self._beginning.anew(waiting=waiting):
            return []
        self._say(
            f"{self._path} holds a run that ended; this one begins anew, with other weights and an "
            f"optimizer without state, and is recorded behind it from step {self._first} on"
        )
        return [{"kind": "anew", "step": self._first}]

    def _say(self, text: str) -> None:
        if text and not self._quiet:
            sys.stderr.write(f"landscape: {text}\n")

    def _write(self, records: list[dict[str, Any]]) -> None:
        """Append to the log; when it cannot be written any more, say so and let the run go on."""
        try:
            if self._journal is not None:
                self._journal.write(records)
        except OutputError as error:
            sys.stderr.write(f"landscape: {error.what}: {error.why}; the run goes on without it\n")

    def _tell(self, cost: Overhead) -> None:
        lines = [f"landscape: {cost.sentence}"]
        if not cost.steps:
            lines = ["landscape: no step of the optimizer was seen"]
        if cost.diagnostics > self._share * cost.seconds:
            lines[0] += (
                "; first answers are given whatever they take, so that the share of "
                f"{self._share:.3g} holds from {cost.diagnostics / self._share:.3g} s on"
            )
        lines += [f"landscape: {one.severity}: {one.sentence}" for one in self.findings()]
        sys.stderr.write("\n".join(lines) + "\n")


def _check(holds: bool, name: str, bounds: str, given: object) -> None:
    if not holds:
        raise SettingError(
            f"Recorder.{name} must be {bounds}, got {given!r}",
            where=f"Recorder.{name}",
            why="outside these bounds there is nothing to record",
            hint="see help(landscape.Recorder)",
        )
