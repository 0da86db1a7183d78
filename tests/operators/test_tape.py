from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from landscape.operators.hessian import HessianOperator
from landscape.operators.local import vectorised
from landscape.operators.tape import Tape, UnrecordableError
from landscape.subject.undisturbed import differentiable_attention
from tests.cases import CASES
from tests.oracles import F64, generator, relative

NO_FORWARD_MODE = ("recurrent",)
QUICK = ("mlp", "cnn", "tied", "partial", "masked")
FOREACH: Any = torch  # names that are not exported
FIXED = torch.randn(4, generator=generator(9), dtype=F64)


def rows(count: int, size: int, seed: int) -> Tensor:
    return torch.randn(count, size, generator=generator(seed), dtype=F64)


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.full)
        for name in CASES
        if name not in NO_FORWARD_MODE
    ],
)
def test_a_recording_is_the_function_at_other_rows(name):
    subject = CASES[name]().subject(dtype="float64")
    batch = next(iter(subject.device_batches()))
    with subject.undisturbed(0), differentiable_attention():
        function = vectorised(HessianOperator(subject).local(batch))
        size = subject.point.theta.numel()
        for count in (1, 3, 8):
            first, other = rows(count, size, seed=1), rows(count, size, seed=2)
            tape, value = Tape.record(function, first)
            expected = function(first), function(other)
            assert relative(value - expected[0], expected[0]) <= 1e-12
            for _ in range(2):
                assert relative(tape(other) - expected[1], expected[1]) <= 1e-12
            assert relative(tape(first) - expected[0], expected[0]) <= 1e-12


# --- functions (k, 4) -> (k, 4), linear, each with something that a recording could get wrong --


def into_a_constant(x: Tensor) -> Tensor:
    out = torch.zeros(len(x), 4, dtype=F64)
    out[:, 1:3] = x[:, :2]
    out += FIXED
    return out - FIXED


def a_view_taken_before_its_base_is_written(x: Tensor) -> Tensor:
    base = torch.ones(len(x), 4, dtype=F64)
    view = base[:, 1]
    base.mul_(0)
    base[:, 0], base[:, 1] = x[:, 2], x[:, 0]
    return 2 * base + view[:, None]


def a_constant_written_after_use(x: Tensor) -> Tensor:
    constant = FIXED.clone()
    before = x * constant
    constant.add_(1)
    return before + x * constant


def a_view_of_a_constant_written_after_use(x: Tensor) -> Tensor:
    constant = FIXED.clone()
    view = constant[1:3]
    out = x.clone()
    out[:, :2] = x[:, :2] * view
    constant.fill_(7.0)
    out[:, 2:] = x[:, 2:] * view
    return out


def several_views_at_once(x: Tensor) -> Tensor:
    left, right = x.split(2, 1)
    a, b, c, d = x.unbind(1)
    first, second = x.chunk(2, 1)
    return (
        torch.cat([2 * left, right], 1)
        + torch.stack([d, c, b, a], 1)
        + torch.cat([second, first], 1)
    )


def a_view_as_the_result(x: Tensor) -> Tensor:
    return (2 * x).flip(1).t().contiguous().t()


def products_across_a_write(x: Tensor) -> Tensor:
    inner = x.clone()
    scaled = inner * FIXED
    inner.mul_(3)
    return scaled * (FIXED + 1) + inner


def a_sum_with_zero_then_a_write(x: Tensor) -> Tensor:
    inner = x.clone()
    same = inner + torch.zeros(4, dtype=F64)
    inner.mul_(3)
    return same + inner


def a_product_with_one_then_a_write(x: Tensor) -> Tensor:
    inner = x.clone()
    same = inner * torch.ones(4, dtype=F64)
    same.mul_(3)
    return same + inner


def written_by_another_name(x: Tensor) -> Tensor:
    out = torch.empty_like(x)
    torch.mul(x, 2.0, out=out)
    return out


def written_as_a_list(x: Tensor) -> Tensor:
    parts = [x.clone(), 2 * x, torch.zeros_like(x)]
    FOREACH._foreach_mul_(parts, 3.0)
    FOREACH._foreach_add_(parts, [x, x, x])
    return parts[0] + parts[1] + parts[2]


def several_results(x: Tensor) -> Tensor:
    first, second = FOREACH._foreach_mul([x, 2 * x], 3.0)
    return first - 3 * second


def several_results_written(x: Tensor) -> Tensor:
    (q, r) = torch.empty(4, 4, dtype=F64), torch.empty(4, 4, dtype=F64)
    torch.linalg.qr(torch.eye(4, dtype=F64), out=(q, r))
    return x @ q @ r


def shape_changed_in_place(x: Tensor) -> Tensor:
    out = x.clone()
    out.unsqueeze_(0)
    out = 2 * out
    out.squeeze_(0)
    out.t_()
    return out.t()


def scattered(x: Tensor) -> Tensor:
    out = torch.zeros_like(x)
    out.scatter_add_(1, torch.tensor([[0, 1, 2, 2]]).expand(len(x), 4), x)
    return out.index_add_(0, torch.arange(len(x)), x)


def through_complex_numbers(x: Tensor) -> Tensor:
    z = torch.view_as_complex(x.view(-1, 2, 2).contiguous()) * (1 + 2j)
    return torch.view_as_real(z).flatten(1)


def through_a_transform(x: Tensor) -> Tensor:
    f = torch.fft.fft(x).conj()
    return f.real + (f * (1 + 1j)).imag + torch.view_as_real(f.resolve_conj())[..., 0]


def the_argument(x: Tensor) -> Tensor:
    return x


def a_view_of_the_argument(x: Tensor) -> Tensor:
    return x.view(-1).view(x.shape)


def zero(x: Tensor) -> Tensor:
    return torch.zeros_like(x)


LINEAR = (
    into_a_constant,
    a_view_taken_before_its_base_is_written,
    a_constant_written_after_use,
    a_view_of_a_constant_written_after_use,
    several_views_at_once,
    a_view_as_the_result,
    products_across_a_write,
    a_sum_with_zero_then_a_write,
    a_product_with_one_then_a_write,
    written_by_another_name,
    written_as_a_list,
    several_results,
    several_results_written,
    shape_changed_in_place,
    scattered,
    through_complex_numbers,
    through_a_transform,
    the_argument,
    a_view_of_the_argument,
    zero,
)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("function", LINEAR)
def test_replay_of_what_a_recording_could_get_wrong(function, count):
    with torch.no_grad():
        first, other = rows(count, 4, seed=1), rows(count, 4, seed=2)
        expected = function(other.clone())
        tape, value = Tape.record(function, first.clone())
        torch.testing.assert_close(value, function(first.clone()), rtol=1e-13, atol=1e-13)
        for _ in range(3):  # a replay leaves constants as they were
            torch.testing.assert_close(tape(other.clone()), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("function", [several_views_at_once, into_a_constant, the_argument])
def test_rows_may_lie_anywhere_in_memory(function):
    """Views in a recording are taken from the beginning of the memory of the rows."""
    large = rows(7, 4, seed=3)
    places: list[Callable[[Tensor], Tensor]] = [
        lambda t: t[2:5],
        lambda t: t[::2][:3],
        lambda t: t[:4, :3].t(),
        lambda t: t[:1].expand(3, 4),
    ]
    for recorded in places:
        tape, _ = Tape.record(function, recorded(large))
        for replayed in places:
            given = replayed(large)
            torch.testing.assert_close(tape(given), function(given), rtol=0, atol=0)
    assert torch.equal(large, rows(7, 4, seed=3))


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x * float(x[0, 0]),
        lambda x: x if bool(x[0, 0] > 0) else -x,
        lambda x: x[: len((x[:, 0] > 0).nonzero())],
        lambda x: x if torch.equal(x, x) else -x,
    ],
)
def test_what_reads_the_vectors_is_refused(function):
    with pytest.raises(UnrecordableError, match="reads the values"):
        Tape.record(function, rows(2, 4, seed=1))


def test_a_decision_by_a_constant_is_no_reason_to_refuse():
    tape, _ = Tape.record(lambda x: x * float(FIXED[0]), rows(2, 4, seed=1))
    other = rows(2, 4, seed=2)
    assert torch.equal(tape(other), other * float(FIXED[0]))


def test_what_does_not_depend_on_the_rows_needs_no_operations():
    tape, _ = Tape.record(zero, rows(2, 4, seed=1))
    assert len(tape) == 0
    assert tape.constant_bytes == 0


def test_constants_that_share_memory_are_counted_once():
    held = torch.randn(100, 4, generator=generator(1), dtype=F64)

    def function(x: Tensor) -> Tensor:
        return x * held[3] + x * held[50] + x * held.sum(0)

    tape, _ = Tape.record(function, rows(2, 4, seed=1))
    assert tape.constant_bytes == held.nbytes + 4 * 8


def test_what_the_vectors_do_not_reach_is_not_replayed():
    def function(x: Tensor) -> Tensor:
        work = torch.eye(4, dtype=F64)
        for _ in range(50):
            work = work @ work + 0.1
        return x @ (work / work.norm())

    tape, _ = Tape.record(function, rows(2, 4, seed=1))
    assert len(tape) <= 4  # rows, constant, product, result


# --- what fusing makes of a recording ---


def operations(function: Callable[[Tensor], Tensor], count: int = 3) -> list[str]:
    """Return the names of the operations of a recording that compute, after checking its value."""
    first, other = rows(count, 4, seed=1), rows(count, 4, seed=2)
    tape, _ = Tape.record(function, first)
    for _ in range(2):
        assert relative(tape(other) - function(other), function(other)) <= 1e-14
    assert tape.module is not None
    names = (str(node.target) for node in tape.module.graph.nodes if node.op == "call_function")
    return [name.removeprefix("aten.") for name in names if "as_strided" not in name]


SQUARE = torch.randn(4, 4, generator=generator(3), dtype=F64)
CUBE = torch.randn(3, 4, 4, generator=generator(4), dtype=F64)


def test_what_is_computed_twice_is_computed_once():
    def twice(x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True) * FIXED - x.mean(1, keepdim=True) * SQUARE[0]

    assert operations(twice).count("mean.dim") == 1


def test_a_sum_with_a_product_is_one_operation():
    assert operations(lambda x: x @ SQUARE + x * FIXED) == ["mul.Tensor", "addmm_.default"]
    assert operations(lambda x: x * FIXED + x @ SQUARE) == ["mm.default", "addcmul_.default"]
    assert operations(lambda x: x @ SQUARE + x @ SQUARE.T) == ["mm.default", "addmm_.default"]
    names = operations(lambda x: (x.expand(3, 3, 4) @ CUBE + x.expand(3, 3, 4) @ CUBE.mT).sum(0))
    assert names == ["bmm.default", "baddbmm_.default", "sum.dim_IntList"]


def test_a_view_of_all_that_nothing_else_sees_is_written_over():
    def viewed(x: Tensor) -> Tensor:
        return ((x @ SQUARE).view(3, 1, 4) + x.view(3, 1, 4) @ CUBE).view(3, 4)

    assert operations(viewed) == ["mm.default", "baddbmm_.default"]

    def seen_elsewhere(x: Tensor) -> Tensor:
        inner = x @ SQUARE
        return (inner.view(3, 1, 4) + x.view(3, 1, 4) @ CUBE).view(3, 4) * FIXED + inner

    assert operations(seen_elsewhere)[:2] == ["mm.default", "baddbmm.default"]

    def in_part(x: Tensor) -> Tensor:
        return torch.cat([(x @ SQUARE)[:, 2:] + x[:, 2:], (x @ SQUARE.T)[:, :2] * FIXED[:2]], 1)

    assert "add_.Tensor" not in operations(in_part)


def test_the_slope_of_relu_is_taken_in_place():
    above = torch.randn(3, 4, generator=generator(7), dtype=F64)

    def masked(x: Tensor) -> Tensor:
        return torch.ops.aten.threshold_backward(x @ SQUARE, above, 0)

    assert operations(masked) == ["mm.default", "threshold_backward.grad_input"]
    shared = operations(lambda x: masked(x) + torch.ops.aten.threshold_backward(x, above, 0))
    assert shared[1:3] == ["threshold_backward.grad_input", "threshold_backward.default"]


def test_what_shows_the_memory_of_a_tensor_in_another_form_is_not_written_over():
    above = torch.randn(3, 2, 2, generator=generator(7), dtype=F64)

    def seen_again(x: Tensor) -> Tensor:
        z = torch.view_as_complex((x @ SQUARE).view(3, 2, 2)) * (1 + 2j)
        shown = torch.view_as_real(z)
        slope = torch.ops.aten.threshold_backward(shown, above, 0)
        return (slope + torch.view_as_real(z * z.new_tensor(3j))).flatten(1)

    def scaled(x: Tensor) -> Tensor:
        z = torch.view_as_complex((x @ SQUARE).view(3, 2, 2)) * (1 + 2j)
        return (torch.view_as_real(z) * above + torch.view_as_real(2j * z)).flatten(1)

    operations(seen_again)
    operations(scaled)


def test_what_is_needed_again_is_not_written_over():
    def again(x: Tensor) -> Tensor:
        inner = x @ SQUARE
        return inner * FIXED + 2 * inner + inner.sum(0)

    assert operations(again)[:2] == ["mm.default", "mul.Tensor"]


def test_a_view_keeps_what_it_shows():
    def viewed(x: Tensor) -> Tensor:
        inner = x @ SQUARE
        shown = inner[:, :2]
        scaled = inner * FIXED
        return scaled + torch.cat([shown, shown], 1)

    operations(viewed)


def test_broadcast_operands_are_not_written_over():
    def broadcast(x: Tensor) -> Tensor:
        return x.mean(1, keepdim=True) * FIXED + x.mean(0, keepdim=True) * x.new_ones(3, 1)

    operations(broadcast)


@pytest.mark.parametrize("size", [4, 64])
def test_an_operand_that_is_read_twice_is_not_written_over(size):
    matrix = torch.randn(size, size, generator=generator(5), dtype=F64)
    scale = torch.randn(size, generator=generator(6), dtype=F64)

    def left(x: Tensor) -> Tensor:
        inner = x * scale
        return inner + inner @ matrix

    def right(x: Tensor) -> Tensor:
        inner = x * scale
        return inner + matrix[: len(x), : len(x)] @ inner

    for function in (left, right):
        for count in (1, 2, 3):
            first, other = rows(count, size, seed=1), rows(count, size, seed=2)
            tape, _ = Tape.record(function, first)
            assert relative(tape(other) - function(other), function(other)) <= 1e-13


@pytest.mark.parametrize(
    "constant",
    [torch.full((4,), 200, dtype=torch.uint8), torch.full((4,), 300.0, dtype=torch.float16)],
    ids=["uint8", "float16"],
)
def test_constants_are_multiplied_in_the_precision_of_the_product(constant):
    operations(lambda x: x * constant * constant)


def test_a_product_that_is_added_to_itself_stays():
    assert operations(lambda x: x @ SQUARE + x @ SQUARE)[0] == "mm.default"
    assert operations(lambda x: x * FIXED + x * FIXED)[0] == "mul.Tensor"
