"""Attained lower bounds against exact constants, and pairs that are evaluated again."""

from __future__ import annotations

import copy
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from landscape import budget
from landscape.budget import Budget
from landscape.errors import DataError, InputError, NumericalError
from landscape.estimate import Status
from landscape.lipschitz.ascent import climb, projected
from landscape.lipschitz.attained import Attained, attained
from landscape.lipschitz.certified import certify
from landscape.lipschitz.chain import Chain
from landscape.lipschitz.jacobian import largest_singular
from landscape.lipschitz.witness import load, reevaluated
from landscape.subject.subject import Subject
from tests import cases
from tests.cases import classified, labels, normal, seeded
from tests.lipschitz.chains import RELU, module_of
from tests.lipschitz.exact import gaussian, over_reached_regions
from tests.lipschitz.networks import Encoder, Mixer
from tests.oracles import generator
from tests.paths.networks import digits, mlp, trained


def subject_of(model: nn.Module, data: Any, loss: Any = "mse", **settings: Any) -> Subject:
    return Subject(model, loss, data, device="cpu", **settings)


def found_by(subject: Subject, **settings: Any) -> Attained:
    return attained(subject, subject.point, generator=generator(0), **settings)


def regression(inputs: int, outputs: int, samples: int = 64) -> list[tuple[Tensor, Tensor]]:
    return [(normal(samples, inputs, seed=5).double(), torch.zeros(samples, outputs))]


# --- the value ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_linear_network_attains_its_norm(dtype: str) -> None:
    first, second = nn.Linear(12, 9), nn.Linear(9, 7)
    subject = subject_of(nn.Sequential(first, second), regression(12, 7), dtype=dtype)
    with torch.no_grad():
        whole = second.weight.double() @ first.weight.double()
    norm = float(torch.linalg.matrix_norm(whole, 2))
    found = found_by(subject, steps=3)
    assert norm * (1 - 1e-6) <= found.value <= norm
    assert found.at_data == pytest.approx(norm, rel=1e-4)


NETWORKS = [((2, 5, 1), 0), ((2, 5, 5, 1), 0), ((2, 5, 5, 1), 1), ((3, 6, 4, 2), 0)]


@pytest.mark.parametrize(
    ("dims", "seed"),
    [
        *NETWORKS[:2],
        *(pytest.param(*one, marks=pytest.mark.full) for one in NETWORKS[2:]),
        pytest.param((2, 4, 4, 4, 1), 3, marks=pytest.mark.full),
    ],
)
def test_what_is_attained_is_at_most_the_exact_constant_and_near_it(
    dims: tuple[int, ...], seed: int
) -> None:
    net = gaussian(dims, seed)
    exact, _ = over_reached_regions(net)
    found = found_by(subject_of(module_of(net), regression(dims[0], dims[-1])))
    assert 0.95 * exact <= found.value <= exact
    assert found.value >= found.at_data * (1 - 1e-9)
    assert found.witness.rounding < 1e-9


def test_the_climb_leaves_the_data_behind() -> None:
    """Digits: the Jacobian at the data is half of what is attained, four fifths of the bound."""
    x, y, *_ = digits()
    model = trained(mlp, 0, 0)
    found = found_by(subject_of(model, [(x[:256], y[:256])], "ce"))
    layers = [one for one in model.modules() if isinstance(one, nn.Linear)]
    weights = tuple(one.weight.detach().double().numpy() for one in layers)
    upper = certify(Chain(weights=weights, slopes=(RELU, RELU)), seconds=None).upper
    assert 1.5 * found.at_data < found.value
    assert 0.7 * upper < found.value <= upper


def mapping() -> list[dict[str, Tensor]]:
    batches = []
    for size in (3, 2):
        mask = (torch.arange(5) < 4).long().expand(size, 5).clone()
        batch = {"embeds": normal(size, 5, 6, seed=size), "mask": mask}
        batch |= {
            "scale": 1 + 0.1 * normal(size, seed=1),
            "labels": labels(size, classes=3, seed=2),
        }
        batches.append(batch)
    return batches


SUBJECTS = {
    "cnn with BatchNorm": lambda: cases.CASES["cnn"]().subject(),
    "residual": lambda: cases.CASES["residual"]().subject(),
    "partial": lambda: cases.CASES["partial"]().subject(),
    "pixels": lambda: cases.CASES["pixels"]().subject(),
    "recurrent": lambda: cases.CASES["recurrent"]().subject(),
    "mapping": lambda: subject_of(seeded(Mixer, 0), mapping(), "ce"),
    "encoder": lambda: subject_of(seeded(Encoder, 0), classified((4, 3), (5, 4), 3), "ce"),
    "lengths": lambda: subject_of(
        seeded(Encoder, 0), [*classified((2,), (5, 4), 3), *classified((3,), (7, 4), 3)], "ce"
    ),
}


@pytest.mark.parametrize("build", SUBJECTS.values(), ids=SUBJECTS)
def test_every_kind_of_network_has_a_pair_and_is_left_as_it_was(build: Any, tmp_path: Path) -> None:
    subject = build()
    model = subject.model
    before, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    found = found_by(subject, starts=3, steps=6)
    assert found.value >= found.at_data * (1 - 1e-3)
    assert found.samples == subject.batches.samples
    assert found.status is Status.CONVERGED
    path = tmp_path / "pair.npz"
    print_ = subject.weights_fingerprint(subject.checkpoint)
    found.witness.save(path, weights_fingerprint=print_)
    again = reevaluated(path, subject, subject.point)
    assert again.value == pytest.approx(found.value, rel=1e-9)
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert torch.equal(random, torch.get_rng_state())
    assert all(one.grad is None for one in model.parameters())


class Single(nn.Module):
    """Computes in single precision, whatever it is given, as some normalisations do."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor) -> Tensor:
        return (x.float() * self.scale.float()).to(x.dtype)


def test_rounding_is_that_of_the_least_precise_part() -> None:
    x = 1000 + normal(16, 4, seed=0)
    found = found_by(subject_of(Single(), [(x, torch.zeros(16, 4))]), steps=3)
    assert 1e-6 < found.witness.rounding < 1e-3
    assert 3 * (1 - 1e-3) < found.value <= 3


# --- domains, budgets, what cannot be done -----------------------------------------------------


def test_in_a_ball_both_inputs_lie_in_it() -> None:
    net = gaussian((2, 5, 5, 1), 1)
    subject = subject_of(module_of(net), regression(2, 1))
    values = []
    for radius in (1e-3, 0.3, 1.0, 100.0):
        found = found_by(subject, radius=radius)
        for side in (found.witness.x, found.witness.y):
            assert np.linalg.norm(side[0]) <= radius * (1 + 1e-12)
        values.append(found.value)
    jacobian = module_of(net)(torch.zeros(1, 2, dtype=torch.float64).requires_grad_())
    assert len(set(values)) > 1
    assert values[0] < values[-1]
    assert jacobian.requires_grad


def test_the_nearest_input_in_a_ball() -> None:
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4], [0.0, 0.0]])
    assert torch.allclose(projected(x, 1.0), torch.tensor([[0.6, 0.8], [0.3, 0.4], [0.0, 0.0]]))
    assert projected(x, None) is x


def test_a_spent_budget_still_gives_a_bound() -> None:
    subject = cases.CASES["mlp"]().subject(batch_size=4)
    _ = subject.count
    with budget.spending(Budget(seconds=1e-9)):
        found = found_by(subject)
    assert found.status is Status.BUDGET_SPENT
    assert found.value > 0
    assert found.samples == 4


def test_a_bound_on_the_time_is_kept_and_the_samples_are_told() -> None:
    subject = subject_of(seeded(cases.cnn, 1), classified((2000,), (1, 8, 8), 4), "ce")
    _ = subject.count
    begun = time.monotonic()
    found = found_by(subject, steps=10**6, seconds=0.3)
    assert time.monotonic() - begun < 10
    assert found.status is Status.BUDGET_SPENT
    assert 0 < found.samples <= 2000
    small = found_by(cases.CASES["mlp"]().subject(), steps=2, seconds=300.0)
    assert small.status is Status.CONVERGED


def test_the_same_seed_gives_the_same_pair() -> None:
    one, other = (found_by(cases.CASES["cnn"]().subject(), steps=9) for _ in range(2))
    assert one.value == other.value
    assert all(np.array_equal(*pair) for pair in zip(one.witness.x, other.witness.x, strict=True))


def test_token_ids_are_refused() -> None:
    with pytest.raises(DataError, match="between token ids or labels there is no distance"):
        found_by(cases.CASES["tied"]().subject())


@pytest.mark.gpu
def test_pairs_are_found_on_a_gpu_and_hold_on_the_cpu(tmp_path: Path) -> None:
    problem = cases.CASES["residual"]()
    on = {
        device: Subject(problem.model, problem.loss, problem.data, device=device)
        for device in ("cuda", "cpu")
    }
    found = found_by(on["cuda"], steps=12)
    path = tmp_path / "pair.npz"
    print_ = on["cuda"].weights_fingerprint(on["cuda"].checkpoint)
    found.witness.save(path, weights_fingerprint=print_)
    again = reevaluated(path, on["cpu"], on["cpu"].point)
    assert again.value == pytest.approx(found.value, rel=1e-7)


def test_a_constant_network_is_told() -> None:
    model = nn.Linear(4, 2)
    nn.init.zeros_(model.weight)
    with pytest.raises(NumericalError, match="constant where the data lie"):
        found_by(subject_of(model, [(normal(3, 4, seed=0), torch.zeros(3, 2))]), steps=2)


def test_climbs_only_rise_and_never_lie() -> None:
    model = seeded(lambda: nn.Sequential(nn.Linear(6, 20), nn.ReLU(), nn.Linear(20, 4)), 0).double()
    x = normal(5, 6, seed=0).double()
    at = largest_singular(model, x, steps=4, generator=generator(1)).values
    peaks = climb(model, x, steps=40, radius=None, generator=generator(0))
    jacobians = torch.stack([torch.autograd.functional.jacobian(model, row) for row in peaks.x])
    norms = torch.linalg.matrix_norm(jacobians, 2)
    assert (peaks.values <= norms * (1 + 1e-12)).all()
    assert (peaks.values >= at * (1 - 1e-9)).all()
    assert float(peaks.values.max()) > 1.05 * float(at.max())


# --- pairs in files ----------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path: Path) -> tuple[Subject, Attained, Path]:
    subject = cases.CASES["mlp"]().subject()
    found = found_by(subject, steps=3)
    path = tmp_path / "pair.npz"
    print_ = subject.weights_fingerprint(subject.checkpoint)
    found.witness.save(path, weights_fingerprint=print_)
    return subject, found, path


def test_anyone_can_evaluate_the_pair_again(kept: tuple[Subject, Attained, Path]) -> None:
    """With NumPy, PyTorch and the network alone."""
    subject, found, path = kept
    model = copy.deepcopy(subject.model)
    assert model is not None
    with np.load(path) as pair:
        x, y = (torch.from_numpy(pair[f"{side}/0"])[None] for side in ("x", "y"))
    with torch.no_grad():
        apart = model.double()(x) - model.double()(y)
    assert float(apart.norm() / (x - y).norm()) == pytest.approx(found.witness.ratio, rel=1e-9)


def test_a_pair_of_other_weights_is_refused(kept: tuple[Subject, Attained, Path]) -> None:
    _, _, path = kept
    other = cases.CASES["soft-labels"]().subject()
    with pytest.raises(InputError, match="other weights"):
        reevaluated(path, other, other.point)


def test_a_ratio_that_is_not_attained_is_refused(kept: tuple[Subject, Attained, Path]) -> None:
    subject, found, path = kept
    witness, print_ = load(path)
    lie = copy.copy(witness)
    object.__setattr__(lie, "distance_outputs", 1.01 * found.witness.distance_outputs)
    lie.save(path, weights_fingerprint=print_)
    with pytest.raises(InputError, match="does not have the ratio"):
        reevaluated(path, subject, subject.point)


def test_what_is_no_pair_is_told(tmp_path: Path, kept: tuple[Subject, Attained, Path]) -> None:
    _, _, path = kept
    cut, text = tmp_path / "cut.npz", tmp_path / "text.npz"
    cut.write_bytes(path.read_bytes()[:-30])
    text.write_text("hello")
    for one in (cut, text, tmp_path / "missing.npz"):
        with pytest.raises(InputError, match="holds no pair"):
            load(one)
