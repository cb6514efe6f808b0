"""The process of one case, seen from the one that asks it to take its turn."""

from __future__ import annotations

import json
import subprocess
import threading
from typing import TYPE_CHECKING, Any, Self

from benchmarks.peers.environments import UnavailableError, last_lines
from benchmarks.peers.workloads import ROOT

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from benchmarks.peers.case import Case

LONGEST = 600.0
"""Seconds after which a process that says nothing is given up."""


class Worker:
    """Loads its case at once; `ready` waits for that, `round` lets it run once."""

    def __init__(self, case: Case, python: Path) -> None:
        self.case = case
        self._log = case.file(f"-{case.threads}.log")
        with self._log.open("w", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.peers.measuring", case.to_json()],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def ready(self) -> dict[str, Any]:
        """Version, error and agreement. Raises UnavailableError where loading failed."""
        return self._said()

    def round(self, seconds: float, most: int) -> dict[str, float]:
        """Percentiles of one round. Raises UnavailableError where the process died."""
        if self._process.stdin is None:
            raise UnavailableError("its process cannot be spoken to")
        try:
            self._process.stdin.write(json.dumps({"seconds": seconds, "most": most}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise UnavailableError(self._why()) from None
        return self._said()

    def _said(self) -> dict[str, Any]:
        patience = threading.Timer(LONGEST, self._process.kill)
        patience.start()
        line = self._process.stdout.readline() if self._process.stdout else ""
        patience.cancel()
        if not line:
            raise UnavailableError(self._why())
        said: dict[str, Any] = json.loads(line)
        return said

    def _why(self) -> str:
        code = self._process.wait()
        return f"exit {code}: {last_lines(self._log.read_text(encoding='utf-8'), 1)}"
