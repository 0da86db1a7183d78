from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import landscape as ls
from landscape.diagnostics.spectrum import Spectrum
from landscape.estimate import Status
from landscape.linalg.eigenpairs import Eigenpairs, eigenpairs
from landscape.linalg.operator import MatrixOperator
from landscape.linalg.pairs import measured
from landscape.spectra.directions import directions
from landscape.spectra.subspace import gradient_shares
from tests.oracles import F64, generator, orthogonal
from tests.spectra.pairs import pairs

LAYERS = [(0, 9), (9, 12), (12, 40)]


def test_mass_and_participation():
    vector = torch.tensor([[0.6, 0.0, 0.8, 0.0]], dtype=F64)
    (found,) = directions(pairs(vector, [1.0]), [(0, 2), (2, 4)])
    assert [one.value for one in found.mass] == pytest.approx([0.36, 0.64])
    assert found.participation.value == pytest.approx(1 / (0.6**4 + 0.8**4))
    (even,) = directions(pairs(torch.full((1, 100), 0.1), [1.0]), [(0, 100)])
    assert even.participation.value == pytest.approx(100)


def test_of_the_last_pair_nothing_is_sure():
    """The eigenvalue after it was not sought, and may be as near as can be."""
    found = directions(pairs(orthogonal(40)[:2], [2.0, 1.0]), LAYERS)
    assert [one.interval for one in found[1].mass] == [(0, 1)] * 3
    assert found[1].participation.interval == pytest.approx((1, 40))
    assert found[0].mass[0].half_width < 1e-12
    assert found[0].participation.half_width < 1e-9


def test_where_pairs_may_have_been_missed_nothing_is_sure():
    (found, _) = directions(pairs(orthogonal(40)[:2], [2.0, 1.0], complete=False), LAYERS)
    assert found.mass[0].interval == (0, 1)
    assert found.mass[0].status is Status.NOT_CONVERGED
    assert found.participation.interval == pytest.approx((1, 40))


def test_a_whole_spectrum_has_no_last_pair():
    basis = orthogonal(4)
    found = directions(pairs(basis, [4.0, 3.0, 2.0, 1.0]), [(0, 2), (2, 4)])
    assert all(one.half_width < 1e-12 for direction in found for one in direction.mass)


def solved(values: Tensor, seed: int, error: float) -> tuple[Eigenpairs, Tensor]:
    """Rayleigh-Ritz pairs of a rough basis for the six largest of 40, and the eigenvectors."""
    basis = orthogonal(40, seed)  # rows
    matrix = basis.T @ (values[:, None] * basis)
    noise = torch.randn(6, 40, generator=generator(seed), dtype=F64)
    rough = basis[:6] + error * noise / noise.norm(dim=1, keepdim=True)
    top, _ = measured(MatrixOperator(matrix), torch.linalg.qr(rough.T)[0].T)
    return pairs(top.vectors, top.values.tolist(), top.residuals), basis


def holds(found: Eigenpairs, basis: Tensor, layers=LAYERS) -> tuple[int, int]:
    """Whether every interval holds the truth; how many there are, and how many say something."""
    told = [0, 0]
    for rank, one in enumerate(directions(found, layers)):
        exact = basis[rank].square()
        truth = [float(exact[start:stop].sum()) for start, stop in layers]
        truth.append(1 / float(exact.square().sum()))
        for estimate, value in zip((*one.mass, one.participation), truth, strict=True):
            low, high = estimate.interval
            assert low - 1e-12 <= value <= high * (1 + 1e-12)
            assert low <= estimate.value <= high
            told[0] += 1
            told[1] += high - low < 0.2 * max(value, 1)
    return told[0], told[1]


@pytest.mark.parametrize("error", [1e-8, 1e-4, 1e-2, 0.1])
@pytest.mark.parametrize("gap", [1.0, 1e-1, 1e-3, 1e-6, 0.0])
def test_the_truth_is_held_however_near_two_eigenvalues_are(gap, error):
    tail = torch.linspace(0.5, -0.5, 34, dtype=F64)
    values = torch.cat([torch.tensor([9.0, 5 + gap, 5.0, 3.0, 2.0, 1.0], dtype=F64), tail])
    for seed in range(4):
        found, basis = solved(values, seed, error)
        number, narrow = holds(found, basis)
        if error <= 1e-4:
            assert narrow >= number // 2


@pytest.mark.parametrize("angle", [0.1, 0.3, 0.5, 0.7, 0.785, 1.0, 1.4])
@pytest.mark.parametrize("turned", [-0.1, -0.02, 0.02, 0.1])
def test_a_vector_that_is_turned_as_far_as_its_residual_allows(angle, turned):
    """Within the plane of two eigenvectors the bound of Davis and Kahan is met but for θ³/2."""
    basis = torch.eye(40, dtype=F64)
    plane = torch.stack([basis[0], basis[12]])
    exact, across = rotated(angle) @ plane
    vector = np.cos(turned) * exact + np.sin(turned) * across
    values = [3 - 2 * np.sin(turned) ** 2, 1.0]
    residual = np.array([2 * abs(np.sin(turned) * np.cos(turned)), 0.0])
    found = directions(pairs(torch.stack([vector, basis[1]]), values, residual), LAYERS)[0]
    masses = [np.cos(angle) ** 2, 0, np.sin(angle) ** 2]
    spread = 1 / (np.cos(angle) ** 4 + np.sin(angle) ** 4)
    for one, truth in zip((*found.mass, found.participation), (*masses, spread), strict=True):
        low, high = one.interval
        assert low - 1e-12 <= truth <= high + 1e-12
        assert one.half_width < 10 * abs(turned)


def rotated(angle: float) -> Tensor:
    sine, cosine = np.sin(angle), np.cos(angle)
    return torch.tensor([[cosine, sine], [-sine, cosine]], dtype=F64)


def test_a_double_eigenvalue_leaves_the_mass_within_what_its_plane_allows():
    """Any vector of the plane is an eigenvector: none of them has mass where the plane has none."""
    values = torch.tensor([9.0, 5.0, 5.0, 3.0] + [1.0] * 36, dtype=F64)
    basis = torch.eye(40, dtype=F64)
    found = directions(pairs(basis[[0, 20, 10, 30]], values[:4].tolist(), 1e-9), LAYERS)
    first, second, third = found[1].mass
    assert first.interval == pytest.approx((0, 0), abs=1e-12)
    assert second.interval == pytest.approx((0, 1), abs=1e-9)
    assert third.interval == pytest.approx((0, 1), abs=1e-9)
    assert found[1].participation.interval == pytest.approx((1, 40))


def test_an_exact_search_in_single_precision():
    """As the diagnostic calls it: pairs of a search, of a matrix that is rounded to float32."""
    basis = orthogonal(400, 3)
    values = torch.cat(
        [torch.tensor([8.0, 4.0, 3.999, 2.0, 1.5]), torch.linspace(0.3, -0.3, 395)]
    ).to(F64)
    matrix = basis.T @ (values[:, None] * basis)
    exact = torch.linalg.eigh(matrix.float().double())[1].T.flip(0)
    found = eigenpairs(MatrixOperator(matrix.float()), top=4, generator=generator(0))
    layers = [(0, 100), (100, 400)]
    for rank, one in enumerate(directions(found, layers)):
        square = exact[rank].square()
        for estimate, (start, stop) in zip(one.mass, layers, strict=True):
            low, high = estimate.interval
            assert low - 1e-6 <= float(square[start:stop].sum()) <= high + 1e-6
        low, high = one.participation.interval
        assert low * (1 - 1e-6) <= 1 / float(square.square().sum()) <= high * (1 + 1e-6)
    assert np.all([one.half_width < 0.01 for one in directions(found, layers)[0].mass])


@pytest.mark.parametrize("gap", [1e-2, 1e-4, 1e-5, 3e-6, 1e-6, 1e-7])
def test_the_noise_of_single_precision_is_in_the_doubt(gap):
    """The vectors of a float64 matrix, from products with what float32 keeps of it."""
    values = torch.cat(
        [torch.tensor([1 + gap, 1.0, 1 - gap, 0.5], dtype=F64), torch.linspace(0.3, -0.3, 56)]
    )
    for seed in range(3):
        basis = orthogonal(60, seed)
        matrix = basis.T @ (values[:, None] * basis)
        basis = torch.linalg.eigh(matrix)[1].T.flip(0)
        found = eigenpairs(MatrixOperator(matrix.float()), top=4, generator=generator(seed))
        number, narrow = holds(found, basis, [(0, 20), (20, 60)])
        assert narrow >= number // 2 or gap < 1e-4
        shares = gradient_shares(found, basis.sum(0).float())
        for rank, one in enumerate(shares):
            low, high = one.interval
            assert low <= (rank + 1) / 60 <= high


@pytest.mark.parametrize("gap", [1e-3, 1e-5, 1e-6])
def test_near_eigenvectors_of_a_network_in_single_precision(gap):
    """Two linear maps of their own inputs: the Hessian of the squared error is 2 XᵀX / (N O)."""
    torch.manual_seed(0)
    scales = torch.tensor([1, 1 + gap, 0.5, 0.3, 1 - gap, 0.7, 0.2, 0.1]).sqrt()
    inputs = torch.linalg.qr(torch.randn(64, 8))[0] * scales * 8
    first, second = (part.double() for part in inputs.split(4, 1))
    exact = torch.block_diag(first.T @ first, second.T @ second) / 64
    model, data = Apart(), [(inputs, torch.randn(64, 2))]
    found = Spectrum(top=5).run(ls.Subject(model, "mse", data, dtype="float32", device="cpu"))
    values, vectors = torch.linalg.eigh(exact)
    basis = vectors.T.flip(0)
    for one, value in zip(found.eigenvalues.top, values.flip(0).tolist(), strict=False):
        assert one.solver is not None
        low, high = one.solver
        assert low <= value <= high
    for rank, one in enumerate(found.participation):
        low, high = one.interval
        assert low - 1e-12 <= 1 / float(basis[rank].pow(4).sum()) <= high
    weights = torch.cat([part.weight.detach().ravel() for part in (model.left, model.right)])
    slope = exact @ weights.double()
    slope -= (
        torch.cat(
            [part.T @ data[0][1][:, place].double() for place, part in enumerate((first, second))]
        )
        / 64
    )
    shares = (basis @ slope).square().cumsum(0) / slope.square().sum()
    for one, share in zip(found.gradient_share, shares.tolist(), strict=False):
        low, high = one.interval
        assert low <= share <= high
    assert found.gradient_share[0].half_width < 1e-2 or gap < 1e-3


class Apart(nn.Module):
    """Two outputs, each of half of the inputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(4, 1, bias=False), nn.Linear(4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.left(x[:, :4]), self.right(x[:, 4:])], 1)
