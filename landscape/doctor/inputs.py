"""What was given: device, checkpoint, network, the map between their names, weights, data."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import nn

from landscape.doctor.parts import DATA, Parts
from landscape.doctor.verdict import NotGiven, Verdict, counted
from landscape.subject.batches import Batches
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.names import match_names
from landscape.subject.files.wording import cut, listed
from landscape.subject.optimizer_state import NoOptimizer, read_optimizer
from landscape.subject.point import check_finite

SHOWN = 4  # names in a line
STATISTICS = nn.modules.batchnorm._NormBase
DROPOUT = nn.modules.dropout._DropoutNd


def check_device(parts: Parts) -> Verdict:
    """Say where products are computed, with which flags."""
    device = parts.device
    name = f" ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else ""
    switched = "on" if torch.backends.cuda.matmul.allow_tf32 else "off"
    return Verdict(
        f"{device}{name}, torch {torch.__version__}, {counted(torch.get_num_threads(), 'thread')}; "
        f"TF32 is {switched} outside and off for every product; deterministic algorithms: "
        f"{'yes' if torch.are_deterministic_algorithms_enabled() else 'not demanded'}"
    )


def check_checkpoint(parts: Parts) -> Verdict:
    """Say what the files hold."""
    if not parts.checkpoints:
        return Verdict("none was given: the model is studied as it is")
    told = "; ".join(_described(one) for one in parts.checkpoints)
    unsafe = [one.label for one in parts.checkpoints if one.unsafe]
    notes = "; ".join(note for one in parts.checkpoints for note in one.notes)
    text = f"{told} ({notes})" if notes else told
    if unsafe:
        return Verdict(text, f"run as a pickle: {listed(unsafe)}", "save the state dict alone")
    return Verdict(text)


def check_model(parts: Parts) -> Verdict:
    """Say what the network is."""
    if not parts.has_model:
        raise NotGiven("no model was given", "give --model and --data")
    module, name = parts.named
    kind = type(module).__name__
    called = f"{name}: {kind}" if name != kind else kind
    return Verdict(f"{called}, {counted(sum(1 for _ in module.modules()), 'module')}")


def check_parameters(parts: Parts) -> Verdict:
    """Say what is studied, trained, frozen and tied."""
    counts = parts.network.counts()
    text = f"{counts['studied']:,} studied, {counts['trainable']:,} trainable"
    more = [f"{counts[name]:,} {name}" for name in ("frozen", "tied") if counts[name]]
    return Verdict(", ".join([text, *more]))


def check_load_map(parts: Parts) -> Verdict:
    """Say which tensors of the file the network takes, and which are left."""
    subject, network = parts.subject, parts.network
    checkpoint = subject.checkpoint
    shapes = network.saved_shapes()
    match = match_names(
        {name: tuple(tensor.shape) for name, tensor in checkpoint.tensors.items()},
        shapes,
        required=network.parameter_names,
        aliases=network.aliases,
        where=checkpoint.path or checkpoint.label,
    )
    unused = sorted(checkpoint.tensors.keys() - set(match.mapping.values()))
    notes = [note for note in match.notes if note.startswith(("prefix", "wrapper", "tied"))]
    whys = []
    if unused:
        whys.append(f"tensors of the file left unused ({len(unused)}): {listed(unused, SHOWN)}")
    if match.kept:
        whys.append(f"buffers not in the file ({len(match.kept)}): {listed(match.kept, SHOWN)}")
    return Verdict(
        "; ".join([f"{len(match.mapping)} of {len(shapes)} tensors found in the file", *notes]),
        "; ".join(whys),
        "make sure that this is the architecture that was trained" if whys else "",
    )


def check_weights(parts: Parts) -> Verdict:
    """Say in which precision the weights are held and studied; they must be finite."""
    if not parts.checkpoints and not parts.has_model:
        raise NotGiven("there are none", "name a checkpoint")
    checkpoint = parts.subject.checkpoint
    floating = [one for one in checkpoint.tensors.values() if one.is_floating_point()]
    kinds = Counter(str(one.dtype).removeprefix("torch.") for one in floating)
    held = ", ".join(f"{name} ×{number}" for name, number in kinds.items())
    if not parts.has_model:
        check_finite(checkpoint.tensors, where=checkpoint.label)
        return Verdict(f"finite; held as {held}")
    working = str(parts.subject.point.theta.dtype).removeprefix("torch.")
    return Verdict(f"finite; held as {held}, studied in {working}")


def check_modules(parts: Parts) -> Verdict:
    """Say which modules behave otherwise in eval mode, and whether they are fit for it."""
    subject = parts.subject
    tensors = parts.network.tensors(subject.point)
    found = Counter[str]()
    untouched, batchwise = [], []
    for name, module in parts.network.model.named_modules():
        if isinstance(module, STATISTICS):
            found[type(module).__name__] += 1
            if module.running_mean is None:
                batchwise += [name] if _uses_the_batch(module) else []
            elif _as_made(tensors[_own(name, "running_mean")], tensors[_own(name, "running_var")]):
                untouched.append(name)
        elif isinstance(module, DROPOUT) and module.p > 0:
            found[type(module).__name__] += 1
    told = ", ".join(f"{kind} ×{number}" for kind, number in found.items())
    if subject.mode == "train":
        return Verdict(f"{told}; studied in train mode" if told else "none differ between modes")
    if batchwise:
        return Verdict(
            told,
            f"they normalise by the batch at hand also in eval mode: {listed(batchwise, SHOWN)}",
            "the loss then depends on the batch size; track running statistics",
        )
    if untouched:
        return Verdict(
            told,
            f"their statistics were never updated (mean 0, variance 1): {listed(untouched, SHOWN)}",
            "use a checkpoint that holds buffers, or run the model over the data in train mode",
        )
    return Verdict(f"{told}; studied in eval mode" if told else "none differ between modes")


def check_optimizer(parts: Parts) -> Verdict:
    """Say what is known of the optimizer, and what that allows."""
    found = read_optimizer(parts.subject)
    if isinstance(found, NoOptimizer):
        raise NotGiven(found.reason, "keep it beside the weights, or give --learning-rate")
    steps = f", step {found.step:,}" if found.step is not None else ""
    told = f"{found.name}, learning rate {found.learning_rate:g}{steps}"
    if found.adaptive and found.preconditioner is None:
        return Verdict(
            f"{told}: stability margin of the plain Hessian only", found.reason, "see the cause"
        )
    allowed = "preconditioned sharpness and stability margin" if found.adaptive else "the margin"
    return Verdict(f"{told}: allows {allowed}")


def check_data(parts: Parts) -> Verdict:
    """Say what the data hold; they must repeat and be finite."""
    batches = parts.batches
    if batches is None:
        raise NotGiven("no data were given", DATA)
    text = described(batches)
    if parts.synthetic:
        hint = "read no number about them as one about the training data"
        return Verdict(text, "they are random numbers", hint)
    return Verdict(text)


def described(batches: Batches) -> str:
    """Return how many samples there are, and of what shape."""
    first = next(iter(batches))
    samples, cut_into = counted(batches.samples, "sample"), counted(len(batches), "batch")
    return f"{samples} in {cut_into}; the first: {first.described}"


def _described(checkpoint: Checkpoint) -> str:
    size = sum(tensor.numel() for tensor in checkpoint.tensors.values())
    facts = [f"{cut(checkpoint.label)}: {checkpoint.container}, {checkpoint.producer}"]
    facts.append(f"{counted(len(checkpoint.tensors), 'tensor')}, {counted(size, 'number')}")
    if checkpoint.sha256:
        facts.append(f"sha256 {checkpoint.sha256[:12]}")
    reached = {"epoch": checkpoint.epoch, "step": checkpoint.step}
    facts += [f"{name} {number:,}" for name, number in reached.items() if number is not None]
    return ", ".join(facts)


def _own(module: str, name: str) -> str:
    return f"{module}.{name}" if module else name


def _as_made(mean: torch.Tensor, variance: torch.Tensor) -> bool:
    return bool((mean == 0).all() and (variance == 1).all())


def _uses_the_batch(module: Any) -> bool:
    """Return whether samples of a batch are mixed; instance norms keep them apart."""
    return not isinstance(module, nn.modules.instancenorm._InstanceNorm)
