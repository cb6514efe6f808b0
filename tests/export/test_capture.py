"""The canonical graph of every kind of network says what torch says, at any batch and time."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.export.small_models import (
    KINDS,
    SOURCES,
    TARGETS,
    as_feeds,
    canonical,
    encoded,
    engine,
    network,
    next_state,
)
from treadle.ladder import compare
from treadle_export.canonical import IR_VERSION, OPSET
from treadle_train.networks import Transducer


@pytest.mark.parametrize("kind", KINDS)
def test_each_graph_has_its_ports_and_one_node_a_layer(kind: str) -> None:
    for name, graph in canonical(kind).graphs.items():
        interface = graph.interface
        inputs = {value.name for value in graph.model.graph.inputs}
        expected = {t.name for t in interface.inputs} | {t.name for t in interface.context}
        assert inputs == expected | {port.input for port in interface.state}
        outputs = [value.name for value in graph.model.graph.outputs]
        expected_outputs = [t.name for t in interface.outputs]
        assert outputs == expected_outputs + [port.output for port in interface.state]
        assert graph.model.ir_version == IR_VERSION
        assert graph.model.graph.opset_imports[""] == OPSET
        layers = sum(node.op_type in ("LSTM", "GRU", "RNN") for node in graph.model.graph)
        assert layers == (2 if name == "encode" else KINDS[kind][4])


@pytest.mark.parametrize("kind", KINDS)
def test_no_trace_of_the_machine_is_left(kind: str) -> None:
    for graph in canonical(kind).graphs.values():
        text = ir.to_proto(graph.model).SerializeToString()
        assert b".py" not in text
        assert b"pkg.torch" not in text


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_sequence_equals_torch(kind: str, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4))
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    sources = [random.integers(1, SOURCES, 1 + length * 3).tolist() for length in lengths]
    tokens = random.integers(0, TARGETS, (len(lengths), max(lengths)))
    context, initial = encoded(kind, "canonical", sources)
    feeds = {"token": tokens, "lengths": np.array(lengths), **context, **as_feeds(initial)}
    result = engine(kind, "canonical", "sequence").run(feeds)
    model = network(kind)
    with torch.no_grad():
        start = {name: torch.from_numpy(array) for name, array in initial.items()}
        extra = [{n: torch.from_numpy(a) for n, a in context.items()}] if context else []
        logits, final = model.sequence(  # type: ignore[operator]
            torch.from_numpy(tokens), torch.tensor(lengths), start, *extra
        )
    states = [(final[name].numpy(), array) for name, array in next_state(result).items()]
    outputs = [(logits.numpy(), result["logits"])]
    assert compare("onnx sequence", "float32", states=states, outputs=outputs).passed


@pytest.mark.parametrize("kind", [kind for kind, row in KINDS.items() if row[1]])
def test_encode_equals_torch_whatever_the_padding(kind: str) -> None:
    model = network(kind)
    assert isinstance(model, Transducer)
    sources = [[3, 4, 5], [6] * 17, [7]]
    context, initial = encoded(kind, "canonical", sources)
    for row, ids in enumerate(sources):
        with torch.no_grad():
            alone, start = model.encode(torch.tensor([ids]), torch.tensor([len(ids)]))
        pairs = [
            (alone[name].numpy(), array[row : row + 1, : alone[name].shape[1]])
            for name, array in context.items()
        ]
        pairs += [(start[name].numpy(), initial[name][row : row + 1]) for name in start]
        assert compare("onnx encode", "float32", outputs=pairs).passed
