"""What the process of one case does: load, compare with the reference, then time when asked.

usage: python -m benchmarks.peers.measuring CASE

It prints one JSON object when it is ready, and one for each line of JSON that it reads: how long a
round may take, and how many steps at most. So many processes can be ready side by side and take
turns. Only the engine's own package and numpy are imported here.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.peers.case import Case, Runner
from benchmarks.peers.workloads import REFERENCE, Ids

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from numpy.typing import NDArray

LEAST_STEPS, WARMUP = 20, 3
_STATUS = Path("/proc/self/status")


def compared(runner: Runner, tagger: bool, reference: Mapping[str, Any]) -> dict[str, float]:
    """The largest difference of a logit from PyTorch's, and how often the likeliest is the same.

    Teacher-forced: the reference tokens are read whatever the answers are, the state is carried.
    """
    tokens, right = reference["tokens"], reference["logits"]
    runner.start()
    rows = [tokens] if tagger else list(tokens)
    made = np.stack([np.array(runner.step(row), np.float32) for row in rows]).reshape(right.shape)
    error = float(np.abs(made - right).max())
    agreement = float((made.argmax(-1) == right.argmax(-1)).mean())
    # NaN compares with nothing: it must not pass as the smallest error.
    return {"error": error if np.isfinite(error) else 1e30, "argmax_agreement": agreement}


def timed(runner: Runner, tokens: Ids, seconds: float, most: int, *, closed: bool) -> NDArray[Any]:
    """Nanoseconds of each step, tokens in to arg-max out; `closed` feeds the answers back."""
    runner.start()
    for _ in range(WARMUP):
        runner.step(tokens).argmax(-1)
    times: list[int] = []
    clock = time.perf_counter_ns
    end = clock() + int(seconds * 1e9)
    gc.disable()
    while len(times) < LEAST_STEPS or (len(times) < most and clock() < end):
        began = clock()
        likeliest = runner.step(tokens).argmax(-1)
        times.append(clock() - began)
        if closed:
            tokens = likeliest
    gc.enable()
    return np.array(times)


def resident_mb() -> float:
    """Memory of this process that is in use now; where a system does not tell, the most so far."""
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> int:
    """Serve one case until there are no more lines."""
    case = Case.from_json(sys.argv[1])
    out = _private_stdout()
    engine = import_module(case.engine.module)
    runner: Runner = engine.load(case)
    tagger = case.workload.kind == "tagger"
    with np.load(case.folder / REFERENCE) as arrays:
        reference = {name: arrays[name] for name in ("tokens", "logits")}
    tokens = reference["tokens"] if tagger else reference["tokens"][0]
    _say(out, {"version": engine.version(), **compared(runner, tagger, reference)})
    del reference
    for line in sys.stdin:
        times = timed(runner, tokens, **json.loads(line), closed=not tagger)
        p50, p99 = np.percentile(times, [50, 99], method="inverted_cdf") / 1000
        figures = {"p50_us": float(p50), "p99_us": float(p99), "resident_mb": resident_mb()}
        _say(out, figures | {"steps": len(times)})
    return 0


def _private_stdout() -> TextIO:
    """Stdout for JSON alone: what engines print there goes to stderr instead."""
    own = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return own


def _say(out: TextIO, figures: Mapping[str, Any]) -> None:
    out.write(json.dumps(figures) + "\n")
    out.flush()


if __name__ == "__main__":
    sys.exit(main())
