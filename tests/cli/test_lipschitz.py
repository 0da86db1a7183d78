"""`landscape lipschitz`: one document, files, certificates proved again, refusals."""

from __future__ import annotations

from pathlib import Path

import jsonschema
import pytest
import torch
from torch import nn

from landscape.bracket.result import LipschitzResult
from tests.cli.command import Outcome, done, run

FACTORIES = """
import torch
from torch import nn


def build():
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))


def attention():
    return nn.Sequential(
        nn.Linear(4, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Flatten(),
        nn.Linear(40, 3),
    )


class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)

    def forward(self, x):
        return torch.round(self.inner(x))


def odd():
    return Odd()


def data():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(9, 4, generator=generator), torch.arange(9) % 3)]


def sequences():
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(6, 5, 4, generator=generator), torch.arange(6) % 3)]
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "nets.py").write_text(FACTORIES)
    space: dict = {}
    exec(FACTORIES, space)
    for name in ("build", "attention", "odd"):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model: nn.Module = space[name]()
        torch.save(model.state_dict(), folder / f"{name}.pt")
        for parameter in model.parameters():
            parameter.data *= 1.2
        torch.save(model.state_dict(), folder / f"{name}2.pt")
    return folder


def lipschitz(runs: Path, names: str, more: str = "", *, data: str = "data") -> Outcome:
    model = names.split()[0].removesuffix("2")
    paths = " ".join(f"{runs}/{name}.pt" for name in names.split())
    attached = f"--model {runs}/nets.py:{model} --data {runs}/nets.py:{data} --device cpu"
    return run(f"lipschitz {paths} {attached} --starts 2 --steps 20 --seconds 5 {more}")


def test_one_document(runs):
    outcome = lipschitz(runs, "build", "--json")
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    jsonschema.validate(document, LipschitzResult.schema(), cls=jsonschema.Draft202012Validator)
    answer = document["answer"]
    assert answer["domain"] == "global"
    network = answer["network"]
    assert network["lower"]["kind"], network["upper"]["kind"] == ("lower_bound", "upper_bound")
    assert network["lower"]["value"] <= network["upper"]["value"]
    assert network["ratio"] == network["upper"]["value"] / network["lower"]["value"]
    assert [one["name"] for one in answer["layers"]] == ["0", "2", "4"]
    assert answer["refused"] == []
    (chain,) = answer["chains"]
    assert chain["widths"] == [4, 8, 6, 3]
    assert chain["upper"]["value"] < chain["product"]["value"]


def test_attention_is_bounded_on_the_ball_and_named(runs):
    outcome = lipschitz(runs, "attention", "--json", data="sequences")
    assert outcome.code == 0, outcome.stderr
    answer = outcome.document["answer"]
    assert answer["domain"] == "ball"
    assert answer["radius"] > 0
    assert answer["network"]["upper"]["value"] > answer["network"]["lower"]["value"] > 0
    assert answer["refused"] == ["scaled_dot_product_attention at 1.self_attn"]
    everywhere = lipschitz(runs, "attention", "--domain global --json", data="sequences")
    answer = everywhere.document["answer"]
    assert answer["network"]["upper"]["value"] is None
    assert "not globally Lipschitz" in answer["network"]["upper"]["reason"]
    assert answer["network"]["lower"]["value"] > 0


def test_an_operation_without_a_rule_is_named(runs):
    outcome = lipschitz(runs, "odd")
    assert "round" in outcome.stdout
    assert "no upper bound" in outcome.stdout


def test_certificates_are_proved_again(runs, tmp_path):
    files = f"--certificate {tmp_path}/a.cert --witness {tmp_path}/a.npz"
    first = lipschitz(runs, "build", f"{files} --json")
    assert first.code == 0, first.stderr
    assert (tmp_path / "a.npz").stat().st_size > 100
    again = lipschitz(runs, "build", f"--verify {tmp_path}/a.cert --json")
    assert again.code == 0, again.stderr
    one, other = (each.document["answer"] for each in (first, again))
    assert other["verified"]
    assert not one["verified"]
    assert other["network"]["upper"]["value"] == one["network"]["upper"]["value"]
    foreign = lipschitz(runs, "build2", f"--verify {tmp_path}/a.cert")
    assert foreign.code == 3
    assert "error[L300]" in foreign.stderr


def test_a_series_and_its_files(runs, tmp_path):
    outcome = lipschitz(runs, "build build2", f"-o {tmp_path}/out --json")
    assert outcome.code == 0, outcome.stderr
    one, other = outcome.document["answer"]["series"]
    assert one["network"]["upper"]["value"] < other["network"]["upper"]["value"]
    for name in ("lipschitz.json", "lipschitz.png", "lipschitz-series.svg", "lipschitz-layers.png"):
        assert (tmp_path / "out" / name).stat().st_size > 1000
    done(f"plot {tmp_path}/out/lipschitz.json -o {tmp_path}/again.svg")


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        ("--domain round", 2, "auto"),
        ("--radius -1", 2, "at least 0"),
        ("--verify absent.cert", 3, "absent.cert"),
        ("--verify a.cert --certificate b.cert", 2, "either written or verified"),
    ],
)
def test_refusals(runs, more, code, says):
    outcome = lipschitz(runs, "build", more)
    assert outcome.code == code, outcome.stderr
    assert says in outcome.stderr
    assert outcome.stdout == ""
