"""What the tangent kernel of real networks tells, and the doubt of it."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

import landscape as ls
from landscape.diagnostics import ntk
from landscape.diagnostics.ntk import Ntk
from landscape.errors import ResourceError, SettingError
from landscape.estimate import Status
from landscape.kernels import dynamics
from landscape.kernels.asked import signs
from landscape.kernels.decomposition import decomposition
from landscape.kernels.influence import suspicion
from landscape.kernels.regression import fitted
from landscape.tangent.kernel import kernel
from landscape.training.digits import cnn
from tests.cases import CASES
from tests.tangent.test_blocks import Tied, loop


def digits(samples: int) -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images, dtype=torch.float32).view(-1, 1, 8, 8) / 16
    return inputs[:samples], torch.tensor(labels)[:samples]


def trained(inputs: torch.Tensor, labels: torch.Tensor, steps: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = cnn()
        optimizer = torch.optim.Adam(model.parameters(), 3e-3)
        for _ in range(steps):
            rows = torch.randint(len(inputs), (64,))
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[rows]), labels[rows]).backward()
            optimizer.step()
    return model.eval()


@cache
def flipped() -> tuple[torch.Tensor, torch.Tensor, np.ndarray]:
    """600 digits, 5 % of whose labels are wrong."""
    inputs, labels = digits(600)
    source = np.random.default_rng(0)
    wrong = source.choice(600, 30, replace=False)
    given = labels.clone()
    given[wrong] = (labels[wrong] + torch.as_tensor(source.integers(1, 10, 30))) % 10
    return inputs, given, wrong


def test_flipped_labels_are_found():
    """At least 80 % of them are among the 10 % that are suspected most."""

    inputs, given, wrong = flipped()
    subject = ls.Subject(trained(inputs, given, 150), "ce", [(inputs, given)], device="cpu")
    result = Ntk(samples=600, rate=False).run(subject)
    assert result.regression is not None
    values = kernel(subject).values
    hot = np.eye(10)[given]
    fit = fitted(decomposition(values, precision=1e-7), hot - hot.mean(0), result.regression.ridge)
    order = np.argsort(-(suspicion(fit, given.numpy())))[:60]
    found = len(set(order) & set(wrong)) / 30
    assert found >= 0.8
    shown = [one.sample for one in result.regression.suspects]
    assert len(set(shown) & set(wrong)) >= 16


@pytest.mark.parametrize("kind", ["trace", "full", "classes"])
def test_against_the_jacobian(kind):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)).double()
    inputs, labels = torch.randn(12, 6).double(), torch.arange(12) % 3
    data = [(inputs[:5], labels[:5]), (inputs[5:], labels[5:])]
    result = Ntk(kind=kind).run(ls.Subject(model, "ce", data, dtype="float64", device="cpu"))
    jacobian = loop(model, inputs)
    flat = jacobian.flatten(0, 1)
    traced = torch.einsum("ncp,mcp->nm", jacobian, jacobian)
    blocks = torch.einsum("ncp,mcp->cnm", jacobian, jacobian)
    expected = {
        "trace": np.linalg.eigvalsh(traced),
        "full": np.linalg.eigvalsh(flat @ flat.T),
        "classes": np.sort(np.linalg.eigvalsh(blocks).ravel()),
    }[kind][::-1]
    np.testing.assert_allclose(result.eigenvalues, expected, atol=1e-11 * expected[0], rtol=0)
    assert result.trace.value == pytest.approx(float(jacobian.square().sum()), rel=1e-12)
    assert result.samples == 12
    assert result.outputs == 3
    assert sum(one.share for one in result.layers) == pytest.approx(1)
    for one in result.layers:
        part = loop(model, inputs, [one.name]).square().sum()
        assert one.trace == pytest.approx(float(part), rel=1e-12)
    y = np.eye(3)[labels]
    k = traced.numpy()
    raw = np.sum(k * (y @ y.T)) / np.linalg.norm(k) / np.linalg.norm(y @ y.T)
    assert result.alignment.value == pytest.approx(raw)
    assert result.dynamics is not None
    if kind == "full":
        assert result.dynamics.duality is not None
        assert result.dynamics.duality < 1e-10


def test_a_sketch_tells_its_error():
    """Over draws, the error of the mean over directions is what it says."""
    inputs, labels = digits(40)
    subject = ls.Subject(cnn(), "ce", [(inputs, labels)], device="cpu")
    truth = kernel(subject).values
    (batch,) = subject.device_batches()
    errors, told = [], []
    for seed in range(12):
        result = Ntk(kind="sketch", probes=8, rate=False, seed=seed).run(subject)
        drawn = signs(10, 8, seed, batch)
        values = kernel(subject, kind="classes", combine=drawn).values.mean(0)
        errors.append(np.linalg.norm(values - truth) / np.linalg.norm(truth))
        told.append(result.sketch_error)
        assert result.trace.value == pytest.approx(np.trace(values), rel=1e-5)
        total = sum(one.trace for one in result.layers)
        assert total == pytest.approx(result.trace.value, rel=1e-5)
    ratio = np.sqrt(np.mean(np.square(told)) / np.mean(np.square(errors)))
    assert 0.6 < ratio < 1.7


def test_a_series_tells_how_the_kernel_moved():
    inputs, labels = digits(80)
    first = trained(inputs, labels, 0)
    last = trained(inputs, labels, 60)
    ends = [ls.Checkpoint.of_model(m, n) for m, n in ((first, "a"), (first, "b"), (last, "c"))]
    subject = ls.Subject(copy.deepcopy(last), "ce", [(inputs, labels)], ends, device="cpu")
    result = Ntk(rate=False).run(subject)
    before, same, moved = result.series
    assert before.change is None
    assert same.change is not None
    assert same.change.first.value == pytest.approx(0, abs=1e-10)
    assert moved.change is not None

    one, other = (kernel(subject.at(end)).values for end in (ends[0], ends[2]))
    expected = 1 - np.sum(one * other) / np.linalg.norm(one) / np.linalg.norm(other)
    assert moved.change.first.value == pytest.approx(expected, rel=1e-6)
    assert moved.change.before.value == pytest.approx(expected, rel=1e-6)
    own, now = (np.diag(k).reshape(80, -1).sum(1) for k in (one, other))
    ratio = now.sum() / own.sum()
    assert moved.change.scale.value == pytest.approx(ratio)
    error = np.sqrt(np.sum((now - ratio * own) ** 2)) / own.sum()  # by linearisation, of samples
    assert moved.change.scale.half_width == pytest.approx(2 * error, rel=0.3)
    assert same.change.scale.interval == pytest.approx((1, 1))
    assert any("from the first" in table.columns for table in result.tables())
    assert "changed" in " ".join(finding.sentence for finding in result.findings())


def test_the_linearised_network_on_held_out_data():
    """A linear network is its own linearisation: ridge regression from where it stands."""
    torch.manual_seed(2)
    inputs, true = torch.randn(50, 4).double(), torch.randn(4, 1).double()
    targets = inputs @ true + 0.1 * torch.randn(50, 1).double()
    model = nn.Linear(4, 1, bias=False).double()
    data = {"train": [(inputs[:30], targets[:30])], "held_out": [(inputs[30:], targets[30:])]}
    result = Ntk().run(ls.Subject(model, "mse", data, dtype="float64", device="cpu"))
    found = result.prediction
    assert found is not None
    assert found.linearised is not None
    assert found.samples == 20
    x, y = inputs.numpy(), targets.numpy()
    weight = model.weight.detach().numpy().T
    network = np.square(x[30:] @ weight - y[30:]).mean()
    assert found.network.value == pytest.approx(network)
    assert found.linearised.value < 0.02 < network
    told = [table for table in result.tables() if "held-out" in table.title]
    assert len(told) == 1


@pytest.mark.parametrize("loss", ["mse", "ce"])
def test_a_linear_network_has_the_mean_kernel(loss):
    """Its outputs have one kernel, and apart: what is predicted by it and by the full one agree."""
    torch.manual_seed(2)
    inputs, true = torch.randn(40, 4).double(), torch.randn(4, 3).double()
    targets = inputs @ true + 0.1 * torch.randn(40, 3).double()
    targets = targets.argmax(1) if loss == "ce" else targets
    data = {"train": [(inputs[:25], targets[:25])], "held_out": [(inputs[25:], targets[25:])]}
    subject = ls.Subject(nn.Linear(4, 3).double(), loss, data, dtype="float64", device="cpu")
    one, other = (Ntk(kind=kind, rate=False).run(subject).prediction for kind in ("trace", "full"))
    assert one is not None
    assert other is not None
    assert one.linearised is not None
    assert other.linearised is not None
    assert one.linearised.value == pytest.approx(other.linearised.value, rel=1e-8)
    assert "mean kernel" in one.linearised.method
    assert "full kernel" in other.linearised.method
    if loss == "ce":
        assert one.training is not None
        assert other.training is not None
        for a, b in zip(one.training.path, other.training.path, strict=True):
            assert a.time == pytest.approx(b.time)
            assert a.loss.value == pytest.approx(b.loss.value, rel=1e-4)


def test_tokens_and_binary_labels_have_an_accuracy():
    """By every token, whose classes are the last axis; and by every binary label."""
    torch.manual_seed(0)
    ids = torch.randint(7, (20, 5))
    model = Tied().eval()
    data = {"train": [(ids[:12], ids[:12])], "held_out": [(ids[12:], ids[12:])]}
    found = Ntk(rate=False).run(ls.Subject(model, "ce", data, device="cpu")).prediction
    assert found is not None
    assert found.training is not None
    with torch.no_grad():
        outputs = model(ids[12:])
    right = (outputs.argmax(2) == ids[12:]).double().mean()
    assert found.quantity == "accuracy"
    assert found.network.value == pytest.approx(float(right))
    loss = nn.functional.cross_entropy(outputs.flatten(0, 1), ids[12:].flatten())
    assert found.training.path[0].loss.value == pytest.approx(float(loss), rel=1e-5)
    inputs = torch.randn(30, 4)
    labels = (inputs[:, :1] > 0).float()
    data = {"train": [(inputs[:20], labels[:20])], "held_out": [(inputs[20:], labels[20:])]}
    binary = nn.Linear(4, 1)
    found = Ntk(rate=False).run(ls.Subject(binary, "bce", data, device="cpu")).prediction
    assert found is not None
    assert found.training is not None
    with torch.no_grad():
        right = ((binary(inputs[20:]) > 0) == labels[20:].bool()).float().mean()
    assert found.network.value == pytest.approx(float(right))
    assert found.kernel.value > 0.8


@pytest.mark.full
def test_shares_of_layers_have_the_doubt_of_the_choice():
    """The intervals over samples hold the share of all data, and are no wider than need be."""
    inputs, labels = digits(1200)
    model = trained(inputs[:200], labels[:200], 20)
    whole = Ntk(rate=False, samples=1200).run(
        ls.Subject(model, "ce", [(inputs, labels)], device="cpu")
    )
    held = 0
    for part in range(20):
        rows = slice(60 * part, 60 * part + 60)
        data = [(inputs[rows], labels[rows])]
        some = Ntk(rate=False).run(ls.Subject(model, "ce", data, device="cpu"))
        for one, true in zip(some.by_layer, whole.by_layer, strict=True):
            low, high = one.share.interval
            assert 0 < high - low < 0.1
            held += low <= true.share.value <= high
    assert held >= 0.8 * 20 * len(whole.by_layer)


def test_held_out_data_of_which_nothing_can_be_told_are_spoken_of():
    torch.manual_seed(0)
    ids = torch.randint(7, (20, 5))
    labels = ids.masked_fill(ids == 3, -100)
    train, held_out = [(ids[:12], labels[:12])], [(ids[12:], labels[12:])]
    for data, told in (({"train": train, "held_out": held_out}, True), (train, False)):
        found = Ntk(rate=False).run(ls.Subject(Tied().eval(), "ce", data, device="cpu"))
        assert found.prediction is None
        assert ("no held-out prediction: the loss ignores" in found.summary()) is told


def test_held_out_accuracy():
    inputs, labels = digits(300)
    data = {"train": [(inputs[:200], labels[:200])], "held_out": [(inputs[200:], labels[200:])]}
    model = trained(inputs[:200], labels[:200], 60)
    result = Ntk(rate=False).run(ls.Subject(model, "ce", data, device="cpu"))
    found = result.prediction
    assert found is not None
    assert found.quantity == "accuracy"
    with torch.no_grad():
        right = (model(inputs[200:]).argmax(1) == labels[200:]).float().mean()
    assert found.network.value == pytest.approx(float(right))
    assert found.kernel.value > 0.8
    assert found.linearised is not None
    assert found.training is not None
    assert found.training.learned
    first, last = found.training.start, found.training.end
    assert found.training.path[-1].loss.interval == last.loss.interval
    assert first.accuracy.interval == found.network.interval
    assert last.accuracy.value == found.linearised.value
    assert last.loss.value < first.loss.value
    assert "mean kernel of its outputs" in found.linearised.method
    assert "5 % of what it was" in found.linearised.method
    assert "training" in {picture.name for picture in result.pictures()}
    axes = Figure().add_subplot()
    next(p for p in result.pictures() if p.name == "training").draw(axes)
    assert axes.has_data()
    assert Ntk.result.from_json(result.to_json()).tables() == result.tables()
    assert any(name == "error of its training" for name, _ in result.trust())


def test_a_plan_computes_nothing():
    inputs, labels = digits(80)
    subject = ls.Subject(cnn(), "ce", [(inputs, labels)], device="cpu")
    result = Ntk(plan=True).run(subject)
    assert result.status is Status.SKIPPED
    assert not len(result.eigenvalues)
    assert {one.name for one in result.plan} == set(dict(cnn().named_parameters()))
    assert "plan" in result.summary()
    axes = Figure().add_subplot()
    result.draw(axes, label="a plan")
    assert axes.has_data()
    assert Ntk.result.from_json(result.to_json()).tables() == result.tables()


@pytest.mark.parametrize("case", ["mlp", "cnn", "residual", "multihead", "partial", "tied"])
@pytest.mark.parametrize("kind", ["trace", "full"])
def test_every_kind_of_network(case, kind):
    subject = CASES[case]().subject(dtype="float64")
    result = Ntk(kind=kind, samples=6).run(subject)
    assert result.agreement < 1e-8
    assert result.rank > 0
    assert result.parameters == subject.parameters.size
    assert result.tables()
    if result.dynamics is not None and result.dynamics.duality is not None:
        assert result.dynamics.duality < 1e-6


def test_the_kernel_as_a_file(tmp_path):
    inputs, labels = digits(20)
    subject = ls.Subject(cnn(), "ce", [(inputs, labels)], device="cpu")
    result = Ntk(rate=False, kernel_file=str(tmp_path / "k-{checkpoint}.npz")).run(subject)
    assert result.kernel_file is not None
    stored = np.load(result.kernel_file)["kernel"]
    assert np.trace(stored) == pytest.approx(result.trace.value)
    with pytest.raises(ls.LandscapeError, match="cannot be written"):
        Ntk(rate=False, kernel_file=str(tmp_path / "no" / "k.npz")).run(subject)


def test_what_cannot_be_had_says_why():
    inputs, labels = digits(12)
    with pytest.raises(SettingError):
        Ntk().run(ls.Subject(cnn(), "ce", [(inputs, labels)], mode="train", device="cpu"))

    def loss(outputs, targets):
        return (outputs - targets[:, None]).abs().sum(1)

    subject = ls.Subject(nn.Linear(64, 2), loss, [(inputs.flatten(1), labels)], device="cpu")
    result = Ntk().run(subject)
    assert math.isnan(result.alignment.value)
    assert result.alignment.reason
    assert result.regression is None


def test_a_full_kernel_that_does_not_fit_is_known_by_its_products():
    inputs, labels = digits(40)
    subject = ls.Subject(
        trained(inputs, labels, 20), "ce", [(inputs, labels)], dtype="float64", device="cpu"
    )
    dense = Ntk(kind="full").run(subject)
    found = Ntk(kind="full", max_memory=1e-3, top=5).run(subject)
    assert found.kind == "products"
    assert "does not fit" in found.message
    assert found.partial
    assert found.residuals is not None
    gap = np.abs(found.eigenvalues - dense.eigenvalues[:5])
    assert (gap <= found.residuals + 1e-9 * dense.eigenvalues[0]).all()
    assert found.trace.value == pytest.approx(dense.trace.value, rel=1e-9)
    low, high = found.participation.interval
    assert low <= dense.participation.value <= high
    assert dense.condition.value >= found.condition.value
    assert found.condition.kind == "lower_bound"
    assert dense.power is not None
    assert found.power is not None
    np.testing.assert_allclose(found.power, dense.power[:5], atol=2e-3)
    for name, one in {layer.name: layer for layer in dense.layers}.items():
        told = next(layer for layer in found.layers if layer.name == name)
        assert told.trace == pytest.approx(one.trace, rel=1e-9)
    assert {picture.name for picture in found.pictures()} == {"power", "density"}
    for picture in found.pictures():
        axes = Figure().add_subplot()
        picture.draw(axes)
        assert axes.has_data()
    assert Ntk.result.from_json(found.to_json()).tables() == found.tables()
    assert "largest eigenvalues" in found.summary()
    proof = found.approximation
    assert proof is not None
    rank = len(proof.lower)
    slack = 1e-12 * dense.eigenvalues[0]
    assert (proof.lower <= dense.eigenvalues[:rank] + slack).all()
    assert (dense.eigenvalues[:rank] <= proof.upper + slack).all()
    assert (dense.eigenvalues[rank:] <= proof.beyond + slack).all()
    told = next(table for table in found.tables() if table.title == "Nyström approximation")
    assert told.rows[0][1] == rank
    assert any("Nyström" in name for name, _ in found.trust())
    modes = next(table for table in found.tables() if table.title == "First k modes")
    assert "proved at most" in modes.columns
    back: Any = Ntk.result.from_json(found.to_json())
    np.testing.assert_array_equal(back.approximation.upper, proof.upper)
    axes = Figure().add_subplot()
    found.draw(axes)
    (band,) = axes.collections
    ends = np.asarray(band.get_paths()[0].vertices)
    assert ends[:, 0].max() == rank
    assert ends[:, 1].max() == pytest.approx(proof.upper[0])
    poor = replace(proof, missed=replace(proof.missed, value=0.4, interval=(0.4, 0.4)))
    missed = replace(found, approximation=poor).findings()
    assert any("40% of the kernel's trace" in one.sentence for one in missed)
    assert not any("kernel's trace" in one.sentence for one in found.findings())
    asked = Ntk(kind="products", top=5, rate=False).run(subject)
    np.testing.assert_allclose(asked.eigenvalues, found.eigenvalues)
    with pytest.raises(SettingError, match="no kernel"):
        Ntk(kind="products", plan=True).run(subject)


@pytest.mark.parametrize("kind", ["trace", "products"])
def test_a_learning_rate_that_did_not_converge_is_not_told_as_a_spent_budget(kind, monkeypatch):
    monkeypatch.setattr(dynamics, "MOST_PRODUCTS", 3)
    inputs, labels = digits(20)
    subject = ls.Subject(cnn(), "ce", [(inputs, labels)], dtype="float64", device="cpu")
    result = Ntk(kind=kind, top=2).run(subject)
    assert result.dynamics is not None
    assert result.dynamics.sharpness.status is Status.NOT_CONVERGED
    assert result.status is Status.NOT_CONVERGED


def test_the_trace_kernel_of_too_many_samples_is_refused():
    inputs, labels = digits(80)
    with pytest.raises(ResourceError, match="does not fit"):
        Ntk(max_memory=1e-4, rate=False).run(
            ls.Subject(cnn(), "ce", [(inputs, labels)], device="cpu")
        )


@pytest.mark.parametrize("kind", ["trace", "full", "classes", "sketch"])
def test_alignment_of_every_layer(kind):
    """That of the kernel of the layer's parameters alone."""
    inputs, labels = digits(60)
    model = trained(inputs, labels, 20)
    data = [(inputs, labels)]
    whole = Ntk(kind=kind, rate=False).run(ls.Subject(model, "ce", data, device="cpu"))
    assert [one.name for one in whole.by_layer] == ["0", "1", "4", "5", "9"]
    assert sum(one.share.value for one in whole.by_layer) == pytest.approx(1)
    for one in whole.by_layer:
        alone = ls.Subject(model, "ce", data, params=f"{one.name}.*", device="cpu")
        found = Ntk(kind=kind, rate=False).run(alone)
        expected = found.alignment_centred
        assert one.alignment.value == pytest.approx(expected.value, rel=1e-4)
        assert one.alignment.interval == pytest.approx(expected.interval, rel=1e-3)
        assert one.parameters == found.parameters
    assert "layers" in {picture.name for picture in whole.pictures()}
    axes = Figure().add_subplot()
    next(p for p in whole.pictures() if p.name == "layers").draw(axes)
    assert axes.has_data()


def test_suspects_are_named_by_their_place_in_the_data():
    """Also where every third sample is looked at, and some have no label."""
    inputs, labels = digits(300)
    given = labels.clone()
    given[150] = (labels[150] + 5) % 10
    given[[3, 30, 60]] = -100
    data = [(inputs[:140], given[:140]), (inputs[140:], given[140:])]
    subject = ls.Subject(trained(inputs, labels, 100), "ce", data, device="cpu")
    result = Ntk(samples=100, rate=False).run(subject)
    rows = np.round(np.linspace(0, 299, 100)).astype(int)
    known = [row for row in rows if given[row] != -100]
    assert result.samples == len(known) < 100
    assert result.regression is not None
    assert result.regression.suspects
    for one in result.regression.suspects:
        assert one.sample in known
        assert one.label == given[one.sample]
        assert set(one.neighbours) <= set(known)
        assert one.neighbour_labels == tuple(int(given[row]) for row in one.neighbours)
    nothing = [(inputs[:4], torch.tensor([-100, 1, 2, -100]))]
    with pytest.raises(SettingError, match="has a label"):
        Ntk(samples=2, rate=False).run(ls.Subject(cnn(), "ce", nothing, device="cpu"))


@pytest.mark.parametrize(("loss", "trained"), [("ce", True), ("mse", False)])
def test_the_time_of_training_the_linearised_network_is_counted(loss, trained):
    inputs, labels = torch.zeros(30, 5), torch.arange(30) % 3
    targets = labels if loss == "ce" else torch.zeros(30, 3)
    parts = [[(inputs[:20], targets[:20])], [(inputs[20:], targets[20:])]]
    model = nn.Linear(5, 3)
    alone, both = (
        Ntk().work(ls.Subject(model, loss, data, device="cpu"))
        for data in (parts[0], {"train": parts[0], "held_out": parts[1]})
    )
    assert alone is not None
    assert both is not None
    plan = Ntk(plan=True).run(ls.Subject(model, loss, parts[0], device="cpu"))
    met = ntk.CONTRACTED * sum(layer.operations for layer in plan.plan) * 10 / 20
    steps = ntk.PRODUCTS * ntk.MULTIPLIED * 20 * 20 * 3 + ntk.FORMED * 20**3
    assert both.operations - alone.operations == pytest.approx(met + trained * steps)
