"""Two processes under DistributedDataParallel: the norms are those of one."""

from __future__ import annotations

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from landscape.errors import SettingError
from landscape.recorder.history import History, history_of
from landscape.recorder.log import read_log
from landscape.recorder.recorder import Recorder
from landscape.signals.two_batch import signal_and_noise
from tests.cases import normal
from tests.recorder.runs import mlp, sgd

STEPS, SIZE = 6, 8


def loss_of(model: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(model(inputs), inputs[:, :3].argmax(1))


def work(rank: int, folder: str, port: int, passes: int) -> None:
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    dist.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    model = DistributedDataParallel(mlp())
    optimizer = sgd(model)
    log = Path(folder) / "rank-{rank}.jsonl"
    with (
        Recorder(model, optimizer, log=log, details_every=1, quiet=True),
        Recorder(model, optimizer, quiet=True) as second,
    ):
        for step in range(STEPS):
            optimizer.zero_grad()
            inputs = normal(2 * SIZE * passes, 5, seed=step).chunk(2)[rank]
            for number, part in enumerate(inputs.chunk(passes)):
                model.require_backward_grad_sync = number == passes - 1
                (loss_of(model, part) / passes).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    try:
        found = len(second.log().of("step"))
    except SettingError:
        found = 0
    assert found == (STEPS if rank == 0 else 0)
    dist.destroy_process_group()


def alone(folder: Path) -> History:
    model = mlp()
    optimizer = sgd(model)
    with Recorder(model, optimizer, log=folder / "alone.jsonl", quiet=True) as recorder:
        for step in range(STEPS):
            optimizer.zero_grad()
            loss_of(model, normal(2 * SIZE, 5, seed=step)).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
    return history_of(recorder.log())


def together(folder: Path, port: int, passes: int) -> list[History]:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(r, str(folder), port, passes)) for r in (0, 1)]
    for one in processes:
        one.start()
    for one in processes:
        one.join(120)
    assert [one.exitcode for one in processes] == [0, 0]
    return [history_of(read_log(folder / f"rank-{rank}.jsonl")) for rank in (0, 1)]


@pytest.fixture
def port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_norms_of_two_processes_are_those_of_one(tmp_path, port):
    expected = alone(tmp_path)
    for found in together(tmp_path, port, 1):
        assert found.names == expected.names
        for field in ("before", "gradient", "weight"):
            assert getattr(found, field) == pytest.approx(getattr(expected, field), rel=1e-5)
        assert found.clipped.all()
        assert (found.pieces[:, 3] == 2).all()


def test_noise_from_ranks_and_micro_batches(tmp_path, port):
    """The contributions of both ranks, averaged, make the identity of the sum of squares exact."""
    first, second = together(tmp_path, port, 2)
    assert (first.pieces[:, 3] == 4).all()
    assert first.pieces[:, 1] == pytest.approx(second.pieces[:, 1], rel=1e-5)
    small = (first.pieces[:, 0] + second.pieces[:, 0]) / 2
    model = mlp()
    squares, whole = [], torch.zeros(())
    for part in normal(4 * SIZE, 5, seed=0).chunk(4):
        gradient = torch.autograd.grad(loss_of(model, part) / 2, tuple(model.parameters()))
        flat = torch.cat([one.flatten() for one in gradient])
        squares.append(float(flat.square().sum()))
        whole = whole + flat
    assert small[0] == pytest.approx(sum(squares) / 4, rel=1e-5)
    assert first.pieces[0, 1] == pytest.approx(float((whole / 4).square().sum()), rel=1e-4)
    signal, noise = signal_and_noise(
        small, first.pieces[:, 1], inverse_size=first.pieces[:, 2], pieces=first.pieces[:, 3]
    )
    assert (noise > 0).all()
    assert len(signal) == STEPS
