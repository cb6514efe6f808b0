"""Walks the candidates: builds, judges and times them. How the space is cut: `candidates.py`."""

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from treadle.errors import InputError, QualityError
from treadle.machine import this_machine
from treadle.stopwatch import Latency
from treadle_export.bundle import SUFFIX, assemble, finished, write_bundle
from treadle_export.judging.mixed_plan import SAFER, planned
from treadle_export.parity.trace import Trace
from treadle_export.quantization.precision import precision_named
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.tuning.candidates import PRECISIONS, Candidate, variants, ways_to_run
from treadle_export.tuning.losses import Loss, loss_against
from treadle_export.tuning.pareto import Measured, front
from treadle_export.tuning.result import Result
from treadle_export.tuning.timing import Timer, time_candidates
from treadle_export.tuning.workload import STEP, Workload

ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Request:
    """What is tuned for.

    precisions: those that may be chosen; float32 is measured beside them. rounds: turns of each
    candidate. limit: examples that each is judged by, a default for the task where None.
    """

    workloads: tuple[Workload, ...] = (STEP,)
    precisions: tuple[str, ...] = PRECISIONS
    rounds: int = ROUNDS
    limit: int | None = None

    def check(self, task: str) -> None:
        """Looks whether this can be done for models of the task.

        Raises:
            InputError: a workload that the task has no graph for, or no rounds.
            ExportError: an unknown precision.
        """
        if self.rounds < 1:
            raise InputError(f"expected at least one round, got {self.rounds}")
        for name in self.precisions:
            precision_named(name)
        for workload in self.workloads:
            workload.check(task)


@dataclass(frozen=True, slots=True)
class Subject:
    """What is tuned: a model with its calibration, real inputs, and what is asked beside."""

    quantizer: Quantizer
    trace: Trace
    asked: Quantization


@dataclass(frozen=True, slots=True)
class Built:
    """A written bundle: where, its size without golden trace and manifest, and what it loses."""

    path: Path
    bytes: int
    loss: float
    budget: float
    exceptions: Mapping[str, str]


def search(
    subject: Subject,
    request: Request,
    *,
    timer: Timer = time_candidates,
    progress: Callable[[str], None] = lambda _: None,
) -> Result:
    """Builds, judges and times the candidates; writes nothing but scratch bundles.

    Args:
        subject: what is tuned.
        request: what for.
        timer: how candidates are timed.
        progress: told each stage as it begins.

    Raises:
        InputError: a workload that the task has no graph for.
        ExportError: a precision is unknown, or the model cannot be calibrated.
        DataError: the data to judge by are missing or others.
    """
    request.check(subject.quantizer.model.task)
    with tempfile.TemporaryDirectory(prefix="treadle-") as scratch:
        metric, built = _build(subject, request, Path(scratch), progress)

        def timed(candidates: Iterable[Candidate]) -> list[Measured]:
            paths = {each: built[each.variant].path for each in candidates}
            times = timer(paths, request.workloads, subject.trace, request.rounds)
            return [_measured(each, times[each], built, request) for each in paths]

        progress(f"time {len(built)} bundles")
        measured = timed(built)
        finalists = [one.candidate for one in front(measured)]
        ways = [way for each in finalists for way in ways_to_run(each, request.workloads)]
        if len(ways) > len(finalists):
            progress(f"time {len(ways)} ways to run {len(finalists)} of them")
            others = [one for one in measured if one.candidate not in finalists]
            measured = [*others, *timed(ways)]
    return Result(
        tuple(sorted(measured, key=lambda one: one.latency)),
        request.workloads,
        metric,
        request.rounds,
        this_machine(),
    )


def _measured(
    candidate: Candidate,
    latencies: Mapping[Workload, Latency],
    built: Mapping[Candidate, Built],
    request: Request,
) -> Measured:
    bundle = built[candidate.variant]
    return Measured(
        candidate=candidate,
        latencies=latencies,
        bytes=bundle.bytes,
        loss=bundle.loss,
        budget=bundle.budget,
        offered=candidate.precision in request.precisions,
        exceptions=bundle.exceptions,
    )


def _build(
    subject: Subject, request: Request, scratch: Path, progress: Callable[[str], None]
) -> tuple[str, dict[Candidate, Built]]:
    """What is measured as loss, and every variant that is not another again; float32 first."""
    reference = variants(["float32"])[:1]
    wanted = [each for each in variants(request.precisions) if each not in reference]
    built: dict[Candidate, Built] = {}
    digests: set[str] = set()
    loss: Loss | None = None
    exceptions: dict[str, dict[str, str]] = {}
    for number, candidate in enumerate([*reference, *wanted]):
        progress(f"{candidate}: build")
        if candidate.precision not in exceptions:
            exceptions[candidate.precision] = _exceptions(subject, candidate, request, progress)
        chosen = exceptions[candidate.precision]
        path = scratch / f"{number}{SUFFIX}"
        digest, size = _write(subject.quantizer, candidate, chosen, path)
        if digest in digests:
            progress(f"{candidate}: the same as one before")
            continue
        digests.add(digest)
        loss = loss or loss_against(
            path, subject.quantizer, subject.trace, subject.asked, request.limit
        )
        precision = precision_named(candidate.precision)
        built[candidate] = Built(path, size, loss.of(path), loss.budget(precision), chosen)
    return "" if loss is None else loss.metric, built


def _write(
    quantizer: Quantizer, candidate: Candidate, exceptions: Mapping[str, str], path: Path
) -> tuple[str, int]:
    """The digest of the graphs and weights, and their size."""
    precision = candidate.settings.applied(precision_named(candidate.precision))
    lowered = quantizer.lowered(precision, exceptions)
    parts = assemble(lowered, quantizer.description, precision.name, {})
    write_bundle(path, finished(parts, {}))
    return parts.manifest.sealed().digest, sum(map(len, parts.files.values()))


def _exceptions(
    subject: Subject, candidate: Candidate, request: Request, progress: Callable[[str], None]
) -> dict[str, str]:
    """Those asked for, and more where a budget was given that 4 bits alone exceed."""
    asked = subject.asked
    if candidate.precision == "float32":
        return {}
    precision = precision_named(candidate.precision)
    # Some precisions have none that is safer, and an adopted model has no likelihood.
    if precision.name not in SAFER or subject.quantizer.model.task == "stateful":
        asked = replace(asked, max_quality_drop=None)
    try:
        return planned(subject.quantizer, precision, asked, progress, request.limit)
    except QualityError as error:
        progress(f"{candidate}: {error}")
        return subject.quantizer.exceptions(precision, asked.exceptions)


def workloads_of(texts: Sequence[str]) -> tuple[Workload, ...]:
    """The workloads written out, each once; a step of one row where there are none.

    Raises:
        InputError: one is of no known form.
    """
    return tuple(dict.fromkeys(map(Workload.parse, texts))) or (STEP,)
