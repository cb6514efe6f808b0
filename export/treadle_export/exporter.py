"""The export stage: from a trained run, or an adopted model, to bundles with their evidence."""

import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

import treadle
from treadle.errors import QualityError
from treadle.evaluation import negative_log_likelihood
from treadle.golden import GOLDEN_FILE
from treadle.ladder import Rung
from treadle.selfcheck import Report, verify
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
from treadle_export.golden import record
from treadle_export.mixed_plan import planned
from treadle_export.network_capture import capture
from treadle_export.network_origin import NetworkOrigin
from treadle_export.origin import Origin
from treadle_export.parity import Climbed, climb, refuse_failed
from treadle_export.precision import Precision, plan_of, precision_named
from treadle_export.prompt_graph import with_prompt_graph
from treadle_export.quantizer import Quantization, Quantizer
from treadle_export.screening import Screening, screening_of
from treadle_export.trace import Trace, trace_of
from treadle_train.run import Run


def export_run(
    run: Run,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quality_limit: int | None = None,
    quantization: Quantization | None = None,
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
        progress: told each stage as it begins.

    Returns:
        precision -> parity ladder and invariance of the written bundle.

    Raises:
        ExportError: a path is taken or cannot be written, a precision is unknown.
        UnsupportedGraph: the network cannot be captured.
        ParityError: a rung of the ladder is over its tolerance; that bundle is not written.
        QualityError: a quantized model loses more than the budget; that bundle is not written.
    """
    for out in outs.values():
        refuse_taken(out, force=force)
    progress("capture")
    material = Material(
        canonical=capture(run.network),
        origin=NetworkOrigin(run.network),
        trace=trace_of(run),
        description=description_of(run),
        quality=partial(quality, limit=quality_limit),
    )
    return export_model(material, outs, force=force, quantization=quantization, progress=progress)


@dataclass(frozen=True, slots=True)
class Material:
    """A captured model with all that its bundles say of it.

    quality: bundle in float32, quantized bundle, its precision and the largest relative loss ->
    evidence; raises QualityError.
    """

    canonical: CanonicalModel
    origin: Origin
    trace: Trace
    description: Description
    quality: Callable[[Path, Path, str, float], dict[str, Any]]


def export_model(
    material: Material,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quantization: Quantization | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Lowers, climbs the ladder and writes the bundles; arguments and errors as `export_run`."""
    asked = quantization or Quantization()
    precisions = {name: precision_named(name) for name in ("float32", *outs)}
    for out in outs.values():
        refuse_taken(out, force=force)
    material = replace(material, canonical=with_prompt_graph(material.canonical))
    quantizer = Quantizer(material.canonical, material.description, asked.calibration, progress)
    exceptions = {name: planned(quantizer, precisions[name], asked, progress) for name in outs}
    screenings: dict[str, Screening] = {}
    if (count := asked.screen_head) is not None:
        for name in outs:
            screenings[name] = screening_of(quantizer, precisions[name], exceptions[name], count)
            exceptions[name] = screenings[name].exceptions
    lowered = {
        name: quantizer.lowered(precision, exceptions.get(name, {}))
        for name, precision in precisions.items()
    }
    progress("parity")
    climbed = climb(material.origin, material.canonical, lowered, material.trace)
    whole, whole_climbed = dict(lowered), climbed
    for name, screening in screenings.items():
        lowered[name], climbed = screening.applied(lowered[name], climbed, material.trace)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        candidates: dict[str, tuple[Path, Parts]] = {}
        for name, precision in precisions.items():
            plan = plan_of(material.canonical, precision, exceptions.get(name))
            if name in screenings:
                full = _parts(material, whole[name], precision, plan, whole_climbed)
                write_bundle(Path(scratch) / f"{name}-whole{SUFFIX}", finished(full, {}))
                plan = screenings[name].plan(plan)
            parts = _parts(material, lowered[name], precision, plan, climbed)
            candidates[name] = Path(scratch) / f"{name}{SUFFIX}", parts
            write_bundle(candidates[name][0], finished(parts, {}))
        for name, out in outs.items():
            candidate, parts = candidates[name]
            progress(f"{name}: stream")
            promised = screenings[name].promise if name in screenings else precisions[name]
            reports[name] = checked(candidate, climbed.until(name), promised)
            evidence = evidence_of(reports[name])
            if name in screenings:
                progress(f"{name}: screening")
                full_head = Path(scratch) / f"{name}-whole{SUFFIX}"
                evidence["screening"] = screenings[name].measured(full_head, candidate)
            if name != "float32":
                progress(f"{name}: quality")
                plain, _ = candidates["float32"]
                budget = asked.budget(precisions[name])
                evidence["quantization"] = quantizer.evidence(precisions[name], exceptions[name])
                evidence["quality"] = material.quality(plain, candidate, name, budget)
            progress(f"{name}: write")
            write_bundle(out, finished(parts, evidence), force=force)
    return reports


def _parts(
    material: Material,
    model: CanonicalModel,
    precision: Precision,
    plan: Mapping[str, Any],
    climbed: Climbed,
) -> Parts:
    parts = assemble(model, material.description, precision.name, plan)
    size = sum(len(content) for content in parts.files.values())
    carried = climbed.carried[precision.name]
    golden = record(material.trace, climbed.origin, carried, model, size)
    return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})


def description_of(run: Run) -> Description:
    """What a bundle of the run says beside its graphs."""
    return Description(
        name=run.name,
        vocabularies=run.vocabularies,
        decoding=run.decoding,
        evaluation=run.evaluation,
        licence=run.licence,
        provenance={**run.provenance, **tool_versions()},
    )


def tool_versions() -> dict[str, str]:
    """Versions of what makes a bundle."""
    return {
        "treadle": treadle.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }


def checked(bundle: Path, rungs: tuple[Rung, ...], precision: Precision) -> Report:
    """The climbed rungs, and those that the runtime replays on the written bundle.

    Raises:
        ParityError: one of these is over its tolerance.
    """
    with treadle.load(bundle) as model:
        replayed = verify(model)
    measured = tuple(replace(rung, source="recorded") for rung in replayed.rungs)
    refuse_failed(measured)
    return Report(rungs + measured, {**replayed.invariance, "promised": precision.invariant})


def evidence_of(report: Report) -> dict[str, Any]:
    """Parity and invariance as the manifest has them."""
    return {
        "parity": {"rungs": [rung.to_json() for rung in report.rungs]},
        "invariance": report.invariance,
    }


def quality(
    plain: Path, candidate: Path, precision: str, budget: float, *, limit: int | None = None
) -> dict[str, Any]:
    """Teacher-forced negative log-likelihood on the test split, before and after quantization.

    Raises:
        QualityError: it rises by more than `budget`, relatively.
    """
    nats: dict[str, float] = {}
    for name, path in (("float32", plain), (precision, candidate)):
        with treadle.load(path, unknown="symbol") as model:
            nats[name] = negative_log_likelihood(model, split="test", limit=limit)
    relative = nats[precision] / nats["float32"] - 1
    if relative > budget:
        raise QualityError(
            f"expected {precision} to raise the negative log-likelihood by at most {budget:.1%}, "
            f"got {relative:.2%} ({nats}); export another precision, or allow more with "
            f"--max-quality-drop"
        )
    return {"metric": "nats_per_symbol", "split": "test", **nats, "relative": relative}
