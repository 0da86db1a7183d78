"""Surfaces whose shape is known, and what the answer says of others."""

from __future__ import annotations

import copy
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.answer import Result
from landscape.diagnostics.surface import Surface, SurfaceResult
from landscape.errors import InputError, ModelError, SettingError
from landscape.estimate import Status
from landscape.progress import listening
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.normalisation import refreshed, some_batches
from landscape.subject.subject import Subject
from landscape.surfaces.normalisation import gaussian, like_weights
from landscape.surfaces.pictures import surface_ink
from tests.cases import CASES, dense_hessian, labels, normal, seeded
from tests.diagnostics.test_connect import Impatient, blobs, checkpoints, mlp, trained
from tests.oracles import generator
from tests.selection import some


def asked(name: str = "cnn", *, subject: dict[str, Any] | None = None, **settings: Any) -> Any:
    settings = {"points": 3, **settings}
    return Surface(**settings).run(CASES[name]().subject(**(subject or {})))


# --- closed forms ------------------------------------------------------------------------------


def quadratic() -> tuple[Subject, Tensor, Tensor]:
    """Linear regression in float64, its Hessian 2 XᵀX / N and its gradient."""
    x, y = normal(40, 6, seed=0).double(), normal(40, 1, seed=1).double()
    model = nn.Linear(6, 1, bias=False, dtype=torch.float64)
    model.weight.data = normal(1, 6, seed=2).double()
    hessian = 2 * x.T @ x / 40
    gradient = 2 * x.T @ (x @ model.weight.data.T - y)[:, 0] / 40
    subject = Subject(model, "mse", [(x[:25], y[:25]), (x[25:], y[25:])], device="cpu")
    return subject, hessian, gradient


@pytest.mark.parametrize("normalise", ["filter", "layer", "none"])
def test_a_plane_of_a_quadratic_is_exact(normalise):
    """L(θ + δ) = L + gᵀδ + ½ δᵀHδ at every cell, to 1e-10."""
    subject, hessian, gradient = quadratic()
    result = Surface(points=7, normalise=normalise, seed=4).run(subject)
    source = generator(4)
    first, second = (
        like_weights(
            subject.network, subject.point, gaussian(subject.network, source), normalise=normalise
        )
        for _ in range(2)
    )
    own = subject.loss(subject.point)
    expected = np.empty((7, 7))
    for row, y in enumerate(np.linspace(-1, 1, 7)):
        for column, x in enumerate(np.linspace(-1, 1, 7)):
            step = x * first + y * second
            expected[row, column] = own + gradient @ step + step @ hessian @ step / 2
    assert result.loss == pytest.approx(expected, abs=1e-10)
    assert result.here is not None
    assert result.here.value == pytest.approx(own, abs=1e-14)
    # no comb: second differences are constant, unlike those of tools that shift odd columns
    for axis in (0, 1):
        bends = np.diff(result.loss, 2, axis=axis)
        assert np.ptp(bends) < 1e-12 * max(1.0, abs(bends).max())


def test_lines_of_a_quadratic_are_exact():
    """Along eigenvectors the second difference of the picture itself is λ h²."""
    subject, hessian, _ = quadratic()
    result = Surface(dimensions=1, points=9, directions="eigenvectors").run(subject)
    values = torch.linalg.eigvalsh(hessian).numpy()
    assert result.directions == ("eigenvector of λ₁", "eigenvector of λ₂", "eigenvector of λ_min")
    step = result.x[1] - result.x[0]
    for row, value in enumerate((values[-1], values[-2], values[0])):
        assert np.diff(result.loss[row], 2) / step**2 == pytest.approx(value, abs=1e-8)
        check = result.checks[row]
        assert check.agrees
        assert check.product is not None
        assert check.product.value == pytest.approx(value, rel=1e-9)
        assert abs(check.difference.value - value) <= check.difference.half_width
        assert check.residual < 1e-6
    assert result.in_distance
    assert result.lengths == pytest.approx(1)


def test_the_gradient_and_what_is_orthogonal_to_it():
    subject, hessian, gradient = quadratic()
    result = Surface(points=5, directions="gradient").run(subject)
    first, second = result.checks
    length = float(gradient.norm())
    assert first.slope == pytest.approx(length, rel=1e-10)
    assert second.slope == pytest.approx(0, abs=1e-10)
    unit = gradient / length
    assert first.difference.value == pytest.approx(float(unit @ hessian @ unit), rel=1e-6)
    assert result.cosine == pytest.approx(0, abs=1e-12)
    own = subject.loss(subject.point)
    step = result.x[1] - result.x[0]
    middle = result.loss[2]
    assert (middle[3] - middle[1]) / (2 * step) == pytest.approx(length, rel=1e-9)
    assert middle[2] == pytest.approx(own)


def test_the_gradient_of_a_minimum_points_nowhere():
    model = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    nn.init.zeros_(model.weight)
    data = [(torch.zeros(3, 2, dtype=torch.float64), torch.zeros(3, 1, dtype=torch.float64))]
    with pytest.raises(ModelError, match="points nowhere"):
        Surface(directions="gradient").run(Subject(model, "mse", data, device="cpu"))


# --- what a slice must not depend on -----------------------------------------------------------


def rescaled(model: Any, c: float) -> Any:
    """The same function: W₁ → c W₁, b₁ → c b₁, W₂ → W₂ / c before a ReLU."""
    other = copy.deepcopy(model)
    other[0].weight.data *= c
    other[0].bias.data *= c
    other[2].weight.data /= c
    return other


@pytest.mark.parametrize("dimensions", [1, 2])
def test_filter_normalised_slices_do_not_see_a_rescaling(dimensions):
    """D16: the function stays, filter-normalised slices stay, raw ones and the trace change."""
    model = seeded(lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), 0).double()
    data = [(normal(20, 5, seed=0).double(), labels(20, classes=3, seed=0))]

    def surface(net: nn.Module, normalise: Any) -> np.ndarray:
        question = Surface(dimensions=dimensions, points=5, normalise=normalise, unchecked=True)
        return question.run(Subject(net, "ce", data, device="cpu")).loss

    for normalise in ("filter", "layer"):
        assert surface(rescaled(model, 7.0), normalise) == pytest.approx(
            surface(model, normalise), abs=1e-12
        )
    raw, other = (surface(net, "none") for net in (model, rescaled(model, 7.0)))
    assert np.abs(raw - other).max() > 0.1 * np.ptp(raw)


# --- curvature ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    some(("mlp", "cnn", "tied", "partial", "masked", "self-scored"), "cnn", "tied", "masked"),
)
def test_curvature_is_that_of_the_dense_hessian(name):
    """Eigenvalues and uᵀHu, from dense float64 autograd of an independent network."""
    hessian = dense_hessian(name)
    values = torch.linalg.eigvalsh(hessian)
    result = asked(name, dimensions=1, directions="eigenvectors")
    for check, value in zip(result.checks, (values[-1], values[-2], values[0]), strict=True):
        assert check.agrees, check
        assert check.difference.value == pytest.approx(float(value), rel=1e-4, abs=1e-6)
    subject = CASES[name]().subject()
    result = asked(name, seed=5)
    source = generator(5)
    for check in result.checks:
        direction = like_weights(subject.network, subject.point, gaussian(subject.network, source))
        unit = direction.double() / direction.double().norm()
        assert check.agrees, check
        assert check.difference.value == pytest.approx(float(unit @ hessian @ unit), abs=1e-6)


@pytest.mark.parametrize("name", [name for name in CASES if name != "recurrent"])
def test_slices_agree_with_products_on_every_network(name):
    result = asked(name, samples=8)
    assert result.status is Status.CONVERGED
    assert all(check.agrees for check in result.checks), result.checks
    assert np.isfinite(result.loss).all()


@pytest.mark.parametrize("kind", ["random", "eigenvectors", "gradient"])
@pytest.mark.parametrize("steps_taken", [0, 250])
def test_relu_networks_agree_in_spite_of_their_kinks(kind, steps_taken):
    """Before training and after: kinks nearby are no disagreement."""
    model = trained(1, steps_taken) if steps_taken else mlp(seed=1)
    subject = Subject(model, "ce", [blobs()], device="cpu")
    result = Surface(points=3, dimensions=1, directions=kind, samples=10).run(subject)
    assert all(check.agrees for check in result.checks), result.checks


def test_the_middle_of_relu_kinks_is_not_resolved():
    """Zero biases meet zero inputs: along the gradient the loss has a kink at the weights."""
    model = seeded(lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), 0)
    model.get_parameter("0.bias").data.zero_()
    inputs = normal(30, 4, seed=0)
    inputs[:15] = 0.0
    subject = Subject(model, "ce", [(inputs, labels(30, classes=3, seed=0))], device="cpu")
    result = Surface(points=3, directions="gradient").run(subject)
    assert result.checks[0].agrees is not True
    assert any("curvature" in finding.sentence for finding in result.findings())


def test_where_there_is_no_second_derivative_the_slice_is_told_all_the_same():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *slopes: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return slopes[0] * x.cos()

    class Odd(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return Once.apply(super().forward(input))

    model = seeded(lambda: nn.Sequential(Odd(4, 5), nn.Linear(5, 3)), 0)
    data = [(normal(9, 4, seed=0), labels(9, classes=3, seed=0))]
    result = Surface(points=3).run(Subject(model, "ce", data, device="cpu"))
    assert all(check.agrees is None and check.reason for check in result.checks)
    assert np.isfinite([check.difference.value for check in result.checks]).all()
    assert "could not be held" in result.summary()
    again = SurfaceResult.from_json(result.to_json())
    assert repr(again.tables()) == repr(result.tables())
    assert np.isfinite([check.slope for check in result.checks]).all()


# --- statistics of normalisation layers ---------------------------------------------------------


def test_statistics_are_recomputed_at_every_point():
    """Every cell against the network with statistics refreshed there, or with those it has."""
    subject = CASES["cnn"]().subject()
    source = generator(0)
    first, second = (
        like_weights(subject.network, subject.point, gaussian(subject.network, source))
        for _ in range(2)
    )
    corner = subject.point.moved(subject.point.theta + first - second)
    fresh = refreshed(subject, corner, some_batches(subject))
    recomputed, kept = (asked(statistics=policy) for policy in ("recomputed", "kept"))
    assert recomputed.loss[0, 2] == pytest.approx(subject.loss(fresh), rel=1e-5)
    assert kept.loss[0, 2] == pytest.approx(subject.loss(corner), rel=1e-5)
    assert recomputed.here is not None
    assert kept.here is not None
    assert kept.here.value == kept.centre.value == recomputed.centre.value
    assert recomputed.here.value != recomputed.centre.value
    both = {"loss with saved statistics", "with recomputed ones"}
    assert both <= dict(recomputed.headline()).keys()
    assert "with the saved statistics" in recomputed.summary()
    assert not both & dict(kept.headline()).keys()
    assert "recomputed at every point" in recomputed.caption()
    assert "as the checkpoint has them" in kept.caption()
    assert any("change the loss" in finding.sentence for finding in recomputed.findings())
    assert not any("change the loss" in finding.sentence for finding in kept.findings())
    assert recomputed.checks == kept.checks, "curvature is that at fixed statistics"


def test_train_mode():
    result = asked(subject={"mode": "train"}, samples=2)
    assert result.samples == 8, "the batch is taken whole"
    assert "train mode" in result.caption()
    assert result.centre.interval == (-math.inf, math.inf)
    assert result.here is not None
    assert result.here.value == result.centre.value


# --- several checkpoints -----------------------------------------------------------------------


def of(*models: nn.Module, **settings: Any) -> SurfaceResult:
    ends = checkpoints(*models)
    subject = Subject(models[0], "ce", [blobs()], ends, device="cpu", product="reverse")
    return Surface(**{"points": 5, "samples": 100, **settings}).run(subject)


def test_checkpoints_are_compared_on_the_same_draws():
    """Each as it is when asked for alone, in one answer and on one scale."""
    both = of(trained(0), trained(1))
    alone = [of(trained(seed)) for seed in (0, 1)]
    assert both.checkpoints == ("m0", "m1")
    for sheet, one in zip(both.sheets, alone, strict=True):
        assert np.array_equal(sheet.loss, one.loss)
        assert np.array_equal(sheet.lengths, one.lengths)
    assert len(both.checks) == 4
    assert [picture.name for picture in both.pictures()] == ["relief", "error"]
    figure = Figure(figsize=(7, 4))
    both.draw(figure.add_subplot())


def test_eigenvectors_are_those_of_the_last_for_all():
    both = of(trained(0), trained(1), directions="eigenvectors")
    last = of(trained(1), directions="eigenvectors")
    assert np.array_equal(both.loss, last.loss)
    assert np.array_equal(both.x, last.x)
    residuals = {check.checkpoint: check.residual for check in both.checks}
    assert residuals["m1"] < 1e-2
    assert residuals["m0"] > residuals["m1"]


@cache
def steps() -> list[nn.Module]:
    """Networks along one run."""
    model, (inputs, targets) = mlp(), blobs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    kept = []
    for step in range(41):
        if step % 10 == 0:
            kept.append(copy.deepcopy(model))
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return kept


@pytest.mark.parametrize("dimensions", [1, 2])
def test_a_run_on_its_components(dimensions):
    result = of(*steps(), directions="trajectory", dimensions=dimensions, samples=0)
    assert result.explained is not None
    assert result.explained.sum() > 0.8
    inputs, targets = blobs()
    for place, model in zip(result.places, steps(), strict=True):
        own = F.cross_entropy(model(inputs), targets).item()
        assert place.loss.value == pytest.approx(own, rel=1e-5)
        assert result.x[0] <= place.x <= result.x[-1]
    assert (result.places[-1].x, result.places[-1].y, result.places[-1].apart) == (0, 0, 0)
    assert result.places[0].x > 0
    vectors = [torch.cat([p.flatten() for p in model.parameters()]) for model in steps()]
    for place, vector in zip(result.places, vectors, strict=True):
        distance = (vector - vectors[-1]).norm().item()
        assert math.hypot(place.x, place.y, place.apart) == pytest.approx(distance, rel=1e-3)
    assert len(result.tables()) == 4
    result.draw(Figure().add_subplot())


def test_the_axes_of_a_run_tell_their_shares():
    result = of(*steps(), directions="trajectory", dimensions=2, samples=0)
    assert result.explained is not None
    names = surface_ink(result, result.sheets[0], "loss").axis_names
    shares = [f"{share:.1%}" for share in result.explained]
    assert [name.rpartition(", ")[2] for name in names] == shares
    assert names[0].startswith("principal component 1")


def test_three_networks_and_their_plane():
    models = [trained(0), trained(1), steps()[0]]
    result = of(*models, directions="checkpoints", samples=0)
    a, b, c = result.places
    assert (a.x, a.y) == (0, 0)
    assert b.y == pytest.approx(0, abs=1e-6)
    vectors = [torch.cat([p.flatten() for p in model.parameters()]) for model in models]
    for one, other, i, j in ((a, b, 0, 1), (a, c, 0, 2), (b, c, 1, 2)):
        apart = (vectors[i] - vectors[j]).norm().item()
        assert math.hypot(one.x - other.x, one.y - other.y) == pytest.approx(apart, rel=1e-4)
    assert result.here is None
    assert result.path is None


def test_the_plane_of_a_fitted_curve():
    result = of(trained(0), trained(1), directions="curve", curve_steps=50)
    a, b = result.places
    assert result.path is not None
    assert result.path[0] == pytest.approx([a.x, a.y], abs=1e-4)
    assert result.path[-1] == pytest.approx([b.x, b.y], abs=1e-4)
    assert result.path[:, 1].max() > 0


def test_checkpoints_that_differ_elsewhere_are_refused():
    ends = checkpoints(trained(0), trained(1), steps()[0])
    subject = Subject(trained(0), "ce", [blobs()], ends, params="2.*", device="cpu")
    for kind in ("trajectory", "checkpoints"):
        with pytest.raises(InputError, match="differ in 0"):
            Surface(directions=kind).run(subject)


# --- the answer --------------------------------------------------------------------------------


def test_random_lines_are_averaged_with_a_band():
    from landscape.surfaces.pictures import slice_ink

    result = of(trained(0), dimensions=1, points=7, draws=4)
    assert result.averaged
    assert result.loss.shape == (4, 7)
    (curve,) = slice_ink(result, "loss").curves
    assert curve.mean == pytest.approx(result.loss.mean(0))
    assert curve.draws is not None
    assert curve.lower is not None
    assert curve.upper is not None
    spread = 3.182 * result.loss.std(0, ddof=1) / 2  # Student's t, three degrees of freedom
    assert (curve.upper - curve.mean >= spread * 0.999).all()
    assert (curve.lower <= curve.mean).all()
    assert slice_ink(result, "loss").parabola is not None


def test_cells_that_are_not_finite_are_marked():
    """exp overflows far out: those cells are told, the others stand."""

    class Steep(nn.Linear):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input).exp()

    model = seeded(lambda: Steep(3, 1, bias=False), 0)
    data = [(3 * normal(12, 3, seed=0), torch.ones(12, 1))]
    result = Surface(points=5, span=40.0).run(Subject(model, "mse", data, device="cpu"))
    sheet = result.sheet
    assert sheet.infinite.any()
    assert not sheet.infinite.all()
    assert sheet.unreliable[sheet.infinite].all()
    assert result.status is Status.CONVERGED
    assert "not finite in" in result.message
    assert math.isfinite(result.ceiling)
    assert any("unreliable" in finding.sentence for finding in result.findings())
    document = result.to_json()
    assert None in [cell for row in document["answer"]["loss"] for cell in row]
    again = SurfaceResult.from_json(document)
    assert np.array_equal(again.sheet.infinite, sheet.infinite)
    result.draw(Figure().add_subplot())


def test_the_document_has_what_scripts_rely_on():
    plane = asked().to_json()["answer"]
    assert len(plane["directions"]) == 2
    assert len(plane["x"]) == len(plane["y"]) == len(plane["loss"]) == len(plane["error"]) == 3
    lines = asked(dimensions=1, draws=2).to_json()["answer"]
    assert lines["y"] is None
    assert [len(row) for row in lines["loss"]] == [3, 3]
    assert asked("regression").to_json()["answer"]["error"] is None


def test_a_lower_place_nearby_is_told():
    subject, _, _ = quadratic()
    result = Surface(points=21, directions="gradient").run(subject)
    assert result.here is not None
    assert result.loss.min() < result.here.value
    told = " ".join(finding.sentence for finding in result.findings())
    assert "not the lowest point" in told
    assert "directions" in result.caption()


def test_what_cannot_be_asked():
    with pytest.raises(SettingError, match="an odd number"):
        Surface(points=10)
    for kind in ("curve", "checkpoints"):
        with pytest.raises(SettingError, match="is a plane"):
            Surface(dimensions=1, directions=kind)
        with pytest.raises(SettingError, match="are needed, 1 given"):
            of(trained(0), directions=kind)
    with pytest.raises(SettingError, match="3 checkpoints are needed, 1 given"):
        of(trained(0), directions="trajectory")


def test_a_report_on_a_run_shows_the_run():
    ends = checkpoints(*steps())
    subject = Subject(steps()[0], "ce", [blobs()], ends, device="cpu")
    assert Surface().fitted(subject).directions == "trajectory"
    assert Surface(directions="gradient").fitted(subject).directions == "gradient"
    two = Subject(steps()[0], "ce", [blobs()], ends[:2], device="cpu")
    assert Surface().fitted(two) == Surface()


# --- going on ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "share"),
    [
        pytest.param(kind, share, marks=() if one == other else pytest.mark.full)
        for one, kind in enumerate(("random", "eigenvectors", "curve"))
        for other, share in enumerate((0.2, 0.6, 0.95))
    ],
)
def test_interrupted_and_run_again(tmp_path, kind, share):
    """The same bits; rows that were evaluated are looked up."""
    question = Surface(directions=kind, points=5, samples=200, curve_steps=5)

    def subject(folder: Any = None) -> Subject:
        models = trained(0), trained(1)
        return Subject(
            models[0],
            "ce",
            [blobs()],
            checkpoints(*models),
            device="cpu",
            folder=folder,
            product="reverse",
        )

    whole = Impatient(0)
    with listening(whole):
        expected: Result = question.run(subject())
    with listening(Impatient(int(share * whole.steps))), pytest.raises(KeyboardInterrupt):
        question.run(subject(tmp_path))
    rest = Impatient(0)
    with listening(rest):
        again = question.run(subject(tmp_path))
    assert again.to_json()["answer"] == expected.to_json()["answer"]


def test_a_model_on_its_own_is_its_checkpoint():
    result = Surface(points=3).run(Subject(trained(0), "ce", [blobs()], device="cpu"))
    assert result.checkpoint == "model"
    assert result.checkpoints == ("model",)
    one = Checkpoint.of_model(trained(0), "model")
    same = Surface(points=3).run(Subject(trained(0), "ce", [blobs()], one, device="cpu"))
    assert np.array_equal(same.loss, result.loss)


@pytest.mark.gpu
def test_a_device_gives_the_same_surface():
    """On CUDA, where points may be evaluated at once, the losses are those of the host."""
    problem = CASES["cnn"]()
    host, device = (
        Surface(points=5).run(Subject(problem.model, "ce", problem.data, device=where))
        for where in ("cpu", "cuda")
    )
    assert device.loss == pytest.approx(host.loss, rel=1e-4)
    assert all(check.agrees for check in device.checks)


def test_a_few_samples_of_every_batch_take_as_many_calls_as_all():
    data = [(torch.zeros(10, 4), torch.zeros(10, 2)) for _ in range(3)]
    subject = Subject(nn.Linear(4, 2), "mse", data, device="cpu")
    whole, few = (Surface(points=11, samples=one, unchecked=True).work(subject) for one in (0, 6))
    assert (whole.forwards, whole.calls) == (121, 0)
    assert few.forwards == pytest.approx(121 / 5)
    assert few.calls == pytest.approx(121 * 3 * 4 / 5)  # the rest of three calls
