"""Random inputs and labels: `random:shape=3x32x32,classes=10`."""

from __future__ import annotations

import torch

from landscape.subject.spec.data_source import (
    DataSource,
    check_count,
    check_named,
    check_option,
    in_batches,
)
from landscape.subject.spec.grammar import Spec
from landscape.subject.spec.schemes import DATA_SCHEMES


def random_data(
    spec: Spec,
    *,
    shape: object,
    classes: int = 10,
    samples: int = 256,
    batch_size: int = 64,
    seed: int = 0,
    tokens: int | None = None,
) -> DataSource:
    """Return standard normal inputs, or random tokens, with random labels; one label a sample.

    Args:
        spec: Its rest is empty.
        shape: Of one input: `3x32x32`, `10` or `(3, 32, 32)`.
        classes: The labels are 0 to classes - 1.
        samples: How many there are.
        batch_size: Samples in a batch.
        seed: Two data of one seed are equal.
        tokens: Vocabulary size, for integer inputs.

    Raises:
        SpecError: An option has a value that it cannot have.
    """
    check_named(spec, named=False, example=DATA_SCHEMES["random"].example)
    counts = {"classes": classes, "samples": samples, "batch_size": batch_size}
    for key, value in counts.items() if tokens is None else {**counts, "tokens": tokens}.items():
        check_count(spec, key, value)
    check_option(spec, "seed", seed, valid=type(seed) is int and seed >= 0, expected="an integer")
    size = (samples, *_parse_shape(spec, shape))
    generator = torch.Generator().manual_seed(seed)
    if tokens is None:
        inputs = torch.randn(size, generator=generator)
    else:
        inputs = torch.randint(tokens, size, generator=generator)
    targets = torch.randint(classes, (samples,), generator=generator)
    kind = "inputs" if tokens is None else f"tokens below {tokens}"
    return DataSource(
        source=in_batches(inputs, targets, batch_size),
        synthetic=True,
        description=f"{samples} samples of random {kind} of shape "
        f"{'x'.join(str(n) for n in size[1:])}, random labels of {classes} classes",
        text=spec.text,
    )


def _parse_shape(spec: Spec, shape: object) -> tuple[int, ...]:
    parts = shape if isinstance(shape, tuple | list) else str(shape).split("x")
    sizes = [str(part).strip() for part in parts]
    valid = all(size.isdecimal() and int(size) > 0 for size in sizes) and bool(sizes)
    check_option(spec, "shape", shape, valid=valid, expected="positive sizes such as 3x32x32")
    return tuple(int(size) for size in sizes)
