from __future__ import annotations

import hashlib

import pytest
import torch
from torch import nn

from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.fingerprint import digest_of, file_sha256, fingerprint
from tests.subject.files.containers import network, prefixed

BASE = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


def test_form():
    assert len(fingerprint(BASE)) == 32
    assert int(fingerprint(BASE), 16)
    assert fingerprint({}) == fingerprint({})


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.module.", "model.", "a.b.", "net.module."]
)
def test_prefixes_and_order_do_not_enter(prefix):
    expected = fingerprint(prefixed(""))
    assert fingerprint(prefixed(prefix)) == expected
    assert fingerprint(dict(reversed(prefixed(prefix).items()))) == expected


def test_memory_layout_does_not_enter():
    strided = BASE | {"a.weight": BASE["a.weight"].t().contiguous().t()}
    assert fingerprint(strided) == fingerprint(BASE)


def test_everything_else_enters():
    changed = BASE["a.weight"].clone()
    changed[1, 2] = torch.nextafter(changed[1, 2], torch.tensor(9.0))
    others = [
        BASE | {"a.weight": changed},
        BASE | {"a.weight": BASE["a.weight"].reshape(3, 2)},
        BASE | {"a.weight": BASE["a.weight"].double()},
        BASE | {"a.weight": BASE["a.weight"].view(torch.int32)},
        {"a.kernel": BASE["a.weight"], "a.bias": BASE["a.bias"]},
        {"a.weight": BASE["a.weight"]},
        BASE | {"a.scale": torch.tensor(1.0)},
    ]
    assert len({fingerprint(other) for other in [BASE, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    "dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int64, torch.bool, torch.uint16]
)
def test_every_dtype(dtype):
    for shape in [(), (0,), (3,), (2, 0, 3), (2, 3)]:
        assert len(fingerprint({"w": torch.ones(shape).to(dtype)})) == 32


def test_tied_tensors_count_once():
    shared = torch.ones(3, 2)
    tied = fingerprint({"embed.weight": shared, "head.weight": shared})
    assert tied == fingerprint({"embed.weight": shared, "head.weight": shared[:]})
    assert tied != fingerprint({"embed.weight": shared, "head.weight": shared.clone()})


def test_tied_model_and_its_file_agree(tmp_path):
    model = nn.ModuleDict({"embed": nn.Embedding(5, 3), "head": nn.Linear(3, 5, bias=False)})
    model["head"].weight = model["embed"].weight  # type: ignore[assignment]
    torch.save(model.state_dict(), tmp_path / "a.pt")
    held = Checkpoint.of_model(model)
    assert held.fingerprint == Checkpoint.read(tmp_path / "a.pt").fingerprint


def test_of_model_is_a_copy():
    model = network()
    held = Checkpoint.of_model(model, label="start")
    before = held.fingerprint
    with torch.no_grad():
        model[0].weight.add_(1)  # type: ignore[index, operator]
    assert fingerprint(held.tensors) == before != Checkpoint.of_model(model).fingerprint
    assert (held.label, held.path, held.container) == ("start", None, "memory")


def test_file_sha256(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_a_state_is_told_apart_by_its_tensors_sparse_ones_too():
    def state(value: float, at: int) -> dict[str, object]:
        sparse = torch.sparse_coo_tensor(
            torch.tensor([[at]]), torch.tensor([[value, 1.0]]), (4, 2), check_invariants=True
        )
        return {"state": {0: {"momentum_buffer": sparse, "step": 3}}, "groups": [{"lr": 0.1}]}

    assert digest_of(state(1.0, 2)) == digest_of(state(1.0, 2))
    digests = {digest_of(state(value, at)) for value in (1.0, 2.0) for at in (0, 2)}
    assert len(digests) == 4
