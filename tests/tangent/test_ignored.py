"""Outputs whose targets the loss ignores are no part of the kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.diagnostics.ntk import Ntk
from landscape.kernels.asked import chosen
from landscape.kernels.by_products import found_by_products
from landscape.tangent.kernel import kernel
from landscape.tangent.products import TangentOperator

IGNORED = -100


class Tokens(nn.Module):
    """Embedding, attention under a padding mask, and the embedding again as the last layer."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm, self.mix = nn.LayerNorm(8), nn.Linear(8, 8)

    def forward(self, input_ids: Tensor) -> Tensor:
        x = self.table(input_ids)
        padding = input_ids == 0
        seen = self.attention(x, x, x, key_padding_mask=padding, need_weights=False)[0]
        return torch.tanh(self.mix(self.norm(x + seen))) @ self.table.weight.T


def model() -> nn.Module:
    torch.manual_seed(0)
    return Tokens().double().eval()


def padded() -> tuple[Tensor, Tensor]:
    """Nine sequences of 1 to 5 tokens; one has no label at all."""
    source = torch.Generator().manual_seed(1)
    ids = torch.randint(1, 7, (9, 5), generator=source)
    labels = torch.randint(7, (9, 5), generator=source)
    for i in range(9):
        ids[i, 1 + i % 5 :], labels[i, 1 + i % 5 :] = 0, IGNORED
    labels[4] = IGNORED
    return ids, labels


def subject() -> ls.Subject:
    ids, labels = padded()
    data = [
        {"input_ids": a, "labels": b} for a, b in zip(ids.split(4), labels.split(4), strict=True)
    ]
    return ls.Subject(model(), "ce", data, dtype="float64", device="cpu")


def oracle(network: nn.Module) -> tuple[Tensor, list[int]]:
    """The gradient of every logit at a label, one after another, and how many each sample has."""
    ids, labels = padded()
    rows, counts = [], []
    for one, label in zip(ids, labels, strict=True):
        logits = network(one[None])[0][label != IGNORED].flatten()
        counts.append(len(logits))
        for logit in logits:
            made = torch.autograd.grad(logit, list(network.parameters()), retain_graph=True)
            rows.append(torch.cat([part.flatten() for part in made]))
    return torch.stack(rows), counts


def expected() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Full kernel (M, M), trace kernel (8, 8), and the sample of every row."""
    rows, counts = oracle(model())
    full = (rows @ rows.T).numpy()
    _, labels = padded()
    sample = np.repeat(np.arange(9), counts)
    place = np.concatenate([np.flatnonzero(np.repeat(one.numpy() != IGNORED, 7)) for one in labels])
    same = place[:, None] == place
    member = np.eye(9)[sample][:, [i for i in range(9) if counts[i]]]
    return full, member.T @ (full * same) @ member, sample


@pytest.mark.parametrize("block", [1, 3, None])
def test_padding_is_no_part_of_the_kernel(block):
    found = subject()
    full, traced, _ = expected()
    batches = chosen(found, found.batches, 100)
    assert sum(one.samples for one in batches) == 8  # one has no label
    whole = kernel(found, kind="full", batches=batches, block=block)
    kept = whole.values.diagonal() != 0
    np.testing.assert_allclose(whole.values[np.ix_(kept, kept)], full, atol=1e-12)
    assert whole.trace == pytest.approx(np.trace(full), rel=1e-12)
    summed = kernel(found, kind="trace", batches=batches, block=block)
    np.testing.assert_allclose(summed.values, traced, atol=1e-12)


def test_products_have_no_rows_of_padding():
    found = subject()
    batches = chosen(found, found.batches, 100)
    full = expected()[0]
    operator = TangentOperator(found, batches)
    np.testing.assert_allclose(operator.to_dense(), full, atol=1e-12)
    told = found_by_products(found, batches, top=3, probes=2, seed=0)
    assert told.trace.value == pytest.approx(np.trace(full), rel=1e-12)
    np.testing.assert_allclose(told.pairs.top.values, np.linalg.eigvalsh(full)[::-1][:3], rtol=1e-6)


@pytest.mark.parametrize("kind", ["full", "trace", "classes", "sketch", "products"])
def test_numbers_are_of_the_outputs_that_count(kind):
    full, traced, _ = expected()
    answer = Ntk(kind=kind).run(subject())
    assert answer.samples == 8
    assert answer.ignored == 8 * 35 - len(full)
    assert (
        "outputs that the loss reads",
        f"{len(full)} of 280; the others have no rows in the kernel",
    ) in answer.trust()
    if kind == "sketch":
        assert answer.trace.value == pytest.approx(np.trace(full), rel=0.8)
        return
    assert answer.trace.value == pytest.approx(np.trace(full), rel=1e-10)
    assert not any("ignores" in one.sentence for one in answer.findings())
    if kind in ("full", "classes"):
        assert len(answer.eigenvalues) == len(full)  # none for padding
    if kind == "full":
        values = np.linalg.eigvalsh(full)[::-1]
        np.testing.assert_allclose(answer.eigenvalues, values, atol=1e-11 * values[0])
        assert answer.power is not None
        assert answer.power[-1] == pytest.approx(1)
        assert answer.dynamics is not None
        assert answer.dynamics.duality is not None
        assert answer.dynamics.duality < 1e-4
    if kind == "trace":
        values = np.linalg.eigvalsh(traced)[::-1]
        np.testing.assert_allclose(answer.eigenvalues, values, rtol=1e-9)
        assert answer.regression is None


def test_a_loss_of_the_models_own_is_not_understood():
    """Then nothing is left out, and the answer says so."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())

    ids, labels = padded()
    found = ls.Subject(model(), loss, [(ids, labels)], dtype="float64", device="cpu")
    answer = Ntk().run(found)
    assert answer.ignored == 0
    assert str(int((labels == IGNORED).sum())) in answer.unknown
    assert any(one.evidence == answer.unknown for one in answer.findings())


@pytest.mark.parametrize("kind", ["trace", "full"])
def test_equal_inputs_are_told_and_not_taken_for_rounding(kind):
    source = torch.Generator().manual_seed(0)
    inputs = torch.randn(20, 6, generator=source).double()
    inputs = torch.cat([inputs, inputs[:3], inputs[:1]])
    labels = torch.randint(3, (24,), generator=source)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 64), nn.Tanh(), nn.Linear(64, 3)).double()
    found = ls.Subject(network, "ce", [(inputs, labels)], dtype="float64", device="cpu")
    answer = Ntk(kind=kind).run(found)
    assert answer.repeated == 4
    assert answer.zeros == (12 if kind == "full" else 4) == len(answer.eigenvalues) - answer.rank
    told = " ".join(f"{one.sentence} {one.evidence} {one.advice}" for one in answer.findings())
    assert "4 samples have exactly the inputs of another" in told
    assert "float64" not in told
