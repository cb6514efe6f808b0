"""Cold start and memory: what processes of their own say of themselves."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from treadle.errors import DeviceError

STARTS = 7
"""Processes that are started; the first one may find the files on the disk alone."""
STAGES = ("process", "import", "load", "first_step")
_FRESH = Path(__file__).with_name("fresh.py")


def started(bundle: Path, threads: int | None) -> dict[str, Any]:
    """Seconds of every stage from the start of a process to its first step, and what it holds.

    cold_start: medians in milliseconds of process (until Python runs), import (treadle, numpy and
    the engine), load (and opening the session), first_step and their total; `first`, the total of
    the first process. memory: medians in bytes, null where the system does not say.

    Raises DeviceError with what a process said that failed.
    """
    told = [_one(bundle, threads) for _ in range(STARTS)]
    totals = [sum(one["seconds"].values()) for one in told]
    stages = {
        f"{stage}_ms": 1000 * statistics.median(one["seconds"][stage] for one in told)
        for stage in STAGES
    }
    cold = stages | {
        "total_ms": 1000 * statistics.median(totals),
        "first_ms": 1000 * totals[0],
        "starts": STARTS,
    }
    memory = {f"{stage}_bytes": _median(told, "resident_bytes", stage) for stage in STAGES[1:]}
    for name in ("peak_bytes", "stream_bytes"):
        memory[name] = _median(told, name)
    idle = statistics.median(one["idle_processors"] for one in told)
    return {"cold_start": cold, "memory": memory | {"idle_processors": idle}}


def _one(bundle: Path, threads: int | None) -> dict[str, Any]:
    # -P: the directory of the file is no place to import from.
    command = [sys.executable, "-P", str(_FRESH), str(bundle), str(threads or 0)]
    began = time.time_ns()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise DeviceError(f"a fresh process could not run {bundle}: {said[-1] if said else '?'}")
    told: dict[str, Any] = json.loads(done.stdout)
    told["seconds"]["process"] = (told["began_ns"] - began) / 1e9
    return told


def _median(told: list[dict[str, Any]], name: str, part: str | None = None) -> float | None:
    values = [one[name] if part is None else one[name][part] for one in told]
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
