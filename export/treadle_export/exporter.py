"""The export stage: from a trained run to a bundle with its evidence."""

import platform
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from treadle_train.run import Run

import treadle
from treadle.errors import ExportError, QualityError
from treadle.evaluation import negative_log_likelihood
from treadle.golden import GOLDEN_FILE
from treadle.ladder import Rung
from treadle.selfcheck import Report, verify
from treadle_export.bundle import SUFFIX, Description, Parts, assemble, finished, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.capture import capture
from treadle_export.golden import record
from treadle_export.parity import Climbed, climb, refuse_failed
from treadle_export.precision import Precision, lower, plan_of, precision_named
from treadle_export.trace import Trace, trace_of

QUALITY_BUDGET = 0.005
"""Largest relative rise of the negative log-likelihood that an export accepts."""


def export_run(
    run: Run,
    out: Path,
    *,
    precision: str = "float32",
    force: bool = False,
    quality_limit: int | None = None,
    progress: Callable[[str], None] = lambda stage: None,
) -> Report:
    """Exports a trained run as the bundle `out`.

    Args:
        run: the run, `treadle_train.run.load_run`.
        out: the bundle's directory, ending in `.treadle`.
        precision: a name of `treadle_export.precision.PRECISIONS`.
        force: replace an existing bundle.
        quality_limit: test examples on which a quantized model is compared with float32; all by
            default.
        progress: told each stage as it begins.

    Returns:
        the parity ladder and invariance of the written bundle.

    Raises:
        ExportError: the path is taken or cannot be written, the precision is unknown.
        UnsupportedGraph: the network cannot be captured.
        ParityError: a rung of the ladder is over its tolerance; nothing is written.
        QualityError: a quantized model loses more than the budget; nothing is written.
    """
    chosen = precision_named(precision)
    refuse_taken(out, force=force)
    progress("capture")
    canonical = capture(run.network)
    lowered = {name: lower(canonical, precision_named(name)) for name in ("float32", precision)}
    progress("parity")
    trace = trace_of(run)
    climbed = climb(run.network, canonical, lowered, trace)
    parts = _parts(run, canonical, lowered[precision], chosen, trace, climbed)
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        candidate = Path(scratch) / f"candidate{out.suffix}"
        write_bundle(candidate, finished(parts, {}))
        progress("stream")
        report = _checked(candidate, climbed.rungs)
        evidence = _evidence(report, chosen)
        if precision != "float32":
            progress("quality")
            plain = Path(scratch) / f"float32{out.suffix}"
            base = precision_named("float32")
            write_bundle(
                plain,
                finished(_parts(run, canonical, lowered["float32"], base, trace, climbed), {}),
            )
            evidence["quality"] = _quality(plain, candidate, precision, quality_limit)
    progress("write")
    write_bundle(out, finished(parts, evidence), force=force)
    return report


def refuse_taken(out: Path, *, force: bool) -> None:
    """Raises ExportError early, before any work, when `out` cannot become the bundle."""
    if out.suffix != SUFFIX:
        raise ExportError(f"expected a bundle's name to end in {SUFFIX}, got {str(out)!r}")
    if out.exists() and not force:
        raise ExportError(f"{out} exists already; choose another --out, or replace it with --force")


def _parts(
    run: Run,
    canonical: CanonicalModel,
    model: CanonicalModel,
    precision: Precision,
    trace: Trace,
    climbed: Climbed,
) -> Parts:
    parts = assemble(model, _description(run), precision.name, plan_of(canonical, precision))
    size = sum(len(content) for content in parts.files.values())
    golden = record(trace, climbed.torch, climbed.carried[precision.name], model, size)
    return replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})


def _description(run: Run) -> Description:
    versions = {
        "treadle": treadle.__version__,
        "onnx": onnx.__version__,
        "onnxruntime": onnxruntime.__version__,
        "python": platform.python_version(),
    }
    return Description(
        name=run.name,
        vocabularies=run.vocabularies,
        decoding=run.decoding,
        evaluation=run.evaluation,
        licence=run.licence,
        provenance={**run.provenance, **versions},
    )


def _checked(bundle: Path, rungs: tuple[Rung, ...]) -> Report:
    """The climbed rungs, and those that the runtime replays on the written bundle."""
    with treadle.load(bundle) as model:
        replayed = verify(model)
    measured = tuple(replace(rung, source="recorded") for rung in replayed.rungs)
    refuse_failed(measured)
    return Report(rungs + measured, replayed.invariance)


def _evidence(report: Report, precision: Precision) -> dict[str, Any]:
    return {
        "parity": {"rungs": [rung.to_json() for rung in report.rungs]},
        "invariance": {**report.invariance, "promised": precision.invariant},
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
