"""Run the installed command inside this process, and keep what it said."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import torch

torch.set_num_threads(1)  # threads that wait for a busy core make small networks fifty times slower

NETWORKS = Path(__file__).with_name("networks.py")
SUBJECT = f"--model {NETWORKS}:mlp --data {NETWORKS}:data"
FAST = "--top 2 --bottom 1 --probes 2 --lanczos-steps 8 --max-probes 16"


@dataclass(frozen=True)
class Outcome:
    """How a command ended, and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """The one JSON document on stdout, as RFC 8259 has it: without NaN and Infinity."""
        return json.loads(self.stdout, parse_constant=_refuse)


def run(command: str, *more: str | Path) -> Outcome:
    """Run `landscape COMMAND`, split as a shell does; further arguments are taken as they are."""
    arguments = [*shlex.split(command), *map(str, more)]
    stdout, stderr = io.StringIO(), io.StringIO()
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    code: object = None
    try:
        with redirect_stdout(stdout), redirect_stderr(stderr):
            _main()(arguments)
    except SystemExit as end:
        code = end.code
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert isinstance(code, int), f"{command!r} ended with {code!r}"
    return Outcome(code, stdout.getvalue(), stderr.getvalue())


def done(command: str, *more: str | Path) -> Outcome:
    """Run a command that has to end well."""
    outcome = run(command, *more)
    assert outcome.code == 0, outcome.stderr
    return outcome


def piped(file: Path) -> str:
    """Return the path of a pipe that gives the bytes of a short file once, as `<(cat file)`."""
    read, write = os.pipe()
    os.write(write, file.read_bytes())
    os.close(write)
    return f"/dev/fd/{read}"


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return every file below a folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts
    }


@cache
def _main() -> Callable[[list[str]], Any]:
    (script,) = entry_points(group="console_scripts", name="landscape")
    return script.load()


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")
