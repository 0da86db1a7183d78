from __future__ import annotations

import pytest

from landscape.errors import CheckpointError
from landscape.subject.files.names import NameMatch, match_names, stripped

MODEL = {"conv.weight": (8, 3), "conv.bias": (8,), "bn.mean": (8,), "fc.weight": (10, 8)}
PARAMETERS = ("conv.weight", "conv.bias", "fc.weight")


def match(file, model=None, required=PARAMETERS, aliases=None) -> NameMatch:
    return match_names(file, model or MODEL, required=required, aliases=aliases or {}, where="a.pt")


def renamed(prefix: str, shapes=None) -> dict[str, tuple[int, ...]]:
    return {prefix + name: shape for name, shape in (shapes or MODEL).items()}


@pytest.mark.parametrize(
    "prefix",
    ["", "module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "model.", "net.",
     "model.module._orig_mod.", "_forward_module.model._orig_mod.", "a.b.c.", "."],
)  # fmt: skip
def test_prefixes_in_any_nesting(prefix):
    found = match(renamed(prefix))
    assert found.mapping == {name: prefix + name for name in MODEL}
    expected = (f"prefix `{prefix}` stripped from 4/4 names",) if prefix else ()
    assert found.notes == expected


def test_prefix_added_and_replaced():
    model = renamed("net.")
    parameters = [f"net.{name}" for name in PARAMETERS]
    found = match(MODEL, model, parameters)
    assert found.mapping == {f"net.{name}": name for name in MODEL}
    assert found.notes == ("prefix `net.` added to 4/4 names",)
    found = match(renamed("backbone."), model, parameters)
    assert found.notes == ("prefix `backbone.` replaced by `net.` in 4/4 names",)


def test_wrapped_model_and_inner_wrappers():
    model = renamed("_orig_mod.")
    found = match(renamed("module."), model, [f"_orig_mod.{name}" for name in PARAMETERS])
    assert found.mapping == {f"_orig_mod.{name}": f"module.{name}" for name in MODEL}
    inner = {name.replace("conv.", "conv.module."): shape for name, shape in MODEL.items()}
    found = match(inner)
    assert found.mapping["conv.bias"] == "conv.module.bias"
    assert found.notes == ("prefix `conv.module.` replaced by `conv.` in 2/4 names",)


def test_wrappers_stay_where_names_would_collide():
    both = {"module.a.w": (2,), "a.w": (3,)}
    assert stripped(both) == {name: name for name in both}
    assert match(both, both, list(both)).mapping == {name: name for name in both}
    assert stripped(["module", "module.module"]) == {
        "module": "module",
        "module.module": "module.module",
    }


def test_missing_parameter_shows_the_nearest_name():
    file = {"conv.weight": (8, 3), "conv.bais": (8,), "fc.weight": (10, 8), "extra": (1,)}
    with pytest.raises(CheckpointError) as caught:
        match(file)
    assert "1 of the model's parameters" in caught.value.what
    assert "missing (1): conv.bias" in caught.value.why
    assert "unexpected (2): conv.bais, extra" in caught.value.why
    assert "conv.bias ~ conv.bais" in caught.value.why


def test_nothing_matches():
    with pytest.raises(CheckpointError, match="none of the model's 3 parameters"):
        match({"x": (1,)})
    with pytest.raises(CheckpointError):
        match({})


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
def test_other_number_of_classes(prefix):
    file = renamed(prefix, MODEL | {"fc.weight": (1000, 8)})
    with pytest.raises(CheckpointError) as caught:
        match(file)
    assert caught.value.what == ("fc.weight: checkpoint 1000x8, model 10x8; try num_classes=1000")


def test_other_width_gets_no_class_hint():
    with pytest.raises(CheckpointError) as caught:
        match(MODEL | {"conv.weight": (16, 3)})
    assert caught.value.what == "conv.weight: checkpoint 16x3, model 8x3"
    assert "num_classes" not in str(caught.value)
    with pytest.raises(CheckpointError) as caught:
        match(MODEL | {"fc.weight": ()})
    assert "checkpoint scalar" in caught.value.what


def test_missing_buffer_is_a_note():
    found = match({name: MODEL[name] for name in PARAMETERS})
    assert set(found.mapping) == set(PARAMETERS)
    assert found.notes == ("buffers kept as the model has them (1): bn.mean",)
    found = match(MODEL | {"bn.mean": (9,)})
    assert "bn.mean" not in found.mapping


def test_unexpected_tensors_are_a_note():
    found = match(renamed("model.") | {"loss.weight": (3,)})
    assert found.notes[-1] == "tensors of the file left unused (1): loss.weight"


def test_tied_parameter():
    model = {"embed.weight": (9, 4), "head.weight": (9, 4)}
    aliases = {"head.weight": {"embed.weight"}, "embed.weight": {"head.weight"}}
    for kept, gone in (("embed.weight", "head.weight"), ("head.weight", "embed.weight")):
        found = match({f"m.{kept}": (9, 4)}, model, list(model), aliases)
        assert found.mapping == {kept: f"m.{kept}", gone: f"m.{kept}"}
        assert f"tied: `{gone}` takes `m.{kept}`" in found.notes


def test_a_tied_parameter_that_the_file_holds_once_is_no_missing_buffer():
    model = {"embed.weight": (9, 4), "head.weight": (9, 4), "mask": (4,)}
    found = match(
        {"embed.weight": (9, 4)}, model, ["embed.weight"], {"embed.weight": {"head.weight"}}
    )
    assert found.kept == ("mask",)
    assert found.notes == ("buffers kept as the model has them (1): mask",)


def test_two_parts_that_fit_equally_well():
    layer = {"weight": (3, 3), "bias": (3,)}
    file = renamed("encoder.", layer) | renamed("decoder.", layer)
    with pytest.raises(CheckpointError, match="2 parts of this checkpoint fit") as caught:
        match(file, layer, ["weight", "bias"])
    assert caught.value.hint == "name one: --state-key decoder"
    assert match(file | layer, layer, ["weight", "bias"]).mapping == {n: n for n in layer}


def test_the_part_that_fits_is_found():
    file = renamed("model.") | renamed("ema.", {n: (1, *s) for n, s in MODEL.items()})
    assert match(file).mapping == {name: f"model.{name}" for name in MODEL}


def test_hostile_names():
    model = {"<img src=x>": (1,), "[/red]": (2,), "\x1b[31m": (3,), "": (4,), "a" * 1_000_000: (5,)}
    found = match(model, model, list(model))
    assert found.mapping == {name: name for name in model}
    with pytest.raises(CheckpointError) as caught:
        match({"b" * 1_000_000: (5,)}, model, list(model))
    assert len(str(caught.value)) < 5_000


def test_many_names_are_fast():
    model = {f"blocks.{i}.{part}.weight": (i % 7,) for i in range(3_000) for part in "qkvo"}
    found = match(renamed("module.model.", model), model, list(model))
    assert len(found.mapping) == len(model)
