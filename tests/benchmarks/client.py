"""The other end of a worker: a process that is asked one thing at a time."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).resolve().parents[2]


class Client(Protocol):
    """Whoever answers requests."""

    def handle(self, request: dict[str, Any]) -> dict[str, Any]: ...
    def close(self) -> None: ...


class Process:
    """A worker in its own process, which sleeps between two requests.

    Args:
        contender: Its name.
        threads: For PyTorch and the BLAS.
        limit: Seconds after which a reply is not waited for any longer.
    """

    def __init__(self, contender: str, *, threads: int, limit: float) -> None:
        counts = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
        self.limit = limit
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", contender, str(threads)],
            cwd=ROOT,
            env={**os.environ, **counts},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def handle(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the reply, or an error when the process died or takes too long."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        if process.poll() is not None:
            return {"error": f"the process ended with code {process.returncode}"}
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except BrokenPipeError:
            return {"error": f"the process ended with code {process.wait()}"}
        if not select.select([process.stdout], [], [], self.limit)[0]:
            self.close()
            return {"error": f"no answer within {self.limit:.0f} s"}
        line = process.stdout.readline()
        return json.loads(line) if line else {"error": f"it ended with code {process.wait()}"}

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue
