"""Everything that must hold: `python -m tests`, in its quick form; `--full` runs every case.

Format, lint, types, layers, tests, examples; then one table.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    full = "--full" in sys.argv[1:]
    rows = []
    workplace = Path(tempfile.mkdtemp())
    for name, command in _steps(full=full):
        started = time.perf_counter()
        folder = workplace if name.startswith("example") else ROOT
        code = subprocess.run(command, cwd=folder, env=_environment(), check=False).returncode
        rows.append(
            (name, "passed" if code == 0 else f"FAILED ({code})", time.perf_counter() - started)
        )
    print()
    for name, outcome, seconds in rows:
        print(f"{name:<28} {outcome:<12} {seconds:6.1f} s")
    failed = sum(outcome != "passed" for _, outcome, _ in rows)
    print(f"{len(rows) - failed} passed, {failed} failed")
    return min(failed, 1)


def _steps(*, full: bool) -> list[tuple[str, list[str]]]:
    python = sys.executable
    tests = [python, "-m", "pytest", *(["--full"] if full else [])]
    examples = sorted((ROOT / "examples").glob("[0-9]*.py"))
    quick = [] if full else ["--quick"]
    return [
        ("format", [python, "-m", "ruff", "format", "--check", "."]),
        ("lint", [python, "-m", "ruff", "check", "."]),
        ("types", [python, "-m", "pyright"]),
        ("layers", [python, "-c", "from importlinter.cli import lint_imports_command as c; c()"]),
        ("tests", tests),
        *((f"example {path.stem}", [python, str(path), *quick]) for path in examples),
    ]


def _environment() -> dict[str, str]:
    return {**os.environ, "MPLBACKEND": "agg", "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}


if __name__ == "__main__":
    raise SystemExit(main())
