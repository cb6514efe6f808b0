"""The walk over the candidates, with a clock whose times are known."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.export.small_models import TARGETS, canonical
from treadle.errors import InputError, QualityError
from treadle.stopwatch import Latency
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description
from treadle_export.parity.trace import Trace
from treadle_export.quantization.quantizer import Quantization, Quantizer
from treadle_export.tuning import search as module
from treadle_export.tuning.losses import Loss
from treadle_export.tuning.pareto import front
from treadle_export.tuning.search import Request, Subject, search
from treadle_export.tuning.workload import STEP, Workload

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_export.tuning.candidates import Candidate
    from treadle_export.tuning.result import Result

MICROS = {"float32": 40.0, "float32 cell": 30.0, "int8": 20.0, "int4-block": 10.0}
PLAIN, SECOND_THREAD = 3.0, 0.6


@dataclass
class Clock:
    """Times candidates by a table; remembers who was timed together, from which bundles."""

    turns: list[dict[Candidate, Path]] = field(default_factory=list)

    def __call__(self, bundles: Any, workloads: Any, *_: Any) -> Any:
        self.turns.append(dict(bundles))
        assert all(path.is_dir() for path in bundles.values())
        return {each: self._times(each, workloads) for each in bundles}

    def _times(self, one: Candidate, workloads: Any) -> dict[Workload, Latency]:
        settings = one.settings
        micros = MICROS.get(str(one), 50.0) + PLAIN * (settings.call == "plain")
        micros *= SECOND_THREAD ** (settings.threads - 1)
        return {each: Latency(micros, 2 * micros, 7, settings.threads) for each in workloads}


@pytest.fixture
def subject(monkeypatch: pytest.MonkeyPatch) -> Subject:
    """A small GRU; each precision loses what its name says, whatever its weights are."""
    monkeypatch.setattr("treadle_export.tuning.candidates.cores", lambda: 2)
    losses = {"float32": 0.0, "int8": 0.001, "int4-block": 0.02}
    asked = Quantization(calibration=0)

    def loss_against(*_: Any) -> Loss:
        def of(path: Path) -> float:
            precision = module_open(path).manifest.precision
            return losses[precision]

        return Loss("nothing real", of, lambda _: 0.005)

    from treadle.bundle import open_bundle as module_open

    monkeypatch.setattr(module, "loss_against", loss_against)
    symbols = Vocabulary([f"s{number}" for number in range(TARGETS)], "symbols")
    about = Description("made-up", {"symbols": symbols}, {"start": 1}, {}, {}, {})
    trace = Trace(np.zeros(0, np.int64), np.arange(10) % TARGETS)
    return Subject(Quantizer(canonical("gru-model"), about, 0), trace, asked)


def names(candidates: Any) -> list[str]:
    return [str(each) for each in candidates]


def searched(subject: Subject, clock: Clock, *precisions: str, **changes: Any) -> Result:
    request = replace(Request(precisions=precisions), **changes)
    return search(subject, request, timer=clock)


def test_all_bundles_are_timed_once_and_the_front_in_every_way(subject: Subject) -> None:
    clock = Clock()
    result = searched(subject, clock, "float32", "int8", "int4-block")
    first, second = clock.turns
    assert names(first) == [
        "float32",
        "float32 cell",
        "int8",
        "int4-block",
        "int4-block blocks of 64",
    ]
    assert {(each.settings.threads, each.settings.call) for each in first} == {(1, "prebound")}
    # The fused float32 is slower, and its graphs are smaller; int4 is over the budget.
    assert names(second) == ["float32"] * 4 + ["float32 cell"] * 4 + ["int8"] * 4
    assert {second[each] for each in second} == {first[each.variant] for each in second}
    assert len(result.measured) == 2 + 12
    latencies = [one.latency for one in result.measured]
    assert latencies == sorted(latencies)


def test_the_fastest_way_within_the_budget_is_chosen(subject: Subject) -> None:
    one = searched(subject, Clock(), "float32", "int8", "int4-block").choice()
    assert str(one.candidate) == "int8"
    assert (one.candidate.settings.threads, one.candidate.settings.call) == (2, "prebound")
    assert one.latencies[STEP].p50_us == pytest.approx(20 * SECOND_THREAD)


def test_float32_is_measured_beside_but_not_chosen_unasked(subject: Subject) -> None:
    clock = Clock()
    result = searched(subject, clock, "int8")
    assert names(clock.turns[0]) == ["float32", "int8"]
    plain = [one for one in result.measured if one.candidate.precision == "float32"]
    assert [one.offered for one in plain] == [False]
    assert plain[0] not in front(result.measured)


def test_nothing_within_the_budget_is_an_error_after_the_figures(subject: Subject) -> None:
    clock = Clock()
    result = searched(subject, clock, "int4-block")
    assert len(clock.turns) == 1  # nothing is worth a second look
    assert {str(one.candidate) for one in result.measured} >= {"float32", "int4-block"}
    with pytest.raises(QualityError, match=r"none of 2: int4-b.* with \+2\.00%, and 0\.50% are"):
        result.choice()


def test_one_processor_and_one_call_need_no_second_stage(
    subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle_export.tuning.candidates.cores", lambda: 1)
    clock = Clock()
    searched(subject, clock, "int8", workloads=(Workload("sequence", 25, 1),))
    assert len(clock.turns) == 1


def test_what_makes_no_difference_is_dropped(subject: Subject) -> None:
    """The vocabulary of 41 is not folded into an embedding of 20: there is nothing to try."""
    said: list[str] = []
    search(subject, Request(precisions=("int8",)), timer=Clock(), progress=said.append)
    assert "int8 not folded: the same as one before" in said


def test_exceptions_are_part_of_every_candidate_but_float32(subject: Subject) -> None:
    asked = replace(subject.asked, exceptions={"out*": "int4-block"})
    result = searched(replace(subject, asked=asked), Clock(), "int8")
    exceptions = {one.candidate.precision: one.exceptions for one in result.measured}
    assert exceptions == {"float32": {}, "int8": {"output": "int4-block"}}


def test_a_wrong_workload_is_refused_before_anything_is_built(subject: Subject) -> None:
    said: list[str] = []
    request = Request((Workload("encode", 8, 1),))
    with pytest.raises(InputError, match="got encode:8x1"):
        search(subject, request, timer=Clock(), progress=said.append)
    assert said == []


def test_the_figures_as_json_evidence_and_plan(subject: Subject) -> None:
    result = searched(subject, Clock(), "float32", "int8")
    one = result.choice()
    document = result.to_json(one)
    (marked,) = [each for each in document["candidates"] if each["chosen"]]
    assert marked["front"]
    assert (marked["precision"], marked["threads"]) == ("int8", 2)
    assert len(document["candidates"]) == len(result.measured)
    evidence = result.evidence(one)
    assert evidence["workloads"]["step:1"]["p50_us"] == one.latencies[STEP].p50_us
    assert evidence["threads"] == 2
    assert set(evidence["machine"]) == {"kind", "processor", "cores", "system", "engine"}
    assert len(evidence["candidates"]) == len(result.measured)
    plan = result.plan(one)
    assert (plan.precision, plan.settings) == ("int8", one.candidate.settings)
    assert plan.machine == result.machine
