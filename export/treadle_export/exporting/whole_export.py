"""From a model that reads backwards to bundles, its ladder climbed over whole sequences.

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

from treadle.errors import ExportError, QualityError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.ladder import Rung, compare
from treadle.selfcheck import Report
from treadle.whole_check import ends_of
from treadle_export.bundle import (
    SUFFIX,
    Description,
    Parts,
    assemble,
    finished,
    refuse_taken,
    write_bundle,
)
from treadle_export.canonical import CanonicalModel
from treadle_export.engine import Engine
from treadle_export.exporting.material import Quality
from treadle_export.exporting.proving import Variant, baseline, checked, evidence_of, variant_of
from treadle_export.parity.ladder import refuse_failed
from treadle_export.quantization.calibration_data import CalibrationData
from treadle_export.quantization.precision import plan_of
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.rounding.learned_blocks import LearnedBlocks
from treadle_export.targets.fitting import evidence_for

STEPS = 200
"""Of the trace: an answer is read from its beginning each time."""

_ENDS = 12
_COLUMNS = 64
_BYTES = 16_384  # of the golden trace's inputs
_BUDGET = 0.25  # largest relative error of answers, where there are no data to judge by

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Whole:
    """A captured or adopted model that reads whole sequences, and all that its bundles say of it.

    inputs: one row of them [N, …]. answers: a beginning [T, …] of them -> what the origin makes of
    it, one row [V] as `ends_of` has it. origin: the precision of its arithmetic. rungs: those of
    the origin itself. quality: as `Material` has it; None where there are no data to judge by.
    learned: the blocks of a fine-tuned network. calibration: real inputs of a model without a data
    set.
    """

    canonical: CanonicalModel
    description: Description
    inputs: NDArray[Any]
    answers: Callable[[NDArray[Any]], Floats]
    origin: str = "float32"
    rungs: tuple[Rung, ...] = ()
    quality: Quality | None = None
    learned: LearnedBlocks | None = None
    calibration: CalibrationData | None = None


@dataclass(frozen=True, slots=True)
class _Trace:
    """One row of inputs [N, …] and the lengths [K] of the beginnings that are read."""

    inputs: NDArray[Any]
    ends: NDArray[np.int64]


def export_whole(
    whole: Whole,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quantization: Quantization | None = None,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Writes one bundle for each precision; arguments, result and errors as `export_run`.

    Raises ExportError for a screened head as well: there is no step that it would make faster.
    """
    asked = quantization or Quantization()
    if asked.screen_head is not None:
        raise ExportError("expected no screened head for a model that reads whole sequences")
    for out in outs.values():
        refuse_taken(out, force=force)
    quantizer = Quantizer(
        whole.canonical,
        whole.description,
        asked.calibration,
        progress,
        learned=whole.learned,
        data=whole.calibration,
    )
    variants = {name: variant_of(name, quantizer, asked, target, progress) for name in outs}
    variants = {"float32": baseline(quantizer), **variants}
    lowered = {name: variant.lowered(quantizer) for name, variant in variants.items()}
    progress("parity")
    trace = _trace(whole.inputs)
    origin = np.stack([whole.answers(trace.inputs[:end]) for end in trace.ends])
    rungs, answers = _climb(whole, origin, lowered, trace)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        proving = _Proving(whole, quantizer, asked, trace, answers, Path(scratch), progress)
        plain = proving.plain(lowered["float32"])
        for name, out in outs.items():
            kept = tuple(rung for rung, of in rungs if of in ("float32", name))
            parts = proving.parts(variants[name], lowered[name], origin)
            files, reports[name] = proving.proven(variants[name], parts, kept, plain)
            progress(f"{name}: write")
            write_bundle(out, files, force=force)
    return reports


@dataclass(frozen=True, slots=True)
class _Proving:
    """Where bundles are written to be proven; `answers` [K, V] by precision."""

    whole: Whole
    quantizer: Quantizer
    asked: Quantization
    trace: _Trace
    answers: Mapping[str, Floats]
    scratch: Path
    progress: Callable[[str], None]

    def plain(self, model: CanonicalModel) -> Path:
        """The float32 bundle that others are compared with."""
        path = self.scratch / f"plain{SUFFIX}"
        parts = assemble(model, self.whole.description, "float32", {})
        write_bundle(path, finished(parts, {}))
        return path

    def parts(self, variant: Variant, model: CanonicalModel, origin: Floats) -> Parts:
        """The files of a bundle with its golden trace."""
        plan = plan_of(self.whole.canonical, variant.precision, variant.exceptions)
        plan, target = self.asked.described(plan), variant.target
        about = self.whole.description
        parts = target.package(assemble(model, about, variant.name, plan, target.name))
        golden = _golden(self.trace, origin, self.answers[variant.name])
        return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})

    def proven(
        self, variant: Variant, parts: Parts, rungs: tuple[Rung, ...], plain: Path
    ) -> tuple[dict[str, bytes], Report]:
        """The files with all evidence: what the runtime makes of the bundle, and its quality.

        Raises:
            ParityError: a rung is over its tolerance.
            QualityError: it loses more than the budget, against the bundle `plain`.
        """
        name = variant.name
        self.progress(f"{name}: read")
        candidate = self.scratch / f"{name}{SUFFIX}"
        write_bundle(candidate, finished(parts, {}))
        report = checked(candidate, rungs, variant.precision)
        evidence = evidence_of(report) | evidence_for(variant.target, parts, self.progress)
        if name != "float32":
            self.progress(f"{name}: quality")
            rounding = self.quantizer.evidence(variant.precision, variant.exceptions)
            judged = self._quality(variant, plain, candidate)
            evidence |= {"quantization": rounding, "quality": judged}
        return finished(parts, evidence), report

    def _quality(self, variant: Variant, plain: Path, candidate: Path) -> dict[str, Any]:
        """By the model's data; else the norm of the difference over that of float32's answers.

        Raises:
            QualityError: it is over the budget.
        """
        if self.whole.quality is not None:
            budget = self.asked.budget(variant.precision)
            return self.whole.quality(plain, candidate, variant.name, budget)
        expected, actual = self.answers["float32"], self.answers[variant.name]
        difference = float(np.linalg.norm(actual - expected))
        relative = difference / max(float(np.linalg.norm(expected)), 1e-30)
        if relative > _BUDGET:
            raise QualityError(
                f"expected {variant.name} answers within {_BUDGET:.0%} of float32's, got "
                f"{relative:.1%}; export another precision"
            )
        return {"metric": "relative_error", "sequences": len(expected), "relative": relative}


def _trace(inputs: NDArray[Any]) -> _Trace:
    most = max(32, _BYTES // int(inputs[0].nbytes))
    inputs = inputs[: min(len(inputs), STEPS, most)]
    ends = np.unique(np.geomspace(1, len(inputs), _ENDS).astype(np.int64))
    return _Trace(inputs, ends)


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
    whole: Whole, origin: Floats, lowered: Mapping[str, CanonicalModel], trace: _Trace
) -> tuple[list[tuple[Rung, str]], dict[str, Floats]]:
    """The rungs, each with the precision that it leads to, and the answers of each precision.

    Raises:
        ParityError: a rung is over its tolerance.
    """
    canonical = _answers(whole.canonical, trace)
    rungs = [(rung, "float32") for rung in whole.rungs]
    rungs.append((compare("onnx sequence", whole.origin, outputs=[(origin, canonical)]), "float32"))
    answers = {name: _answers(model, trace) for name, model in lowered.items()}
    pairs = [(canonical, answers["float32"])]
    rungs.append((compare("lowered", "float32", outputs=pairs), "float32"))
    for name in answers.keys() - {"float32"}:
        pairs = [(answers["float32"], answers[name])]
        rungs.append((compare("quantized", name, outputs=pairs), name))
    refuse_failed(rung for rung, _ in rungs)
    return rungs, answers


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
