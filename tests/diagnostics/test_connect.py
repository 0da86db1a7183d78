"""Verdicts on networks whose connectedness is known."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.connectivity.result import ConnectResult, Pair
from landscape.diagnostics.connect import Connect
from landscape.errors import InputError, ModelError, SettingError
from landscape.progress import listening
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.test_contracts import everything

Rows = list[tuple[Tensor, Tensor]]


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def checkpoints(*models: nn.Module) -> list[Checkpoint]:
    return [Checkpoint.of_model(model, f"m{i}") for i, model in enumerate(models)]


def asked(data: Any, *models: nn.Module, loss: Any = "ce", **settings: Any) -> ConnectResult:
    return Connect(**settings).run(
        Subject(models[0], loss, data, checkpoints(*models), device="cpu")
    )


def only(result: ConnectResult) -> Pair:
    assert result.alone is not None
    return result.alone


# --- closed forms ------------------------------------------------------------------------------


class Product(nn.Module):
    """x ↦ w₁ w₂ x."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([first, second], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.w.prod()


def half_square(outputs: Tensor, targets: Tensor) -> Tensor:
    return 0.5 * (outputs - targets).square().flatten()


def ones(count: int = 4) -> Rows:
    return [(torch.ones(count, 1, dtype=torch.float64), torch.ones(count, 1, dtype=torch.float64))]


def test_two_wells():
    """½ (w₁w₂ − 1)² between (2, ½) and (½, 2): at the middle w = (5/4, 5/4), 0.158203125."""
    wells = Product(2, 0.5), Product(0.5, 2)
    pair = only(asked(ones(), *wells, loss=half_square, path="line"))
    found = pair.paths["line"]
    assert found.argmax == 0.5
    assert found.barrier.loss.value == pytest.approx(0.158203125, rel=1e-12)
    assert found.barrier.loss.value == 0.5 * (25 / 16 - 1) ** 2
    for one in (found.loss_definitions.supremum, found.loss_definitions.midpoint):
        assert one.value == pytest.approx(0.158203125, rel=1e-12)
    assert found.barrier.error is None
    assert pair.verdict == "barrier"


def test_a_curve_goes_round():
    """The valley w₁w₂ = 1 connects the wells; a Bézier curve of three bends follows it."""
    wells = Product(2, 0.5), Product(0.5, 2)
    pair = only(asked(ones(), *wells, loss=half_square, path="curve", bends=2, curve_steps=800))
    found = pair.paths["curve"]
    assert found.loss_definitions.maximum.value < 0.01 * 0.158203125
    assert 1 < found.length < 1.3


@pytest.mark.parametrize("seed", range(5))
def test_a_convex_loss_has_no_barrier(seed):
    x = torch.randn(40, 5, generator=drawn(seed), dtype=torch.float64)
    y = x @ torch.randn(5, 1, generator=drawn(seed + 50), dtype=torch.float64)
    ends = []
    for turn in range(2):
        model = nn.Linear(5, 1).double()
        nn.init.zeros_(model.bias)
        noise = 0.3 * torch.randn(1, 5, generator=drawn(seed + 90 + turn), dtype=torch.float64)
        exact = torch.linalg.lstsq(x, y).solution.T
        model.weight.data = exact + noise
        ends.append(model)
    pair = only(asked([(x, y)], *ends, loss="mse", path="line"))
    found = pair.paths["line"]
    assert found.barrier.loss.value == 0
    assert found.loss_definitions.midpoint.value < 0
    assert pair.verdict == "connected"
    # B(½) = −½ · ¼ · hᵀHh with the Hessian 2 xᵀx / N
    h = (ends[0].weight - ends[1].weight).detach().flatten()
    midpoint = -(x @ h).square().mean().item() / 4
    assert found.loss_definitions.midpoint.value == pytest.approx(midpoint, rel=1e-9)


# --- trained networks --------------------------------------------------------------------------


@cache
def blobs() -> tuple[Tensor, Tensor]:
    """Eight classes round a circle: what one hidden layer learns in a second."""
    labels = torch.arange(800) % 8
    angle = labels * (2 * math.pi / 8)
    noise = 0.12 * torch.randn(800, 2, generator=drawn(0))
    return torch.stack((angle.cos(), angle.sin()), 1) + noise, labels


def mlp(width: int = 24, seed: int = 0) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, 8))
    for number, parameter in enumerate(model.parameters()):
        scale = 1 / max(1, parameter[0].numel()) ** 0.5
        parameter.data = scale * torch.randn(parameter.shape, generator=drawn(9 * seed + number))
    return model


@cache
def trained(seed: int, steps: int = 250) -> nn.Module:
    model, (inputs, labels) = mlp(seed=seed), blobs()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
    return model


def permuted(model: nn.Module, seed: int = 3) -> nn.Module:
    """The same function with its hidden units in another order."""
    other = mlp()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    order = torch.randperm(len(state["0.weight"]), generator=drawn(seed))
    state["0.weight"], state["0.bias"] = state["0.weight"][order], state["0.bias"][order]
    state["2.weight"] = state["2.weight"][:, order]
    other.load_state_dict(state)
    return other


def test_a_network_and_itself():
    result = asked([blobs()], trained(0), trained(0))
    pair = only(result)
    assert (pair.verdict, pair.by, result.exit_code) == ("connected", "line", 0)
    assert list(pair.paths) == ["line"], "what comes later is not tried"
    found = pair.paths["line"]
    assert found.barrier.loss.value <= 1e-6 * found.loss[0]
    assert found.barrier.error is not None
    assert found.barrier.error.interval == (0, 0)


@pytest.mark.parametrize("matching", ["weights", "activations"])
def test_a_network_and_a_permutation_of_it(matching):
    result = asked([blobs()], trained(0), permuted(trained(0)), path="aligned", matching=matching)
    pair = only(result)
    assert (pair.verdict, pair.by) == ("connected", "aligned")
    found = pair.paths["aligned"]
    assert found.barrier.loss.value <= 1e-6 * found.loss[0]
    assert pair.alignment is not None
    assert pair.alignment.distance < 1e-6
    assert pair.alignment.proof <= 1e-10
    assert pair.alignment.moved == pytest.approx(1 - 8 / (24 * 2 + 24 + 24 * 8 + 8), abs=1e-9)


class TwoHeads(nn.Module):
    """Short sequences have a head of their own, which the graph of long ones does not show."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.long, self.short = nn.Linear(8, 16), nn.Linear(16, 5), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.body(x).relu().mean(1)
        return self.long(hidden) if x.shape[1] > 6 else self.short(hidden)


def by_length(source: torch.Generator, samples: int, length: int) -> tuple[Tensor, Tensor]:
    """Sequences about a centre each, whose class is a linear function of it."""
    reading = torch.randn(8, 5, generator=drawn(0))
    centre = torch.randn(samples, 1, 8, generator=source)
    x = centre + 0.1 * torch.randn(samples, length, 8, generator=source)
    return x, (x.mean(1) @ reading).argmax(-1)


def test_units_are_not_aligned_by_the_graph_of_some_of_the_samples():
    """The head of the other samples must be permuted as well, or there is no aligned line."""
    source = drawn(1)
    data = [by_length(source, 200, 9), by_length(source, 40, 4)]
    torch.manual_seed(1)
    model = TwoHeads()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(300):
        x, y = data[step % 2]
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    order = torch.randperm(16, generator=drawn(2))
    other = TwoHeads()
    state = model.state_dict()
    moved = {n: t[order] if n.startswith("body") else t for n, t in state.items()}
    moved |= {n: t[:, order] for n, t in state.items() if n in ("long.weight", "short.weight")}
    other.load_state_dict(moved)
    pair = only(asked(data, model, other, path="aligned"))
    if "aligned" in pair.paths:
        assert pair.paths["aligned"].barrier.loss.value < 1e-6
    else:
        assert pair.verdict == "inconclusive"
        assert "permuting the units changes the loss" in pair.reason


def test_every_path_is_told():
    pair = only(asked([blobs()], trained(0), permuted(trained(0)), every=True, curve_steps=300))
    assert list(pair.paths) == ["line", "aligned", "curve"]
    assert pair.paths["line"].verdict == "barrier"
    assert pair.by == "aligned"
    assert pair.paths["line"].barrier.loss.interval[0] > pair.tolerance.loss


def test_the_tolerance_is_a_share_of_the_best_constant():
    pair = only(asked([blobs()], trained(0), trained(0), loss_tolerance=0.1))
    assert pair.tolerance.loss == pytest.approx(0.1 * math.log(8))
    assert pair.tolerance.error == 0.02


@pytest.mark.parametrize("path", ["any", "aligned", "curve"])
def test_a_network_that_has_not_learned(path):
    result = asked([blobs()], trained(0), mlp(seed=7), path=path)
    pair = only(result)
    assert (pair.verdict, pair.by, result.exit_code) == ("refused", None, 7)
    assert "has not learned" in pair.reason
    assert "has not learned" in result.message
    assert not set(pair.paths) - {"line"}, "nothing dear was tried"
    assert "has not learned" in result.declined
    assert not result.findings(), "what an untrained end shows is no finding"


def test_too_few_samples_do_not_decide():
    inputs, labels = blobs()
    few = [(inputs[:40], labels[:40])]
    result = asked(few, trained(0), trained(1), path="curve", curve_steps=800)
    pair = only(result)
    assert pair.verdict == "inconclusive"
    assert result.exit_code == 7
    more = pair.paths["curve"].more_samples
    assert more is not None
    assert 0 < more < 2000
    assert f"{more:,} more samples" in pair.reason


# --- many --------------------------------------------------------------------------------------


def test_many_runs():
    """Three copies of one function in other orders, and a run of its own."""
    one = trained(0)
    models = [one, permuted(one, 1), trained(1), permuted(one, 2)]
    result = asked([blobs()], *models, path="aligned")
    assert [(p.a, p.b) for p in result.pairs] == [
        ("m0", "m1"), ("m0", "m2"), ("m0", "m3"), ("m1", "m2"), ("m1", "m3"), ("m2", "m3"),
    ]  # fmt: skip
    verdicts = {(p.a, p.b): p.verdict for p in result.pairs}
    for ends in (("m0", "m1"), ("m0", "m3"), ("m1", "m3")):
        assert verdicts[ends] == "connected"
    if all(verdicts[ends] != "connected" for ends in verdicts if "m2" in ends):
        assert result.components == (("m0", "m1", "m3"), ("m2",))
        assert result.whole == (True, True)
    assert result.exit_code == (
        1 if "barrier" in verdicts.values() else 7 * ("inconclusive" in verdicts.values())
    )


def test_a_pair_is_judged_alike_in_both_directions():
    """Up to the noise of the bootstrap, and on the points that both grids hold."""
    there = only(asked([blobs()], trained(0), trained(1), path="line")).paths["line"]
    back = only(asked([blobs()], trained(1), trained(0), path="line")).paths["line"]
    assert there.barrier.loss.value == pytest.approx(back.barrier.loss.value, rel=1e-3)
    assert there.verdict == back.verdict


# --- data --------------------------------------------------------------------------------------


def test_held_out_data_decide():
    inputs, labels = blobs()
    halves = {
        "train": [(inputs[:400], labels[:400])],
        "held_out": [(inputs[400:], labels[400:])],
    }
    result = asked(halves, trained(0), trained(1), path="line")
    found = only(result).paths["line"]
    assert (result.judged_on, result.samples) == ("held-out data", 400)
    second = only(asked([(inputs[400:], labels[400:])], trained(0), trained(1), path="line"))
    assert found.barrier.loss.value == pytest.approx(second.paths["line"].barrier.loss.value)
    first = only(asked([(inputs[:400], labels[:400])], trained(0), trained(1), path="line"))
    assert found.training is not None
    assert found.training.barrier.loss.value == pytest.approx(
        first.paths["line"].barrier.loss.value
    )
    assert np.array_equal(found.training.loss, first.paths["line"].loss)


def test_a_curve_without_held_out_data_says_so():
    result = asked([blobs()], trained(0), trained(1), path="curve", curve_steps=50)
    assert ("curves", "judged on the data that they were fitted on; give held-out data") in (
        result.trust()
    )
    told = any("fitted on" in one.sentence for one in result.findings())
    assert told == (only(result).by == "curve")


def test_the_level_is_shared_among_the_paths():
    alone = only(asked([blobs()], trained(0), trained(0), path="line"))
    shared = only(asked([blobs()], trained(0), trained(0), path="any"))
    assert alone.paths["line"].barrier.loss.level == pytest.approx(0.95)
    assert shared.paths["line"].barrier.loss.level == pytest.approx(1 - 0.05 / 3)


# --- resuming ----------------------------------------------------------------------------------


class Impatient:
    """Interrupts at a step of the work, as Ctrl-C does."""

    def __init__(self, step: int) -> None:
        self.step, self.steps = step, 0

    def begin(self, task: str, total: int | None) -> None: ...

    def advance(self, task: str, steps: int) -> None:
        self.steps += 1
        if self.steps == self.step:
            raise KeyboardInterrupt

    def end(self, task: str) -> None: ...


@pytest.mark.parametrize("share", [0.9, 0.94, 1.0])
def test_interrupted_and_run_again(tmp_path, share):
    """The same answer; points that were evaluated, and a curve that was fitted, are looked up."""
    question = Connect(path="curve", curve_steps=20)

    def subject(folder: Any = None) -> Subject:
        models = trained(0), trained(1)
        return Subject(
            models[0], "ce", [blobs()], checkpoints(*models), device="cpu", folder=folder
        )

    whole = Impatient(0)
    with listening(whole):
        expected = question.run(subject())
    with listening(Impatient(int(share * whole.steps))), pytest.raises(KeyboardInterrupt):
        question.run(subject(tmp_path))
    rest = Impatient(0)
    with listening(rest):
        again = question.run(subject(tmp_path))
    assert again.to_json()["answer"] == expected.to_json()["answer"]
    assert rest.steps < whole.steps


# --- asking ------------------------------------------------------------------------------------


def test_two_checkpoints_are_needed():
    with pytest.raises(SettingError, match="2 checkpoints are needed, 1 given"):
        asked([blobs()], trained(0))


def test_what_the_path_does_not_move_must_agree():
    first, last = trained(0), trained(1)
    ends = checkpoints(first, last)
    subject = Subject(first, "ce", [blobs()], ends, params="2.*", device="cpu")
    with pytest.raises(InputError, match="differ in 0"):
        Connect(path="line").run(subject)


def test_a_report_on_a_series_asks_for_the_line_only():
    models = [trained(0), trained(1), trained(0), trained(1)]
    subject = Subject(models[0], "ce", [blobs()], checkpoints(*models), device="cpu")
    assert Connect().fitted(subject).path == "line"
    assert Connect(path="curve").fitted(subject).path == "curve"
    three = replace_checkpoints(subject, 3)
    assert Connect().fitted(three) == Connect()


def replace_checkpoints(subject: Subject, count: int) -> Subject:
    kept = subject.checkpoints[:count]
    return Subject(subject.model, "ce", [blobs()], kept, device="cpu")


def test_the_override_file_is_part_of_the_question(tmp_path):
    file = tmp_path / "override.toml"
    file.write_text("")
    question = Connect(override=str(file))
    before = question.depends()
    file.write_text('freeze = ["0.weight:0"]')
    assert question.depends() != before
    assert replace(question, override="").depends() == vars(replace(question, override=""))


def test_what_may_move_is_explained():
    result = asked([blobs()], trained(0), trained(1), path="line", explain=True)
    kinds = {one.kind for one in result.explained}
    assert {"plain", "frozen"} <= kinds
    (free,) = (one for one in result.explained if one.kind == "plain")
    assert free.size == 24
    assert "0.weight:0" in free.axes
    assert "2.weight:1" in free.axes
    assert any("2.weight:0" in one.axes and one.kind == "frozen" for one in result.explained)
    assert any(table.title == "What may change places" for table in result.tables())


def test_the_plane():
    """On the plane the three points have the losses that the path has there."""
    pair = only(asked([blobs()], trained(0), trained(1), path="curve", curve_steps=200, plane=7))
    assert pair.plane is not None
    assert pair.plane.loss.shape == (7, 7)
    assert np.isfinite(pair.plane.loss).all()
    a, bend, b = pair.plane.corners
    distance = (
        (
            torch.cat([p.flatten() for p in trained(0).parameters()])
            - torch.cat([p.flatten() for p in trained(1).parameters()])
        )
        .norm()
        .item()
    )
    assert a.tolist() == [0, 0]
    assert b == pytest.approx([distance, 0], rel=1e-5)
    assert bend[1] > 0
    assert pair.plane.path[0] == pytest.approx(a, abs=1e-4)
    assert pair.plane.path[-1] == pytest.approx(b, abs=1e-4)
    names = [picture.name for picture in replace_pairs(pair).pictures()]
    assert names == ["error", "plane"]


def test_a_network_and_itself_span_no_plane():
    pair = only(asked([blobs()], trained(0), trained(0), path="curve", curve_steps=5, plane=3))
    assert pair.verdict == "connected"
    assert pair.plane is None


def test_where_nothing_can_be_permuted_the_other_paths_decide():
    class Fixed(nn.Linear):
        """One layer: inputs and outputs keep their order."""

    ends = [Fixed(2, 8), Fixed(2, 8)]
    inputs, labels = blobs()
    for end, steps in zip(ends, (100, 130), strict=True):
        nn.init.zeros_(end.weight)
        nn.init.zeros_(end.bias)
        optimizer = torch.optim.Adam(end.parameters(), lr=0.1)
        for _ in range(steps):
            optimizer.zero_grad()
            F.cross_entropy(end(inputs), labels).backward()
            optimizer.step()
    pair = only(asked([blobs()], *ends, every=True, curve_steps=5))
    assert list(pair.paths) == ["line", "curve"]
    assert "no units" in pair.missing["aligned"]
    assert (pair.verdict, pair.by) == ("connected", "line"), "the loss is convex"
    result = asked([blobs()], *ends, path="line", explain=True)
    assert "no units" in result.explained[0].reason
    with pytest.raises(ModelError, match="no units"):
        asked([blobs()], *ends, path="aligned")


def replace_pairs(pair: Pair) -> ConnectResult:
    from tests.connectivity.made import result

    return result(pair)


# --- the subject is left as it was -------------------------------------------------------------


class Normed(nn.Module):
    """With BatchNorm and dropout, half of it in train mode."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2))
        self.head = nn.Linear(16, 8)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


@cache
def normed(seed: int) -> Normed:
    inputs, labels = blobs()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Normed().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
        for _ in range(150):
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
    model.head.eval()
    return model


@pytest.mark.parametrize("matching", ["weights", "activations"])
@pytest.mark.parametrize("share", [None, 0.3, 0.7])
def test_the_subject_is_untouched(matching, share):
    """By every path, aligned, repaired, fitted and on the plane; also after an interruption."""
    model = normed(0)
    model.head.register_forward_hook(lambda *_: None)
    settings: dict[str, Any] = {"points": 11, "curve_steps": 5, "plane": 3, "restarts": 1}
    question = Connect(every=True, repair=True, explain=True, matching=matching, **settings)
    subject = Subject(
        model, "ce", [blobs()], checkpoints(model, normed(1)), device="cpu", learning_rate=0.1
    )
    before = everything(model)
    if share is None:
        pair = only(question.run(subject))
        assert list(pair.paths) == ["line", "aligned", "repaired", "curve"]
        assert pair.paths["line"].stale is not None
    else:
        with listening(Impatient(int(share * 60))), pytest.raises(KeyboardInterrupt):
            question.run(subject)
    assert everything(model) == before
