"""The explanation names every group, what tied it, and every frozen axis with its reason."""

from __future__ import annotations

from landscape.symmetry.explain import explained
from landscape.symmetry.groups import infer
from tests.symmetry.networks import CASES
from tests.symmetry.test_override import sines


def test_everything_is_told() -> None:
    symmetry = infer(CASES["conv, flatten, linear"].subject())
    text = explained(symmetry)
    assert text.splitlines()[0] == "2 groups; 99.3 % of the weights can move; graph by export"
    assert "0.weight:0: 5 units" in text
    ties = text.splitlines()[3].removeprefix("    tied by: ").split(", ")
    assert sorted(ties) == ["batch_norm in 1", "conv2d in 0", "linear in 5"]
    assert "frozen by conv2d in 0: 0.weight:2, 0.weight:3" in text
    assert "frozen by output: 7.weight:0, 7.bias:0" in text


def test_heads_are_told_as_blocks() -> None:
    text = explained(infer(CASES["unbind"].subject()))
    assert "attention.qkv.weight:0: 4 blocks of units" in text
    assert "4 units within each of attention.qkv.weight:0" in text


def test_unknown_operations_are_told() -> None:
    text = explained(infer(sines()))
    assert "no rule for special_bessel_j0, so what it touches is frozen" in text
