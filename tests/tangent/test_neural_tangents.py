"""Kernels that Neural Tangents 0.6.5 (JAX 0.4.23, float64) gave for an MLP and a CNN.

`neural_tangents.npz` holds weights, inputs and outputs of both, and the kernel (n, m, c, e) of
`empirical_ntk_fn(f, trace_axes=(), vmap_axes=0)`; its three implementations agree to 1e-13.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import landscape as ls
from landscape.tangent.kernel import kernel
from landscape.tangent.products import TangentOperator

DUMPED = Path(__file__).with_name("neural_tangents.npz")


def network(name: str) -> nn.Module:
    if name == "mlp":
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    convs = [nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 3, stride=2), nn.ReLU()]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(20, 3))


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_kernels_are_those_of_another_tool(name):
    with np.load(DUMPED) as file:
        dumped = {key: file[key] for key in file.files if key.startswith(name)}
    model = network(name).double().eval()
    model.load_state_dict(
        {key: torch.tensor(dumped[f"{name}/{key}"]) for key in model.state_dict()}
    )
    inputs = torch.tensor(dumped[f"{name}/inputs"])
    data = [(inputs, torch.zeros(len(inputs), 3).double())]
    subject = ls.Subject(model, "mse", data, dtype="float64", device="cpu")
    found = kernel(subject, kind="full")
    np.testing.assert_allclose(found.outputs, dumped[f"{name}/outputs"], rtol=1e-10)
    expected = dumped[f"{name}/kernel"].transpose(0, 2, 1, 3).reshape(found.values.shape)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.values, expected, rtol=0, atol=1e-11 * scale)
    np.testing.assert_allclose(TangentOperator(subject).to_dense(), expected, atol=1e-11 * scale)
