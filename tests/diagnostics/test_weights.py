from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape.diagnostics.weights import TensorWeights, Weights, WeightsResult
from landscape.estimate import Status
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.subject import Subject
from tests.cases import CASES, normal
from tests.oracles import orthogonal


def checkpoint(label: str = "weights", **tensors: torch.Tensor) -> Checkpoint:
    return Checkpoint(label=label, tensors=tensors)


def studied(*checkpoints: Checkpoint) -> WeightsResult:
    return Weights().run(Subject(checkpoints=checkpoints))


def by_name(result: WeightsResult) -> dict[str, TensorWeights]:
    return {one.name: one for one in result.tensors}


TENSORS = {
    "matrix": normal(20, 30, seed=0),
    "tall": normal(300, 7, seed=1),
    "large": normal(250, 400, seed=2),
    "kernel": normal(6, 4, 3, 3, seed=3),
    "double": normal(9, 9, seed=4).double(),
    "half": normal(12, 5, seed=5).half(),
    "brain": normal(12, 5, seed=6).bfloat16(),
    "vector": normal(11, seed=7),
    "scalar": torch.tensor(-2.5),
    "zero": torch.zeros(4, 5),
    "rank_one": normal(200, 1, seed=8) @ normal(1, 220, seed=9),
    "orthogonal": orthogonal(200).float(),
}


@pytest.mark.parametrize("name", TENSORS)
def test_norms_and_ranks_are_those_of_numpy(name):
    tensor = TENSORS[name]
    (found,) = studied(Checkpoint(label="weights", tensors={name: tensor})).tensors
    array = tensor.double().numpy()
    assert found.shape == array.shape
    assert f"torch.{found.dtype}" == str(tensor.dtype)
    assert found.norm.value == pytest.approx(np.linalg.norm(array.ravel()), rel=1e-12)
    assert found.non_finite == 0
    assert found.first_non_finite is None
    assert found.change is None
    if array.ndim < 2:
        assert found.spectral_norm is found.stable_rank is None
        return
    exact = np.linalg.svd(array.reshape(len(array), -1), compute_uv=False)
    assert found.spectral_norm is not None
    assert found.stable_rank is not None
    low, high = found.spectral_norm.interval
    assert low * (1 - 3e-6) <= exact[0] <= high * (1 + 3e-6)
    rank = (exact**2).sum() / exact[0] ** 2 if exact[0] else 0
    low, high = found.stable_rank.interval
    assert low * (1 - 1e-5) <= rank <= high * (1 + 1e-5)
    if min(array.shape) < 100:
        assert found.spectral_norm.value == pytest.approx(exact[0], rel=1e-6)
        assert found.spectral_norm.kind == "exact"


def test_totals_are_those_of_all_numbers():
    result = studied(checkpoint(a=TENSORS["matrix"], b=TENSORS["kernel"], c=TENSORS["vector"]))
    everything = torch.cat([TENSORS[n].flatten() for n in ("matrix", "kernel", "vector")]).double()
    assert result.parameters == everything.numel()
    assert result.total_norm.value == pytest.approx(float(everything.norm()), rel=1e-12)
    assert result.total_change is None
    assert result.reference is None
    assert result.status is Status.CONVERGED


def test_integers_are_not_weights():
    result = studied(checkpoint(steps=torch.tensor(5), index=torch.arange(6), w=normal(3, seed=0)))
    assert [one.name for one in result.tensors] == ["w"]
    assert result.parameters == 3


def test_numbers_that_are_not_finite_are_counted_and_located():
    good, bad, worse = normal(3, 4, seed=0), normal(5, 6, seed=1), normal(4, seed=2)
    bad[2, 3] = math.nan
    bad[4, 0] = math.inf
    worse[1] = -math.inf
    result = studied(checkpoint(good=good, bad=bad, worse=worse))
    tensors = by_name(result)
    assert result.status is Status.NOT_FINITE
    assert tensors["good"].non_finite == 0
    assert (tensors["bad"].non_finite, tensors["bad"].first_non_finite) == (2, (2, 3))
    assert (tensors["worse"].non_finite, tensors["worse"].first_non_finite) == (1, (1,))
    assert tensors["bad"].spectral_norm is None
    assert tensors["good"].spectral_norm is not None
    (finding,) = result.findings()
    assert finding.severity == "critical"
    assert "3" in finding.sentence
    assert "bad" in finding.evidence
    assert "[2, 3]" in finding.evidence


def test_a_scalar_that_is_nan_is_located():
    (found,) = studied(checkpoint(s=torch.tensor(math.nan))).tensors
    assert (found.non_finite, found.first_non_finite) == (1, ())


def test_change_is_the_distance_from_the_first_checkpoint():
    first = checkpoint("start", w=normal(5, 6, seed=0), b=normal(6, seed=1))
    middle = checkpoint("middle", w=normal(5, 6, seed=8), b=normal(6, seed=9))
    last = checkpoint("end", w=normal(5, 6, seed=2), b=normal(6, seed=3))
    result = studied(first, middle, last)
    assert (result.reference, result.checkpoint) == ("start", "end")
    squares = 0.0
    for name, found in by_name(result).items():
        exact = float((last.tensors[name].double() - first.tensors[name].double()).norm())
        assert found.change is not None
        assert found.change.value == pytest.approx(exact, rel=1e-12)
        squares += exact**2
    assert result.total_change is not None
    assert result.total_change.value == pytest.approx(math.sqrt(squares), rel=1e-12)


def test_a_checkpoint_has_not_moved_from_itself():
    same = checkpoint("a", w=normal(5, 6, seed=0))
    result = studied(same, checkpoint("b", w=same.tensors["w"].clone()))
    assert result.total_change is not None
    assert result.total_change.value == 0


def test_change_between_precisions_is_computed_in_double():
    weights = normal(50, 50, seed=0)
    result = studied(checkpoint("a", w=weights), checkpoint("b", w=weights.half()))
    exact = float((weights.half().double() - weights.double()).norm())
    assert result.total_change is not None
    assert result.total_change.value == pytest.approx(exact, rel=1e-12)
    assert exact > 0


def test_tensors_that_are_new_or_of_another_shape_have_no_change():
    result = studied(
        checkpoint("a", w=normal(3, 4, seed=0), old=normal(2, seed=1)),
        checkpoint("b", w=normal(4, 3, seed=0), new=normal(2, seed=1)),
    )
    assert {name: one.change for name, one in by_name(result).items()} == {"w": None, "new": None}


def test_wrappers_in_names_do_not_hide_the_same_tensor():
    weights = normal(3, 4, seed=0)
    result = studied(
        Checkpoint(label="a", tensors={"module.layer.weight": weights}),
        Checkpoint(label="b", tensors={"layer.weight": 2 * weights}),
    )
    (found,) = result.tensors
    assert found.name == "layer.weight"
    assert found.change is not None
    assert found.change.value == pytest.approx(float(weights.norm()), rel=1e-6)


def test_tied_tensors_are_counted_once():
    model = CASES["tied"]().model
    result = Weights().run(Subject(model))
    assert result.parameters == sum(p.numel() for p in model.parameters())


def test_weights_need_no_model_and_no_data():
    result = studied(checkpoint(w=normal(3, 4, seed=0)))
    assert result.cost.products == 0
    assert result.checkpoint == "weights"


def test_an_empty_tensor_is_no_obstacle():
    result = studied(checkpoint(none=torch.zeros(0, 3), w=normal(3, seed=0)))
    assert result.parameters == 3


def test_a_network_of_real_modules_is_studied_whole():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    names = {one.name for one in Weights().run(Subject(model)).tensors}
    floating = {n for n, t in model.state_dict().items() if t.is_floating_point()}
    assert names == floating


def test_document_fits_its_schema_and_comes_back():
    import jsonschema

    bad = normal(3, 4, seed=0)
    bad[1, 1] = math.nan
    result = studied(checkpoint("a", w=normal(3, 4, seed=1)), checkpoint("b", w=bad))
    document = json.loads(json.dumps(result.to_json(), allow_nan=False))
    jsonschema.validate(document, WeightsResult.schema())
    back = WeightsResult.from_json(document)
    assert back.to_json() == document
    assert math.isnan(back.tensors[0].norm.value)
    assert back.tensors[0].norm.reason


# --- buffers -----------------------------------------------------------------------------------


class Shifted(nn.Module):
    """A network with normalisation, and a buffer that no name tells."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 3), nn.BatchNorm1d(3)
        self.register_buffer("scale", torch.full((5,), 7.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(x))


def moved(model: nn.Module, by: float) -> dict[str, torch.Tensor]:
    return {
        name: tensor + by if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("wrapped", ["", "module."])
@pytest.mark.parametrize("given", [True, False])
def test_totals_are_of_the_parameters_alone(given, wrapped):
    torch.manual_seed(0)
    model = Shifted()
    after = moved(model, 0.5)
    both = [
        checkpoint(label, **{wrapped + name: tensor for name, tensor in state.items()})
        for label, state in (("a", model.state_dict()), ("b", after))
    ]
    result = Weights().run(Subject(model if given else None, checkpoints=both))
    names = {name for name, _ in model.named_parameters()} | (set() if given else {"scale"})
    kept = torch.cat([after[name].flatten() for name in names])
    assert {one.name for one in result.tensors if not one.buffer} == names
    assert result.parameters == kept.numel()
    assert result.buffers == 6 + 5 * given
    assert result.total_norm.value == pytest.approx(float(kept.double().norm()), rel=1e-6)
    assert result.total_change is not None
    assert result.total_change.value == pytest.approx(0.5 * math.sqrt(kept.numel()), rel=1e-6)
    assert f"{2 + given} buffers of {result.buffers} numbers" in result.summary()
    assert WeightsResult.from_json(json.loads(json.dumps(result.to_json()))) == result
