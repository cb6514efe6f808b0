"""The export stage: from a trained run, or an adopted model, to bundles with their evidence."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from treadle.golden import Golden
from treadle.selfcheck import Report
from treadle_export.bundle import refuse_taken, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.material import Material, material_of
from treadle_export.exporting.prompt_graph import with_prompt_graph
from treadle_export.exporting.proving import Proving, Subject, baseline, variant_of
from treadle_export.exporting.whole_export import export_whole
from treadle_export.exporting.whole_run import whole_of
from treadle_export.parity.golden import record
from treadle_export.parity.golden_parts import recorded_parts
from treadle_export.parity.ladder import Climbed, climb
from treadle_export.parity.origin import Carried
from treadle_export.quantization.precision import plan_of
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_train.run import Run


def export_run(
    run: Run,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quality_limit: int | None = None,
    quantization: Quantization | None = None,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Exports a trained run as one bundle for each precision asked.

    Args:
        run: the run, `treadle_train.run.load_run`.
        outs: precision -> directory of the bundle, ending in `.treadle`.
        force: replace existing bundles.
        quality_limit: test examples on which a quantized model is compared with float32; all by
            default.
        quantization: what is asked of the quantized ones beside their precision.
        target: what the bundles are built for, one of `targets.TARGETS`.
        progress: told each stage as it begins.

    Returns:
        precision -> parity ladder and invariance of the written bundle.

    Raises:
        ExportError: a path is taken or cannot be written, a precision or the target is unknown.
        UnsupportedGraph: the network cannot be captured, or has an operator that the target does
            not run; that is named.
        ParityError: a rung of the ladder is over its tolerance; that bundle is not written.
        QualityError: a quantized model loses more than the budget; that bundle is not written.
    """
    for out in outs.values():
        refuse_taken(out, force=force)
    progress("capture")
    if "step" not in run.network.graphs:
        return export_whole(
            whole_of(run, quality_limit),
            outs,
            force=force,
            quantization=quantization,
            target=target,
            progress=progress,
        )
    material = material_of(run, quality_limit)
    return export_model(
        material, outs, force=force, quantization=quantization, target=target, progress=progress
    )


def export_model(
    material: Material,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quantization: Quantization | None = None,
    latency: Mapping[str, Any] | None = None,
    target: str = "cpu",
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Lowers, climbs the ladder and writes the bundles; arguments and errors as `export_run`.

    `latency` is evidence that tuning has measured.
    """
    asked = quantization or Quantization()
    for out in outs.values():
        refuse_taken(out, force=force)
    material = replace(material, canonical=with_prompt_graph(material.canonical))
    quantizer = Quantizer(
        material.canonical,
        material.description,
        asked.calibration,
        progress,
        learned=material.learned,
        data=material.calibration,
    )
    variants = {name: variant_of(name, quantizer, asked, target, progress) for name in outs}
    variants = {"float32": baseline(quantizer), **variants}
    lowered = {name: variant.lowered(quantizer) for name, variant in variants.items()}
    progress("parity")
    climbed = climb(material.origin, material.canonical, lowered, material.trace)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        subject = _subject(material, climbed)
        proving = Proving(subject, quantizer, asked, climbed, Path(scratch), latency, progress)
        plain = proving.plain(variants["float32"], lowered["float32"])
        for name, out in outs.items():
            files, reports[name] = proving.proven(variants[name], lowered[name], plain)
            progress(f"{name}: write")
            write_bundle(out, files, force=force)
    return reports


def _subject(material: Material, climbed: Climbed) -> Subject:
    def golden(model: CanonicalModel, carried: Carried, size: int) -> Golden:
        made = record(material.trace, climbed.origin, carried, model, size)
        return replace(made, parts=recorded_parts(climbed.said, model, size))

    plan = partial(plan_of, material.canonical)
    return Subject(material.description, material.trace, plan, golden, material.quality)
