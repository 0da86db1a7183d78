"""The diagnostic: closed forms, refusals, the ball, series, files, and a subject left alone."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.diagnostics import lipschitz
from landscape.diagnostics.lipschitz import Lipschitz, LipschitzResult
from landscape.errors import InputError, SettingError
from landscape.estimate import Status
from landscape.lipschitz import certified
from landscape.lipschitz.witness import reevaluated
from landscape.subject.network import Network
from landscape.subject.trial import Trial
from landscape.work import Pace
from tests.cases import (
    Residual,
    Transformer,
    classified,
    cnn,
    mlp,
    normal,
    seeded,
    with_statistics,
)
from tests.lipschitz.exact import Relu, over_reached_regions
from tests.lipschitz.networks import Encoder, Mixer

QUICK: dict[str, Any] = {"starts": 4, "steps": 30, "seconds": 5.0}


def subject_of(model: Any, data: Any, checkpoints: Any = (), **settings: Any) -> ls.Subject:
    return ls.Subject(
        model, settings.pop("loss", "mse"), data, checkpoints, device="cpu", **settings
    )


def regression(inputs: int, outputs: int) -> list[tuple[Tensor, Tensor]]:
    return [(normal(16, inputs, seed=5), torch.zeros(16, outputs))]


def chain(*widths: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def norm_of(weight: Any) -> float:
    return float(torch.linalg.matrix_norm(weight.detach().double(), 2))


def both(result: LipschitzResult) -> tuple[float, float]:
    return result.network.lower.value, result.network.upper.value


# --- closed forms ------------------------------------------------------------------------------


def test_a_linear_network_is_known_exactly():
    first, second = nn.Linear(7, 9), nn.Linear(9, 5)
    model = nn.Sequential(first, second)
    result = Lipschitz(**QUICK).run(subject_of(model, regression(7, 5), dtype="float64"))
    norm = norm_of(second.weight.double() @ first.weight.double())
    lower, upper = both(result)
    assert norm * (1 - 1e-6) <= lower <= norm <= upper <= norm * (1 + 1e-6)
    assert result.network.ratio == pytest.approx(1, abs=1e-5)
    assert result.domain == "global"
    assert result.radius is None
    for layer, module in zip(result.layers, model, strict=True):
        assert layer.upper.value == pytest.approx(norm_of(module.weight), rel=1e-9)
        assert layer.label == "exact"


def test_a_chain_of_relus_lies_between_the_sides_and_below_the_product():
    model = chain(2, 5, 5, 1)
    linears = [one for one in model if isinstance(one, nn.Linear)]
    net = Relu(
        tuple(one.weight.detach().double().numpy() for one in linears),
        tuple(one.bias.detach().double().numpy() for one in linears),
    )
    exact, _ = over_reached_regions(net)
    result = Lipschitz(starts=8, steps=100).run(subject_of(model, regression(2, 1)))
    lower, upper = both(result)
    assert 0.9 * exact <= lower <= exact * (1 + 1e-9) <= upper * (1 + 1e-9)
    (found,) = result.chains
    assert found.base == ("input",)
    assert found.method == "lipsdp-neuron"
    assert upper == pytest.approx(found.upper.value, rel=1e-9)
    assert upper < found.product.value
    product = math.prod(norm_of(one.weight) for one in linears)
    assert found.product.value == pytest.approx(product, rel=1e-6)


# --- refusals and domains ----------------------------------------------------------------------


@torch.library.custom_op("landscape_tests::stairs", mutates_args=())
def stairs(x: Tensor) -> Tensor:
    return x.floor() + x


@stairs.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


stairs.register_autograd(lambda _, grad: grad)


class Odd(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return stairs(self.inner(x))


def test_an_unknown_operation_is_refused_by_name_and_the_lower_side_stands():
    result = Lipschitz(**QUICK).run(subject_of(seeded(Odd, 0), regression(4, 3)))
    assert result.status is Status.SKIPPED
    assert result.refused == ("stairs",)
    assert result.reasons == ("there is no rule for it",)
    assert result.network.upper.value == math.inf
    assert str(result.network.upper.reason).startswith("stairs")
    assert result.network.lower.value > 0
    assert result.network.ratio is None
    assert "stairs" in result.summary()
    (finding,) = result.findings()
    assert finding.severity == "warning"


def test_attention_has_a_bracket_on_the_ball_of_the_data_only():
    data = classified((4, 3), (5, 4), 3)
    subject = subject_of(seeded(Encoder, 0), data, loss="ce")
    result = Lipschitz(**QUICK).run(subject)
    longest = max(float(x.flatten(1).norm(dim=1).max()) for x, _ in data)
    assert result.domain == "ball"
    assert result.radius == pytest.approx(longest, rel=1e-6)
    lower, upper = both(result)
    assert 0 < lower <= upper < math.inf
    assert result.refused[0].startswith("scaled_dot_product_attention at layer.self_attn")
    assert "not globally Lipschitz" in result.reasons[0]
    assert "for ‖x‖ ≤" in result.summary()
    everywhere = Lipschitz(domain="global", **QUICK).run(subject)
    assert everywhere.network.upper.value == math.inf
    assert everywhere.status is Status.SKIPPED
    smaller = Lipschitz(domain="ball", radius=longest / 4, **QUICK).run(subject)
    assert smaller.network.upper.value < upper


def test_token_ids_have_no_lower_side():
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 3))
    ids = torch.arange(30).reshape(10, 3) % 9
    result = Lipschitz(**QUICK).run(subject_of(model, [(ids, torch.arange(10) % 3)], loss="ce"))
    assert result.network.upper.value == pytest.approx(norm_of(model[2].weight), rel=1e-5)
    assert math.isnan(result.network.lower.value)
    assert "token" in str(result.network.lower.reason)
    assert result.at_data is None


def test_certificates_are_written_or_verified_not_both():
    with pytest.raises(SettingError, match="either written or verified"):
        Lipschitz(certificate="a", verify="b", **QUICK)


def test_samples_of_train_mode_are_refused():
    subject = subject_of(chain(3, 4, 2), regression(3, 2), mode="train")
    with pytest.raises(SettingError, match="depend"):
        Lipschitz(**QUICK).run(subject)


# --- without data ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (mlp, "5"),
        (cnn, "1x8x8"),
        pytest.param(lambda: with_statistics(Residual()), "1x32x32", marks=pytest.mark.full),
    ],
)
def test_without_data_the_bracket_is_that_over_all_inputs_of_a_shape_found_by_trial(build, shape):
    model = seeded(build, 0).eval()
    trial = Network(model).trial
    assert isinstance(trial, Trial)
    spec = f"random:shape={shape},samples=32"
    quick = {"starts": 2, "steps": 3, "seconds": 5.0, "pair_seconds": 60.0}
    given = Lipschitz(domain="global", **quick).run(
        ls.Subject(model, squares, spec, device="cpu", max_samples=8)
    )
    found = Lipschitz(**quick).run(ls.Subject(model, device="cpu", max_samples=8))
    assert both(found) == both(given)
    assert found.layers == given.layers
    assert found.domain == "global"
    assert found.at_data is None, "no sample of the data was seen"
    assert found.network.lower.samples == 1
    assert found.cost.samples == 0
    assert not found.provenance["synthetic"]
    assert trial.told in found.provenance["notes"]
    assert trial.told in found.summary()
    assert ("inputs", trial.told) in found.trust()
    disclosed = found.findings()[-1]
    assert disclosed.severity == "notable"
    assert disclosed.sentence.endswith("were found by trial.")
    assert given.inputs == ""
    assert LipschitzResult.from_json(found.to_json()).to_json() == found.to_json()


def squares(outputs: Tensor, targets: Tensor) -> Tensor:
    del targets
    return outputs.flatten(1).square().sum(1)


def test_without_data_attention_has_norms_of_layers_and_a_bound_on_a_ball_that_is_given():
    model = seeded(Encoder, 0)
    subject = ls.Subject(model, device="cpu")
    result = Lipschitz(**QUICK).run(subject)
    assert result.status is Status.SKIPPED
    assert result.domain == "global"
    assert result.refused[0].startswith("scaled_dot_product_attention")
    assert "--radius" in result.message
    assert "--data" in result.message
    norms = {one.name: one.upper.value for one in result.layers}
    assert norms["head"] == pytest.approx(norm_of(model.head.weight))
    ball = Lipschitz(radius=2.0, **QUICK).run(subject)
    assert (ball.domain, ball.radius) == ("ball", 2.0)
    assert 0 < ball.network.lower.value <= ball.network.upper.value < math.inf
    with pytest.raises(SettingError, match="radius of the ball is not known"):
        Lipschitz(domain="ball").run(subject)


def test_without_data_the_ball_of_token_ids_is_that_of_their_embeddings():
    model = seeded(Transformer, 0)
    found = Lipschitz(**QUICK).run(ls.Subject(model, device="cpu"))
    data = "random:shape=4,tokens=7,classes=7"
    given = Lipschitz(**QUICK).run(ls.Subject(model, squares, data, device="cpu"))
    assert found.network.upper.value == given.network.upper.value < math.inf
    assert (found.domain, found.radius) == ("ball", given.radius)
    assert found.layers == given.layers


def test_without_data_and_a_shape_that_fits_nothing_is_answered():
    with pytest.raises(SettingError, match=r"no inputs that were tried fit: .*missing 2") as caught:
        Lipschitz().run(ls.Subject(seeded(Mixer, 0), device="cpu"))
    assert "--data" in caught.value.hint


class Sign(torch.autograd.Function):
    """An operation without a backward."""

    @staticmethod
    def forward(ctx, x):  # type: ignore[no-untyped-def]
        del ctx
        return x.sign()


class Signs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return Sign.apply(self.inner(x))  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize(("data", "code"), [(None, 0), (regression(4, 3), 3)])
def test_a_network_that_has_no_derivative_has_norms_of_layers(tmp_path: Path, data: Any, code: int):
    model = seeded(Signs, 0)
    torch.save(model.state_dict(), tmp_path / "signs.pt")
    report = ls.report(tmp_path / "signs.pt", model=model, data=data, preset="quick", device="cpu")
    assert report.exit_code == code
    assert all(one.error["code"] == "L320" for one in report.failures)
    assert [one.name for one in report.sections] == ["lipschitz", "weights"]
    found = report.sections[0].result
    assert isinstance(found, LipschitzResult)
    assert found.status is Status.SKIPPED
    assert "can be differentiated only once" in str(found.network.lower.reason)
    (layer,) = found.layers
    exact = float(torch.linalg.matrix_norm(model.inner.weight.detach(), 2))
    assert layer.upper.value == pytest.approx(exact, rel=1e-5)
    assert not any("lower side stands" in one.advice for one in found.findings())


def test_a_series_without_data_says_how_its_inputs_were_found():
    model = seeded(mlp, 0)
    ends = [ls.Checkpoint.of_model(model, "a"), ls.Checkpoint.of_model(seeded(mlp, 1), "b")]
    result = Lipschitz(**QUICK).run(ls.Subject(model, checkpoints=ends, device="cpu"))
    notes = result.provenance["notes"]
    assert sum("found by trial" in note for note in notes) == 1


# --- files -------------------------------------------------------------------------------------


def test_certificates_are_proved_again_and_the_pair_evaluated_again(tmp_path: Path):
    model = chain(4, 8, 6, 3)
    subject = subject_of(model, regression(4, 3))
    file, pair = tmp_path / "a.cert", tmp_path / "a.npz"
    first = Lipschitz(certificate=str(file), witness=str(pair), **QUICK).run(subject)
    again = Lipschitz(verify=str(file), **QUICK).run(subject)
    assert again.verified
    assert not first.verified
    assert again.network.upper.value == first.network.upper.value
    assert any("proved again" in told for _, told in again.trust())
    witness = reevaluated(pair, subject, subject.point)
    assert witness.value == pytest.approx(first.network.lower.value, rel=1e-9)
    wide = copy.deepcopy(model).double()
    x, y = (torch.from_numpy(one[0])[None] for one in (witness.x, witness.y))
    with torch.no_grad():
        ratio = float((wide(x) - wide(y)).norm() / (x - y).norm())
    assert ratio == pytest.approx(witness.ratio, rel=1e-6)
    other = subject_of(chain(4, 8, 6, 3, seed=1), regression(4, 3))
    with pytest.raises(InputError, match="other weights"):
        Lipschitz(verify=str(file), **QUICK).run(other)
    fewer = subject_of(nn.Sequential(nn.Linear(4, 3)), regression(4, 3))
    with pytest.raises(InputError, match="the network has no chain 1"):
        Lipschitz(verify=str(file), **QUICK).run(fewer)


def test_an_answer_depends_on_the_whole_file(tmp_path: Path):
    file = tmp_path / "a.cert"
    seen = []
    for last in (b"1", b"2"):
        file.write_bytes(b"0" * 100_000 + last)
        seen.append(Lipschitz(verify=str(file)).depends()["file"])
    assert seen[0] != seen[1]
    assert "file" not in Lipschitz().depends()


# --- series ------------------------------------------------------------------------------------


def test_a_series_is_followed_from_checkpoint_to_checkpoint(monkeypatch: pytest.MonkeyPatch):
    model = chain(4, 8, 8, 3)
    checkpoints = [ls.Checkpoint.of_model(model, "a")]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    checkpoints.append(ls.Checkpoint.of_model(model, "b"))
    started = []

    def certify(chain: Any, **settings: Any) -> Any:
        started.append(settings.get("start"))
        return certified.certify(chain, **settings)

    monkeypatch.setattr("landscape.bracket.certificates.certify", certify)
    subject = subject_of(model, regression(4, 3), checkpoints)
    result = Lipschitz(**QUICK).run(subject)
    one, other = result.series
    assert isinstance(one, LipschitzResult)
    assert other.network.upper.value == pytest.approx(1.1**3 * one.network.upper.value, rel=1e-2)
    assert started[0] is None
    assert started[1].upper == pytest.approx(one.chains[0].upper.value)
    assert {picture.name for picture in result.pictures()} == {"series", "layers"}
    alone = Lipschitz(**QUICK).run(subject.at(checkpoints[1]))
    assert both(alone) == pytest.approx(both(other), rel=1e-2)


def test_a_start_from_before_is_no_worse():
    subject = subject_of(chain(4, 8, 8, 3), regression(4, 3))
    question = Lipschitz(**QUICK)
    first = question.follow(subject, None)
    again = question.follow(subject, first.left)
    assert again.answer.network.upper.value <= first.answer.network.upper.value * (1 + 1e-6)


# --- the subject -------------------------------------------------------------------------------


def test_the_subject_is_left_as_it_was_and_the_answer_is_the_same_again():
    model = seeded(Encoder, 0).train()
    subject = subject_of(model, classified((4, 3), (5, 4), 3), loss="ce")
    model.train()
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    first, again = (Lipschitz(**QUICK).run(subject) for _ in range(2))
    assert both(first) == both(again)
    assert model.training
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(one.grad is None for one in model.parameters())
    assert LipschitzResult.from_json(first.to_json()).to_json() == first.to_json()


def test_tied_layers_are_read_by_any_of_their_names():
    """W W x with one W has the constant ‖W‖² at most."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.second(torch.relu(self.first(x)))

    torch.manual_seed(0)
    model = Tied()
    result = Lipschitz(**QUICK).run(subject_of(model, regression(4, 4)))
    norm = float(torch.linalg.matrix_norm(model.first.weight.detach().double(), 2))
    assert result.network.upper.value <= norm**2 * (1 + 1e-6)
    assert result.network.lower.value <= result.network.upper.value


def certificate_seconds(*widths: int) -> float:
    found = Lipschitz(seconds=2.0).work(subject_of(chain(*widths), regression(widths[0], 3)))
    return found.seconds - lipschitz.BEGINNING


def test_the_time_of_a_certificate_is_that_of_its_descent_up_to_the_limit():
    assert certificate_seconds(8, 3) == 0  # one matrix is no chain
    quick = lipschitz.DESCENT * certified.operations((8, 6, 3)) / certified.RATE
    assert certificate_seconds(8, 6, 3) == pytest.approx(quick)
    assert certificate_seconds(8, 200, 200, 3) == pytest.approx(2.0)
    assert certificate_seconds(8, 1024, 1024, 3) == 0  # even the closed form takes longer


def test_the_time_of_climbs_is_limited_and_that_of_norms_is_not():
    work = Lipschitz(pair_seconds=3.0).work(subject_of(chain(8, 6, 3), regression(8, 3)))
    slow = Pace(forward=1, gradient=1, product=1, step=1, call=1, operation=1)
    assert slow.seconds(work) == pytest.approx(3.0 + work.operations + work.seconds)
    assert work.operations == lipschitz.WRITTEN * (6**3 + 3**3)
