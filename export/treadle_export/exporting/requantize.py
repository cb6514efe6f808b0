"""From a float32 bundle to one of another precision, without a run and without its network.

The graphs, vocabularies and recorded inputs are those of the float32 bundle, and so is the ladder
up to float32; the rungs behind it are climbed anew, over the same recorded trace.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from treadle.errors import ExportError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.ladder import Rung
from treadle.selfcheck import Report
from treadle_export.bundle import SUFFIX, Parts, assemble, finished, refuse_taken, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.adopting import relative_error
from treadle_export.exporting.material import tool_versions
from treadle_export.exporting.proving import checked, evidence_of
from treadle_export.exporting.reopened import Reopened, reopened
from treadle_export.exporting.screening import screening_of
from treadle_export.judging.mixed_plan import planned
from treadle_export.judging.quality import quality
from treadle_export.parity.golden import BUDGET, step_from
from treadle_export.parity.ladder import carry, flattened, quantized_rung, refuse_failed, started_by
from treadle_export.parity.origin import Carried
from treadle_export.parity.trace import Trace
from treadle_export.quantization.precision import PRECISIONS, Precision, lower, precision_named
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.targets import Target, target_named
from treadle_export.targets.fitting import evidence_for, fitted


def requantize(
    source: Path,
    out: Path,
    precision_name: str,
    *,
    force: bool = False,
    quality_limit: int | None = None,
    quantization: Quantization | None = None,
    latency: Mapping[str, Any] | None = None,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> Report:
    """Writes a float32 bundle in another precision.

    Args:
        source: the float32 bundle.
        out: directory of the new bundle, ending in `.treadle`.
        precision_name: any but float32.
        force: replace an existing bundle.
        quality_limit: test examples on which both are compared; all by default.
        quantization: what is asked beside the precision.
        latency: evidence that tuning has measured.
        target: what the new bundle is built for, one of `targets.TARGETS`.
        progress: told each stage as it begins.

    Returns:
        parity ladder and invariance of the written bundle.

    Raises:
        BundleError: `source` is no bundle, damaged, or has no golden trace.
        ExportError: it is not float32, or the new one cannot be written.
        UnsupportedGraph: it has an operator that the target does not run; that is named.
        DataError: its data set is missing, to calibrate with or to judge by.
        ParityError: a rung is over its tolerance; nothing is written.
        QualityError: the new one loses more than the budget; nothing is written. An adopted
            model, which has no data set, is judged by its recorded inputs.
    """
    aim = target_named(target)
    precision = precision_named(precision_name)
    if precision.name == "float32":
        others = ", ".join(name for name in PRECISIONS if name != "float32")
        raise ExportError(f"expected a precision to quantize to ({others}), got float32")
    refuse_taken(out, force=force)
    asked = quantization or Quantization()
    precision = asked.applied(precision)
    plain = reopened(source)
    precision = aim.suited(precision, plain.model)
    quantizer = Quantizer(plain.model, plain.description, asked.calibration, progress)
    exceptions = planned(quantizer, precision, asked, progress)
    screening, promised = None, precision
    if asked.screen_head is not None:
        screening = screening_of(quantizer, precision, exceptions, asked.screen_head)
        exceptions, promised = screening.exceptions, screening.promise
    model = fitted(aim, quantizer.lowered(precision, exceptions))
    progress("parity")
    replay = _replay(plain, model, precision)
    refuse_failed([replay.rung])
    plan = asked.described(plain.plan(precision, exceptions))
    rungs = (*plain.rungs, replay.rung)
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        candidate = Path(scratch) / f"candidate{SUFFIX}"
        parts = _parts(plain, model, precision, plan, aim, replay.carried)
        if screening is not None:
            whole = Path(scratch) / f"whole{SUFFIX}"
            write_bundle(whole, finished(parts, {}))
            trace = Trace(plain.golden.source, plain.golden.inputs)
            model, rung, carried = screening.lowered(model, replay.carried, trace)
            model, rungs = fitted(aim, model), (*rungs, rung)
            parts = _parts(plain, model, precision, screening.plan(plan), aim, carried)
        write_bundle(candidate, finished(parts, {}))
        progress(f"{precision.name}: stream")
        report = checked(candidate, rungs, promised)
        evidence = evidence_of(report, latency) | evidence_for(aim, parts, progress)
        if screening is not None:
            progress(f"{precision.name}: screening")
            evidence["screening"] = screening.measured(whole, candidate)
        evidence["quantization"] = quantizer.evidence(precision, exceptions)
        evidence["quantization"]["from"] = plain.manifest.digest
        progress(f"{precision.name}: quality")
        compare = _comparison(plain, quality_limit)
        if compare is None:
            progress("warning: the bundle names no data set, so its quality was not measured")
        else:
            budget = asked.budget(precision)
            evidence["quality"] = compare(source, candidate, precision.name, budget)
        progress(f"{precision.name}: write")
        write_bundle(out, finished(parts, evidence), force=force)
    return report


def _comparison(
    plain: Reopened, limit: int | None
) -> Callable[[Path, Path, str, float], dict[str, Any]] | None:
    """How the two bundles are compared: by their data set, an adopted model by its outputs."""
    if "dataset" in plain.description.evaluation:
        return partial(quality, limit=limit)
    return relative_error if plain.manifest.task == "stateful" else None


@dataclass(frozen=True, slots=True)
class _Replay:
    """The last rung, and the trace as the new graphs carry it."""

    rung: Rung
    carried: Carried


def _replay(plain: Reopened, model: CanonicalModel, precision: Precision) -> _Replay:
    """Carries the recorded inputs through both step graphs."""
    trace = Trace(plain.golden.source, plain.golden.inputs)
    initial = plain.model.initial_state(1)
    reference = lower(plain.model, PRECISIONS["float32"])
    context, start = started_by(reference, trace, initial)
    base = carry(reference, trace, context, start)
    rung = quantized_rung(model, precision.name, base, trace, context)
    return _Replay(rung, carry(model, trace, *started_by(model, trace, initial)))


def _parts(
    plain: Reopened,
    model: CanonicalModel,
    precision: Precision,
    plan: dict[str, Any],
    target: Target,
    carried: Carried,
) -> Parts:
    provenance = {**plain.description.provenance, **tool_versions()}
    description = replace(plain.description, provenance=provenance)
    parts = target.package(assemble(model, description, precision.name, plan, target.name))
    size = sum(len(content) for content in parts.files.values())
    golden = _golden(plain.golden, model, carried, size)
    return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})


def _golden(known: Golden, model: CanonicalModel, carried: Carried, size: int) -> Golden:
    """The float32 bundle's trace: what PyTorch gave is kept, what the bundle gives is new.

    Of its checkpoints as many are kept as the budget of the smaller bundle holds.
    """
    floats = 2 * sum(array[0].size for array in known.state.values()) + 2 * len(known.columns)
    most = max(2, max(BUDGET, size // 100) // (4 * floats))
    count = len(known.checkpoints)
    kept = np.unique(np.linspace(0, count - 1, min(most, count)).astype(np.int64))
    checkpoints = known.checkpoints[kept]
    state = {name: array[kept] for name, array in known.state.items()}
    trace = Trace(known.source, known.inputs)
    result = step_from(model, trace, state, known.inputs[checkpoints])
    outputs = flattened([result[tensor.name] for tensor in model.graphs["step"].interface.outputs])
    choices = {"torch": known.choices["torch"], "bundle": carried.choices} if known.choices else {}
    return replace(
        known,
        choices=choices,
        checkpoints=checkpoints,
        outputs={
            "torch": known.outputs["torch"][kept],
            "bundle": outputs[:, known.columns],
        },
        state=state,
        next_state={name: result[f"next_state.{name}"] for name in state},
    )
