"""Workloads as they are written, and the graphs that they need."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import InputError
from treadle_export.tuning.search import Request, workloads_of
from treadle_export.tuning.workload import STEP, Workload

SIZES = st.integers(1, 999_999)
WORKLOADS = st.one_of(
    st.builds(Workload, st.just("step"), st.just(1), SIZES),
    st.builds(Workload, st.sampled_from(["sequence", "encode"]), SIZES, SIZES),
)


@given(WORKLOADS)
def test_a_workload_reads_back_as_it_is_written(workload: Workload) -> None:
    assert Workload.parse(str(workload)) == workload


def test_steps_come_before_rows() -> None:
    assert Workload.parse("sequence:25x1") == Workload("sequence", steps=25, rows=1)
    assert Workload.parse("step:32") == Workload("step", steps=1, rows=32)


@pytest.mark.parametrize(
    "text",
    ["", "step", "step:", "step:0", "step:-1", "step:1x2", "sequence:25", "sequence:x1", "encode:3",
     "generate:5", "step:1 ", "step:1\n", "STEP:1", "step:9999999", "sequence:0x1", "step:٣"],
)  # fmt: skip
def test_another_form_is_an_error_that_says_the_forms(text: str) -> None:
    with pytest.raises(InputError, match=r"as step:ROWS .*, sequence:STEPSxROWS .* or encode:"):
        Workload.parse(text)


def test_a_workload_without_a_graph_is_an_error() -> None:
    encode = Request((STEP, Workload("encode", 8, 1)))
    encode.check("transduction")
    for task in ("language-modelling", "stateful"):
        with pytest.raises(InputError, match=rf"{task} has \(step, sequence\), got encode:8x1"):
            encode.check(task)


def test_no_rounds_are_an_error() -> None:
    with pytest.raises(InputError, match="at least one round, got 0"):
        Request(rounds=0).check("stateful")


def test_workloads_count_once_and_a_step_is_the_default() -> None:
    assert workloads_of([]) == (STEP,)
    assert workloads_of(["step:2", "step:1", "step:2"]) == (Workload("step", 1, 2), STEP)
