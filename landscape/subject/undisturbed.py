"""Leave the user's model and the global state as they were, also after an error."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put every module in eval mode for the length of a block, then restore each one's own mode."""
    modes = [(module, module.training) for module in model.modules()]
    for module, _ in modes:
        module.training = False
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed every global generator for the length of a block, then restore its state."""
    python, numpy = random.getstate(), np.random.get_state()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices=devices):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.default_generator.manual_seed(seed)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


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
    """Use the attention kernel that can be differentiated twice, for the length of a block."""
    with sdpa_kernel(SDPBackend.MATH):
        yield


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
