"""Hand-made ONNX models: a recurrent layer that streams as it should, and edits of it.

D directions, G gates, H hidden size, I input size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from treadle_export.canonical import IR_VERSION, OPSET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike
    from onnx import ModelProto

FEATURES, HIDDEN = 6, 8
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}

Size = int | str | None


def tensor(name: str, array: ArrayLike) -> TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def port(name: str, shape: Sequence[Size] | None, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def weights(operator: str, *, directions: int = 1, dtype: type = np.float32) -> list[TensorProto]:
    """`W` [D, G*H, I] and `R` [D, G*H, H] as initializers."""
    rows, draw = GATES[operator] * HIDDEN, np.random.default_rng(0)
    shapes = {"W": (directions, rows, FEATURES), "R": (directions, rows, HIDDEN)}
    return [tensor(name, draw.standard_normal(s).astype(dtype)) for name, s in shapes.items()]


def model(
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[ValueInfoProto],
    initializers: Sequence[TensorProto] = (),
    **fields: Any,
) -> ModelProto:
    """A model at the IR version and opset that Treadle writes, unless `fields` say otherwise."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(
        graph, **{"opset_imports": opsets, "ir_version": IR_VERSION, "producer_name": "", **fields}
    )


def streaming(operator: str = "LSTM", **attributes: Any) -> ModelProto:
    """Nothing is wrong with it: free axes, true lengths, states in and out, stored weights."""
    states = ["h", "c"] if operator == "LSTM" else ["h"]
    if operator == "GRU":
        attributes.setdefault("linear_before_reset", 1)
    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    node = helper.make_node(
        operator,
        ["x", "W", "R", "", "lengths", *(f"{name}_in" for name in states)],
        ["y", *(f"{name}_out" for name in states)],
        name="layer",
        hidden_size=HIDDEN,
        **attributes,
    )
    shape: list[Size] = [directions, "batch", HIDDEN]
    return model(
        [node],
        [
            port("x", ["time", "batch", FEATURES]),
            port("lengths", ["batch"], TensorProto.INT32),
            *(port(f"{name}_in", shape) for name in states),
        ],
        [
            port("y", ["time", directions, "batch", HIDDEN]),
            *(port(f"{n}_out", shape) for n in states),
        ],
        weights(operator, directions=directions),
    )


def declare(made: ModelProto, name: str, *shape: Size) -> ModelProto:
    """Another shape for an input."""
    (given,) = [value for value in made.graph.input if value.name == name]
    kind = given.type.tensor_type.elem_type
    given.CopyFrom(port(name, shape, kind))
    return made


def without_inputs(made: ModelProto, *names: str) -> ModelProto:
    """Leaves inputs of the model, and so of its layer, out."""
    kept = [value for value in made.graph.input if value.name not in names]
    del made.graph.input[:]
    made.graph.input.extend(kept)
    for node in made.graph.node:
        node.input[:] = ["" if name in names else name for name in node.input]
    return made


def without_outputs(made: ModelProto, *names: str) -> ModelProto:
    """The model gives these values no more; its layer still does."""
    kept = [value for value in made.graph.output if value.name not in names]
    del made.graph.output[:]
    made.graph.output.extend(kept)
    return made


def fed_by(made: ModelProto, name: str, *nodes: NodeProto, **constants: ArrayLike) -> ModelProto:
    """Lets `nodes`, with initializers of their own, make what was the input `name`."""
    layers = list(made.graph.node)
    without = [value for value in made.graph.input if value.name != name]
    del made.graph.input[:], made.graph.node[:]
    made.graph.input.extend(without)
    made.graph.node.extend([*nodes, *layers])
    made.graph.initializer.extend(tensor(key, array) for key, array in constants.items())
    return made


def followed_by(made: ModelProto, *nodes: NodeProto, **constants: ArrayLike) -> ModelProto:
    """Adds nodes behind the layer; the last one's outputs become outputs of the model."""
    made.graph.node.extend(nodes)
    made.graph.initializer.extend(tensor(key, array) for key, array in constants.items())
    made.graph.output.extend(port(name, None) for name in nodes[-1].output)
    return made


def with_weight(made: ModelProto, name: str, array: ArrayLike) -> ModelProto:
    """Another initializer in place of the one called `name`."""
    (old,) = [value for value in made.graph.initializer if value.name == name]
    old.CopyFrom(tensor(name, array))
    return made


def operation(operator: str, inputs: str, outputs: str, **attributes: Any) -> NodeProto:
    """A node with its inputs and outputs in words; it is named after its operator."""
    name = attributes.pop("name", operator.lower())
    return helper.make_node(operator, inputs.split(), outputs.split(), name=name, **attributes)
