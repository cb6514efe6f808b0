"""`--tune`: search on this machine, then export what was chosen on the ordinary road."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from treadle.errors import ExportError, ParityError, QualityError
from treadle.selfcheck import Report
from treadle_export.bundle import refuse_taken
from treadle_export.exporting.adopting import asked_of, material_of_foreign
from treadle_export.exporting.exporter import export_model
from treadle_export.exporting.material import Material, material_of
from treadle_export.exporting.reopened import reopened
from treadle_export.exporting.requantize import requantize
from treadle_export.foreign import Foreign
from treadle_export.parity.trace import Trace
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.tuning.pareto import Measured
from treadle_export.tuning.plan_file import Plan
from treadle_export.tuning.result import Result
from treadle_export.tuning.search import Request, Subject, search
from treadle_export.tuning.timing import Timer, time_candidates
from treadle_train.run import Run

if TYPE_CHECKING:
    from treadle_export.tuning.candidates import Candidate

Export = Callable[[str, Quantization, Mapping[str, Any]], Report]
"""(precision, what is asked beside it, evidence of latency) -> report of the written bundle."""


def _silent(_: object) -> None:
    """Shows nothing."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """How to tune and whom to tell.

    show: given the result before anything is exported, also where nothing is within the budget.
    progress: told each stage as it begins. timer: how candidates are timed. target: what the
    bundle is built for.
    """

    request: Request = field(default_factory=Request)
    show: Callable[[Result], None] = _silent
    progress: Callable[[str], None] = _silent
    timer: Timer = time_candidates
    target: str = "cpu"


@dataclass(frozen=True, slots=True)
class Tuned:
    """The written bundle's report, the candidate that it is, and its plan."""

    report: Report
    chosen: Measured
    plan: Plan
    result: Result


def tune_run(
    run: Run,
    out: Path,
    tuning: Tuning,
    *,
    force: bool = False,
    quality_limit: int | None = None,
    quantization: Quantization | None = None,
) -> Tuned:
    """Exports a run in the way that is fastest here within the budget.

    Args:
        run: the run.
        out: directory of the bundle, ending in `.treadle`; looked at before anything is timed.
        tuning: what for.
        force: replace an existing bundle.
        quality_limit: test examples on which the chosen one is compared with float32.
        quantization: calibration, exceptions and budget; without a budget every precision has its
            own.

    Raises:
        InputError: a workload that the task has no graph for.
        QualityError: no candidate is within the budget; nothing is written.
        ExportError, DataError: as `export_run`.
    """
    refuse_taken(out, force=force)
    tuning.request.check(run.network.task)
    tuning.progress("capture")
    material = material_of(run, quality_limit)
    return _tune_material(material, out, tuning, force, quantization or Quantization())


def tune_foreign(
    foreign: Foreign,
    out: Path,
    tuning: Tuning,
    *,
    licence: str = "unknown",
    force: bool = False,
    quantization: Quantization | None = None,
) -> Tuned:
    """Adopts a model in the way that is fastest here; arguments and errors as `tune_run`."""
    refuse_taken(out, force=force)
    tuning.request.check("stateful")
    tuning.progress("adopt")
    material = material_of_foreign(foreign, licence)
    return _tune_material(
        material, out, tuning, force, asked_of(material.calibration, quantization)
    )


def tune_bundle(
    source: Path,
    out: Path,
    tuning: Tuning,
    *,
    force: bool = False,
    quality_limit: int | None = None,
    quantization: Quantization | None = None,
) -> Tuned:
    """Requantizes a float32 bundle in the way that is fastest here; see `tune_run`.

    float32 is measured as well, but the bundle is that already: it cannot be chosen.
    """
    refuse_taken(out, force=force)
    plain, asked = reopened(source), quantization or Quantization()
    if not plain.steps:
        raise ExportError(
            f"expected a bundle that steps, got {source}, which reads whole sequences: what --tune "
            f"times is steps; leave it out"
        )
    if plain.manifest.task == "stateful" and asked.calibration is None:
        asked = replace(asked, calibration=0)
    names = tuple(name for name in tuning.request.precisions if name != "float32")
    if not names:
        raise ExportError("expected a precision to quantize to, got float32; leave it out")
    tuning = replace(tuning, request=replace(tuning.request, precisions=names))
    quantizer = Quantizer(plain.model, plain.description, asked.calibration, tuning.progress)
    trace = Trace(plain.golden.source, plain.golden.inputs)

    def export(precision: str, wanted: Quantization, latency: Mapping[str, Any]) -> Report:
        return requantize(
            source,
            out,
            precision,
            force=force,
            quality_limit=quality_limit,
            quantization=wanted,
            latency=latency,
            target=tuning.target,
            progress=tuning.progress,
        )

    return _tune(Subject(quantizer, trace, asked), tuning, export)


def _tune_material(
    material: Material, out: Path, tuning: Tuning, force: bool, asked: Quantization
) -> Tuned:
    quantizer = Quantizer(
        material.canonical,
        material.description,
        asked.calibration,
        tuning.progress,
        learned=material.learned,
        data=material.calibration,
    )

    def export(precision: str, wanted: Quantization, latency: Mapping[str, Any]) -> Report:
        return export_model(
            material,
            {precision: out},
            force=force,
            quantization=wanted,
            latency=latency,
            target=tuning.target,
            progress=tuning.progress,
        )[precision]

    return _tune(Subject(quantizer, material.trace, asked), tuning, export)


def _tune(subject: Subject, tuning: Tuning, export: Export) -> Tuned:
    """Searches, and exports the best; one that fails on the road is struck out for the next.

    What is chosen by the validation split has still to be proven on the test split, and on the
    parity ladder.
    """
    if subject.asked.screen_head is not None:
        raise ExportError("--tune does not time screened heads; leave --screen-head or --tune out")
    result = search(subject, tuning.request, timer=tuning.timer, progress=tuning.progress)
    tuning.show(result)
    struck: set[Candidate] = set()
    failure: ExportError | None = None
    while True:
        try:
            one = result.choice(struck)
        except QualityError as error:
            raise failure or error from None
        asked = replace(subject.asked, exceptions=one.exceptions, settings=one.candidate.settings)
        tuning.progress(f"chosen: {one.candidate}")
        try:
            report = export(one.candidate.precision, asked, result.evidence(one))
        except (ParityError, QualityError) as error:
            tuning.progress(f"{one.candidate} is struck out: {error}")
            struck.add(one.candidate.variant)
            failure = error
        else:
            return Tuned(report, one, result.plan(one), result)
