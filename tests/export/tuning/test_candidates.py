"""What is tried: the table of bundles, and the ways to run one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.export.small_models import canonical
from treadle.errors import ExportError
from treadle_export.quantization.precision import PRECISIONS as EVERY_PRECISION
from treadle_export.quantization.precision import lower, precision_named
from treadle_export.tuning.candidates import (
    PRECISIONS,
    Candidate,
    thread_counts,
    variants,
    ways_to_run,
)
from treadle_export.tuning.workload import STEP, Workload
from treadle_train.quantization.blocks import BlockForm

SEQUENCE = Workload("sequence", 25, 1)


def test_each_precision_is_tried_by_itself_and_with_one_change_at_a_time() -> None:
    assert [str(each) for each in variants(PRECISIONS)] == [
        "float32",
        "float32 cell",
        "int8",
        "int8 not folded",
        "int8-block",
        "int8-block not folded",
        "int8-fast",
        "int8-fast not folded",
        "int8-fast blocks of 256",
        "int4",
        "int4 not folded",
        "int4-block",
        "int4-block not folded",
        "int4-block blocks of 64",
        "int4-fast",
        "int4-fast not folded",
        "int4-fast blocks of 256",
        "int8-tensorwise",
        "int8-tensorwise not folded",
    ]
    assert [str(each) for each in variants(["float16"])] == ["float16"]


def test_every_variant_is_one_that_a_plan_may_hold() -> None:
    for each in variants(EVERY_PRECISION):
        each.settings.check(precision_named(each.precision))
        assert each.variant == each


def test_an_unknown_precision_is_an_error() -> None:
    with pytest.raises(ExportError, match="got 'int3'"):
        variants(["int3"])


@given(st.integers(1, 300))
def test_threads_double_up_to_all_processors(processors: int) -> None:
    counts = thread_counts(processors)
    assert counts[0] == 1
    assert counts[-1] == processors
    assert all(a < b <= 2 * a for a, b in itertools.pairwise(counts))


def test_ways_to_run_share_one_bundle() -> None:
    (variant, *_) = variants(["int8"])
    ways = ways_to_run(variant, [SEQUENCE, STEP], processors=4)
    assert [(way.settings.threads, way.settings.call) for way in ways] == [
        (1, "prebound"),
        (1, "plain"),
        (2, "prebound"),
        (2, "plain"),
        (4, "prebound"),
        (4, "plain"),
    ]
    assert {way.variant for way in ways} == {variant}


def test_whole_sequences_have_one_call() -> None:
    (variant, *_) = variants(["int8"])
    assert [way.settings.call for way in ways_to_run(variant, [SEQUENCE], 1)] == ["prebound"]


def operators(candidate: Candidate, kind: str) -> list[str]:
    precision = candidate.settings.applied(precision_named(candidate.precision))
    graph = lower(canonical(kind), precision).graphs["step"].model.graph
    return [node.op_type for node in graph]


def test_a_variant_is_lowered_as_it_says() -> None:
    by_name = {str(each): each for each in variants(PRECISIONS)}
    assert "GRU" in operators(by_name["float32"], "folded-model")
    cell = operators(by_name["float32 cell"], "folded-model")
    assert "GRU" not in cell
    assert "Sigmoid" in cell
    products = [
        operators(by_name[name], "folded-model").count("MatMulInteger")
        for name in ("int8", "int8 not folded")
    ]
    assert products[1] == products[0] + 1


@pytest.mark.parametrize(("name", "size"), [("int4-block", 32), ("int4-block blocks of 64", 64)])
def test_blocks_have_the_size_that_is_asked_for(name: str, size: int) -> None:
    by_name = {str(each): each for each in variants(["int4-block"])}
    candidate = by_name[name]
    precision = candidate.settings.applied(precision_named("int4-block"))
    assert precision.blocks == BlockForm(4, size)
    graph = lower(canonical("gru-model"), precision).graphs["step"].model.graph
    sizes = {n.attributes.get_int("block_size") for n in graph if n.op_type == "MatMulNBits"}
    assert sizes == {size}
