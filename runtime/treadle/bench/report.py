"""A report: everything that was measured of one bundle, where, and under which conditions."""

from __future__ import annotations

import os
import platform
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

import treadle
from treadle.bench import loadgen
from treadle.bench.comparing import SCHEMA
from treadle.bench.operators import breakdown
from treadle.bench.processes import started
from treadle.bench.scenarios import SCENARIOS, Measured, Sizes, fitting
from treadle.errors import DeviceError, InputError
from treadle.machine import conditions, this_machine
from treadle.plan import Running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from treadle.bench.sampling import Patience
    from treadle.model import Model

FRESH = "cold-start"
"""The scenario of processes of their own, cold start and memory; for all models."""
OPERATORS = "operators"
"""The scenario that divides a step; for models that have one."""


def measured(
    bundle: Path,
    *,
    scenarios: Sequence[str] = (),
    sizes: Sizes,
    patience: Patience,
    device: str = "cpu",
    threads: int | None = None,
    pin: Sequence[int] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """The report of a bundle: by default of every scenario that fits it, but none of LoadGen's.

    Raises InputError for a scenario that does not fit, DeviceError for processors that cannot be
    pinned to, and what loading and running the bundle raises.
    """
    now = conditions()
    with pinned(pin), treadle.load(bundle, device=device, threads=threads) as model:
        wanted = _chosen(model, scenarios)
        document = {
            "schema": SCHEMA,
            "bundle": _bundle(model),
            "machine": this_machine().to_json(),
            "conditions": now.to_json(),
            "versions": _versions(),
            "engine": model.engine().to_json(),
            "pinned": sorted(pin),
            "scenarios": [],
            "loadgen": [],
        }
        for name in wanted:
            progress(name)
            if name == OPERATORS:
                document["step"] = breakdown(model, patience).to_json()
                continue
            if name in loadgen.SCENARIOS:
                document["loadgen"].append(loadgen.driven(name, model, sizes, patience))
                continue
            if name == FRESH:
                used = Running.of(model.manifest.plan).threads if threads is None else threads
                document |= started(bundle, used)
                continue
            for one, interrupted in _run(name, model, sizes, patience):
                document["scenarios"].append(one.to_json() | {"interrupted": interrupted})
    return document


@contextmanager
def pinned(processors: Sequence[int]) -> Iterator[None]:
    """This process and what it starts on these processors alone; none: wherever it may run."""
    if not processors:
        yield
        return
    if not hasattr(os, "sched_setaffinity"):
        raise DeviceError("this system lets no process choose its processors; leave --pin out")
    before = os.sched_getaffinity(0)
    if not {*processors} <= before:
        raise DeviceError(
            f"expected processors of {sorted(before)} to pin to, got {sorted(processors)}"
        )
    os.sched_setaffinity(0, processors)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _chosen(model: Model, scenarios: Sequence[str]) -> list[str]:
    divided = [OPERATORS] if "step" in model.manifest.graphs else []
    usual = [*fitting(model), *divided, FRESH]
    possible = [*usual, *(loadgen.SCENARIOS if divided else ())]
    for name in scenarios:
        if name not in possible:
            raise InputError(
                f"{model.manifest.name} can be measured in {', '.join(possible)}, got {name!r}"
            )
    return [name for name in possible if name in (scenarios or usual)]


def _run(
    name: str, model: Model, sizes: Sizes, patience: Patience
) -> Iterator[tuple[Measured, int | None]]:
    """What a scenario measured, and how often something else took the processor meanwhile."""
    before = _preemptions()
    made = SCENARIOS[name](model, sizes, patience)
    after = _preemptions()
    interrupted = None if before is None or after is None else after - before
    for one in made if isinstance(made, list) else [made]:
        yield one, interrupted


def _preemptions() -> int | None:
    """Involuntary context switches of this process; None where the system does not count them."""
    if sys.platform == "win32":
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _bundle(model: Model) -> dict[str, Any]:
    """What was measured; quality_lost: the relative rise of its loss, null where nobody knows."""
    manifest = model.manifest
    quality = manifest.evidence.get("quality", {})
    size = sum(file.bytes for file in manifest.files.values())
    return {
        "name": manifest.name,
        "task": manifest.task,
        "precision": manifest.precision,
        "digest": manifest.digest,
        "bytes": size,
        "quality_lost": quality.get("relative") if isinstance(quality, dict) else None,
    }


def _versions() -> dict[str, str]:
    return {
        "treadle": treadle.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
    }
