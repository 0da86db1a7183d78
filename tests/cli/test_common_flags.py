"""The flags that all diagnostics share, and the exit codes: on two of them, and on the groups."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torchvision.datasets import FakeData

import landscape as ls
from landscape_cli.catalogue import load_command
from tests.cli.command import FAST, NETWORKS, SUBJECT, contents, done, run
from tests.cli.networks import filled, mlp

BRIEF = "--samples 8 --jacobian 0 --no-steps --width 8"
COMMANDS = {
    "spectrum": f"spectrum final.pt {SUBJECT} {FAST}",
    "gradients": f"gradients final.pt {SUBJECT} {BRIEF}",
}
STUDIED = {"model", "params", "mask", "device", "dtype"}
DATA = {
    "data", "held-out", "loss", "max-samples", "learning-rate", "batch-size", "mode", "product",
    "allow-download",
}  # fmt: skip
COMMON = {
    "seed", "config", "state-key", "ema", "no-ema", "trust-pickle", "strict", "force", "json",
    "output", "quiet", "verbose", "debug", "dry-run",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    first, last = filled(mlp(), 1).state_dict(), mlp().state_dict()
    torch.save({"model": first, "ema": last, "epoch": 0}, tmp_path / "initial.pt")
    torch.save(last, tmp_path / "final.pt")
    return tmp_path


@pytest.fixture(params=COMMANDS)
def command(request) -> str:
    return COMMANDS[request.param]


@pytest.mark.parametrize("kind", ls.DIAGNOSTICS, ids=lambda kind: kind.name)
def test_every_diagnostic_has_the_common_flags(kind):
    flags = {
        flag.removeprefix("--")
        for one in load_command(kind.name).params
        for flag in (*one.opts, *one.secondary_opts)
    }
    missing = COMMON - flags
    missing |= STUDIED - flags if kind.needs.model else set()
    missing |= DATA - flags if kind.needs.model or kind.needs.data else set()
    assert not missing
    assert ("preset" in flags) is bool(kind.presets)
    assert ("budget" in flags) is (kind.needs.data and kind.budgeted)


# --- dry run -----------------------------------------------------------------------------------


def test_dry_run_computes_and_writes_nothing(folder, command, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("something was computed")

    for kind in (ls.Spectrum, ls.Gradients):
        monkeypatch.setattr(kind, "run", fail)
    before = contents(folder)
    text = done(f"{command} --dry-run -o out").stdout
    name = command.split()[0]
    for part in ("1210", "23", "ce", f"out/{name}.json", "final.pt", "command line", "default"):
        assert part in text
    document = done(f"{command} --dry-run --json").document
    assert document["schema"] == "landscape/dry-run/1"
    assert document["samples"] == 23
    assert document["files"] == []
    assert contents(folder) == before


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (("final.pt", "nowhere.pt"), 3, "no such file"),
        ((":data", ":fails"), 3, "failed when it was called"),
        ((":mlp", ":ten_classes"), 3, "missing"),
        (("--data", "--held-out"), 2, "no data"),
        (("final.pt", "final.pt --seed -1"), 2, "at least 0"),
        (("final.pt", "final.pt --mode x"), 2, "'eval', 'train'"),
        (("final.pt", "final.pt -o final.pt/x"), 3, "cannot be written"),
        (("final.pt", "nan.pt"), 5, "non-finite"),
    ],
)
def test_dry_run_finds_what_the_run_would(folder, command, change, code, says):
    state = mlp().state_dict()
    state["1.weight"][0, 0] = torch.nan
    torch.save(state, folder / "nan.pt")
    changed = command.replace(*change)
    for flags in ("--dry-run", ""):
        outcome = run(f"{changed} {flags}")
        assert outcome.code == code, outcome.stderr
        assert says in outcome.stderr


# --- how much is told --------------------------------------------------------------------------


def test_verbose_tells_settings_switches_and_cost(command):
    plain, loud = done(f"{command} --json"), done(f"{command} --json -v")
    assert loud.document["answer"] == plain.document["answer"]
    for part in (
        "setting: model = ",
        "(command line)",
        "cost: ",
        " products, ",
        "switch: eval mode",
    ):
        assert part in loud.stderr
        assert part not in plain.stderr
    assert "default)" not in loud.stderr


def test_quiet_tells_nothing(command):
    outcome = done(f"{command} -q --json")
    assert outcome.stderr == ""
    assert outcome.document["status"]


def test_debug_changes_nothing_when_all_is_well(command):
    assert "Traceback" not in done(f"{command} --debug").stderr
    failed = run(f"{command.replace('final.pt', 'nowhere.pt')} --debug")
    assert failed.code == 3
    assert "Traceback" in failed.stderr


# --- what is read ------------------------------------------------------------------------------


def test_ema_takes_the_averaged_weights(command):
    name = command.split()[0]

    def answer(flags: str) -> dict:
        document = done(f"{command.replace('final.pt', 'initial.pt')} --json {flags}").document
        return {**document["answer"], "checkpoint": None}

    plain, averaged = answer("--no-ema"), answer("--ema")
    final = done(f"{command} --json").document["answer"]
    assert averaged == {**final, "checkpoint": None}, name
    assert plain != averaged
    assert answer("") == plain
    assert answer("--state-key ema") == averaged


def test_strict(command):
    loose = done(command)
    code = run(f"{command} --strict").code
    settled = loose.stdout.splitlines()[-1].startswith(("converged: ", "invariant subspace: "))
    assert code == (0 if settled else 5)


def test_the_last_line_says_in_words_how_it_ended():
    few = "--top 4 --tolerance 1e-9 --max-products 12 --probes 2 --max-probes 2"
    asked = f"spectrum final.pt {SUBJECT} --lanczos-steps 4 {few}"
    assert done(asked).stdout.splitlines()[-1].startswith("not converged: ")
    assert done(f"{asked} --json").document["status"] == "not_converged"


@pytest.mark.usefixtures("blank")
def test_force_begins_anew(folder, command):
    name = command.split()[0]
    done(f"{command} -o out")
    before = (folder / "out" / f"{name}.json").read_bytes()
    outcome = run(f"{command} -o out")
    assert outcome.code == 3
    assert (folder / "out" / f"{name}.json").read_bytes() == before
    done(f"{command} -o out --force")


def test_trust_pickle_is_the_only_way(folder, command):
    torch.save(mlp(), folder / "module.pt")
    refused = run(command.replace("final.pt", "module.pt"))
    assert refused.code == 4
    assert "--trust-pickle" in refused.stderr
    (folder / "landscape.toml").write_text("trust_pickle = true\n")
    assert run(command.replace("final.pt", "module.pt")).code == 2
    (folder / "landscape.toml").unlink()
    trusted = done(f"{command.replace('final.pt', 'module.pt')} --trust-pickle --json").document
    assert trusted["provenance"]["checkpoints"][0]["trusted_pickle"]


def test_what_the_users_code_prints_is_no_answer(folder):
    (folder / "loud.py").write_text(
        "import torch\n"
        "from tests.cli import networks\n"
        "print('loading')\n"
        "class Loud(torch.nn.Sequential):\n"
        "    def forward(self, x):\n"
        "        print('forward')\n"
        "        return super().forward(x)\n"
        "def build():\n"
        "    print('building')\n"
        "    return Loud(*networks.mlp())\n"
    )
    asked = f"gradients final.pt --model loud.py:build --data {NETWORKS}:data {BRIEF} --json"
    planned, told = done(f"{asked} --dry-run"), done(asked)
    assert planned.document["schema"] == "landscape/dry-run/1"
    assert told.document["schema"].startswith("landscape/gradients/")
    assert "loading" in planned.stderr
    asked = f"report {asked.partition(' ')[2]} --dry-run".replace(BRIEF, "")
    reported = done(asked)
    assert reported.document["question"] == "report"
    for word in ("building", "forward"):
        for outcome in (planned, told, reported):
            assert word in outcome.stderr


class OnTheNet(FakeData):
    """Twelve small images that are not on the disk unless they are fetched."""

    def __init__(self, root, download=False, transform=None):
        there = Path(root) / "fetched"
        if download:
            there.touch()
        if not there.exists():
            raise RuntimeError("Dataset not found")
        super().__init__(size=12, image_size=(1, 8, 8), transform=transform)


@pytest.mark.parametrize(
    "asked", ["gradients final.pt --dry-run", "doctor final.pt", "report final.pt --dry-run"]
)
def test_nothing_is_fetched_unasked(folder, monkeypatch, asked):
    monkeypatch.setattr("torchvision.datasets.MNIST", OnTheNet)
    asked = f"{asked} --model {NETWORKS}:mlp --data torchvision:MNIST,root=."
    refused = run(asked)
    assert refused.code == 3
    assert "--allow-download" in " ".join((refused.stdout + refused.stderr).split())
    (folder / "landscape.toml").write_text("allow_download = true\n")
    assert run(asked).code == 2
    (folder / "landscape.toml").unlink()
    assert not (folder / "fetched").exists()
    done(f"{asked} --allow-download")
    assert (folder / "fetched").exists()


def test_the_provenance_tells_whether_the_network_was_allowed():
    weights = f"gradients final.pt {SUBJECT} {BRIEF} --json"
    assert not done(weights).document["provenance"]["allow_download"]
    assert done(f"{weights} --allow-download").document["provenance"]["allow_download"]


def test_weights_of_their_own_need_no_checkpoint(monkeypatch):
    from torchvision.models import _api, squeezenet1_1

    state = {name: t * 0 for name, t in squeezenet1_1().state_dict().items()}
    monkeypatch.setattr(_api, "load_state_dict_from_url", lambda *_, **__: state)
    data = "--data random:shape=3x32x32,classes=1000,samples=2 --dry-run --json"
    outcome = run(f"gradients --model torchvision:squeezenet1_1,weights=DEFAULT {data}")
    assert outcome.code == 3
    assert "--allow-download" in outcome.stderr
    told = done(
        f"gradients --model torchvision:squeezenet1_1,weights=DEFAULT {data} --allow-download"
    )
    assert told.document["parameters"] == sum(t.numel() for t in state.values())
    without = run(f"gradients --model torchvision:squeezenet1_1 {data} --allow-download")
    assert (without.code, "Missing argument 'CKPT...'" in without.stderr) == (2, True)


def test_crosscheck_is_a_second_opinion():
    answer = done(f"{COMMANDS['spectrum']} --crosscheck --json").document["answer"]
    assert answer["crosscheck"] is not None
    assert done(f"{COMMANDS['spectrum']} --json").document["answer"]["crosscheck"] is None


@pytest.mark.parametrize("flags", ["--device cuda:99", "--model nets:mlp", "--data random:shape=3"])
def test_what_cannot_be_used(command, flags):
    key, value = flags.split()
    base = " ".join(part for part in command.split())
    if key in base:
        base = base.replace(f"{key} {NETWORKS}:{'mlp' if key == '--model' else 'data'}", "")
    outcome = run(f"{base} {key} {value}")
    assert outcome.code in (2, 3)
    assert outcome.stderr.startswith("error[L")
