"""A mask of pruning on a subject: zeros where it prunes, and only what it keeps is studied."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from landscape.errors import InputError, ModelError, SettingError
from landscape.operators.hessian import HessianOperator
from landscape.pruning.files import save
from landscape.pruning.mask import Mask
from landscape.subject.files.checkpoint import Checkpoint
from landscape.subject.files.mask import is_mask, read_mask
from landscape.subject.subject import Subject
from tests.cases import CASES, classified, mlp, seeded
from tests.oracles import generator


def drawn_mask(model: nn.Module, names: tuple[str, ...], density: float = 0.4) -> Mask:
    tensors = dict(model.named_parameters())
    kept = {
        name: torch.rand(tensors[name].shape, generator=generator(i)) < density
        for i, name in enumerate(names)
    }
    return Mask(kept=kept, provenance={"method": "drawn"})


def study(mask: object, **more: object) -> Subject:
    model = more.pop("model", None) or seeded(mlp, 0)
    return Subject(model, "ce", classified((7, 4), (5,), 3), device="cpu", mask=mask, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", ["file", "mask"])
def test_the_hessian_is_the_dense_one_of_the_pruned_network_at_the_kept_coordinates(form, tmp_path):
    """Against torch.func.hessian of a network whose pruned weights are zero, in float64."""
    model = seeded(mlp, 0).double()
    mask = drawn_mask(model, ("0.weight", "2.weight"))
    save(mask, tmp_path / "m.safetensors")
    data = [(x.double(), y) for x, y in classified((7, 4), (5,), 3)]
    given = tmp_path / "m.safetensors" if form == "file" else mask
    subject = Subject(model, "ce", data, device="cpu", mask=given)
    tensors = mask.applied({n: p.detach() for n, p in model.named_parameters()})
    names, sizes = list(tensors), [t.numel() for t in tensors.values()]
    inputs, targets = torch.cat([x for x, _ in data]), torch.cat([y for _, y in data])

    def loss(flat: torch.Tensor) -> torch.Tensor:
        parts = {n: p.view_as(tensors[n]) for n, p in zip(names, flat.split(sizes), strict=True)}
        outputs = torch.func.functional_call(model, parts, (inputs,))
        return nn.functional.cross_entropy(outputs, targets)

    whole = torch.cat([t.flatten() for t in tensors.values()])
    chosen = torch.cat(
        [
            mask.kept.get(n, torch.ones_like(t, dtype=torch.bool)).flatten()
            for n, t in tensors.items()
        ]
    )
    dense = torch.func.hessian(loss)(whole)[chosen][:, chosen]
    operator = HessianOperator(subject)
    assert operator.shape == (int(chosen.sum()),) * 2
    torch.testing.assert_close(operator.to_dense(), dense, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(subject.point.theta, whole[chosen])
    slope = torch.func.grad(loss)(whole)[chosen]
    torch.testing.assert_close(subject.gradient(subject.point), slope, rtol=1e-9, atol=1e-12)


def test_pruned_weights_are_zero_and_it_is_said():
    model = seeded(mlp, 0)
    mask = drawn_mask(model, ("0.weight",))
    subject = study(mask, model=model)
    tensors = subject.network.tensors(subject.point)
    before = dict(model.named_parameters())
    kept = mask.kept["0.weight"]
    assert bool((tensors["0.weight"][~kept] == 0).all())
    assert torch.equal(tensors["0.weight"][kept], before["0.weight"][kept])
    assert bool((before["0.weight"] != 0).all()), "the network itself is left alone"
    assert subject.parameters.size == sum(p.numel() for p in model.parameters()) - int(
        (~kept).sum()
    )
    told = subject.provenance()
    assert told["mask"]["kept"] == mask.total
    assert told["mask"]["origin"] == {"method": "drawn"}
    gone = kept.numel() - mask.total
    assert any(f"{gone:,} that it prunes were not zero" in note for note in told["notes"])


def test_a_mask_on_what_it_has_pruned_changes_nothing():
    model = seeded(mlp, 0)
    mask = drawn_mask(model, ("0.weight",))
    with torch.no_grad():
        model[0].weight[~mask.kept["0.weight"]] = 0.0
    subject, plain = study(mask, model=model), study(None, model=model)
    assert any("were zero already" in note for note in subject.provenance()["notes"])
    print_of = [one.weights_fingerprint(one.checkpoint) for one in (subject, plain)]
    assert print_of[0] == print_of[1]
    assert subject.loss(subject.point) == plain.loss(plain.point)


def test_every_checkpoint_is_pruned_and_tied_names_too():
    subject = CASES["tied"]().subject()
    mask = drawn_mask(subject.network.model, ("embedding.weight",))
    first, last = (CASES["tied"]().model for _ in range(2))
    ends = [Checkpoint.of_model(one, label) for one, label in ((first, "a"), (last, "b"))]
    pruned = CASES["tied"]().subject(mask=mask, checkpoints=ends)
    assert [one.label for one in pruned.checkpoints] == ["a", "b"]
    for one in pruned.checkpoints:
        assert bool((one.tensors["embedding.weight"][~mask.kept["embedding.weight"]] == 0).all())
        assert torch.equal(one.tensors["head.weight"], one.tensors["embedding.weight"])
    assert all(bool((one.tensors["head.weight"] != 0).all()) for one in ends)


def test_params_choose_among_what_is_kept_and_the_rest_stays_pruned():
    model = seeded(mlp, 0)
    mask = drawn_mask(model, ("0.weight", "2.weight"))
    subject = study(mask, model=model, params="2.weight")
    assert subject.parameters.size == mask.counts["2.weight"]
    tensors = subject.network.tensors(subject.point)
    assert bool((tensors["0.weight"][~mask.kept["0.weight"]] == 0).all())


def test_boolean_tensors_hold_coordinates_fixed_as_they_are():
    model = seeded(mlp, 0)
    kept = drawn_mask(model, ("0.weight",)).kept
    subject = study(dict(kept), model=model)
    tensors = subject.network.tensors(subject.point)
    torch.testing.assert_close(tensors["0.weight"], model[0].weight.detach())
    assert subject.provenance()["mask"] is None


def test_a_wrong_mask_is_refused(tmp_path):
    other = Mask(kept={"body.weight": torch.ones(3, 3, dtype=torch.bool)})
    with pytest.raises(ModelError, match=r"names 'body.weight', which the network does not have"):
        study(other)
    with pytest.raises(ModelError, match=r"has shape \(5, 8\), expected \(8, 5\)"):
        study(Mask(kept={"0.weight": torch.ones(5, 8, dtype=torch.bool)}))
    save_file(seeded(mlp, 0).state_dict(), tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="not a mask"):
        study(tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="no such file"):
        study(tmp_path / "absent.safetensors")
    with pytest.raises(SettingError, match="no model"):
        Subject(mask=other)


def test_files_of_masks_are_told_from_weights(tmp_path):
    model = seeded(mlp, 0)
    mask = drawn_mask(model, ("0.weight",))
    save(mask, tmp_path / "m.safetensors")
    save_file(dict(mask.kept), tmp_path / "bool.safetensors")
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    found = {one: is_mask(tmp_path / one) for one in ("m.safetensors", "bool.safetensors")}
    assert all(found.values())
    assert not is_mask(tmp_path / "w.safetensors")
    assert not is_mask(tmp_path / "w.pt")
    for name in found:
        assert torch.equal(read_mask(tmp_path / name).kept["0.weight"], mask.kept["0.weight"])
