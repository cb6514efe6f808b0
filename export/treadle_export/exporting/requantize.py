"""From a float32 bundle to one of another precision, without a run and without its network.

The graphs, vocabularies and recorded inputs are those of the float32 bundle, and so is the ladder
up to float32; the rungs behind it are climbed anew, over the same recorded trace.
"""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from treadle.errors import ExportError
from treadle.golden import Golden
from treadle.selfcheck import Report
from treadle_export.bundle import refuse_taken, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.material import Quality, tool_versions
from treadle_export.exporting.proving import Proving, Subject, variant_of
from treadle_export.exporting.reopened import Reopened, reopened
from treadle_export.exporting.whole_export import refuse_screening
from treadle_export.exporting.whole_proving import WholeProving
from treadle_export.exporting.whole_requantize import requantized_whole
from treadle_export.judging.outputs import relative_error
from treadle_export.judging.quality import quality
from treadle_export.parity.golden import renewed
from treadle_export.parity.golden_parts import renewed_parts
from treadle_export.parity.ladder import (
    Climbed,
    carry,
    quantized_rung,
    refuse_failed,
    started_by,
)
from treadle_export.parity.origin import Carried
from treadle_export.parity.trace import Trace
from treadle_export.quantization.precision import PRECISIONS, lower
from treadle_export.quantization.quantizer import Quantization, Quantizer


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
    if precision_name == "float32":
        others = ", ".join(name for name in PRECISIONS if name != "float32")
        raise ExportError(f"expected a precision to quantize to ({others}), got float32")
    refuse_taken(out, force=force)
    asked = quantization or Quantization()
    plain = reopened(source)
    if not plain.steps:
        refuse_screening(asked)
    quantizer = Quantizer(plain.model, plain.description, asked.calibration, progress)
    variant = variant_of(precision_name, quantizer, asked, target, progress)
    model = variant.lowered(quantizer)
    progress("parity")
    subject = _subject(plain, quality_limit)
    with tempfile.TemporaryDirectory(prefix="treadle-") as folder:
        scratch = Path(folder)
        if plain.steps:
            climbed = _climbed(plain, model, variant.name)
            proving = Proving(subject, quantizer, asked, climbed, scratch, latency, progress)
            files, report = proving.proven(variant, model, source)
        else:
            whole = WholeProving(
                subject.description,
                subject.quality,
                quantizer,
                asked,
                scratch,
                progress,
                subject.came_from,
            )
            files, report = requantized_whole(plain, source, variant, model, whole)
        progress(f"{variant.name}: write")
        write_bundle(out, files, force=force)
    return report


def _subject(plain: Reopened, quality_limit: int | None) -> Subject:
    provenance = {**plain.description.provenance, **tool_versions()}
    return Subject(
        description=replace(plain.description, provenance=provenance),
        trace=_trace(plain),
        plan=plain.plan,
        golden=partial(_golden, plain.golden),
        quality=_comparison(plain, quality_limit),
        came_from=plain.manifest.digest,
    )


def _trace(plain: Reopened) -> Trace:
    return Trace(plain.golden.source, plain.golden.inputs)


def _comparison(plain: Reopened, limit: int | None) -> Quality | None:
    """How the two bundles are compared: by their data set, an adopted model by its outputs."""
    if "dataset" in plain.description.evaluation:
        return partial(quality, limit=limit)
    return relative_error if plain.manifest.task == "stateful" else None


def _climbed(plain: Reopened, model: CanonicalModel, name: str) -> Climbed:
    """The recorded ladder up to float32, and the rung behind it, over the recorded inputs.

    Raises:
        ParityError: that rung is over its tolerance.
    """
    trace, initial = _trace(plain), plain.model.initial_state(1)
    reference = lower(plain.model, PRECISIONS["float32"])
    context, start = started_by(reference, trace, initial)
    base = carry(reference, trace, context, start)
    rung = quantized_rung(model, name, base, trace, context)
    refuse_failed([rung])
    carried = carry(model, trace, *started_by(model, trace, initial))
    return Climbed(plain.rungs, {name: rung}, origin=base, carried={name: carried})


def _golden(known: Golden, model: CanonicalModel, carried: Carried, size: int) -> Golden:
    again = renewed(known, model, carried, size)
    return replace(again, parts=renewed_parts(known.parts, model, size))
