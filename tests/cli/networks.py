"""Small networks and their data, as a user's factory file has them; some of them cannot be used."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def filled(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter values of its own, whatever the global generator holds."""
    for i, parameter in enumerate(model.parameters()):
        scale = 1 / max(1, parameter[0].numel()) ** 0.5
        parameter.data = scale * torch.randn(parameter.shape, generator=drawn(100 * seed + i))
    return model


# --- networks ----------------------------------------------------------------------------------


def mlp(width: int = 16, outputs: int = 10) -> nn.Module:
    """1,210 parameters."""
    layers = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, outputs))
    return filled(nn.Sequential(nn.Flatten(), *layers))


def save_checkpoints(folder: Path) -> None:
    """Save initial and final weights of `mlp`."""
    torch.save(filled(mlp(), 1).state_dict(), folder / "initial.pt")
    torch.save(mlp().state_dict(), folder / "final.pt")


class Transformer(nn.Module):
    """A language model of one block whose head is the token embedding."""

    def __init__(self, tokens: int = 11, width: int = 8) -> None:
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.qkv = nn.Linear(width, 3 * width)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, tokens, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embedding(tokens)
        q, k, v = (part.unsqueeze(1) for part in self.qkv(x).chunk(3, dim=-1))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True).squeeze(1)
        return self.head(self.norm(x + mixed))


def transformer() -> nn.Module:
    return filled(Transformer())


class Partial(nn.Module):
    """Has a layer that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Linear(3, 2)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x.flatten(1))


def partial() -> nn.Module:
    return filled(Partial())


def frozen() -> nn.Module:
    return mlp().requires_grad_(False)


class Dictated(nn.Module):
    """Is called by keyword."""

    body: Any  # a Sequential of four

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels)


def dictated() -> nn.Module:
    return Dictated()


class Exploding(nn.Module):
    """Its middle layer divides by zero."""

    def __init__(self) -> None:
        super().__init__()
        self.body = mlp()
        self.middle = Infinite()

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(self.body(x))


class Infinite(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 0


def exploding() -> nn.Module:
    return Exploding()


class FailingForward(Dictated):
    def forward(self, pixels: Tensor) -> Tensor:
        raise AttributeError("no such layer: 9")


def failing_forward() -> nn.Module:
    return FailingForward()


def moody() -> nn.Module:
    """Dropout and batch statistics, left in train mode."""
    layers = (nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 10))
    return filled(nn.Sequential(nn.Flatten(), *layers)).train()


class Once(torch.autograd.Function):
    """A rectifier whose backward pass cannot be differentiated."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


class Handmade(Dictated):
    def forward(self, pixels: Tensor) -> Tensor:
        flatten, first, _, last = self.body
        return last(Once.apply(first(flatten(pixels))))


def handmade() -> nn.Module:
    return Handmade()


class Rectified(Dictated):
    def forward(self, pixels: Tensor) -> Tensor:
        flatten, first, _, last = self.body
        return last(first(flatten(pixels)).relu())


def rectified() -> nn.Module:
    return Rectified()


class Overwriting(Dictated):
    """Writes over what its backward pass needs."""

    def forward(self, pixels: Tensor) -> Tensor:
        flatten, first, tanh, last = self.body
        hidden = tanh(first(flatten(pixels)))
        hidden *= 2
        return last(hidden)


def overwriting() -> nn.Module:
    return Overwriting()


class Detached(Dictated):
    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels).detach()


def detached() -> nn.Module:
    return Detached()


def exits() -> nn.Module:
    raise SystemExit(3)


def straight() -> nn.Module:
    """One linear layer, whose mean output is a straight line in its weights."""
    return filled(nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))


def headed(classes: int) -> nn.Module:
    model = nn.Sequential()
    model.add_module("stem", nn.Linear(64, 8))
    model.add_module("fc", nn.Linear(8, classes))
    return filled(model)


def ten_classes() -> nn.Module:
    return headed(10)


def needs_width(width: int, *, depth: int) -> nn.Module:
    return mlp(width * depth)


def not_a_network() -> Any:
    return {"weights": 3}


def fails() -> nn.Module:
    return deeper()


def deeper() -> nn.Module:
    raise KeyError("layer 7 is missing")


# --- data --------------------------------------------------------------------------------------


def batch(size: int, seed: int) -> tuple[Tensor, Tensor]:
    inputs = torch.randn(size, 1, 8, 8, generator=drawn(seed))
    return inputs, torch.randint(10, (size,), generator=drawn(seed + 1))


def data() -> list[tuple[Tensor, Tensor]]:
    """Ragged batches."""
    return [batch(16, 0), batch(7, 2)]


def tokens() -> list[tuple[Tensor, Tensor]]:
    drawn_tokens = torch.randint(11, (6, 7), generator=drawn(5))
    return [(drawn_tokens[:, :-1], drawn_tokens[:, 1:])]


def flat() -> list[tuple[Tensor, Tensor]]:
    return [(inputs.flatten(1), targets) for inputs, targets in data()]


def mappings() -> list[dict[str, Tensor]]:
    return [{"pixels": inputs, "labels": targets} for inputs, targets in data()]


def triples() -> list[tuple[Tensor, Tensor, Tensor]]:
    return [(inputs, targets, targets) for inputs, targets in data()]


def words() -> list[tuple[str, str]]:
    return [("a", "b")]


def no_batches() -> list[Any]:
    return []


def empty_loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(*batch(5, 0)), batch_size=8, drop_last=True)


def empty_dataset() -> TensorDataset:
    return TensorDataset(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long))


def empty_batch() -> list[tuple[Tensor, Tensor]]:
    return [(torch.zeros(0, 1, 8, 8), torch.zeros(0, dtype=torch.long))]


def once() -> Iterator[tuple[Tensor, Tensor]]:
    yield from data()


class Shuffled:
    """Draws its order from a source of randomness that nobody can seed."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator()
        generator.seed()
        for inputs, targets in data():
            order = torch.randperm(len(inputs), generator=generator)
            yield inputs[order], targets[order]


def shuffled() -> Shuffled:
    return Shuffled()


def shuffled_loader() -> DataLoader[Any]:
    return DataLoader(TensorDataset(*batch(20, 0)), batch_size=6, shuffle=True)


def label_12() -> list[tuple[Tensor, Tensor]]:
    first, (inputs, targets) = data()
    targets[3] = 12
    return [first, (inputs, targets)]


def negative_label() -> list[tuple[Tensor, Tensor]]:
    inputs, targets = batch(4, 0)
    targets[0] = -1
    return [(inputs, targets)]


def integer_inputs() -> list[tuple[Tensor, Tensor]]:
    return [(inputs.long(), targets) for inputs, targets in data()]


def wide_inputs() -> list[tuple[Tensor, Tensor]]:
    return [(torch.randn(4, 1, 9, 9, generator=drawn(0)), batch(4, 0)[1])]


def long_targets() -> list[tuple[Tensor, Tensor]]:
    return [(batch(4, 0)[0], batch(5, 0)[1])]


def nan_inputs() -> list[tuple[Tensor, Tensor]]:
    first, (inputs, targets) = data()
    inputs[2, 0, 1, 5] = torch.nan
    return [first, (inputs, targets)]


def infinite_inputs() -> list[tuple[Tensor, Tensor]]:
    first, (inputs, targets) = data()
    inputs[4, 0, 0, 0] = torch.inf
    return [first, (inputs, targets)]


def nan_targets() -> list[tuple[Tensor, Tensor]]:
    return [(inputs, torch.full((len(inputs), 10), torch.nan)) for inputs, _ in data()]


def real_labels() -> list[tuple[Tensor, Tensor]]:
    return [(inputs, targets.float()) for inputs, targets in data()]


def ignored() -> list[tuple[Tensor, Tensor]]:
    return [(inputs, torch.full_like(targets, -100)) for inputs, targets in data()]


def images_only() -> list[Tensor]:
    return [inputs for inputs, _ in data()][:1]


def nothing() -> None:
    return None


def number() -> int:
    return 7


def held_out_alone() -> dict[str, Any]:
    return {"held_out": data()}


class Torn(Dataset[Any]):
    """One of its files is damaged."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        if index == 3:
            raise OSError("cannot open image 3")
        return torch.zeros(1, 8, 8), 0


def torn() -> DataLoader[Any]:
    return DataLoader(Torn(), batch_size=2)


def mean_output(outputs: Tensor, targets: Tensor) -> Tensor:
    del targets
    return outputs[:, 0]


def infinite_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs, targets, reduction="none") + torch.inf


def failing_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    raise KeyError(f"no such key: margin, for {len(outputs)} outputs, {len(targets)} targets")


def fails_to_yield() -> Iterator[Any]:
    yield batch(4, 0)
    raise ValueError("shard 3 is corrupt")
