"""A process of its own: run by its path with a bundle, it says when it was where, and what it held.

Nothing is imported before the clock is read, so what counts as import is all of it. Prints one JSON
object: `began_ns`, the wall clock at the first line; seconds of each stage; resident bytes after
each, null where the system does not say; what a stream adds; and the share of a processor that an
opened model takes while nobody asks for anything.
"""

import time

_began = time.time_ns()

import json  # noqa: E402
import os  # noqa: E402
import sys  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

_STATM = Path("/proc/self/statm")
_STREAMS = 64
_IDLE = 0.5


def main(bundle: str, threads: int | None) -> dict[str, Any]:
    """The stages one after another."""
    resident, clock, ends = {"start": _resident()}, time.perf_counter, {}
    begun = clock()
    import treadle
    from treadle.session import load_engine

    load_engine()
    ends["import"], resident["import"] = clock() - begun, _resident()
    begun = clock()
    with treadle.load(bundle, threads=threads) as model:
        steps = "step" in model.manifest.graphs
        model.session("step" if steps else "sequence")
        ends["load"], resident["load"] = clock() - begun, _resident()
        from treadle.bench.inputs import Inputs

        inputs = Inputs.of(model)
        begun = clock()
        if steps:
            first = inputs.stream(model, 1)
            first.step(inputs.steps(1)[0])
        else:
            model.read(inputs.block(1, 1))
        ends["first_step"], resident["first_step"] = clock() - begun, _resident()
        streams, added = [], None
        if steps:
            streams = [inputs.stream(model, 1) for _ in range(_STREAMS)]
            for stream in streams:
                stream.step(inputs.steps(1)[0])
            now = _resident()
            added = None if now is None else (now - (resident["first_step"] or 0)) / _STREAMS
        used = time.process_time()
        time.sleep(_IDLE)
        idle = (time.process_time() - used) / _IDLE
    return {
        "began_ns": _began,
        "seconds": ends,
        "resident_bytes": resident,
        "peak_bytes": _peak(),
        "stream_bytes": added,
        "idle_processors": idle,
    }


def _resident() -> int | None:
    """Resident memory of this process; None where the system does not say."""
    if not _STATM.exists():
        return None
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int | None:
    """The most memory that was resident at any time; None where the system does not say."""
    if sys.platform == "win32":
        return None
    import resource

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024  # kilobytes on Linux


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]) or None)))
