"""Everything that must hold: `python -m tests`, in its quick form; `--full` runs every case.

Format, lint, layers and tests, then types and examples, as many at a time as there are cores; then
one table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CORES = os.cpu_count() or 1


def main() -> int:
    full = "--full" in sys.argv[1:]
    rows = [_run(name, command) for name, command in _checks(full=full)]
    with ThreadPoolExecutor(CORES) as pool:
        rows += pool.map(lambda step: _run(*step, quietly=True), _alone(full=full))
    print()
    for name, outcome, seconds in rows:
        print(f"{name:<28} {outcome:<12} {seconds:6.1f} s")
    failed = sum(outcome != "passed" for _, outcome, _ in rows)
    print(f"{len(rows) - failed} passed, {failed} failed")
    return min(failed, 1)


def _run(name: str, command: list[str], *, quietly: bool = False) -> tuple[str, str, float]:
    """Run one step and say how it ended; `quietly` prints its output in one piece, at its end."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            command,
            cwd=elsewhere if quietly else ROOT,
            env=_environment(),
            check=False,
            stdout=subprocess.PIPE if quietly else None,
            stderr=subprocess.STDOUT if quietly else None,
            text=True,
        )
    if quietly:
        print(done.stdout, flush=True)
    outcome = "passed" if done.returncode == 0 else f"FAILED ({done.returncode})"
    return name, outcome, time.perf_counter() - started


def _checks(*, full: bool) -> list[tuple[str, list[str]]]:
    python = sys.executable
    workers = ["-n", str(CORES), "--dist", "worksteal"]
    return [
        ("format", [python, "-m", "ruff", "format", "--check", "."]),
        ("lint", [python, "-m", "ruff", "check", "."]),
        ("layers", [python, "-c", "from importlinter.cli import lint_imports_command as c; c()"]),
        ("tests", [python, "-m", "pytest", *workers, *(["--full"] if full else [])]),
    ]


def _alone(*, full: bool) -> list[tuple[str, list[str]]]:
    """Return the steps that take one core each: the types, and every example."""
    scripts = sorted((ROOT / "examples").glob("[0-9]*.py"))
    return [
        ("types", [sys.executable, "-m", "pyright", "--project", str(ROOT)]),
        *(
            (f"example {path.stem}", [sys.executable, str(path), *([] if full else ["--quick"])])
            for path in scripts
        ),
    ]


def _environment() -> dict[str, str]:
    """One thread for each of the processes that share the cores."""
    return {
        **os.environ,
        "MPLBACKEND": "agg",
        "OMP_NUM_THREADS": "1",
        "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
    }


if __name__ == "__main__":
    raise SystemExit(main())
