"""Each precision against float32, on every kind of network, and what it promises of company."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from tests.export.small_models import (
    SOURCES,
    TARGETS,
    as_feeds,
    canonical,
    encoded,
    engine,
    lowered,
    network,
    next_state,
)
from treadle.errors import ExportError
from treadle.ladder import Rung, compare
from treadle.tolerances import TOLERANCES, tolerance
from treadle_export.passes.rewriting import given
from treadle_export.quantization.precision import PRECISIONS, lower
from treadle_export.weights import share_weights
from treadle_train.quantization.blocks import BLOCKS

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_export.engine import Arrays

QUANTIZED = tuple(name for name in PRECISIONS if name != "float32")
KINDS_AT_HAND = ("lstm-model", "gru-before-model", "relu-model", "gru-additive", "lstm-fixed")
ROWS, STEPS = 5, 12


def started(kind: str, precision: str, random: np.random.Generator) -> tuple[Arrays, Arrays]:
    sources = [random.integers(1, SOURCES, length).tolist() for length in (3, 17, 9, 1, 16)]
    return encoded(kind, precision, sources)


@pytest.mark.parametrize("precision", QUANTIZED)
@pytest.mark.parametrize("kind", KINDS_AT_HAND)
def test_a_step_stays_near_float32(kind: str, precision: str) -> None:
    random = np.random.default_rng(2)
    tokens = random.integers(0, TARGETS, 64)
    context, state = encoded(kind, "float32", [random.integers(1, SOURCES, 9).tolist()] * 64)
    state = {n: random.uniform(-1, 1, a.shape).astype(np.float32) for n, a in state.items()}
    feeds = {"token": tokens, **context, **as_feeds(state)}
    expected = engine(kind, "float32", "step").run(feeds)
    actual = engine(kind, precision, "step").run(feeds)
    rung = compare(
        "quantized",
        precision,
        states=[(expected[name], actual[name]) for name in expected if name != "logits"],
        outputs=[(expected["logits"], actual["logits"])],
    )
    assert rung.first_step is None, rung
    assert rung.max_abs > 0  # or nothing was quantized


def in_company(kind: str, precision: str) -> tuple[Rung, Rung]:
    """A row alone against the row in a batch, and its steps against one call."""
    random = np.random.default_rng(5)
    tokens = random.integers(0, TARGETS, (ROWS, STEPS))
    context, state = started(kind, precision, random)
    lengths = np.full(ROWS, STEPS)
    feeds = {"token": tokens, "lengths": lengths, **context, **as_feeds(state)}
    together = engine(kind, precision, "sequence").run(feeds)["logits"]
    batch, chunk = [], []
    for row in range(ROWS):
        own = {name: array[row : row + 1] for name, array in context.items()}
        now = {name: array[row : row + 1] for name, array in state.items()}
        feeds = {"token": tokens[row : row + 1], "lengths": lengths[:1], **own, **as_feeds(now)}
        chunk.append(engine(kind, precision, "sequence").run(feeds)["logits"][0])
        alone = []
        for token in tokens[row]:
            step = engine(kind, precision, "step").run(
                {"token": token[None], **own, **as_feeds(now)}
            )
            alone.append(step["logits"][0])
            now = next_state(step)
        batch.append(np.stack(alone))
    return (
        compare("batch", precision, outputs=[(a, b) for a, b in zip(batch, together, strict=True)]),
        compare("chunk", precision, outputs=list(zip(batch, chunk, strict=True))),
    )


@pytest.mark.parametrize("precision", QUANTIZED)
@pytest.mark.parametrize("kind", KINDS_AT_HAND)
def test_company_and_chunks_change_no_more_than_the_precision_says(
    kind: str, precision: str
) -> None:
    for rung in in_company(kind, precision):
        assert rung.passed, rung
        if PRECISIONS[precision].invariant:
            assert rung.max_abs == 0


def test_the_stock_quantization_feels_its_company() -> None:
    """What `int8` is for: without it the promise could not be made."""
    for rung in in_company("lstm-model", "int8-tensorwise"):
        assert rung.max_abs > 100 * tolerance(rung.name, "int4-block").absolute


def test_every_precision_has_its_tolerances() -> None:
    for name in QUANTIZED:
        for rung in ("quantized", "stream", "batch", "chunk"):
            assert (rung, name) in TOLERANCES


@pytest.mark.parametrize("precision", BLOCKS)
@pytest.mark.parametrize("kind", KINDS_AT_HAND)
def test_all_graphs_share_the_weights_of_a_product(kind: str, precision: str) -> None:
    """Under whatever name, within a loop or outside: what `step` multiplies with is there once."""
    models = {name: graph.model.clone() for name, graph in lowered(kind, precision).graphs.items()}
    share_weights(models)
    step, sequence = (_places(models[name]) for name in ("step", "sequence"))
    assert step == sequence
    # Levels and scales of two products at least; a few multiples stay in the graph itself.
    assert len(step) >= (3 if BLOCKS[precision].multiples else 4)


def _places(model: ir.Model) -> set[int]:
    """Where levels and scales, or levels and multiples, of every product lie in the file."""
    places = set()
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for value in {"MatMulNBits": node.inputs[1:3], "Cast": node.inputs}.get(node.op_type, ()):
            assert value is not None
            if isinstance(value.const_value, ir.ExternalTensor):
                places.add(value.const_value.offset or 0)
    return places


@pytest.mark.parametrize("precision", [n for n, form in BLOCKS.items() if not form.multiples])
@pytest.mark.parametrize("kind", KINDS_AT_HAND)
def test_a_product_in_a_loop_has_its_weights_there(kind: str, precision: str) -> None:
    """Else onnxruntime ends the process on Arm: microsoft/onnxruntime#31137."""
    inside = 0
    for graph in lowered(kind, precision).graphs.values():
        for node in ir.traversal.RecursiveGraphIterator(graph.model.graph):
            if node.op_type == "MatMulNBits" and isinstance(node.graph, ir.Graph):
                for index in (1, 2):
                    assert given(node, index).name in node.graph.initializers
                inside += node.graph is not graph.model.graph
    assert inside


@pytest.mark.parametrize("precision", QUANTIZED)
def test_no_float32_matrix_is_left(precision: str) -> None:
    for graph in lowered("lstm-general", precision).graphs.values():
        for value in graph.model.graph.initializers.values():
            array = value.const_value
            assert array is not None
            # scales and biases of a kernel have a row for each of two directions
            matrix = len(array.shape) == 2 and min(array.shape.numpy()) > 2
            assert not (matrix and array.dtype == ir.DataType.FLOAT), value.name


def test_weights_are_called_after_their_parameters_in_every_graph() -> None:
    named = {f"network.{name}" for name, _ in network("lstm-general").named_parameters()}
    for graph in canonical("lstm-general").graphs.values():
        for node in graph.model.graph:
            if node.op_type == "MatMul" and node.inputs[1] is not None:
                name = str(node.inputs[1].name).removesuffix(".transposed")
                computed = node.inputs[1].const_value is None
                assert computed or name in named


def test_a_plan_makes_exceptions_by_name() -> None:
    model = lower(
        canonical("lstm-model"),
        PRECISIONS["int4-block"],
        exceptions={"output": "int8", "*.1.recurrent": "int8-block", "*.1.input": "float32"},
    )
    for graph in model.graphs.values():
        nodes = list(ir.traversal.RecursiveGraphIterator(graph.model.graph))
        bits = sorted(n.attributes.get_int("bits") for n in nodes if n.op_type == "MatMulNBits")
        assert bits == [4, 4, 8]
        assert sum(node.op_type == "MatMulInteger" for node in nodes) == 1
        plain = [n for n in nodes if n.op_type == "MatMul"]
        assert [str(n.inputs[1].name) for n in plain if n.inputs[1] is not None] == [
            "network.recurrent.layers.1.input"
        ]


@pytest.mark.parametrize(
    ("exceptions", "words"),
    [
        (
            {"output": "int3"},
            "a precision of float32, .* 'output' in the plan, got 'int3'",
        ),
        ({"outptu": "int8"}, "to fit a weight, got 'outptu'; there are embedding, output, recurr"),
    ],
)
def test_a_plan_that_fits_nothing_is_an_error(exceptions: dict[str, str], words: str) -> None:
    with pytest.raises(ExportError, match=words):
        lower(canonical("gru-model"), PRECISIONS["int4"], exceptions=exceptions)


@pytest.mark.parametrize("content", ["{", "[]", '{"output": 8}'])
def test_a_plan_file_that_is_none_is_an_error(tmp_path: Path, content: str) -> None:
    from treadle_export.tuning.plan_file import read_plan

    path = tmp_path / "plan.json"
    path.write_text(content)
    with pytest.raises(ExportError, match=r"plan\.json"):
        read_plan(path)
    with pytest.raises(ExportError, match="cannot read the plan"):
        read_plan(tmp_path / "absent.json")


def test_weights_beyond_the_range_of_float16_are_an_error() -> None:
    model = canonical("gru-model").rewritten(_enlarged)
    with pytest.raises(ExportError, match=r"within the range of float16, got 1e\+06 in 'output'"):
        lower(model, PRECISIONS["float16"])


def _enlarged(_: str, model: ir.Model) -> ir.Model:
    value = model.graph.initializers["network.output.weight.transposed"]
    assert value.const_value is not None
    array = value.const_value.numpy().copy()
    array[0, 0] = 1e6
    value.const_value = ir.tensor(array, name=value.name)
    return model
