"""Norms of convolutions against the singular values of their dense matrices."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from landscape.lipschitz.convolution import Convolution
from landscape.lipschitz.pieces import Convolve
from landscape.lipschitz.singular import largest_singular

CHANNELS = (4, 6)
MODES = {
    "stride": (1, 2, 3),
    "dilation": (1, 2),
    "groups": (1, 2),
    "padding": (0, 1, 2),
    "transposed": (False, True),
}
GRID = [dict(zip(MODES, chosen, strict=True)) for chosen in itertools.product(*MODES.values())]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def matrix_of(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """The matrix of a linear module without bias: a call on all unit vectors at once."""
    size = math.prod(shape)
    with torch.no_grad():
        return module(torch.eye(size, dtype=torch.float64).reshape(size, *shape)).flatten(1).T


def sigma(module: nn.Module, shape: tuple[int, ...]) -> float:
    return float(torch.linalg.matrix_norm(matrix_of(module, shape), 2))


def module_of(
    rank: int = 2, *, kernel: int = 3, transposed: bool = False, seed: int = 0, **more: Any
) -> Any:
    kinds: dict[bool, Any] = {False: (nn.Conv1d, nn.Conv2d, nn.Conv3d)}
    kinds[True] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    made = kinds[transposed][rank - 1](*CHANNELS, kernel, bias=False, **more).double()
    made.weight.data = drawn(*made.weight.shape, seed=seed)
    return made.eval()


def piece_of(module: Any, size: tuple[int, ...], *, circular: bool = False) -> Convolve:
    """The piece that stands for a convolution module on an input of some size."""
    out = tuple(module(torch.zeros(1, module.in_channels, *size).double()).shape[2:])
    transposed = isinstance(module, nn.modules.conv._ConvTransposeNd)
    convolution = Convolution(
        weight=module.weight.detach(),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
        entering=out if transposed else size,
        leaving=size if transposed else out,
        circular=circular,
    )
    shapes = (1, module.in_channels, *size), (1, module.out_channels, *out)
    return Convolve(convolution, *shapes, transposed=transposed)


@pytest.mark.parametrize("settings", GRID, ids=lambda s: "-".join(map(str, s.values())))
def test_norms_over_the_grid(settings):
    """Both ways from above, the torus by itself too, and the search from below."""
    module = module_of(**settings)
    size = (10, 9)
    exact = sigma(module, (4, *size))
    piece = piece_of(module, size)
    torus = piece.convolution.norm()
    assert exact <= torus <= 1.3 * exact  # on few pixels the edges weigh much
    assert exact <= piece.norm * (1 + 1e-12)
    assert piece.norm == pytest.approx(exact, rel=1e-6)
    lower = largest_singular(piece.apply, drawn(*piece.entering, seed=3)).value
    assert lower == pytest.approx(exact, rel=1e-6)
    assert lower <= exact * (1 + 1e-12)


@pytest.mark.parametrize("settings", GRID[::7], ids=lambda s: "-".join(map(str, s.values())))
def test_the_torus_alone_on_more_pixels(settings):
    module = module_of(**settings)
    piece = piece_of(module, (28, 27))
    lower = largest_singular(piece.apply, drawn(*piece.entering, seed=3)).value
    assert lower <= piece.convolution.norm() <= 1.1 * lower


@pytest.mark.parametrize("settings", GRID[::5], ids=lambda s: "-".join(map(str, s.values())))
def test_the_piece_is_the_module(settings):
    module = module_of(**settings)
    x = drawn(1, 4, 10, 9, seed=1)
    piece = piece_of(module, (10, 9))
    torch.testing.assert_close(piece.apply(x), module(x).detach())


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_one_to_three_dimensions(rank, transposed):
    more = {"output_padding": 1} if transposed else {}
    module = module_of(rank, stride=2, padding=1, groups=2, transposed=transposed, **more)
    size = (30, 8, 5)[rank - 1 :][:1] * rank
    exact = sigma(module, (4, *size))
    piece = piece_of(module, size)
    assert exact <= piece.convolution.norm() <= 1.3 * exact
    assert piece.norm == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize(("stride", "size"), [(1, 7), (2, 8), (3, 9), (1, 5)])
@pytest.mark.parametrize("groups", [1, 2])
def test_circular_is_exact(stride, size, groups):
    module = module_of(stride=stride, padding=1, groups=groups, padding_mode="circular")
    piece = piece_of(module, (size, size), circular=True)
    x = drawn(1, 4, size, size)
    torch.testing.assert_close(piece.apply(x), module(x).detach())
    assert piece.convolution.norm() == pytest.approx(sigma(module, (4, size, size)), rel=1e-6)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation"),
    [(7, 4, 3, 4, 3), (6, 3, 2, 1, 3), (2, 2, 2, 1, 2), (3, 4, 3, 4, 2), (9, 1, 4, 3, 1)],
)
def test_the_torus_has_room_for_the_padding(size, kernel, stride, padding, dilation):
    """Where strides leave a rest, and kernels reach far beyond the input on both sides."""
    settings = {"stride": stride, "padding": padding, "dilation": dilation, "bias": False}
    for seed in range(40):
        module = nn.Conv1d(2, 2, kernel, **settings).double()
        module.weight.data = drawn(2, 2, kernel, seed=seed)
        bound = piece_of(module, (size,)).convolution.norm()
        assert bound >= sigma(module, (2, size)) * (1 - 1e-10)


def test_published_values():
    """Sizes of 8 × 4 × 3 × 3 on 8 × 8: zero padding lies below the circular norm, by its matrix."""
    module = module_of(padding=1)
    round_it = module_of(padding=1, padding_mode="circular")
    zero, circular = sigma(module, (4, 8, 8)), sigma(round_it, (4, 8, 8))
    reshaped = float(torch.linalg.matrix_norm(module.weight.detach().flatten(1), 2))
    assert reshaped < zero < circular
    fourier = torch.fft.fft2(module.weight.detach(), (8, 8)).permute(2, 3, 0, 1)
    assert float(torch.linalg.matrix_norm(fourier, 2).max()) == pytest.approx(circular, rel=1e-12)
    assert piece_of(round_it, (8, 8), circular=True).convolution.norm() == pytest.approx(
        circular, rel=1e-6
    )


def test_a_convolution_and_its_transpose_have_one_norm():
    forward = module_of(stride=2, padding=1)
    back = nn.ConvTranspose2d(6, 4, 3, stride=2, padding=1, bias=False, output_padding=1).double()
    back.weight.data = forward.weight.data
    one = piece_of(forward, (8, 8)).norm
    other = piece_of(back, (4, 4)).norm
    assert one == pytest.approx(other, rel=1e-9)
    assert other == pytest.approx(sigma(back, (6, 4, 4)), rel=1e-6)


def test_depthwise_is_the_largest_channel_and_a_point_a_matrix():
    weight = drawn(4, 1, 3, 3)
    module = nn.Conv2d(4, 4, 3, groups=4, bias=False).double()
    module.weight.data = weight
    single = []
    for channel in range(4):
        one = nn.Conv2d(1, 1, 3, bias=False).double()
        one.weight.data = weight[channel : channel + 1]
        single.append(sigma(one, (1, 9, 9)))
    assert piece_of(module, (9, 9)).norm == pytest.approx(max(single), rel=1e-6)
    point = nn.Conv2d(4, 6, 1, bias=False).double()
    matrix = point.weight.detach().flatten(1)
    expected = float(torch.linalg.matrix_norm(matrix, 2))
    assert piece_of(point, (9, 9)).convolution.norm() == pytest.approx(expected, rel=1e-6)


@pytest.mark.full
def test_large_symbols_are_proved_by_factorisation():
    """More numbers than are decomposed: the bound stays within a ten-thousandth."""
    module = nn.Conv2d(48, 48, 3, padding=1, bias=False, padding_mode="circular").double()
    module.weight.data = drawn(48, 48, 3, 3)
    piece = piece_of(module, (64, 64), circular=True)
    symbol = torch.fft.fft2(module.weight.detach(), (64, 64)).permute(2, 3, 0, 1)
    exact = float(torch.linalg.matrix_norm(symbol, 2).max())
    assert exact <= piece.convolution.norm() <= exact * (1 + 1e-4)


def test_scaled_channels():
    for transposed in (False, True):
        module = module_of(groups=2, padding=1, transposed=transposed)
        piece = piece_of(module, (5, 6))
        inner, outer = drawn(4, seed=5), drawn(6, seed=6)
        scaled = piece.scaled(inner, leaving=False).scaled(outer, leaving=True)
        x = drawn(1, 4, 5, 6, seed=7)
        expected = module(x * inner.reshape(1, 4, 1, 1)).detach() * outer.reshape(1, 6, 1, 1)
        torch.testing.assert_close(scaled.apply(x), expected)


def test_zero_weights():
    module = module_of()
    module.weight.data.zero_()
    assert piece_of(module, (6, 6)).norm == 0
    assert F.conv2d(drawn(1, 4, 6, 6), module.weight).abs().max() == 0
