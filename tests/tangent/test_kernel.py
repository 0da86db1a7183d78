"""Kernels of data sets against the Jacobian, in tiles, resumed, and by closed forms."""

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.errors import ResourceError
from landscape.tangent import blocks, tiles
from landscape.tangent.kernel import kernel
from tests.tangent.test_blocks import loop


def network():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 4)]
    return nn.Sequential(*layers).double()


@pytest.fixture
def data():
    source = torch.Generator().manual_seed(1)
    inputs = torch.randn(11, 1, 6, 6, generator=source).double()
    return inputs, torch.randint(4, (11,), generator=source)


def subject_of(model, data, **more):
    batches = list(zip(data[0].split(4), data[1].split(4), strict=True))
    return ls.Subject(model, loss="ce", data=batches, dtype="float64", device="cpu", **more)


@pytest.mark.parametrize("block", [1, 3, 4, 11, None])
@pytest.mark.parametrize("kind", ["full", "trace", "classes"])
def test_tiles_make_the_kernel(data, kind, block):
    model = network()
    found = kernel(subject_of(model, data), kind=kind, block=block)
    jacobian = loop(model, data[0])
    flat = jacobian.flatten(0, 1)
    expected = {
        "full": flat @ flat.T,
        "trace": torch.einsum("ncp,mcp->nm", jacobian, jacobian),
        "classes": torch.einsum("ncp,mcp->cnm", jacobian, jacobian),
    }[kind]
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(found.outputs, model(data[0]).detach().numpy(), rtol=1e-12)
    assert found.trace == pytest.approx(float(jacobian.square().sum()), rel=1e-12)
    assert list(found.shares) == [name for name, _ in model.named_parameters()]


def test_a_linear_network_has_the_kernel_of_its_inputs():
    """K = (X Xᵀ + 1) ⊗ I."""
    model = nn.Linear(5, 3).double()
    inputs = torch.randn(7, 5).double()
    subject = ls.Subject(
        model, loss="mse", data=[(inputs, torch.zeros(7, 3).double())], dtype="float64"
    )
    found = kernel(subject, kind="full")
    np.testing.assert_allclose(found.values, np.kron(inputs @ inputs.T + 1, np.eye(3)), rtol=1e-12)


def test_gauss_newton_has_the_same_eigenvalues(data):
    """½‖f − y‖² summed over outputs: G = JᵀJ / N."""
    inputs = data[0]
    model = network()
    subject = ls.Subject(
        model,
        loss="mse",
        data=[(inputs, torch.zeros(11, 4).double())],
        dtype="float64",
        device="cpu",
    )
    found = np.linalg.eigvalsh(kernel(subject, kind="full").values)[::-1]
    dense = ls.GaussNewtonOperator(subject).to_dense()
    # PyTorch's mean over N O elements without ½: G = 2 JᵀJ / (N O)
    top = np.linalg.eigvalsh(dense)[::-1][: len(found)]
    np.testing.assert_allclose(top, 2 * found / 44, rtol=0, atol=1e-12 * top[0])


def test_all_sketches_together_are_the_trace(data):
    """The mean over all 2^O signs of the kernel of Σ_c v_c f_c is Σ_c K_cc."""
    subject = subject_of(network(), data)
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 4).double().T / 4  # (O, 16)
    found = kernel(subject, kind="trace", combine=signs)
    np.testing.assert_allclose(found.values, kernel(subject).values, rtol=1e-10, atol=1e-10)


def test_an_interrupted_kernel_goes_on_with_the_same_bits(data, tmp_path, monkeypatch):
    whole = kernel(subject_of(network(), data), block=2)
    calls, share = [], tiles.Tiles._share

    def counted(self, *args):
        calls.append(1)
        if len(calls) == 30:
            raise KeyboardInterrupt
        return share(self, *args)

    monkeypatch.setattr(tiles.Tiles, "_share", counted)
    with pytest.raises(KeyboardInterrupt):
        kernel(subject_of(network(), data, folder=tmp_path), block=2)
    before = len(calls)
    resumed = kernel(subject_of(network(), data, folder=tmp_path), block=2)
    assert np.array_equal(whole.values, resumed.values)
    assert whole.shares == resumed.shares
    assert len(calls) - before < 21 * 4  # of 21 tiles and four parameters some were there


def test_factors_are_captured_once_where_they_fit_and_again_where_not(data, monkeypatch):
    calls, real = [], blocks.block_of
    monkeypatch.setattr(tiles, "block_of", lambda *a, **k: calls.append(1) or real(*a, **k))
    roomy = kernel(subject_of(network(), data), block=2)
    assert len(calls) == 6
    calls.clear()
    tight = kernel(subject_of(network(), data), block=2, memory_bytes=20_000)
    assert len(calls) > 6
    np.testing.assert_allclose(tight.values, roomy.values, rtol=1e-12)


@pytest.mark.parametrize("kind", ["full", "trace", "classes"])
def test_layers_add_up(data, kind, tmp_path):
    model = network()
    for folder in (None, tmp_path, tmp_path):  # computed, kept, remembered
        subject = subject_of(model, data, folder=folder)
        found = kernel(subject, kind=kind, block=4, by_layer=True)
        assert list(found.layers) == ["0", "3"]
        for name, part in found.layers.items():
            names = [f"{name}.weight", f"{name}.bias"]
            jacobian = loop(model, data[0], names)
            expected = torch.einsum("ncp,mcp->nm", jacobian, jacobian)
            np.testing.assert_allclose(part, expected.numpy(), rtol=2e-6, atol=1e-5)


def test_outputs_whose_derivatives_do_not_fit_are_refused(data):
    with pytest.raises(ResourceError, match="4 outputs"):
        kernel(subject_of(network(), data), memory_bytes=2000)


def test_a_kernel_that_does_not_fit_is_refused(data):
    with pytest.raises(ResourceError, match="does not fit"):
        kernel(subject_of(network(), data), kind="full", memory_bytes=1000)
