"""Plan files of both kinds: what they say is read as it was written, and nothing else is read."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.errors import ExportError
from treadle.machine import Machine, this_machine
from treadle.plan import CALLS
from treadle_export.quantization.precision import PRECISIONS, precision_named
from treadle_export.quantization.settings import Settings
from treadle_export.tuning.candidates import variants
from treadle_export.tuning.plan_file import FORMAT, Plan, read_plan

if TYPE_CHECKING:
    from pathlib import Path

HERE = this_machine()
ELSEWHERE = Machine("riscv64", "another processor", 4, "Linux", "1.23")


@given(
    st.sampled_from(variants(PRECISIONS)),
    st.integers(1, 64),
    st.sampled_from(CALLS),
    st.dictionaries(st.text(min_size=1), st.sampled_from(["int8", "float32"]), max_size=3),
)
def test_a_tuned_plan_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    candidate: Any,
    threads: int,
    call: Any,
    exceptions: dict[str, str],
) -> None:
    settings = replace(candidate.settings, threads=threads, call=call)
    workloads = {"step:1": {"p50_us": 1.5, "p99_us": 2.5, "calls": 100}}
    plan = Plan(exceptions, candidate.precision, settings, ELSEWHERE, workloads)
    path = tmp_path_factory.getbasetemp() / "plan.json"
    plan.write(path)
    assert read_plan(path) == plan


@pytest.mark.parametrize(
    "exceptions", [{}, {"output": "int8"}, {"decoder.*": "float32", "format": "int8"}]
)
def test_exceptions_alone_are_read_as_before(tmp_path: Path, exceptions: dict[str, str]) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(exceptions))
    assert read_plan(path) == Plan(exceptions)


def tuned(**changes: Any) -> dict[str, Any]:
    return {"format": FORMAT, "precision": "int4-block", "settings": {"block_size": 64}, **changes}


def written(folder: Path, document: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps(document))
    return path


def test_what_a_plan_leaves_out_is_as_the_precision_does(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path, tuned()))
    usual = Settings.of(precision_named("int4-block"))
    assert plan.settings == replace(usual, block_size=64)
    assert plan.exceptions == {}
    assert plan.machine is None
    assert plan.foreign_to(HERE) is None


@pytest.mark.parametrize(
    ("document", "words"),
    [
        (tuned(format="treadle-plan/2"), "the format 'treadle-plan/1' in .* update treadle"),
        (tuned(precision="int3"), "a precision of float32, .* got 'int3'"),
        (
            tuned(settings={"block_size": 17}),
            "block_size of a plan for int4-block to be 32 or 64, got 17",
        ),
        (
            tuned(settings={"lowering": "fused"}),
            "lowering of a plan .* to be cell, got 'fus",
        ),
        (
            tuned(settings={"threads": 0}),
            "threads of a plan .* to be an integer of at least",
        ),
        (tuned(settings={"threads": [2]}), r"threads of a plan .* got \[2\]"),
        (
            tuned(settings={"call": "eager"}),
            "call of a plan .* to be prebound or plain, got",
        ),
        (
            tuned(settings={"folding": 1}),
            "folding of a plan .* to be True or False, got 1",
        ),
        (tuned(settings=[1]), r"settings in the plan .* to be an object, got \[1\]"),
        (tuned(weights={"output": 8}), r'expected a plan like \{"output": "int8"\}'),
        (tuned(machine={"kind": "x86_64"}), "expected a machine with kind, processor, cores"),
        (tuned(precision="float32", settings={"block_size": 32}), "block_size .* to be None, got"),
    ],
)
def test_a_plan_that_says_what_none_can_is_an_error(
    tmp_path: Path, document: Any, words: str
) -> None:
    with pytest.raises(ExportError, match=words):
        read_plan(written(tmp_path, document))


def test_a_plan_of_another_kind_of_machine_says_so() -> None:
    note = Plan(machine=ELSEWHERE).foreign_to(HERE)
    assert note is not None
    assert "tuned on riscv64 (another processor)" in note
    assert HERE.kind in note
    assert Plan(machine=replace(HERE, processor="faster", cores=99)).foreign_to(HERE) is None


def test_a_plan_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="cannot write the plan"):
        Plan().write(tmp_path / "absent" / "plan.json")
    assert not list(tmp_path.iterdir())
