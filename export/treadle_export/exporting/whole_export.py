"""From a model that reads backwards to bundles, its ladder climbed over whole sequences.

The ladder: origin -> canonical graph -> lowered float32 -> quantized; `whole_proving.py` adds what
the written bundle answers.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import ExportError
from treadle.golden import Golden
from treadle.ladder import Rung, compare
from treadle.selfcheck import Report
from treadle_export.bundle import (
    SUFFIX,
    Description,
    assemble,
    finished,
    refuse_taken,
    write_bundle,
)
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.material import Quality
from treadle_export.exporting.proving import baseline, variant_of
from treadle_export.exporting.whole_proving import Floats, WholeProving, WholeTrace
from treadle_export.parity.ladder import refuse_failed
from treadle_export.quantization.calibration_data import CalibrationData
from treadle_export.quantization.precision import plan_of
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.rounding.learned_blocks import LearnedBlocks

STEPS = 200
"""Of the trace: an answer is read from its beginning each time."""

_ENDS = 12
_COLUMNS = 64
_BYTES = 16_384  # of the golden trace's inputs


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
    refuse_screening(asked)
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
        plain = Path(scratch) / f"plain{SUFFIX}"
        parts = assemble(lowered["float32"], whole.description, "float32", {})
        write_bundle(plain, finished(parts, {}))
        proving = WholeProving(
            whole.description, whole.quality, quantizer, asked, Path(scratch), progress
        )
        for name, out in outs.items():
            variant = variants[name]
            kept = tuple(rung for rung, of in rungs if of in ("float32", name))
            plan = plan_of(whole.canonical, variant.precision, variant.exceptions)
            golden = _golden(trace, origin, answers[name])
            parts = proving.parts(variant, lowered[name], plan, golden)
            files, reports[name] = proving.proven(variant, parts, kept, plain, answers)
            progress(f"{name}: write")
            write_bundle(out, files, force=force)
    return reports


def refuse_screening(asked: Quantization) -> None:
    """Raises ExportError where a screened head is asked for."""
    if asked.screen_head is not None:
        raise ExportError("expected no screened head for a model that reads whole sequences")


def _trace(inputs: NDArray[Any]) -> WholeTrace:
    most = max(32, _BYTES // int(inputs[0].nbytes))
    inputs = inputs[: min(len(inputs), STEPS, most)]
    ends = np.unique(np.geomspace(1, len(inputs), _ENDS).astype(np.int64))
    return WholeTrace(inputs, ends)


def _climb(
    whole: Whole, origin: Floats, lowered: Mapping[str, CanonicalModel], trace: WholeTrace
) -> tuple[list[tuple[Rung, str]], dict[str, Floats]]:
    """The rungs, each with the precision that it leads to, and the answers of each precision.

    Raises:
        ParityError: a rung is over its tolerance.
    """
    canonical = trace.answers(whole.canonical)
    rungs = [(rung, "float32") for rung in whole.rungs]
    rungs.append((compare("onnx sequence", whole.origin, outputs=[(origin, canonical)]), "float32"))
    answers = {name: trace.answers(model) for name, model in lowered.items()}
    pairs = [(canonical, answers["float32"])]
    rungs.append((compare("lowered", "float32", outputs=pairs), "float32"))
    for name in answers.keys() - {"float32"}:
        pairs = [(answers["float32"], answers[name])]
        rungs.append((compare("quantized", name, outputs=pairs), name))
    refuse_failed(rung for rung, _ in rungs)
    return rungs, answers


def _golden(trace: WholeTrace, origin: Floats, answers: Floats) -> Golden:
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
