"""Several processes on the CPU against one, against a dense reference, and against each other."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from landscape.errors import LandscapeError
from landscape.linalg.eigenpairs import eigenpairs
from landscape.linalg.trace import estimate_traces
from landscape.operators.hessian import HessianOperator
from landscape.subject.batch import Batch, as_batch
from landscape.subject.batches import dealt
from landscape.subject.ranks import Ranks
from landscape.subject.subject import Subject
from tests.cases import CASES, Problem, classified, dense_hessian, reference, seeded
from tests.oracles import generator, spectrum_of

ROOT = Path(__file__).parents[2]
NETWORKS = ROOT / "tests/cli/networks.py"
SPECTRA = ("ragged", "cnn", "ignored")  # ignored: a tied transformer, ragged token counts
TOP, BOTTOM = 4, 2
SOON = 60  # seconds: less than any wait for another rank, more than Python takes to start


# --- what every process computes ---------------------------------------------------------------


def spectrum(subject: Subject) -> dict[str, Any]:
    operator = HessianOperator(subject)
    pairs = eigenpairs(operator, top=TOP, bottom=BOTTOM, generator=generator(0), tolerance=1e-6)
    blocks = [(0, operator.shape[0])]
    traces = estimate_traces(operator, blocks=blocks, generator=generator(1), max_probes=16)
    rows = torch.randn(3, operator.shape[0], generator=generator(2), dtype=torch.float64)
    return {
        "top": list(map(float, pairs.top.values)),
        "bottom": list(map(float, pairs.bottom.values)),
        "trace": traces.trace.value,
        "loss": subject.loss(subject.point),
        "gradient": subject.gradient(subject.point).tolist(),
        "products": operator.matmat(rows.T.to(operator.dtype)).tolist(),
        "count": subject.count,
        "own": sum(batch.samples for batch in operator.engine.micro_batches),
    }


@cache
def case(name: str) -> dict[str, Any]:
    return spectrum(CASES[name]().subject(dtype="float64"))


def root_mean_square(outputs: Tensor, targets: Tensor) -> Tensor:
    """Is no sum over samples."""
    return (outputs - nn.functional.one_hot(targets, 3)).square().mean().sqrt()


def indivisible() -> Problem:
    return Problem(small(), classified((7,), (5,), 3), loss=root_mean_square)


def small() -> nn.Module:
    return seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3)), 3)


def few() -> Problem:
    return Problem(small(), classified((2,), (5,), 3))


def simple(problem: Problem) -> dict[str, Any]:
    subject = problem.subject(dtype="float64")
    operator = HessianOperator(subject)
    return {
        "loss": subject.loss(subject.point),
        "gradient": subject.gradient(subject.point).tolist(),
        "products": operator.to_dense().tolist(),
        "notes": subject.provenance()["notes"],
        "ranks": subject.provenance()["ranks"],
    }


def short_of_memory() -> dict[str, Any]:
    """Rank 1 has room for twenty samples at a time."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if Ranks.current().rank == 1 and outputs.requires_grad and len(outputs) > 20:
            raise RuntimeError("out of memory")
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    subject = Problem(small(), classified((48, 7), (5,), 3), loss=loss).subject(dtype="float64")
    products = HessianOperator(subject).to_dense().tolist()
    return {"products": products, "notes": subject.provenance()["notes"]}


def failing_on_one() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if Ranks.current().rank == 1 and outputs.requires_grad:
            raise KeyError("no such key: margin")
        return nn.functional.cross_entropy(outputs, targets, reduction="none")

    subject = Problem(small(), classified((6, 5), (5,), 3), loss=loss).subject()
    subject.gradient(subject.point)


def non_finite_on_one() -> None:
    """The infinite loss is in the second batch, which rank 1 checks."""

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        single = nn.functional.cross_entropy(outputs, targets, reduction="none")
        return single / (len(outputs) - 5)

    subject = Problem(small(), classified((6, 5), (5,), 3), loss=loss).subject()
    assert subject.identity()["value"] is None
    _ = subject.count


def other_data() -> None:
    samples = 6 + Ranks.current().rank
    subject = Problem(small(), classified((samples,), (5,), 3)).subject()
    subject.loss(subject.point)


def other_weights() -> None:
    model = seeded(lambda: nn.Linear(5, 3), Ranks.current().rank)
    subject = Subject(model, "ce", classified((6,), (5,), 3), device="cpu")
    subject.loss(subject.point)


def out_of_step() -> None:
    """Rank 1 does something else of the same size."""
    subject = few().subject()
    point = subject.point
    _ = subject.count
    subject.loss(point.moved(point.theta + Ranks.current().rank))


def remembered() -> dict[str, Any]:
    """Each rank has a folder of its own; only that of the first is used."""
    ranks = Ranks.current()
    folder = Path(os.environ["FOLDER"]) / f"memory-{ranks.rank}"
    problem = few()
    first = problem.subject(folder=folder).once(loss_of)
    again = problem.subject(folder=folder)
    with nothing_computed():
        second = again.once(loss_of)
    return {"first": first, "second": second, "files": len(list(folder.glob("*.npz")))}


def loss_of(subject: Subject) -> float:
    return subject.loss(subject.point)


def failing(subject: Subject) -> float:
    raise RuntimeError(f"{subject} was asked again")


@contextmanager
def nothing_computed() -> Iterator[None]:
    """Replace the function by one that must not be called, under the same name."""
    code = loss_of.__code__
    loss_of.__code__ = failing.__code__
    yield
    loss_of.__code__ = code


def alone() -> float:
    """One rank by itself, while the other does nothing."""
    problem = few()
    return loss_of(problem.subject(ranks=Ranks())) if Ranks.current().first else float("nan")


def vanishing() -> None:
    if Ranks.current().rank == 1:
        sys.stdout.flush()
        os._exit(0)
    out_of_step()


REFUSED = (failing_on_one, non_finite_on_one, other_data, other_weights, out_of_step)


def two() -> dict[str, Any]:
    found: dict[str, Any] = {name: case(name) for name in SPECTRA}
    found["single precision"] = spectrum(CASES["cnn"]().subject())
    found["indivisible"] = simple(indivisible())
    found["short of memory"] = short_of_memory()
    found["remembered"] = remembered()
    found["alone"] = alone()
    for function in REFUSED:
        found[function.__name__] = told(function)
    found["in step again"] = simple(few())
    save(found)
    found["vanishing"] = told(vanishing)
    return found


def three() -> dict[str, Any]:
    return simple(few())


def told(function: Callable[[], Any]) -> dict[str, Any]:
    started = time.monotonic()
    try:
        function()
    except LandscapeError as error:
        return {**error.to_json(), "seconds": time.monotonic() - started}
    return {}


def save(found: dict[str, Any]) -> None:
    path = Path(os.environ["FOLDER"]) / f"{Ranks.current().rank}.json"
    path.write_text(json.dumps(found), "utf-8")


# --- starting processes ------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def ranks_of(name: str, size: int, folder: Path) -> list[dict[str, Any]]:
    """What each of several processes found in the function of that name."""
    code = f"from tests.subject.test_ranks import *; torch.set_num_threads(1); save({name}())"
    shared = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(free_port()),
        "FOLDER": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]
    for one in started:
        _, said = one.communicate(timeout=120)
        assert one.returncode == 0, said
    return [json.loads((folder / f"{rank}.json").read_text("utf-8")) for rank in range(size)]


def torchrun(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.run(
        [*program, "--standalone", "-m", "landscape", *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> list[dict[str, Any]]:
    return ranks_of("two", 2, tmp_path_factory.mktemp("two"))


# --- dealing -----------------------------------------------------------------------------------


def numbered(*sizes: int) -> list[Batch]:
    ends = torch.tensor(sizes).cumsum(0).tolist()
    numbers = [torch.arange(end - size, end) for size, end in zip(sizes, ends, strict=True)]
    return [as_batch((one.float().unsqueeze(1), one), 0) for one in numbers]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("sizes", [(7,), (1,) * 9, (4, 1, 6, 3), (2,), (64, 2, 1)])
def test_every_sample_is_dealt_once_and_evenly(sizes, size):
    parts = [list(dealt(numbered(*sizes), rank=rank, size=size)) for rank in range(size)]
    samples = [sum(batch.samples for batch in part) for part in parts]
    assert max(samples) - min(samples) <= 1
    assert all(batch.samples for part in parts for batch in part)
    found = torch.cat([batch.targets for part in parts for batch in part])
    assert found.sort().values.tolist() == list(range(sum(sizes)))


def test_batches_that_cannot_be_cut_are_dealt_whole():
    mask = torch.ones(4, 4)
    batches = [
        as_batch({"x": one.args[0], "mask": mask, "labels": one.targets}, 0)
        for one in numbered(3, 5, 2, 6, 7)
    ]
    parts = [list(dealt(batches, rank=rank, size=2)) for rank in range(2)]
    assert [batch.samples for batch in parts[0]] == [3, 2, 7]
    assert [batch.samples for batch in parts[1]] == [5, 6]
    whole = [list(dealt(numbered(3, 5), rank=rank, size=2, by_sample=False)) for rank in range(2)]
    assert [[batch.samples for batch in part] for part in whole] == [[3], [5]]


# --- two processes -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", SPECTRA)
def test_two_ranks_give_the_eigenvalues_of_one(pair, name):
    single, truth = case(name), spectrum_of(dense_hessian(name))
    scale = max(abs(truth))
    for found in (one[name] for one in pair):
        for end, expected in (("top", truth[::-1][:TOP]), ("bottom", truth[:BOTTOM])):
            assert found[end] == pytest.approx(single[end], abs=1e-6 * scale, rel=0)
            assert found[end] == pytest.approx(list(expected), abs=1e-6 * scale, rel=0)


@pytest.mark.parametrize("name", SPECTRA)
def test_two_ranks_give_the_other_numbers_of_one(pair, name):
    single, exact = case(name), reference(name)
    for found in (one[name] for one in pair):
        assert found["count"] == single["count"] == exact.count
        assert found["loss"] == pytest.approx(float(exact.loss(exact.theta)), rel=1e-12)
        assert found["gradient"] == pytest.approx(exact.gradient(exact.theta).tolist(), abs=1e-12)
        assert found["trace"] == pytest.approx(single["trace"], rel=1e-6)
        assert torch.allclose(
            torch.tensor(found["products"]), torch.tensor(single["products"]), atol=1e-10
        )


def test_single_precision_too(pair):
    single = spectrum(CASES["cnn"]().subject())
    scale = max(map(abs, single["top"]))
    for found in (one["single precision"] for one in pair):
        assert found["top"] == pytest.approx(single["top"], abs=1e-6 * scale, rel=0)
        assert found["bottom"] == pytest.approx(single["bottom"], abs=1e-6 * scale, rel=0)


@pytest.mark.parametrize("name", SPECTRA)
def test_both_ranks_hold_the_same_numbers_and_half_of_the_work(pair, name):
    first, second = ({**one[name]} for one in pair)
    own, other = first.pop("own"), second.pop("own")
    assert first == second
    samples = sum(as_batch(item, 0).samples for item in CASES[name]().data)
    assert own + other == samples
    assert abs(own - other) <= 1


def test_a_loss_that_is_no_sum_over_samples_is_left_whole(pair):
    single = simple(indivisible())
    for found in (one["indivisible"] for one in pair):
        assert found["products"][0] == pytest.approx(single["products"][0], abs=1e-10)
        assert found["loss"] == pytest.approx(single["loss"], rel=1e-12)
        assert any("ranks take whole batches" in note for note in found["notes"])


def test_memory_that_runs_out_on_one_rank_changes_no_number(pair):
    single = short_of_memory()
    for found in (one["short of memory"] for one in pair):
        assert torch.allclose(
            torch.tensor(found["products"]), torch.tensor(single["products"]), atol=1e-10
        )
    assert any("memory ran out" in note for note in pair[1]["short of memory"]["notes"])
    assert not any("memory ran out" in note for note in pair[0]["short of memory"]["notes"])


def test_only_the_first_rank_remembers_on_disk(pair):
    first, second = (one["remembered"] for one in pair)
    assert first["files"] == 1
    assert second["files"] == 0
    assert first["first"] == first["second"] == second["first"] == second["second"]


def test_a_rank_can_stay_alone(pair):
    assert pair[0]["alone"] == pytest.approx(loss_of(few().subject()), rel=1e-6)


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("failing_on_one", "L320", "KeyError: 'no such key: margin'"),
        ("non_finite_on_one", "L500", "the loss is not finite in batch 1"),
        ("other_data", "L330", "the ranks do not hold the same data"),
        ("other_weights", "L330", "the ranks do not hold the same weights"),
        ("out_of_step", "L600", "not at the same step"),
    ],
)
def test_what_one_rank_raises_all_raise(pair, name, code, text):
    for found in (one[name] for one in pair):
        assert found["code"] == code
        assert text in found["what"]
        assert found["seconds"] < SOON
    if name == "failing_on_one":
        assert pair[0][name]["where"].startswith("rank 1")


def test_ranks_go_on_in_step_after_an_error_that_both_saw(pair):
    assert pair[0]["in step again"]["loss"] == pytest.approx(simple(few())["loss"], rel=1e-12)


def test_a_rank_that_vanishes_is_missed(pair):
    assert "another rank is gone" in pair[0]["vanishing"]["what"]
    assert pair[0]["vanishing"]["seconds"] < SOON


@pytest.mark.full
def test_more_ranks_than_samples(tmp_path):
    single = simple(few())
    for found in ranks_of("three", 3, tmp_path):
        assert found["loss"] == pytest.approx(single["loss"], rel=1e-12)
        assert found["gradient"] == pytest.approx(single["gradient"], abs=1e-12)
        assert torch.allclose(
            torch.tensor(found["products"]), torch.tensor(single["products"]), atol=1e-12
        )
        assert found["ranks"] == 3


# --- the command -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    from tests.cli.networks import mlp

    path = tmp_path_factory.mktemp("run") / "c.pt"
    torch.save(mlp().state_dict(), path)
    return path


def asked(checkpoint: Path, *more: str | Path) -> list[str | Path]:
    fast = ["--probes", "2", "--lanczos-steps", "8", "--max-probes", "4", "--tolerance", "1e-5"]
    data = ["--data", f"{NETWORKS}:data", "--device", "cpu"]
    return ["spectrum", checkpoint, "--model", f"{NETWORKS}:mlp", *data, *fast, *more]


@pytest.mark.full
def test_the_command_speaks_with_one_voice(checkpoint, tmp_path):
    ended = torchrun(*asked(checkpoint, "-o", tmp_path / "two"))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("data: ") == 1
    assert {path.name for path in (tmp_path / "two").iterdir()} == {
        "cache",
        "spectrum.json",
        "spectrum-layers.png",
        "spectrum-layers.svg",
        "spectrum.png",
        "spectrum.svg",
    }
    document = json.loads((tmp_path / "two/spectrum.json").read_text("utf-8"))
    from tests.cli.command import done

    one = done("", *asked(checkpoint, "--json")).document
    assert document["provenance"]["ranks"] == 2
    top, expected = (each["answer"]["eigenvalues"]["top"] for each in (document, one))
    values = [e["value"] for e in expected]
    assert [e["value"] for e in top] == pytest.approx(values, abs=1e-6 * values[0], rel=0)


def test_an_error_on_one_rank_ends_the_command(checkpoint, tmp_path):
    factory = tmp_path / "broken.py"
    factory.write_text(
        "import os, sys\n"
        f"sys.path.insert(0, {str(NETWORKS.parent)!r})\n"
        "from networks import *\n"
        "def model():\n"
        "    if os.environ['RANK'] == '1':\n"
        "        raise KeyError('shard 7 is missing')\n"
        "    return mlp()\n",
        "utf-8",
    )
    started = time.monotonic()
    ended = torchrun(*asked(checkpoint, "--model", f"{factory}:model", "-o", tmp_path / "none"))
    assert time.monotonic() - started < SOON
    assert ended.returncode != 0
    assert "shard 7 is missing" in ended.stderr
    assert ended.stderr.count("error[") == 1
    assert not ended.stdout
    assert not (tmp_path / "none").exists()


def test_commands_that_share_no_work_are_refused(monkeypatch):
    from landscape_cli.main import landscape

    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Exception, match="demo shares no work"):
        landscape.main(["demo"], standalone_mode=False)
