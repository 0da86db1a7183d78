"""Whatever goes wrong in recording, training goes on bit for bit, and the log says so."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from landscape.recorder.recorder import Recorder
from tests.cases import normal, seeded
from tests.recorder.runs import flat_loss, mlp, sgd, train
from tests.recorder.test_neutral import assert_no_hook


def broken(*arguments: object, **settings: object) -> None:
    del arguments, settings
    raise RuntimeError("planted\nand more")


PLACES = {
    "signals": "landscape.recorder.signals.norm",
    "pieces": "landscape.recorder.pieces.norm",
    "row": "landscape.recorder.rows.norms",
    "update": "landscape.recorder.details.differences",
    "cosine": "landscape.recorder.details.inner_products",
    "copies": "landscape.recorder.details.copies",
    "loss": "landscape.recorder.hooks.Told",
    "origin": "landscape.recorder.origin.Origin.called",
    "start": "landscape.recorder.signals.unit_axis",
    "numbering": "landscape.recorder.hooks.graph_pass",
    "records": "landscape.recorder.details.reduced",
    "groups": "landscape.recorder.network.Trainable.look",
    "schedule": "landscape.recorder.schedule.Schedule.run",
}


@pytest.mark.parametrize("place", PLACES)
def test_an_error_in_any_hook_is_kept_from_training(monkeypatch, capsys, place):
    bare, model = mlp(), mlp()
    optimizer = sgd(model)
    expected = train(bare, sgd(bare), flat_loss, steps=8, passes=2)
    with Recorder(model, optimizer, details_every=2, quiet=True) as recorder:
        found = train(model, optimizer, flat_loss, recorder, steps=3, passes=2)
        with monkeypatch.context() as patch:
            patch.setattr(PLACES[place], broken)
            rest = [flat_steps(model, optimizer, recorder, step) for step in (3, 4, 5)]
        rest += [flat_steps(model, optimizer, recorder, step) for step in (6, 7)]
    assert [*found, *itertools.chain(*rest)] == expected
    pairs = zip(bare.parameters(), model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    assert_no_hook(model, optimizer)
    told = capsys.readouterr().err
    assert told.count("recording failed") == 1
    assert "and more" not in told
    log = recorder.log()
    failed = [one["step"] for one in log.of("failed")]
    assert failed
    assert len(failed) == len(set(failed))
    assert log.ended
    assert [one["step"] for one in log.of("step")][-2:] == [6, 7]
    (verdict,) = [v for v in recorder.result().verdicts if v.kind == "recording failed"]
    assert "planted" in verdict.evidence


def flat_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, recorder: Recorder, step: int
) -> list[float]:
    def loss(one: nn.Module, seed: int) -> Tensor:
        return flat_loss(one, seed + 100 * step)

    return train(model, optimizer, loss, recorder, steps=1, passes=2)


def test_an_interruption_passes(monkeypatch):
    def interrupted(*arguments: object) -> None:
        del arguments
        raise KeyboardInterrupt

    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        monkeypatch.setattr("landscape.recorder.signals.norm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(model, optimizer, flat_loss, recorder, steps=1)


# --- networks and loops that once stopped the run ------------------------------------------


class Experts(nn.Module):
    """Of three experts, the last is given no sample."""

    def __init__(self) -> None:
        super().__init__()
        self.entry = nn.Linear(4, 4)
        self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        h = self.entry(x)
        chosen = torch.arange(len(x)) % 2
        out = torch.zeros_like(h)
        for number, expert in enumerate(self.experts):
            out[chosen == number] = expert(h[chosen == number])
        return out


def unfailing(recorder: Recorder) -> list[dict[str, Any]]:
    assert not recorder.log().of("failed")
    return recorder.log().of("detail")


def test_an_expert_without_a_sample():
    model = seeded(Experts, 0)
    optimizer = sgd(model)
    with Recorder(model, optimizer, quiet=True) as recorder:
        model(normal(8, 4, seed=0)).square().mean().backward()
        optimizer.step()
    (one,) = unfailing(recorder)
    assert one["signals"]["experts.1"]["dead"] == 0
    assert "dead" not in one["signals"]["experts.2"]


def test_sparse_gradients_have_norms_and_no_cosine():
    """Gradients of other rows are orthogonal: their values, held side by side, are not."""
    model = seeded(lambda: nn.Sequential(nn.EmbeddingBag(50, 8, sparse=True, mode="sum")), 0)
    optimizer = torch.optim.SparseAdam(list(model.parameters()), lr=1e-2)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(4):
            optimizer.zero_grad()
            model((torch.arange(6 + step) + 6 * step)[None]).sum().backward()
            optimizer.step()
    details = unfailing(recorder)
    assert not any("cosine" in one for one in details)
    assert all("update" in one for one in details)
    norms = [one["gradient"][0] for one in recorder.log().of("step")]
    assert norms == pytest.approx([(8 * (6 + step)) ** 0.5 for step in range(4)])


def test_gradients_of_single_samples_on_the_way():
    model = mlp()
    optimizer = sgd(model)

    def one_loss(weights: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(model, weights, (x[None],)).square().sum()

    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(2):
            weights = {name: one.detach() for name, one in model.named_parameters()}
            found = vmap(grad(one_loss), (None, 0))(weights, normal(8, 5, seed=step))
            for name, one in model.named_parameters():
                one.grad = found[name].mean(0)
            optimizer.step()
    assert len(unfailing(recorder)) == 2
    assert not any("samples" in one for one in recorder.log().of("step"))


def test_ragged_batches():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
    optimizer = sgd(model)
    parts = [normal(3, 4, seed=0), normal(5, 4, seed=1)]
    expected = model[:1](torch.cat(parts)).detach().double().square().mean()
    with Recorder(model, optimizer, quiet=True) as recorder:
        ragged = torch.nested.nested_tensor(parts, layout=torch.jagged)
        model(ragged).values().square().mean().backward()
        optimizer.step()
    (one,) = unfailing(recorder)
    assert one["signals"]["0"]["forward"] == pytest.approx(float(expected), rel=1e-5)
    assert one["signals"]["2"]["backward"] > 0
    assert recorder.log().of("step")[0]["samples"] == 2


def test_weights_of_another_shape():
    model = nn.Linear(4, 3)
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(4):
            model(normal(8, 4, seed=step)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            if step == 1:
                model.weight.data, model.bias.data = normal(5, 4, seed=9), normal(5, seed=8)
    details = unfailing(recorder)
    assert ["cosine" in one for one in details] == [False, True, False, True]
    assert all("update" in one for one in details)


def test_a_module_that_returns_its_parameter():
    class Prompt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.vector = nn.Parameter(normal(4, seed=0))

        def forward(self) -> Tensor:
            return self.vector

    class Prompted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.prompt, self.head = Prompt(), nn.Linear(4, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(x + self.prompt())

    model = Prompted()
    optimizer = sgd(model)
    with Recorder(model, optimizer, details_every=1, quiet=True) as recorder:
        for step in range(3):
            optimizer.zero_grad()
            model(normal(8, 4, seed=step)).square().mean().backward()
            optimizer.step()
    assert_no_hook(model, optimizer)
    assert all(one["signals"]["prompt"]["backward"] > 0 for one in unfailing(recorder))
