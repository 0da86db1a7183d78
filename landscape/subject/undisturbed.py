"""Leave the user's model and the global state as they were, also after an error."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode for the length of a block, then restore each one's attributes.

    Its own mode comes back, and whatever forward has set on it or kept in it.
    """
    before = [(module, dict(vars(module))) for module in model.modules()]
    for module, _ in before:
        module.training = False
    try:
        yield
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)


class RandomState:
    """A state of every global generator, kept apart from the one outside.

    Inside `active` the generators are in this state, and draws move it on; outside they are as
    they were. It can be entered again and again, as a source that yields batch after batch needs.

    Args:
        seed: Of all of them.
        more: Generators that are kept apart as well, such as a loader's own.
    """

    def __init__(self, seed: int, more: Sequence[torch.Generator] = ()) -> None:
        self._more = more
        outside = self._states()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        for one in self._torch_generators():
            one.manual_seed(seed)
        self._inside = self._states()
        self._restore(outside)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draw from this state for the length of a block."""
        outside = self._states()
        self._restore(self._inside)
        try:
            yield
        finally:
            self._inside = self._states()
            self._restore(outside)

    def _torch_generators(self) -> list[torch.Generator]:
        found = [torch.default_generator]
        if torch.cuda.is_initialized():
            found += torch.cuda.default_generators
        return [*found, *self._more]

    def _states(self) -> tuple[Any, Any, list[Tensor]]:
        torch_states = [one.get_state() for one in self._torch_generators()]
        return random.getstate(), np.random.get_state(), torch_states

    def _restore(self, states: tuple[Any, Any, list[Tensor]]) -> None:
        random.setstate(states[0])
        np.random.set_state(states[1])
        for one, state in zip(self._torch_generators(), states[2], strict=False):
            one.set_state(state)


def seeded(seed: int) -> AbstractContextManager[None]:
    """Return a block in which every global generator is seeded, and after which it is as before."""
    return RandomState(seed).active()


@contextmanager
def exact_arithmetic() -> Iterator[None]:
    """Switch TF32 off for the length of a block."""
    backends = (torch.backends.cuda.matmul, torch.backends.cudnn)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            setattr(backend, "allow_tf32", False)  # noqa: B010 - a property of a module
        yield
    finally:
        for backend, allowed in zip(backends, before, strict=True):
            setattr(backend, "allow_tf32", allowed)  # noqa: B010


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """Use attention that can be differentiated twice, in both modes, for the length of a block."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


@contextmanager
def undisturbed(model: nn.Module | None, seed: int) -> Iterator[None]:
    """Study a model without a trace: mode, random state and precision flags come back."""
    with ExitStack() as stack:
        if model is not None:
            stack.enter_context(evaluation_mode(model))
        stack.enter_context(seeded(seed))
        stack.enter_context(exact_arithmetic())
        stack.enter_context(torch.enable_grad())
        yield
