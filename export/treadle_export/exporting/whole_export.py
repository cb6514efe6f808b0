"""From an adopted model that reads backwards to bundles, its ladder climbed over whole sequences.

The ladder: origin -> canonical graph -> lowered float32 -> quantized; `treadle.whole_check` adds
the written bundle, and rows in company. Each answer is that of a beginning of the trace, read
whole.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import QualityError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.ladder import Rung, compare
from treadle.selfcheck import Report
from treadle.whole_check import ends_of
from treadle_export.adoption.adopt import Adopted
from treadle_export.bundle import (
    SUFFIX,
    Description,
    assemble,
    finished,
    refuse_taken,
    write_bundle,
)
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Arrays, Engine
from treadle_export.exporting.proving import checked, evidence_of
from treadle_export.parity.foreign_origin import trace_of_foreign
from treadle_export.parity.ladder import refuse_failed
from treadle_export.quantization.calibration_data import CalibrationData
from treadle_export.quantization.precision import Precision, plan_of, precision_named
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.targets import target_named
from treadle_export.targets.fitting import evidence_for, fitted

STEPS = 200
"""Of the trace: an answer is read from its beginning each time."""

_ENDS = 12
_COLUMNS = 64
_BYTES = 16_384  # of the golden trace's inputs

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class _Trace:
    """One row of inputs [N, …] and the lengths [K] of the beginnings that are read."""

    inputs: NDArray[Any]
    ends: NDArray[np.int64]


def export_whole(
    adopted: Adopted,
    outs: Mapping[str, Path],
    description: Description,
    real: CalibrationData | None,
    budget: float,
    *,
    force: bool = False,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Writes one bundle for each precision; arguments, result and errors as `export_foreign`.

    `budget`: the largest relative error of answers that quantizing may bring.
    """
    aims = {name: target_named(target if name in outs else "cpu") for name in ("float32", *outs)}
    precisions = {
        name: aim.suited(precision_named(name), adopted.canonical) for name, aim in aims.items()
    }
    for out in outs.values():
        refuse_taken(out, force=force)
    asked = Quantization(calibration=0 if real is None else None)
    quantizer = Quantizer(adopted.canonical, description, asked.calibration, progress, data=real)
    lowered = {
        name: fitted(aims[name], quantizer.lowered(precision))
        for name, precision in precisions.items()
    }
    progress("parity")
    trace = _trace(adopted)
    origin = _of_origin(adopted, trace)
    rungs, answers = _climb(adopted, origin, lowered, trace)
    reports: dict[str, Report] = {}
    for name, out in outs.items():
        kept = [rung for rung, of in rungs if of in ("float32", name)]
        evidence: dict[str, Any] = {}
        if name != "float32":
            evidence["quantization"] = quantizer.evidence(precisions[name], {})
            evidence["quality"] = _quality(answers, name, budget)
        golden = _golden(trace, origin, answers[name])
        plan = plan_of(adopted.canonical, precisions[name])
        parts = aims[name].package(assemble(lowered[name], description, name, plan, target))
        parts = replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})
        progress(f"{name}: read")
        reports[name] = _proven(finished(parts, {}), kept, precisions[name])
        evidence |= evidence_of(reports[name]) | evidence_for(aims[name], parts, progress)
        progress(f"{name}: write")
        write_bundle(out, finished(parts, evidence), force=force)
    return reports


def _trace(adopted: Adopted) -> _Trace:
    inputs = trace_of_foreign(adopted, STEPS).inputs
    most = max(32, _BYTES // int(inputs[0].nbytes))
    inputs = inputs[: min(len(inputs), most)]
    ends = np.unique(np.geomspace(1, len(inputs), _ENDS).astype(np.int64))
    return _Trace(inputs, ends)


def _of_origin(adopted: Adopted, trace: _Trace) -> Floats:
    """What the model's own framework answers, [K, V]."""
    layout, foreign = adopted.layout, adopted.foreign
    batch, time = layout.axes.batch or 0, layout.axes.time or 0
    rows = []
    for end in trace.ends:
        x = trace.inputs[:end]
        x = x.reshape(-1, *x.shape[2:]) if layout.frames > 1 else x
        feeds: Arrays = {layout.input.name: np.moveaxis(x[None], (0, 1), (batch, time)).copy()}
        if foreign.lengths is not None:
            feeds[foreign.lengths] = np.array([len(x)])
        made = foreign.run(feeds)
        outputs, timed = [], []
        for tensor in layout.outputs:
            axes = layout.inside[tensor.name]
            places = [axes.batch or 0] + ([] if axes.time is None else [axes.time])
            outputs.append(np.moveaxis(made[tensor.name], places, range(len(places))))
            timed.append(axes.time is not None)
        rows.append(ends_of(timed, outputs))
    return np.stack(rows)


def _answers(model: CanonicalModel, trace: _Trace) -> Floats:
    """What the sequence graph answers, [K, V]."""
    graph = model.graphs["sequence"]
    x, lengths = graph.interface.inputs
    engine = Engine(graph.model)
    timed = ["time" in tensor.shape for tensor in graph.interface.outputs]
    rows = []
    for end in trace.ends:
        made = engine.run({x.name: trace.inputs[None, :end], lengths.name: np.array([end])})
        rows.append(ends_of(timed, [made[tensor.name] for tensor in graph.interface.outputs]))
    return np.stack(rows)


def _climb(
    adopted: Adopted, origin: Floats, lowered: Mapping[str, CanonicalModel], trace: _Trace
) -> tuple[list[tuple[Rung, str]], dict[str, Floats]]:
    """The rungs, each with the precision that it leads to, and the answers of each precision.

    Raises:
        ParityError: a rung is over its tolerance.
    """
    own = "int8-tensorwise" if adopted.foreign.tensorwise else "float32"
    canonical = _answers(adopted.canonical, trace)
    rungs = [(compare("onnx sequence", own, outputs=[(origin, canonical)]), "float32")]
    answers = {name: _answers(model, trace) for name, model in lowered.items()}
    pairs = [(canonical, answers["float32"])]
    rungs.append((compare("lowered", "float32", outputs=pairs), "float32"))
    for name in answers.keys() - {"float32"}:
        pairs = [(answers["float32"], answers[name])]
        rungs.append((compare("quantized", name, outputs=pairs), name))
    refuse_failed(rung for rung, _ in rungs)
    return rungs, answers


def _quality(answers: Mapping[str, Floats], precision: str, budget: float) -> dict[str, Any]:
    """The norm of the difference over that of float32's answers.

    Raises:
        QualityError: it is over the budget.
    """
    difference = float(np.linalg.norm(answers[precision] - answers["float32"]))
    relative = difference / max(float(np.linalg.norm(answers["float32"])), 1e-30)
    if relative > budget:
        raise QualityError(
            f"expected {precision} answers within {budget:.0%} of float32's, got {relative:.1%}; "
            f"export another precision"
        )
    return {"metric": "relative_error", "sequences": len(answers["float32"]), "relative": relative}


def _golden(trace: _Trace, origin: Floats, answers: Floats) -> Golden:
    width = origin.shape[1]
    columns = np.unique(np.linspace(0, width - 1, min(width, _COLUMNS)).astype(np.int64))
    return Golden(
        source=np.zeros(0, np.int64),
        inputs=trace.inputs,
        choices={},
        checkpoints=trace.ends - 1,
        columns=columns,
        outputs={"torch": origin[:, columns], "bundle": answers[:, columns]},
        state={},
        next_state={},
    )


def _proven(files: Mapping[str, bytes], rungs: list[Rung], precision: Precision) -> Report:
    """What the runtime makes of the bundle, written to a place of its own."""
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        candidate = Path(scratch) / f"candidate{SUFFIX}"
        write_bundle(candidate, files)
        return checked(candidate, tuple(rungs), precision)
