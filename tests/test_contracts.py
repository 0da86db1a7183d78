"""What every diagnostic promises, whichever it is: asked of each in the registry."""

from __future__ import annotations

import dataclasses
import json
import math
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import product
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import jsonschema
import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import landscape as ls
from landscape.answer import Finding, Result, Severity, Table
from landscape.base import Diagnostic, Question
from landscape.errors import SettingError
from landscape.estimate import Estimate, Status
from landscape.progress import listening
from tests.cli.command import NETWORKS, done, run
from tests.cli.networks import drawn, filled

ROOT = Path(__file__).resolve().parents[1]
NAMES = [kind.name for kind in ls.DIAGNOSTICS]
QUICK: dict[str, dict[str, Any]] = {
    "connect": {"points": 11, "curve_steps": 3, "restarts": 1},
    "lipschitz": {"starts": 1, "steps": 3, "seconds": 60.0, "pair_seconds": 60.0},
    "solutions": {"points": 11, "max_probes": 2, "max_products": 40},
    "spectrum": {"top": 2, "bottom": 1, "probes": 2, "lanczos_steps": 6, "max_probes": 8},
    "surface": {"points": 3},
    "tickets-eval": {"steps": 2, "seeds": 2, "controls": "random", "density": 0.5},
    "tickets-find": {"steps": 2, "rounds": 1},
}
CELLS = (str, int, float, bool, Estimate, type(None))


@pytest.fixture(params=NAMES)
def kind(request) -> type[Diagnostic[Any]]:
    """One diagnostic after the other."""
    return next(one for one in ls.DIAGNOSTICS if one.name == request.param)


def words_of(kind: type[Diagnostic[Any]]) -> str:
    """The command of a diagnostic: a group and its member, where a folder holds it."""
    return kind.name.replace("-", " ")


def question(kind: type[Diagnostic[Any]], **settings: Any) -> Diagnostic[Any]:
    """A question that is answered in a moment."""
    return kind.preset("quick", **{**QUICK.get(kind.name, {}), **settings})


class Witness(nn.Module):
    """Everything that could be disturbed; raises at a call of choice."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.Linear(4, 4).requires_grad_(False)
        self.head = nn.Linear(4, 3)
        self.register_buffer("scale", torch.full((4,), 1.5))
        self.counter = [0]  # a list, so that it outlives what is restored
        self.raises_at: int | None = None
        self.error: BaseException = Interruption("in the middle")

    @property
    def calls(self) -> int:
        return self.counter[0]

    def forward(self, x: Tensor) -> Tensor:
        self.counter[0] += 1
        if self.raises_at is not None and self.calls >= self.raises_at:
            raise self.error
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = nn.functional.scaled_dot_product_attention(x, x, x).mean(1) * self.scale
        return self.head(self.dropout(torch.tanh(self.frozen(x))))


class Interruption(Exception):
    """No error that landscape knows."""


def witness() -> Witness:
    """A network in mixed modes, with gradients, hooks and frozen parts."""
    model = Witness()
    filled(model)
    model.train()
    model.stem[1].eval()
    model.head.eval()
    for i, parameter in enumerate(model.parameters()):
        if parameter.requires_grad and i % 2:
            parameter.grad = torch.full_like(parameter, 0.25)
    model.stem[0].register_forward_hook(lambda *_: None)
    model.head.register_forward_pre_hook(lambda *_: None)
    model.head.register_full_backward_hook(lambda *_: None)
    return model


def moved(seed: int) -> Witness:
    """The witness after more training: what is frozen is as it was."""
    model = witness()
    frozen = {name: tensor.clone() for name, tensor in model.frozen.state_dict().items()}
    filled(model, seed)
    model.frozen.load_state_dict(frozen)
    return model


def dataset(seed: int = 0) -> TensorDataset:
    inputs = torch.randn(11, 1, 6, 6, generator=drawn(seed))
    return TensorDataset(inputs, torch.randint(3, (11,), generator=drawn(seed + 1)))


def subject(model: nn.Module | None = None, **more: Any) -> ls.Subject:
    """The witness, or another network, on ragged batches."""
    loader = DataLoader(dataset(), batch_size=4, shuffle=True)
    return ls.Subject(model or witness(), "ce", loader, device="cpu", **more)


def several() -> ls.Subject:
    """Two checkpoints of one network."""
    first, last = witness(), moved(1)
    ends = [ls.Checkpoint.of_model(first, "first"), ls.Checkpoint.of_model(last, "last")]
    return subject(last, checkpoints=ends)


def asked(kind: type[Diagnostic[Any]], model: nn.Module | None = None, **more: Any) -> ls.Subject:
    """The least that a question can be asked of: one checkpoint, or as many as it needs."""
    count = kind.needs.checkpoints[0]
    if count < 2:
        return subject(model, **more)
    model = model or witness()
    with torch.random.fork_rng():  # a network draws its initial weights
        before = [moved(seed) for seed in range(1, count)]
    ends = [ls.Checkpoint.of_model(one, f"step {i}") for i, one in enumerate((*before, model))]
    return subject(model, checkpoints=ends, **more)


@pytest.fixture(scope="module")
def answers() -> Callable[..., Result]:
    """Answers, each computed once for this file."""
    known: dict[tuple[str, bool], Result] = {}

    def answer(kind: type[Diagnostic[Any]], *, series: bool = False) -> Result:
        key = (kind.name, series)
        if key not in known:
            known[key] = question(kind).run(several() if series else asked(kind))
        return known[key]

    return answer


# --- the question ------------------------------------------------------------------------------


def test_names():
    assert len(set(NAMES)) == len(NAMES)
    parts = [part for name in NAMES for part in name.split("-")]
    assert all(part.isidentifier() and part.islower() for part in parts)


def test_it_explains_itself(kind):
    (summary, *_) = str(kind.__doc__).splitlines()
    assert summary.endswith(".")
    module = __import__(kind.__module__, fromlist=["_"])
    assert module.__doc__.splitlines()[0] == summary
    assert kind.question in get_args(Question)
    assert issubclass(kind.result, Result)
    assert kind.result.name == kind.name
    assert kind.result.__doc__
    for name, (_, option) in kind.options().items():
        assert option.help, name


def test_a_question_is_a_value(kind):
    one, same, other = kind(), kind(), kind(seed=1)
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert repr(one) != repr(other)
    assert repr(one).startswith(f"{kind.__name__}(")
    assert eval(repr(other), {kind.__name__: kind}) == other
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.seed = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        kind(0)  # settings have names


def test_presets_are_settings(kind):
    for name in ("quick", "standard", "full"):
        assert isinstance(kind.preset(name), kind)
    assert kind.preset("standard") == kind()
    assert kind.preset("quick", seed=7).seed == 7


def outside(kind: Any, option: Any) -> Iterator[Any]:
    """Yield values beyond the bounds of a setting."""
    kind = next((one for one in get_args(kind) if one is not NoneType), kind)
    step = 1 if kind is int else 0.5
    if option.at_least is not None:
        yield kind(option.at_least - step)
    if option.above is not None:
        yield kind(option.above)
        yield kind(option.above - step)
    if option.at_most is not None:
        yield kind(option.at_most + step)


def test_bounds_are_the_same_in_python_and_on_the_command_line(kind):
    """One message, wherever the setting comes from."""
    tried = 0
    for key, (type_, option) in kind.options().items():
        for value in outside(type_, option):
            with pytest.raises(SettingError) as caught:
                kind(**{key: value})
            told = run(f"{words_of(kind)} absent.pt --{key.replace('_', '-')} {value}")
            assert told.code == caught.value.exit == 2
            assert told.stderr.splitlines()[0] == f"error[L200]: {caught.value.what}"
            assert str(value) in caught.value.what
            assert option.bounds in caught.value.what
            assert caught.value.hint
            tried += 1
    assert tried, "not even the seed has a bound"


def test_a_number_must_be_finite(kind):
    for key, (type_, _) in kind.options().items():
        for value in (math.nan, math.inf) if type_ is float else ():
            with pytest.raises(SettingError):
                kind(**{key: value})


def test_choices_are_the_same_in_python_and_on_the_command_line(kind):
    for key, (type_, _) in kind.options().items():
        if get_origin(type_) is Literal:
            with pytest.raises(SettingError) as caught:
                kind(**{key: "no such choice"})
            told = run(f"{words_of(kind)} absent.pt --{key.replace('_', '-')}", "no such choice")
            assert told.code == 2
            for choice in get_args(type_):
                assert choice in caught.value.what
                assert choice in told.stderr


def test_types_are_checked(kind):
    for key, (type_, _) in kind.options().items():
        for wrong in ("7", object(), *((1.5, True) if type_ is int else ())):
            if get_origin(type_) is not Literal and type_ is not str:
                with pytest.raises(SettingError):
                    kind(**{key: wrong})


def test_what_is_missing_is_named(kind):
    needs = kind.needs
    with pytest.raises(SettingError, match="cannot be answered") as caught:
        kind().run(ls.Subject())
    assert caught.value.hint.startswith("give ")
    if needs.data:
        model = nn.PReLU() if needs.shape else witness()  # which no inputs are found for by trial
        with pytest.raises(SettingError, match="no data") as caught:
            kind().run(ls.Subject(model))
        assert "--data" in caught.value.hint


# --- the command -------------------------------------------------------------------------------


def test_there_is_a_command(kind):
    text = done(f"{words_of(kind)} --help").stdout
    words = " ".join(text.split())
    assert str(kind.__doc__).splitlines()[0] in words
    for key, (_, option) in kind.options().items():
        assert f"--{key.replace('_', '-')} " in words
        assert option.help in words
        assert option.bounds in words
    *group, command = words_of(kind).split()
    assert f"  {command} " in done(" ".join([*group, "--help"])).stdout
    assert f"  {[*group, command][0]} " in done("--help").stdout


def test_the_readme_mentions_it(kind):
    readme = ROOT / "README.md"
    if not readme.exists():
        pytest.skip("there is no README.md yet")
    assert f"landscape {words_of(kind)}" in readme.read_text()


# --- the answer --------------------------------------------------------------------------------

of_one_or_several = pytest.mark.parametrize(
    "series",
    [pytest.param(False, marks=pytest.mark.full, id="one"), pytest.param(True, id="series")],
)


@of_one_or_several
def test_json_round_trip(kind, answers, series):
    result = answers(kind, series=series)
    document = result.to_json()
    text = json.dumps(document, allow_nan=False)
    again = type(result).from_json(json.loads(text))
    assert again.to_json() == document
    assert again.summary() == result.summary()
    for read in ("tables", "findings", "trust"):  # as text: NaN differs from itself
        assert repr(getattr(again, read)()) == repr(getattr(result, read)())
    assert len(again.series) == len(result.series) == (2 if series and kind.needs.each else 0)


@of_one_or_several
def test_schema(kind, answers, series):
    schema = kind.result.schema()
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    document = answers(kind, series=series).to_json()
    validator(schema).validate(document)
    assert list(document) == ["schema", "status", "message", "settings", "seed", "cost", "answer",
                              "provenance"]  # fmt: skip
    for key in document:
        assert not validator(schema).is_valid({k: v for k, v in document.items() if k != key})
    whole = document["answer"]
    answer = whole["series"][0] if "series" in whole else whole
    for key in list(answer):
        kept = answer.pop(key)
        assert not validator(schema).is_valid(document), f"{key} may be missing"
        answer[key] = kept
    assert validator(schema).is_valid(document)


def test_the_answer_is_frozen_and_holds_no_tensors(kind, answers):
    result = answers(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.message = "other"
    assert not any(isinstance(part, Tensor | nn.Module) for part in parts(result))


def parts(value: Any) -> Iterator[Any]:
    """Yield everything that an answer holds."""
    yield value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from parts(getattr(value, field.name))
    elif isinstance(value, dict):
        for item in value.values():
            yield from parts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from parts(item)


def test_every_estimate_is_well_formed(kind, answers):
    found = [part for part in parts(answers(kind)) if isinstance(part, Estimate)]
    assert found
    for estimate in found:
        low, high = estimate.interval
        if math.isfinite(estimate.value):
            assert low <= estimate.value <= high
        if estimate.kind == "exact":
            assert low == high
        assert 0 < estimate.level <= 1
        assert estimate.method
        assert estimate.residual is None or estimate.residual >= 0


@of_one_or_several
def test_it_says_how_it_ended(kind, answers, series):
    result = answers(kind, series=series)
    assert result.status in Status
    assert result.message.endswith(".")
    assert result.settings == {
        f.name: getattr(question(kind), f.name) for f in dataclasses.fields(kind)
    }
    assert result.cost.seconds > 0
    assert result.cost.peak_memory_bytes > 0
    assert result.cost.samples == 11
    assert result.provenance["weights_fingerprint"]


@of_one_or_several
def test_it_reads_well(kind, answers, series):
    result = answers(kind, series=series)
    assert result.summary()
    assert len(result.summary().splitlines()) <= 2
    assert result.caption().endswith((".", str(result.seed)))
    for table in result.tables():
        assert isinstance(table, Table)
        assert table.title
        assert all(table.columns)
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(isinstance(cell, CELLS) for cell in row), row
    for finding in result.findings():
        assert isinstance(finding, Finding)
        assert finding.severity in get_args(Severity)
        for text in (finding.sentence, finding.evidence, finding.advice):
            assert text.endswith("."), text
    for row in result.trust():
        assert len(row) == 2
        assert all(row), row


@of_one_or_several
def test_it_draws(kind, answers, series):
    result = answers(kind, series=series)
    alone, labelled = Figure().add_subplot(), Figure().add_subplot()
    result.draw(alone)
    assert alone.has_data()
    assert alone.get_xlabel()
    result.draw(labelled, label="a label", colour="#ff0000")
    assert "a label" in texts(labelled)


def texts(axes: Axes) -> list[str]:
    """Return all that is written on axes, legends included."""
    return [text.get_text() for text in axes.findobj(Text)]


@pytest.mark.parametrize(
    "suffix", ["png", *(pytest.param(one, marks=pytest.mark.full) for one in ("svg", "pdf"))]
)
def test_it_plots(kind, answers, tmp_path, suffix):
    answers(kind).plot(tmp_path / f"one.{suffix}")
    answers(kind).plot(tmp_path / f"two.{suffix}")
    first, second = ((tmp_path / f"{n}.{suffix}").read_bytes() for n in ("one", "two"))
    assert len(first) > 1000
    assert first == second, "the figure differs from call to call"


def test_it_shows_itself_in_a_notebook(kind, answers):
    html = answers(kind)._repr_html_()
    assert "<svg" in html
    assert "<script" not in html


# --- reproducible ------------------------------------------------------------------------------


@of_one_or_several
def test_the_same_seed_gives_the_same_answer(kind, answers, series):
    first = answers(kind, series=series).to_json()
    with disturbed():
        second = question(kind).run(several() if series else asked(kind)).to_json()
    for document in (first, second):
        document["cost"] = {k: document["cost"][k] for k in ("products", "samples")}
    assert first == second


@contextmanager
def disturbed() -> Iterator[None]:
    """Other global random numbers than before."""
    with torch.random.fork_rng():
        torch.manual_seed(1234)
        random.seed(1234)
        np.random.seed(1234)
        yield


@pytest.mark.full
def test_two_runs_on_one_subject_agree(kind):
    studied = asked(kind)
    first, second = (question(kind).run(studied).to_json()["answer"] for _ in range(2))
    assert first == second


# --- the subject is left as it was -------------------------------------------------------------

FLAGS: dict[str, Callable[[], object]] = {
    "flash": torch.backends.cuda.flash_sdp_enabled,
    "memory efficient": torch.backends.cuda.mem_efficient_sdp_enabled,
    "math": torch.backends.cuda.math_sdp_enabled,
    "cudnn attention": torch.backends.cuda.cudnn_sdp_enabled,
    "tf32 matmul": lambda: torch.backends.cuda.matmul.allow_tf32,
    "tf32 cudnn": lambda: torch.backends.cudnn.allow_tf32,
    "float32 precision": torch.get_float32_matmul_precision,
    "benchmark": lambda: torch.backends.cudnn.benchmark,
    "deterministic": torch.are_deterministic_algorithms_enabled,
    "gradients": torch.is_grad_enabled,
    "inference": torch.is_inference_mode_enabled,
    "anomaly": torch.is_anomaly_enabled,
    "autocast": torch.is_autocast_enabled,
    "dtype": torch.get_default_dtype,
    "device": torch.get_default_device,
    "threads": torch.get_num_threads,
}


def everything(model: nn.Module) -> dict[str, object]:
    """Return all that could be changed, as values that can be compared."""
    found: dict[str, object] = {name: read() for name, read in FLAGS.items()}
    found["random torch"] = torch.get_rng_state().tolist()
    found["random numpy"] = str(np.random.get_state())
    found["random python"] = random.getstate()
    for name, module in model.named_modules():
        found[f"{name}: mode"] = module.training
        for key, value in vars(module).items():
            if "hooks" in key:
                found[f"{name}: {key}"] = [(number, id(hook)) for number, hook in value.items()]
        found[f"{name}: attributes"] = sorted(vars(module))
    tensors = [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in tensors:
        found[f"{name}: identity"] = (id(tensor), tensor.data_ptr())
        found[f"{name}: requires grad"] = tensor.requires_grad
        found[f"{name}: bytes"] = tensor.detach().numpy().tobytes()
        grad = tensor.grad
        found[f"{name}: grad"] = None if grad is None else (id(grad), grad.numpy().tobytes())
    return found


@pytest.fixture(
    params=[
        pytest.param(False, marks=pytest.mark.full, id="flags as they are"),
        pytest.param(True, id="flags turned"),
    ]
)
def flags(request) -> Iterator[None]:
    """Every switch as it is, and the other way round: what is restored must be what was there."""
    if not request.param:
        yield
        return
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    try:
        torch.backends.cuda.matmul.allow_tf32 = not before[0]
        torch.backends.cudnn.allow_tf32 = not before[1]
        torch.backends.cuda.enable_flash_sdp(False)
        torch.backends.cuda.enable_mem_efficient_sdp(False)
        with torch.no_grad():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
        torch.backends.cuda.enable_flash_sdp(True)
        torch.backends.cuda.enable_mem_efficient_sdp(True)


@pytest.mark.usefixtures("flags")
def test_the_subject_is_untouched(kind):
    model = witness()
    before = everything(model)
    assert any("hooks" in key and value for key, value in before.items())
    result = question(kind).run(asked(kind, model, seed=3))
    assert result.to_json()["answer"]
    assert everything(model) == before


def test_checkpoints_and_data_are_untouched(kind):
    data = dataset()
    copies = [tensor.clone() for tensor in data.tensors]
    first, last = witness(), moved(1)
    ends = [ls.Checkpoint.of_model(first, "first"), ls.Checkpoint.of_model(last, "last")]
    held = [{name: t.clone() for name, t in one.tensors.items()} for one in ends]
    before = everything(last)
    question(kind).run(ls.Subject(last, "ce", data, ends, device="cpu"))
    assert everything(last) == before
    for one, copy in zip(ends, held, strict=True):
        assert all(torch.equal(one.tensors[name], copy[name]) for name in copy)
    assert all(torch.equal(a, b) for a, b in zip(data.tensors, copies, strict=True))


@cache
def calls_of(kind: type[Diagnostic[Any]]) -> int:
    """How often a question calls its network."""
    model = witness()
    question(kind).run(asked(kind, model, product="cached"))  # not what the clock chooses
    return model.calls


ERRORS = (Interruption("x"), RuntimeError("x"), KeyboardInterrupt("x"))
SOME = {  # each flag, place and error at least once
    (False, 0.0, RuntimeError),
    (True, 0.3, KeyboardInterrupt),
    (False, 0.6, Interruption),
    (True, 1.0, RuntimeError),
}


def ends() -> Iterator[Any]:
    """Yield flags, the place where the network raises, and what; some, or with --full all."""
    for turned, when, error in product((False, True), (0.0, 0.3, 0.6, 1.0), ERRORS):
        marks = () if (turned, when, type(error)) in SOME else pytest.mark.full
        name = f"{'flags turned' if turned else 'flags as they are'}-{type(error).__name__}-{when}"
        yield pytest.param(turned, when, error, marks=marks, id=name)


@pytest.mark.parametrize(("flags", "when", "error"), [*ends()], indirect=["flags"])
@pytest.mark.usefixtures("flags")
def test_the_subject_is_untouched_after_an_error(kind, when, error):
    """The network itself raises from its first call on, from the middle, or from the last."""
    if not kind.needs.data:
        pytest.skip("the network is never called")
    model = witness()
    with torch.enable_grad():
        first = 1 + round(when * (calls_of(kind) - 1))
    model.raises_at = first
    model.error = error
    before = everything(model)
    with pytest.raises((type(error), ls.LandscapeError)):
        question(kind).run(asked(kind, model, seed=3, product="cached"))
    assert everything(model) == before
    trains = "train" in kind.options()  # a copy, which counts and raises by itself
    assert trains or model.calls >= first


class Impatient:
    """Interrupts at a step of the work, as Ctrl-C does."""

    def __init__(self, step: int | None) -> None:
        self.step, self.steps = step, 0

    def begin(self, task: str, total: int | None) -> None:
        del task, total

    def advance(self, task: str, steps: int) -> None:
        del task, steps
        self.steps += 1
        if self.steps == self.step:
            raise KeyboardInterrupt

    def end(self, task: str) -> None:
        del task


@cache
def steps_of(kind: type[Diagnostic[Any]]) -> int:
    """How often a question tells its progress."""
    patient = Impatient(None)
    with listening(patient):
        question(kind).run(asked(kind))
    return patient.steps


@pytest.mark.parametrize(
    "when", [0.5, *(pytest.param(one, marks=pytest.mark.full) for one in (0.0, 1.0))]
)
def test_the_subject_is_untouched_after_an_interruption(kind, when):
    steps = steps_of(kind)
    assert steps, "no progress is told"
    model = witness()
    before = everything(model)
    with (
        listening(Impatient(1 + round(when * (steps - 1)))),
        pytest.raises(KeyboardInterrupt),
    ):
        question(kind).run(asked(kind, model))
    assert everything(model) == before


def test_the_witness_sees(kind):
    """What the tests above compare does notice each of the disturbances."""
    del kind
    model = witness()
    before = everything(model)
    harm: dict[str, Callable[[], object]] = {
        "mode": lambda: model.dropout.eval(),
        "weights": lambda: model.head.weight.data.mul_(2),
        "buffer": lambda: model.scale.add_(1),
        "gradient": lambda: setattr(model.head.bias, "grad", torch.zeros(3)),
        "frozen": lambda: model.frozen.requires_grad_(True),
        "hook": lambda: model.stem.register_forward_hook(lambda *_: None),
        "random": lambda: (torch.rand(1), np.random.rand(), random.random()),
    }
    for name, disturb in harm.items():
        disturb()
        after = everything(model)
        assert after != before, name
        before = after


def test_a_file_is_studied_like_its_weights(kind, tmp_path):
    """The same numbers through the command line, whatever stands in the way."""
    from tests.cli.networks import mlp

    names = ["final.pt", "last.pt"][: kind.needs.checkpoints[0]]
    for seed, name in enumerate(names):
        torch.save(filled(mlp(), seed).state_dict(), tmp_path / name)
    paths = [tmp_path / name for name in names]
    flags = f"--model {NETWORKS}:mlp" if kind.needs.model else ""
    flags += f" --data {NETWORKS}:data" if kind.needs.data else ""
    settings = "".join(f" --{k.replace('_', '-')} {v}" for k, v in QUICK.get(kind.name, {}).items())
    outcome = run(f"{words_of(kind)} {' '.join(map(str, paths))} {flags}{settings} --json")
    assert outcome.code in (0, 7), outcome.stderr  # networks that have not learned: no verdict
    told = outcome.document
    attached: dict[str, Any] = {
        **({"model": f"{NETWORKS}:mlp"} if kind.needs.model else {}),
        **({"data": f"{NETWORKS}:data"} if kind.needs.data else {}),
    }
    studied = ls.Subject(**attached, checkpoints=paths)
    assert kind(**QUICK.get(kind.name, {})).run(studied).to_json()["answer"] == told["answer"]
