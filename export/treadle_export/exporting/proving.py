"""One precision of an export: how it is asked for, and its bundle proven before it is written."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import treadle
from treadle.golden import GOLDEN_FILE, Golden
from treadle.ladder import Rung
from treadle.selfcheck import Report, verify
from treadle_export.bundle import SUFFIX, Description, Parts, assemble, finished, write_bundle
from treadle_export.canonical import CanonicalModel
from treadle_export.exporting.material import Quality
from treadle_export.exporting.screening import Screening, screening_of
from treadle_export.judging.mixed_plan import planned
from treadle_export.parity.ladder import Climbed, refuse_failed
from treadle_export.parity.origin import Carried
from treadle_export.parity.trace import Trace
from treadle_export.quantization.precision import Precision, precision_named
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.targets import Target, target_named
from treadle_export.targets.fitting import evidence_for, fitted

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Variant:
    """A precision with its target, its exceptions by weight and, if asked for, a screened head."""

    precision: Precision
    target: Target
    exceptions: Mapping[str, str] = field(default_factory=dict)
    screening: Screening | None = None

    @property
    def name(self) -> str:
        """That of the precision."""
        return self.precision.name

    @property
    def promise(self) -> Precision:
        """What the bundle may promise of rows and their company."""
        return self.precision if self.screening is None else self.screening.promise

    def lowered(self, quantizer: Quantizer) -> CanonicalModel:
        """The graphs, the head whole. Raises ExportError, DataError, as the quantizer does."""
        return fitted(self.target, quantizer.lowered(self.precision, self.exceptions))


def baseline(quantizer: Quantizer) -> Variant:
    """The float32 that others are compared with, on this machine."""
    here = target_named("cpu")
    return Variant(here.suited(precision_named("float32"), quantizer.model), here)


def variant_of(
    name: str, quantizer: Quantizer, asked: Quantization, target: str, progress: Progress
) -> Variant:
    """What is asked of one precision.

    Raises:
        ExportError: precision, target, exception or screened head do not fit the model.
        QualityError: no plan keeps within the budget.
    """
    aim = target_named(target)
    precision = aim.suited(asked.applied(precision_named(name)), quantizer.model)
    exceptions = planned(quantizer, precision, asked, progress, among=aim.precisions)
    if asked.screen_head is None:
        return Variant(precision, aim, exceptions)
    screening = screening_of(quantizer, precision, exceptions, asked.screen_head)
    return Variant(precision, aim, screening.exceptions, screening)


@dataclass(frozen=True, slots=True)
class Subject:
    """What bundles have beside their graphs, whatever these come from.

    plan: precision and exceptions by weight -> the plan of every layer, as the manifest has it.
    golden: lowered graphs, the trace as they carry it, bytes of the bundle -> its golden trace.
    quality: as `Material` has it; None where there is nothing to judge by.
    came_from: digest of the bundle that they come from, where it is one.
    """

    description: Description
    trace: Trace
    plan: Callable[[Precision, Mapping[str, str]], dict[str, Any]]
    golden: Callable[[CanonicalModel, Carried, int], Golden]
    quality: Quality | None
    came_from: str | None = None


@dataclass(frozen=True, slots=True)
class Proving:
    """Where bundles are written to be proven, before they are written to where they are asked.

    latency: evidence that tuning has measured.
    """

    subject: Subject
    quantizer: Quantizer
    asked: Quantization
    climbed: Climbed
    scratch: Path
    latency: Mapping[str, Any] | None = None
    progress: Progress = lambda _: None

    def plain(self, variant: Variant, model: CanonicalModel) -> Path:
        """The float32 bundle that others are compared with."""
        return self._written("plain", variant, model, self._plan(variant), self.climbed)[0]

    def proven(
        self, variant: Variant, model: CanonicalModel, plain: Path
    ) -> tuple[dict[str, bytes], Report]:
        """The files of a bundle with all its evidence.

        Raises:
            ParityError: a rung is over its tolerance.
            QualityError: it loses more than the budget, against the bundle `plain`.
        """
        name, plan = variant.name, self._plan(variant)
        candidate, parts = self._written(name, variant, model, plan, self.climbed)
        climbed, evidence = self.climbed, {}
        if variant.screening is not None:
            whole, plan = candidate, variant.screening.plan(plan)
            screened, climbed = variant.screening.applied(model, climbed, self.subject.trace)
            model = fitted(variant.target, screened)
            candidate, parts = self._written(f"{name}-screened", variant, model, plan, climbed)
            self.progress(f"{name}: screening")
            evidence["screening"] = variant.screening.measured(whole, candidate)
        self.progress(f"{name}: stream")
        report = checked(candidate, climbed.until(name), variant.promise)
        evidence |= evidence_of(report, self.latency)
        evidence |= evidence_for(variant.target, parts, self.progress)
        if name != "float32":
            evidence |= self._quality(variant, plain, candidate)
        return finished(parts, evidence), report

    def _plan(self, variant: Variant) -> dict[str, Any]:
        return self.asked.described(self.subject.plan(variant.precision, variant.exceptions))

    def _written(
        self,
        name: str,
        variant: Variant,
        model: CanonicalModel,
        plan: Mapping[str, Any],
        climbed: Climbed,
    ) -> tuple[Path, Parts]:
        """A bundle without evidence but its golden trace, and its parts."""
        about, target = self.subject.description, variant.target
        parts = target.package(assemble(model, about, variant.name, plan, target.name))
        size = sum(len(content) for content in parts.files.values())
        golden = self.subject.golden(model, climbed.carried[variant.name], size)
        parts = replace(parts, evidence_files={GOLDEN_FILE: golden.to_bytes()})
        path = self.scratch / f"{name}{SUFFIX}"
        write_bundle(path, finished(parts, {}))
        return path, parts

    def _quality(self, variant: Variant, plain: Path, candidate: Path) -> dict[str, Any]:
        self.progress(f"{variant.name}: quality")
        rounding = self.quantizer.evidence(variant.precision, variant.exceptions)
        if self.subject.came_from is not None:
            rounding["from"] = self.subject.came_from
        if self.subject.quality is None:
            self.progress("warning: the bundle names no data set, so its quality was not measured")
            return {"quantization": rounding}
        budget = self.asked.budget(variant.precision)
        judged = self.subject.quality(plain, candidate, variant.name, budget)
        return {"quantization": rounding, "quality": judged}


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


def evidence_of(report: Report, latency: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Parity, invariance and, where it was measured, latency as the manifest has them."""
    return {
        "parity": {"rungs": [rung.to_json() for rung in report.rungs]},
        "invariance": report.invariance,
        **({} if latency is None else {"latency": dict(latency)}),
    }
