"""The graph `prompt`: the outputs of each row's last step, the head computed there alone."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
from tests.export import small_models
from treadle.tolerances import tolerance
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.capturing.network import capture
from treadle_export.engine import Engine
from treadle_export.exporting import prompt_graph
from treadle_export.exporting.prompt_graph import PROMPT, with_prompt_graph
from treadle_export.quantization.precision import lower, plan_of, precision_named
from treadle_train.networks import LanguageModel

if TYPE_CHECKING:
    import onnx_ir as ir

    from treadle.model import Model
    from treadle_export.canonical import CanonicalModel

SYMBOLS, HIDDEN = 4300, 64  # a head of 275,200 weights, and 4,608 others
EXACT = ("int8", "int8-block")

pytestmark = pytest.mark.xdist_group("prompt graph")  # each model is captured once


@cache
def with_large_head() -> CanonicalModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        network = LanguageModel(SYMBOLS, 8, HIDDEN, 1, "elman").eval()
    return with_prompt_graph(capture(network))


@cache
def in_precision(precision: str) -> CanonicalModel:
    return lower(with_large_head(), precision_named(precision))


@cache
def engine(precision: str, graph: str) -> Engine:
    return Engine(in_precision(precision).graphs[graph].model)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("prompt") / "model.treadle"
    symbols = Vocabulary(tuple(map(chr, range(1000, 1000 + SYMBOLS))), "characters")
    description = Description("model", {"symbols": symbols}, {"start": 0}, {}, {}, {})
    plan = plan_of(with_large_head(), precision_named("int8"))
    write_bundle(path, finished(assemble(in_precision("int8"), description, "int8", plan), {}))
    opened: Model = treadle.load(path)
    return opened


@st.composite
def batches(draw: st.DrawFn, least: int) -> dict[str, Any]:
    rows, steps = draw(st.integers(1, 4)), draw(st.integers(1, 12))
    lengths = draw(st.lists(st.integers(least, steps), min_size=rows, max_size=rows))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return {
        "token": random.integers(0, SYMBOLS, (rows, steps)),
        "lengths": np.array(lengths, np.int64),
        "state.recurrent.0.hidden": random.uniform(-1, 1, (rows, HIDDEN)).astype(np.float32),
    }


@pytest.mark.parametrize("precision", ["float32", *EXACT])
@settings(max_examples=10, deadline=None)
@given(feeds=batches(least=1))
def test_a_prompt_ends_where_the_sequence_does(precision: str, feeds: dict[str, Any]) -> None:
    every, last = (engine(precision, graph).run(feeds) for graph in ("sequence", PROMPT))
    rows = np.arange(len(feeds["lengths"]))
    expected = every.pop("logits")[rows, feeds["lengths"] - 1]
    allowed = tolerance("chunk", precision).outputs
    np.testing.assert_allclose(last.pop("logits"), expected, rtol=0, atol=allowed)
    assert last.keys() == every.keys()
    for name, array in every.items():
        np.testing.assert_array_equal(last[name], array)


@settings(max_examples=10, deadline=None)
@given(feeds=batches(least=0), history=st.integers(0, 3))
def test_feed_is_the_end_of_unroll(model: Model, feeds: dict[str, Any], history: int) -> None:
    x, lengths = feeds["token"], feeds["lengths"]
    with (
        model.stream(batch_size=len(x), history=history) as fed,
        model.stream(batch_size=len(x)) as unrolled,
    ):
        last, every = fed.feed(x, lengths), unrolled.unroll(x, lengths)
        read = np.flatnonzero(lengths)
        np.testing.assert_array_equal(last[read], every[read, lengths[read] - 1])
        assert not last[lengths == 0].any()
        for name, array in unrolled.state().items():
            np.testing.assert_array_equal(fed.state()[name], array)


def test_re_priming_goes_through_it(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, lengths = np.random.default_rng(5).integers(0, SYMBOLS, (3, 9)), np.array([9, 4, 0])
    with model.stream(batch_size=3, history=9) as stream:
        stream.feed(ids, lengths)
        snapshot = stream.snapshot(inputs=True).replace(digest="of another model")
        expected = stream.state()
    session, asked = model.session, []

    def noted(name: str) -> Any:
        asked.append(name)
        return session(name)

    monkeypatch.setattr(model, "session", noted)
    with model.resume(snapshot, reprime=True) as stream:
        assert asked[0] == PROMPT
        for name, array in expected.items():
            np.testing.assert_array_equal(stream.state()[name], array)


@pytest.mark.parametrize("precision", ["float32", "int8", "int4"])
def test_the_head_reads_one_step_a_row(precision: str) -> None:
    """Nothing but casts and moves stands between the choice of the step and the product."""
    graph = in_precision(precision).graphs[PROMPT].model.graph
    products = [node for node in graph if node.op_type.startswith("MatMul")]
    head = products[-1]
    assert _before(head)[-1] == "GatherND"
    assert sum("GatherND" in _before(node) for node in products) == 1


def _before(node: ir.Node) -> list[str]:
    """The operators that the first input comes from, nearest first, back to the graph's loop."""
    names: list[str] = []
    before = node.inputs[0].producer() if node.inputs[0] is not None else None
    while before is not None and before.op_type not in ("Scan", "Gather"):
        names.append(before.op_type)
        if before.op_type == "GatherND":
            break
        before = before.inputs[0].producer() if before.inputs[0] is not None else None
    return names


def test_a_head_that_is_less_than_half_of_the_work_brings_no_graph(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(prompt_graph, "SMALLEST_HEAD", 1)
    model = small_models.canonical("lstm-model")
    assert with_prompt_graph(model) is model


def test_a_small_head_brings_no_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs = {n: graph for n, graph in with_large_head().graphs.items() if n != PROMPT}
    model = replace(with_large_head(), graphs=graphs)
    assert set(with_prompt_graph(model).graphs) == {*graphs, PROMPT}
    monkeypatch.setattr(prompt_graph, "SMALLEST_HEAD", HIDDEN * SYMBOLS + 1)
    assert with_prompt_graph(model) is model
