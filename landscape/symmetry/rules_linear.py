"""Rules of operations linear in the weights: products, convolutions, look-ups, attention."""

from __future__ import annotations

from landscape.symmetry.axes import Axes, Label, fresh, size_of
from landscape.symmetry.reshaping import reshaped
from landscape.symmetry.rules import Call, NotExpressedError, Walk, rule
from landscape.symmetry.rules_pointwise import broadcast


@rule("linear")
def linear(walk: Walk, call: Call) -> Axes:
    """Run over x (…, i), W (o, i), b (o)."""
    x, weight = walk.axes(call["input"]), walk.axes(call["weight"])
    return _biased(walk, call, _product(walk, call, x, weight[::-1]), call["bias"])


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(walk: Walk, call: Call) -> Axes:
    """Run over A (…, i, k), B (…, k, j)."""
    others = (call["other"], call["mat2"], call["vec"], call["tensor"])
    other = next(each for each in others if each is not None)
    return _product(walk, call, walk.axes(call["self"]), walk.axes(other))


@rule("inner")
def inner(walk: Walk, call: Call) -> Axes:
    """Run over a (…, i), b (…, i)."""
    left, right = walk.axes(call["self"]), walk.axes(call["other"])
    walk.tie(call, left[-1], right[-1])
    walk.joint(*left, *right[:-1])
    return (*left[:-1], *right[:-1])


@rule("addmm", "addmv", "baddbmm")
def addmm(walk: Walk, call: Call) -> Axes:
    """C + A B."""
    left, right = (("mat1", "mat2"), ("batch1", "batch2"))[call.name == "baddbmm"]
    product = _product(walk, call, walk.axes(call[left]), walk.axes(call[right] or call["vec"]))
    return broadcast(walk, call, [product, walk.axes(call["self"])])


def _product(walk: Walk, call: Call, left: Axes, right: Axes) -> Axes:
    inner = right[-min(len(right), 2)]
    walk.tie(call, left[-1], inner)
    batch = broadcast(walk, call, [left[:-2], right[:-2]])
    free = (*left[-2:-1], *(right[-1:] if len(right) > 1 else ()))
    walk.joint(*batch, *free, inner)
    return (*batch, *free)


def _biased(walk: Walk, call: Call, axes: Axes, bias: object) -> Axes:
    if bias is not None:
        walk.tie(call, walk.axes(bias)[0], axes[-1])
    return axes


@rule("einsum")
def einsum(walk: Walk, call: Call) -> Axes:
    """One label for each letter, and for each axis that an ellipsis stands for."""
    given = [walk.axes(tensor) for tensor in call["tensors"]]
    inputs, output = _spelled(call["equation"].replace(" ", ""), [len(axes) for axes in given])
    letters: dict[str, Label] = {}
    for names, axes in zip(inputs, given, strict=True):
        for letter, label in zip(names, axes, strict=True):
            if letters.get(letter) and label:
                walk.tie(call, letters[letter], label)
            else:
                letters[letter] = letters.get(letter) or label
    walk.joint(*letters.values())
    return tuple(letters[letter] for letter in output)


def _spelled(equation: str, ranks: list[int]) -> tuple[list[list[str]], list[str]]:
    """Return the letters of each operand and of the result; axes of an ellipsis are numbered."""
    left, arrow, right = equation.partition("->")
    operands = left.split(",")
    counts = [rank - len(one.replace("...", "")) for one, rank in zip(operands, ranks, strict=True)]
    most = max([n for n, one in zip(counts, operands, strict=True) if "..." in one], default=0)

    def spelled(names: str, count: int) -> list[str]:
        before, dots, after = names.partition("...")
        numbers = [str(i) for i in range(most - count, most)] if dots else []
        return [*before, *numbers, *after]

    if not arrow:
        once = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        right = ("..." if "..." in left else "") + "".join(once)
    inputs = [spelled(one, count) for one, count in zip(operands, counts, strict=True)]
    return inputs, spelled(right, most)


@rule("conv1d", "conv2d", "conv3d", "convolution")
def convolution(walk: Walk, call: Call) -> Axes:
    """Run over x (b, g·i, …), W (g·o, i, …), b (g·o)."""
    if call["transposed"]:
        return transposed(walk, call)
    x, weight = walk.axes(call["input"]), walk.axes(call["weight"])
    groups, channel = call["groups"], len(x) - len(weight) + 1
    entering, leaving = _grouped(x[channel], groups), _grouped(weight[0], groups)
    walk.tie(call, entering[0], leaving[0])
    walk.tie(call, entering[1], weight[1])
    return _convolved(walk, call, channel, weight[0], (*leaving, weight[1]))


@rule("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def transposed(walk: Walk, call: Call) -> Axes:
    """Run over x (b, g·i, …), W (g·i, o, …), b (g·o)."""
    x, weight = walk.axes(call["input"]), walk.axes(call["weight"])
    channel = len(x) - len(weight) + 1
    walk.tie(call, x[channel], weight[0])
    group, inner = _grouped(weight[0], call["groups"])
    out = (*group, *weight[1])
    return _convolved(walk, call, channel, out, (group, inner, weight[1]))


def _grouped(label: Label, groups: int) -> tuple[Label, Label]:
    outer, inner = reshaped([label], [groups, size_of(label) // groups])
    return outer, inner


def _convolved(walk: Walk, call: Call, channel: int, out: Label, joint: Axes) -> Axes:
    x, weight = walk.axes(call["input"]), walk.axes(call["weight"])
    walk.freeze(call, [*x[channel + 1 :], *weight[2:]])
    walk.joint(*x[:channel], *joint)
    if call["bias"] is not None:
        walk.tie(call, walk.axes(call["bias"])[0], out)
    space = (fresh(size, call.where) for size in call.shape[channel + 1 :])
    return (*x[:channel], out, *space)


@rule("embedding")
def embedding(walk: Walk, call: Call) -> Axes:
    """Look rows up: their order is the vocabulary's."""
    weight = walk.axes(call["weight"])
    walk.freeze(call, [weight[0]])
    return (*walk.axes(call["indices"]), weight[1])


@rule("scaled_dot_product_attention")
def attention(walk: Walk, call: Call) -> Axes:
    """softmax(Q Kᵀ) V: Q (…, h, l, e), K (…, h, s, e), V (…, h, s, v)."""
    query, key, value = (walk.axes(call[name]) for name in ("query", "key", "value"))
    if len(query) < 2 or not len(query) == len(key) == len(value):
        raise NotExpressedError
    walk.tie(call, query[-1], key[-1])
    walk.tie(call, key[-2], value[-2])
    for i in range(len(query) - 2):
        walk.tie(call, key[i], value[i])
        times = size_of(query[i]) // size_of(key[i])
        walk.tie(call, query[i], (*key[i], *fresh(times)))
    if call["is_causal"]:
        walk.freeze(call, [query[-2], key[-2]])
    batch = query[:-2]
    if call["attn_mask"] is not None:
        broadcast(walk, call, [(*batch, query[-2], key[-2]), walk.axes(call["attn_mask"])])
    walk.joint(*batch, query[-2], key[-2])
    walk.joint(*batch, query[-2], key[-2], query[-1])
    walk.joint(*batch, query[-2], key[-2], value[-1])
    return (*query[:-1], value[-1])
