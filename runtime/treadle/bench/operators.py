"""Where the microseconds of a step go: operator by operator, the engine's share and Python's.

The engine profiles itself, and noting the time of every operator takes time. So what it notes gives
the shares alone, of a step whose time was measured without.
"""

from __future__ import annotations

import itertools
import json
import tempfile
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.bench.inputs import Inputs
from treadle.bench.sampling import sample
from treadle.bound_step import BoundStep
from treadle.session import load_engine, session_options

if TYPE_CHECKING:
    from treadle.bench.sampling import Patience
    from treadle.model import Model

WARM, COUNTED = 200, 1000
"""Steps that are profiled: the first ones do not count."""
_KERNEL = "_kernel_time"  # how the engine's events of single operators end


@dataclass(frozen=True, slots=True)
class Breakdown:
    """One step of one row, in microseconds.

    step: through `Stream.step`. engine: the engine's call on bound buffers alone; what is left of
    the step is Python's. operators: kind -> (how many run in a step, their microseconds), largest
    first: the engine's call divided by what it noted. Each takes the time from its start to the
    start of the next, so what the engine does between two is the first one's.
    """

    step: float
    engine: float
    operators: dict[str, tuple[int, float]]

    @property
    def python(self) -> float:
        """What a step takes beside the engine's call; 0 where that cannot be told from nothing."""
        return max(self.step - self.engine, 0.0)

    def to_json(self) -> dict[str, Any]:
        """All of it as one JSON object."""
        return {
            "step_us": self.step,
            "engine_us": self.engine,
            "python_us": self.python,
            "operators": [
                {"operator": kind, "count": count, "us": us}
                for kind, (count, us) in self.operators.items()
            ],
        }


CALL = "the call itself"
"""What lies before the first operator."""


def breakdown(model: Model, patience: Patience) -> Breakdown:
    """Of a model's step. Raises what opening it raises."""
    inputs = Inputs.of(model)
    read = inputs.steps(1)
    with closing(inputs.stream(model, 1)) as stream:
        following = itertools.cycle(read).__next__
        step = sample(lambda: stream.step(following()), patience).median / 1000
        state, context = stream.state(), stream.snapshot().context
    graph, reading = model.manifest.graphs["step"], model.reading("step")
    bound = BoundStep(model.session("step"), graph, reading, 1, state, context)
    bound.x[...] = read[0]
    engine = sample(bound.run, patience).median / 1000
    with tempfile.TemporaryDirectory() as folder:
        session = _profiled(model, Path(folder))
        watched = BoundStep(session, graph, reading, 1, state, context)
        for x, _ in zip(itertools.cycle(read), range(WARM + COUNTED), strict=False):
            watched.x[...] = x
            watched.run()
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return Breakdown(step, engine, shares(events, engine))


def shares(events: list[dict[str, Any]], engine: float) -> dict[str, tuple[int, float]]:
    """Events of the engine's profile to kind of operator -> (count, µs) of a step, largest first.

    The last COUNTED calls count. engine: microseconds of a call, which the shares add up to.
    """
    # Durations are cut to whole microseconds, and most operators are shorter: they would be 0.
    # Differences of two times that are cut are right on average.
    ends = [one["ts"] + one["dur"] for one in events if one["name"] == "model_run"][-COUNTED:]
    begins = [one["ts"] for one in events if one["name"] == "model_run"][-COUNTED:]
    nodes = sorted(
        (one["ts"], place, one["args"]["op_name"])
        for place, one in enumerate(events)
        if one.get("cat") == "Node" and one["name"].endswith(_KERNEL) and one["ts"] >= begins[0]
    )
    counts, sums = Counter[str](), Counter[str]()
    following = iter([*nodes, (ends[-1] + 1, 0, "")])
    upcoming = next(following)
    for begin, end in zip(begins, ends, strict=True):
        since, kind = begin, CALL
        while upcoming[0] <= end and upcoming[2]:
            sums[kind] += upcoming[0] - since
            since, _, kind = upcoming
            counts[kind] += 1
            upcoming = next(following)
        sums[kind] += end - since
    whole = max(sum(sums.values()), 1)
    return {
        kind: (counts[kind] // len(ends), engine * us / whole) for kind, us in sums.most_common()
    }


def _profiled(model: Model, folder: Path) -> Any:
    engine = load_engine()
    options = session_options(engine, model.hardware)
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    path = model.bundle.file(model.manifest.graphs["step"].file)
    providers = model.session("step").get_providers()
    return engine.InferenceSession(str(path), options, providers=providers)
