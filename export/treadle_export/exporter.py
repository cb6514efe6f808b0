"""The export stage: from a trained run, or an adopted model, to bundles with their evidence."""

import platform
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
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
from treadle_export.capture import capture
from treadle_export.golden import record
from treadle_export.network_origin import NetworkOrigin
from treadle_export.origin import Origin
from treadle_export.parity import Climbed, climb, refuse_failed
from treadle_export.precision import Precision, lower, plan_of, precision_named
from treadle_export.trace import Trace, trace_of
from treadle_train.run import Run

QUALITY_BUDGET = 0.005
"""Largest relative rise of the negative log-likelihood that an export accepts."""


def export_run(
    run: Run,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    quality_limit: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Exports a trained run as one bundle for each precision asked.

    Args:
        run: the run, `treadle_train.run.load_run`.
        outs: precision -> directory of the bundle, ending in `.treadle`.
        force: replace existing bundles.
        quality_limit: test examples on which a quantized model is compared with float32; all by
            default.
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
        description=_description(run),
        quality=lambda plain, candidate, name: _quality(plain, candidate, name, quality_limit),
    )
    return export_model(material, outs, force=force, progress=progress)


@dataclass(frozen=True, slots=True)
class Material:
    """A captured model with all that its bundles say of it.

    quality: bundle in float32, quantized bundle and its precision -> evidence; raises QualityError.
    """

    canonical: CanonicalModel
    origin: Origin
    trace: Trace
    description: Description
    quality: Callable[[Path, Path, str], dict[str, Any]]


def export_model(
    material: Material,
    outs: Mapping[str, Path],
    *,
    force: bool = False,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Report]:
    """Lowers, climbs the ladder and writes the bundles; arguments and errors as `export_run`."""
    precisions = {name: precision_named(name) for name in ("float32", *outs)}
    for out in outs.values():
        refuse_taken(out, force=force)
    canonical = material.canonical
    lowered = {name: lower(canonical, precision) for name, precision in precisions.items()}
    progress("parity")
    climbed = climb(material.origin, canonical, lowered, material.trace)
    reports: dict[str, Report] = {}
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        candidates: dict[str, tuple[Path, Parts]] = {}
        for name, precision in precisions.items():
            parts = _parts(material, lowered[name], precision, climbed)
            candidates[name] = Path(scratch) / f"{name}{SUFFIX}", parts
            write_bundle(candidates[name][0], finished(parts, {}))
        for name, out in outs.items():
            candidate, parts = candidates[name]
            progress(f"{name}: stream")
            reports[name] = _checked(candidate, climbed.until(name), precisions[name])
            evidence = _evidence(reports[name])
            if name != "float32":
                progress(f"{name}: quality")
                plain, _ = candidates["float32"]
                evidence["quality"] = material.quality(plain, candidate, name)
            progress(f"{name}: write")
            write_bundle(out, finished(parts, evidence), force=force)
    return reports


def _parts(
    material: Material, model: CanonicalModel, precision: Precision, climbed: Climbed
) -> Parts:
    plan = plan_of(material.canonical, precision)
    parts = assemble(model, material.description, precision.name, plan)
    size = sum(len(content) for content in parts.files.values())
    carried = climbed.carried[precision.name]
    golden = record(material.trace, climbed.origin, carried, model, size)
    return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})


def versions() -> dict[str, str]:
    """The packages that a bundle's figures depend on."""
    return {
        "treadle": treadle.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }


def _description(run: Run) -> Description:
    return Description(
        name=run.name,
        vocabularies=run.vocabularies,
        decoding=run.decoding,
        evaluation=run.evaluation,
        licence=run.licence,
        provenance={**run.provenance, **versions()},
    )


def _checked(bundle: Path, rungs: tuple[Rung, ...], precision: Precision) -> Report:
    """The climbed rungs, and those that the runtime replays on the written bundle."""
    with treadle.load(bundle) as model:
        replayed = verify(model)
    measured = tuple(replace(rung, source="recorded") for rung in replayed.rungs)
    refuse_failed(measured)
    return Report(rungs + measured, {**replayed.invariance, "promised": precision.invariant})


def _evidence(report: Report) -> dict[str, Any]:
    return {
        "parity": {"rungs": [rung.to_json() for rung in report.rungs]},
        "invariance": report.invariance,
    }


def _quality(plain: Path, candidate: Path, precision: str, limit: int | None) -> dict[str, Any]:
    """Teacher-forced negative log-likelihood on the test split, before and after quantization.

    Raises:
        QualityError: it rises by more than the budget.
    """
    nats: dict[str, float] = {}
    for name, path in (("float32", plain), (precision, candidate)):
        with treadle.load(path, unknown="symbol") as model:
            nats[name] = negative_log_likelihood(model, split="test", limit=limit)
    relative = nats[precision] / nats["float32"] - 1
    if relative > QUALITY_BUDGET:
        raise QualityError(
            f"expected {precision} to raise the negative log-likelihood by at most "
            f"{QUALITY_BUDGET:.1%}, got {relative:.2%} ({nats}); export another precision"
        )
    return {"metric": "nats_per_symbol", "split": "test", **nats, "relative": relative}
