"""Tickets beside their controls: what each arm is, and what is called winning."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch

import landscape as ls
from landscape.diagnostics.tickets.eval import TicketsEval
from landscape.diagnostics.tickets.find import TicketsFind
from landscape.errors import InputError, ModelError, SettingError
from landscape.pruning.files import save
from landscape.pruning.mask import Mask
from landscape.pruning.methods import find_mask
from landscape.tickets.arms import CONTROLS, controls_of, start_of
from tests.cases import CASES
from tests.tickets.made import built, digits_subject, drawn, lenet, script, small_subject

FAST: dict[str, Any] = {"steps": 30, "minibatch": 16, "seeds": 3}


def ticket(density=0.3, seed=0):
    subject = small_subject()
    return find_mask(subject, "random", density, generator=drawn(seed)).mask


def file_of(mask, folder, name="mask"):
    save(mask, folder / f"{name}.safetensors")
    return str(folder / f"{name}.safetensors")


def test_what_the_arms_begin_with():
    subject = small_subject()
    tensors, mask = subject.network.tensors(subject.point), ticket()
    names = tuple(subject.parameters.names)

    def begun(arm, seed=0):
        return start_of(arm, mask, tensors, names, seed)

    assert all(torch.equal(begun("ticket").tensors[name], tensors[name]) for name in tensors)
    assert begun("dense").mask.density == 1
    again = begun("reinit")
    assert again.mask is mask
    for name in names:
        assert not torch.equal(again.tensors[name], tensors[name])
        assert torch.equal(
            again.tensors[name].flatten().sort().values, tensors[name].flatten().sort().values
        )
    for arm in ("shuffled", "inverted"):
        assert begun(arm).mask.counts == mask.counts
    assert begun("random").mask.total == mask.total
    flipped = begun("inverted").mask
    for name, kept in mask.kept.items():
        overlap = int((kept & flipped.kept[name]).sum())
        assert overlap == max(0, 2 * int(kept.sum()) - kept.numel())
    for arm in CONTROLS:
        one, other = begun(arm), begun(arm, seed=1)
        masks = [torch.cat([k.flatten() for k in found.mask.kept.values()])
                 for found in (one, other)]  # fmt: skip
        assert arm == "reinit" or not torch.equal(*masks)
        assert arm != "reinit" or not torch.equal(
            one.tensors["0.weight"], other.tensors["0.weight"]
        )


def test_controls_by_name():
    assert controls_of("random, reinit") == ("reinit", "random")
    with pytest.raises(SettingError, match="no control 'rand'"):
        controls_of("rand")
    with pytest.raises(SettingError, match="no control is named"):
        controls_of(" ")


def test_all_arms_are_told_for_every_seed(tmp_path):
    subject = small_subject()
    before = {name: t.clone() for name, t in subject.network.model.state_dict().items()}
    question = TicketsEval(**FAST, mask=file_of(ticket(), tmp_path))
    result = question.run(subject)
    assert [one.arm for one in result.arms] == ["ticket", *CONTROLS, "dense"]
    assert all(len(one.runs) == 3 for one in result.arms)
    for one in result.arms:
        assert one.accuracy is not None
        assert one.accuracy.value == pytest.approx(sum(one.runs) / 3)
        low, high = one.accuracy.interval
        assert 0 <= low <= one.accuracy.value <= high <= 1
    assert result.verdict in ("winning", "not better", "not resolved")
    assert result.verdict == result.tickets[-1].verdict
    assert [c.control for c in result.sparsest.comparisons] == list(CONTROLS)
    after = subject.network.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    answer = result.to_json()["answer"]
    assert {"arm", "density", "accuracy"} <= set(answer["arms"][0])
    assert question.run(subject).to_json()["answer"] == answer


def test_several_masks_are_told_from_dense_to_sparse(tmp_path):
    for name, density in (("a", 0.2), ("b", 0.6)):
        file_of(ticket(density), tmp_path, name)
    result = TicketsEval(**FAST, mask=str(tmp_path), controls="random").run(small_subject())
    assert [one.mask for one in result.tickets] == ["b", "a"]
    assert result.sparsest.mask == "a"
    assert [one.arm for one in result.arms] == ["ticket", "random"] * 2 + ["dense"]
    assert result.sparsest.comparisons[0].difference.level == pytest.approx(0.975)


def test_runs_are_remembered_one_by_one(tmp_path):
    train = script(tmp_path)
    counts = []
    for seeds in (2, 3):
        folder = tmp_path / "cache"
        subject = digits_subject(built(lenet, 0), folder=folder)
        mask = find_mask(subject, "magnitude", 0.5, generator=drawn()).mask
        question = TicketsEval(
            train=train, seeds=seeds, controls="reinit", mask=file_of(mask, tmp_path)
        )
        question.run(subject)
        counts.append(len(list(folder.glob("*.npz"))))
    assert counts[1] - counts[0] == 3 + 1  # one more run of each arm, and the answer


def test_arms_start_at_the_step_that_is_rewound_to(tmp_path):
    train = script(tmp_path)
    subject = digits_subject(built(lenet, 0))
    mask = find_mask(subject, "magnitude", 0.2, generator=drawn()).mask
    settings: dict[str, Any] = {
        "train": train,
        "seeds": 2,
        "controls": "reinit",
        "mask": file_of(mask, tmp_path),
    }
    early, late = (TicketsEval(**settings, rewind_step=step).run(subject) for step in (0, 20))
    assert early.arm("ticket", "mask").runs != late.arm("ticket", "mask").runs
    assert dict(late.trust())["every arm starts from"] == "step 20"


def test_regression_is_judged_by_the_loss(tmp_path):
    subject = CASES["regression"]().subject()
    mask = find_mask(subject, "random", 0.5, generator=drawn()).mask
    result = TicketsEval(**FAST, mask=file_of(mask, tmp_path)).run(subject)
    assert result.quantity == "loss"
    assert all(one.accuracy is None for one in result.arms)
    control = result.sparsest.comparisons[0]
    expected = float(result.arm(control.control, "mask").loss) - float(
        result.arm("ticket", "mask").loss
    )
    assert control.difference.value == pytest.approx(expected)


@pytest.mark.parametrize("network", ["cnn", "tied"])
def test_networks_of_every_kind(network, tmp_path):
    subject = CASES[network]().subject()
    mask = find_mask(subject, "magnitude", 0.4, generator=drawn()).mask
    result = TicketsEval(steps=3, minibatch=4, seeds=2, mask=file_of(mask, tmp_path)).run(subject)
    assert len(result.arms) == 6
    assert result.verdict == "not resolved"


def test_masks_that_cannot_be_judged(tmp_path):
    subject = small_subject()
    with pytest.raises(SettingError, match="holds no masks"):
        TicketsEval(mask=str(tmp_path)).run(subject)
    with pytest.raises(InputError, match="there is no file"):
        TicketsEval(mask=str(tmp_path / "absent.safetensors")).run(subject)
    other = Mask(kept={"0.weight": torch.ones(2, 2, dtype=torch.bool)})
    with pytest.raises(ModelError, match="has shape"):
        TicketsEval(mask=file_of(other, tmp_path)).run(subject)
    empty = ticket()
    empty = Mask(kept={**empty.kept, "2.weight": torch.zeros(3, 12, dtype=torch.bool)})
    with pytest.raises(SettingError, match="leaves no path from input to output"):
        TicketsEval(mask=file_of(empty, tmp_path)).run(subject)


def test_the_folder_of_a_search_holds_its_mask(tmp_path):
    """Not the weights beside it; `levels` holds the masks of all levels."""
    subject = small_subject()
    question = TicketsFind(rounds=2, steps=2, minibatch=16)
    question.run(subject)
    question.keep(subject, tmp_path)
    for given, names in ((tmp_path, ["mask"]), (tmp_path / "levels", ["level-01", "level-02"])):
        judge = TicketsEval(steps=2, minibatch=16, seeds=1, controls="random", mask=str(given))
        assert [one.mask for one in judge.run(subject).tickets] == names


@pytest.mark.parametrize("kind", [TicketsEval, TicketsFind])
def test_plain_training_may_be_asked_for_in_words(kind):
    """As `report --train plain`."""
    quick = {"rounds": 1, "steps": 2, "minibatch": 16}
    plain, bare = (kind(train=train, **quick).run(small_subject()) for train in ("plain", ""))
    assert plain.training == bare.training
    assert plain.headline() == bare.headline()


@pytest.mark.parametrize(
    ("seeds", "more", "samples", "value", "says"),
    [
        (1, None, None, 0.0, "more seeds (--seeds): one cannot tell how far seeds differ"),
        (3, (4, 9), (None, None), 0.0, "--seeds 12"),
        (3, (4, None), (None, 703), 0.0, "about 703 in place of"),
        (3, (None, None), (311, 703), 0.0, "seeds alone do not settle it"),
        (3, (None, 4), (None, None), 0.0, "no number of seeds or samples"),
        (3, (None, 4), (None, None), math.nan, "stay finite"),
    ],
)
def test_the_advice_is_what_would_settle_it(seeds, more, samples, value, says):
    question = TicketsEval(steps=2, minibatch=16, seeds=1, rounds=1, controls="random,reinit")
    result = question.run(small_subject())
    one = result.sparsest
    if seeds > 1:
        comparisons = tuple(
            replace(
                old,
                more_seeds=more_seeds,
                samples_needed=needed,
                difference=replace(old.difference, value=value),
            )
            for old, more_seeds, needed in zip(one.comparisons, more, samples, strict=True)
        )
        most = None if None in more else max(more)
        one = replace(one, comparisons=comparisons, more_seeds=most)
        result = replace(result, seeds=seeds, tickets=(one,))
    assert one.verdict == "not resolved"
    assert says in result.findings()[0].advice
    assert result.findings()[0].sentence.startswith("Mask ")


def test_a_random_mask_is_not_called_winning(tmp_path):
    """Nothing is special about it: shuffles of it are masks of the same kind."""
    subject = small_subject()
    question = TicketsEval(**{**FAST, "seeds": 4}, mask=file_of(ticket(0.5), tmp_path))
    assert question.run(subject).verdict != "winning"


def test_without_a_file_the_mask_of_a_score_is_judged():
    subject = small_subject()
    result = TicketsEval(**FAST, method="synflow", density=0.4, controls="random").run(subject)
    assert result.sparsest.mask == "synflow"
    assert result.sparsest.kept == round(0.4 * 108)
    assert result.sparsest.method == "synflow"
    expected = find_mask(subject, "synflow", 0.4, rounds=100, generator=drawn()).mask
    assert result.sparsest.layers[0].kept == expected.counts["0.weight"]


def test_the_answer_reads_well(tmp_path):
    result = TicketsEval(**FAST, mask=file_of(ticket(), tmp_path)).run(small_subject())
    assert result.sparsest.reason in result.summary()
    assert result.findings()[0].severity in ("notable", "warning")
    result.plot(tmp_path / "eval.png")
    assert (tmp_path / "eval.png").stat().st_size > 1000
    again = type(result).from_json(result.to_json())
    assert repr(again.tables()) == repr(result.tables())


# --- what the field has found ---------------------------------------------------------------------

H6: dict[str, Any] = {"steps": 300, "minibatch": 32}


@pytest.mark.full
def test_tickets_of_digits_win(tmp_path):
    """Frankle & Carbin 2019 in small: 3.5 % of the weights of an MLP, three seeds of the search."""
    gaps, reinit, random = [], [], []
    for seed in range(3):
        subject = digits_subject(built(lenet, seed))
        find = TicketsFind(**H6, rounds=10, rate=0.3, last_rate=0.15, shared="layer", seed=seed)
        found = find.masks(subject)[-1]
        assert found.density == pytest.approx(0.0353, abs=1e-4)
        question = TicketsEval(**H6, seeds=3, seed=10 * seed, mask=file_of(found, tmp_path))
        result = question.run(subject)
        mean = {one.arm: one.quality.value for one in result.arms}
        gaps.append(mean["dense"] - mean["ticket"])
        reinit.append(mean["ticket"] - mean["reinit"])
        random.append(mean["ticket"] - mean["random"])
        assert result.verdict in ("winning", "not resolved")
    assert sum(gaps) / 3 < 0.01
    assert sum(reinit) / 3 > 0.1
    assert min(random) > 0.1


def prototypes():
    """Ten classes of three Gaussian prototypes each, in 64 dimensions."""
    source = drawn(0)
    centres = torch.randn(30, 64, generator=source)
    which = torch.randint(30, (4000,), generator=source)
    x = centres[which] + 1.3 * torch.randn(4000, 64, generator=source)
    y = which % 10
    data = {"train": [(x[:2000], y[:2000])], "held_out": [(x[2000:], y[2000:])]}
    return ls.Subject(built(lenet, 0), "ce", data, device="cpu")


@pytest.mark.full
def test_tickets_of_prototypes_win_where_they_should(tmp_path):
    subject = prototypes()
    settings: dict[str, Any] = {
        "steps": 300,
        "minibatch": 64,
        "optimizer": "adam",
        "learning_rate": 3e-3,
    }
    found = TicketsFind(**settings, rounds=6, rate=0.4).masks(subject)[-1]
    assert found.density == pytest.approx(0.6**6, abs=1e-4)
    result = TicketsEval(**settings, mask=file_of(found, tmp_path)).run(subject)
    mean = {one.arm: one.quality.value for one in result.arms}
    assert result.verdict == "winning"
    assert mean["ticket"] > mean["reinit"] > mean["shuffled"] > mean["random"]


@pytest.mark.full
@pytest.mark.parametrize("method", ["snip", "synflow"])
@pytest.mark.parametrize("density", [0.5, 0.2])
def test_masks_before_training_do_not_win_over_their_shuffles(method, density):
    """Frankle et al. 2021: what they choose within a layer does not matter."""
    subject = digits_subject(built(lenet, 0))
    result = TicketsEval(**H6, method=method, density=density).run(subject)
    by = {one.control: one for one in result.sparsest.comparisons}
    assert result.verdict != "winning"
    assert by["shuffled"].verdict != "better"
