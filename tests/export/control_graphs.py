"""Foreign graphs whose recurrence lies inside If, Loop and Scan bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper

from tests.export.foreign_graphs import FEATURES, HIDDEN, OUTPUTS, Builder

if TYPE_CHECKING:
    import onnx

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def port(name: str, kind: int = FLOAT, shape: list[Any] | None = None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def _zeros(b: Builder, *rest: int, fill: float = 0.0) -> str:
    """A state made inside, of as many rows as `x` [B, T, F] has: [*before, B, H]."""
    shape = b.op("Shape", "x", to="shape")
    rows = b.op("Slice", shape, b.constant("a", [0]), b.constant("z", [1]), to="rows")
    ones = [b.constant("ones", list(rest))] if rest else []
    full = b.op("Concat", *ones, rows, b.constant("wide", [HIDDEN]), to="full", axis=0)
    value = helper.make_tensor("fill", FLOAT, [1], [fill])
    b.nodes.append(helper.make_node("ConstantOfShape", [full], ["start"], value=value))
    return "start"


def _cell(b: Builder, x: str, before: str, after: str) -> list[Any]:
    """Nodes of one Elman step in primitives."""
    b.weight("w", FEATURES, HIDDEN)
    b.weight("r", HIDDEN, HIDDEN)
    return [
        helper.make_node("MatMul", [x, "w"], ["wx"]),
        helper.make_node("MatMul", [before, "r"], ["rh"]),
        helper.make_node("Add", ["wx", "rh"], ["sum"]),
        helper.make_node("Tanh", ["sum"], [after]),
    ]


def _ended(b: Builder, steps: str, perm: list[int]) -> onnx.ModelProto:
    rows = b.op("Transpose", steps, to="rows_first", perm=perm)
    b.op("MatMul", rows, b.weight("head", HIDDEN, OUTPUTS), to="y")
    return b.model([("x", FLOAT, ["b", "t", FEATURES])], [("y", None)])


def scanned(*, axis: int = 1, backward: bool = False, fill: float = 0.0) -> onnx.ModelProto:
    """A cell of primitives in a Scan over time; `axis` of time in what it takes apart."""
    b = Builder()
    x = "x" if axis == 1 else b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    nodes = _cell(b, "step", "h", "h_next")
    nodes.append(helper.make_node("Identity", ["h_next"], ["out"]))
    body = helper.make_graph(
        nodes, "body", [port("h"), port("step")], [port("h_next"), port("out")]
    )
    start = _zeros(b, fill=fill)
    scan = helper.make_node(
        "Scan", [start, x], ["h_end", "steps"], name="recurrence", body=body,
        num_scan_inputs=1, scan_input_axes=[axis], scan_input_directions=[int(backward)],
    )  # fmt: skip
    b.nodes.append(scan)
    return _ended(b, "steps", [1, 0, 2])


def scanned_with_state() -> onnx.ModelProto:
    """The same, its state an input and an output of the graph."""
    made = scanned()
    kinds = {"Shape", "Slice", "Concat", "ConstantOfShape"}
    nodes = [node for node in made.graph.node if node.op_type not in kinds]
    next(node for node in nodes if node.op_type == "Scan").input[0] = "h_in"
    del made.graph.node[:]
    made.graph.node.extend(nodes)
    made.graph.input.append(port("h_in", shape=["b", HIDDEN]))
    made.graph.output.append(port("h_end", shape=["b", HIDDEN]))
    return made


def looped_over_time(kind: str = "cell", *, counts: bool = False) -> onnx.ModelProto:
    """A Loop that takes one step of `x` [B, T, F] a round: a cell of primitives, or a GRU."""
    b = Builder()
    shape = b.op("Shape", "x", to="all")
    count = b.op("Gather", shape, b.constant("place", np.int64(1)), to="count")
    nodes = [helper.make_node("Identity", ["go"], ["go_on"])]
    if kind == "cell":
        start = _zeros(b)
        nodes.append(helper.make_node("Gather", ["x", "i"], ["step"], axis=1))
        nodes += _cell(b, "step", "h", "h_next")
        nodes.append(helper.make_node("Identity", ["h_next"], ["out"]))
    else:
        start = _zeros(b, 1)
        b.weight("layer.w", 1, 3 * HIDDEN, FEATURES)
        b.weight("layer.r", 1, 3 * HIDDEN, HIDDEN)
        b.constant("first", [0])
        b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
        nodes.append(helper.make_node("Unsqueeze", ["i", "first"], ["place_i"]))
        nodes.append(helper.make_node("Gather", ["xt", "place_i"], ["step"], axis=0))
        inputs = ["step", "layer.w", "layer.r", "", "", "h"]
        outputs = ["", "h_next"]
        nodes.append(helper.make_node("GRU", inputs, outputs, hidden_size=HIDDEN, name="layer"))
        nodes.append(helper.make_node("Squeeze", ["h_next", "first"], ["out"]))
    if counts:
        nodes[-1].output[0] = "plain"
        nodes.append(helper.make_node("Cast", ["i"], ["float_i"], to=FLOAT))
        nodes.append(helper.make_node("Add", ["plain", "float_i"], ["out"]))
    body = helper.make_graph(
        nodes, "body",
        [port("i", INT64, []), port("go", BOOL, []), port("h")],
        [port("go_on", BOOL, []), port("h_next"), port("out")],
    )  # fmt: skip
    b.constant("yes", np.array(True))
    inputs = [count, "yes", start]
    b.nodes.append(helper.make_node("Loop", inputs, ["h_end", "steps"], name="rounds", body=body))
    return _ended(b, "steps", [1, 0, 2])


def repeated(rounds: int = 3) -> onnx.ModelProto:
    """A Loop of fixed rounds, each of them the same LSTM over all of time."""
    b = Builder()
    b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    b.weight("into", FEATURES, HIDDEN)
    b.op("MatMul", "xt", "into", to="wide")
    b.weight("layer.w", 1, 4 * HIDDEN, HIDDEN)
    b.weight("layer.r", 1, 4 * HIDDEN, HIDDEN)
    b.constant("axis", [1])
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node(
            "LSTM", ["z", "layer.w", "layer.r"], ["all"], hidden_size=HIDDEN, name="layer"
        ),
        helper.make_node("Squeeze", ["all", "axis"], ["flat"]),
        helper.make_node("Add", ["flat", "z"], ["z_next"]),
    ]
    body = helper.make_graph(
        nodes, "body",
        [port("i", INT64, []), port("go", BOOL, []), port("z")],
        [port("go_on", BOOL, []), port("z_next")],
    )  # fmt: skip
    b.constant("rounds", np.array(rounds))
    b.nodes.append(helper.make_node("Loop", ["rounds", "", "wide"], ["made"], name="n", body=body))
    return _ended(b, "made", [1, 0, 2])


def beside_a_loop() -> onnx.ModelProto:
    """An LSTM, and a Loop without one that runs as often as the inputs say."""
    b = Builder()
    b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    b.weight("layer.w", 1, 4 * HIDDEN, FEATURES)
    b.weight("layer.r", 1, 4 * HIDDEN, HIDDEN)
    lstm = ["xt", "layer.w", "layer.r"]
    b.nodes.append(helper.make_node("LSTM", lstm, ["all"], hidden_size=HIDDEN, name="layer"))
    b.op("Squeeze", "all", b.constant("axis", [1]), to="flat")
    largest = b.op("ReduceMax", "x", to="largest", keepdims=0)
    b.nodes.append(helper.make_node("Cast", [largest], ["count"], to=INT64))
    nodes = [
        helper.make_node("Identity", ["go"], ["go_on"]),
        helper.make_node("Tanh", ["z"], ["z_next"]),
    ]
    body = helper.make_graph(
        nodes, "body",
        [port("i", INT64, []), port("go", BOOL, []), port("z")],
        [port("go_on", BOOL, []), port("z_next")],
    )  # fmt: skip
    b.nodes.append(
        helper.make_node("Loop", ["count", "", "flat"], ["made"], name="polish", body=body)
    )
    return _ended(b, "made", [1, 0, 2])


def grouped(groups: int = 2) -> onnx.ModelProto:
    """A Scan over groups of features, each read by the same GRU over all of time."""
    b = Builder()
    size = FEATURES // groups
    b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    b.op("Reshape", "xt", b.constant("split", [0, 0, groups, size]), to="parts")
    b.weight("layer.w", 1, 3 * HIDDEN, size)
    b.weight("layer.r", 1, 3 * HIDDEN, HIDDEN)
    b.constant("axis", [1])
    nodes = [
        helper.make_node(
            "GRU", ["part", "layer.w", "layer.r"], ["all"], hidden_size=HIDDEN, name="layer"
        ),
        helper.make_node("Squeeze", ["all", "axis"], ["flat"]),
    ]
    body = helper.make_graph(nodes, "body", [port("part")], [port("flat")])
    scan = helper.make_node(
        "Scan", ["parts"], ["made"], name="groups", body=body,
        num_scan_inputs=1, scan_input_axes=[2], scan_input_directions=[1],
    )  # fmt: skip
    b.nodes.append(scan)
    weights = b.constant("weights", np.arange(1, groups + 1).reshape(-1, 1, 1, 1) / np.float32(2))
    b.weights[weights] = b.weights[weights].astype(np.float32)
    b.op("Mul", "made", weights, to="weighted")
    b.op("ReduceSum", "weighted", b.constant("over", [0]), to="sum", keepdims=0)
    return _ended(b, "sum", [1, 0, 2])


def branched(condition: str, layer: str = "GRU") -> onnx.ModelProto:
    """A layer in each branch of an If, whose condition looks at the sizes or the values of `x`."""
    b = Builder()
    b.constant("one", [1])

    def branch(name: str, seed: int) -> Any:
        inner = Builder()
        inner.random = np.random.default_rng(seed)
        x = inner.op("Transpose", "x", to=f"{name}.xt", perm=[1, 0, 2])
        made = inner.layer(layer, x, f"{name}.layer", FEATURES)
        inner.weights.pop("one")
        inner.nodes[-1].input[1] = "one"
        inner.op("Transpose", made, to=f"{name}.y", perm=[1, 0, 2])
        b.weights.update(inner.weights)
        return helper.make_graph(inner.nodes, name, [], [port(f"{name}.y")])

    if condition == "features":
        shape = b.op("Shape", "x", to="shape")
        size = b.op("Gather", shape, b.constant("last", np.int64(2)), to="size")
        chosen = b.op("Equal", size, b.constant("known", np.int64(FEATURES)), to="chosen")
    elif condition == "batch":
        shape = b.op("Shape", "x", to="shape")
        size = b.op("Gather", shape, b.constant("front", np.int64(0)), to="size")
        chosen = b.op("Equal", size, b.constant("two", np.int64(2)), to="chosen")
    else:
        largest = b.op("ReduceMax", "x", to="largest", keepdims=0)
        chosen = b.op("Greater", largest, b.constant("limit", np.float32(1)), to="chosen")
    branches = {"then_branch": branch("then", 3), "else_branch": branch("else", 4)}
    b.nodes.append(helper.make_node("If", [chosen], ["y"], name="choice", **branches))
    return b.model([("x", FLOAT, ["b", "t", FEATURES])], [("y", None)])


def one_layer(kind: str) -> onnx.ModelProto:
    """A layer over `x` [B, T, F], and its output [B, T, H]."""
    b = Builder()
    x = b.op("Transpose", "x", to="xt", perm=[1, 0, 2])
    b.op("Transpose", b.layer(kind, x, "l", FEATURES), to="y", perm=[1, 0, 2])
    return b.model([("x", FLOAT, ["b", "t", FEATURES])], [("y", None)])


def in_a_branch(model: onnx.ModelProto) -> onnx.ModelProto:
    """All of a model in the branch that every `x` of its features takes."""
    b = Builder()
    shape = b.op("Shape", "x", to="shape")
    size = b.op("Gather", shape, b.constant("last", np.int64(2)), to="size")
    b.op("Equal", size, b.constant("known", np.int64(FEATURES)), to="chosen")
    b.weight("plain", FEATURES, HIDDEN)
    other = [helper.make_node("MatMul", ["x", "plain"], ["y.other"])]
    branches = {
        "then_branch": helper.make_graph(list(model.graph.node), "then", [], [port("y")]),
        "else_branch": helper.make_graph(other, "else", [], [port("y.other")]),
    }
    b.nodes.append(helper.make_node("If", ["chosen"], ["answer"], name="choice", **branches))
    whole = b.model([("x", FLOAT, ["b", "t", FEATURES])], [("answer", None)])
    whole.graph.initializer.extend(model.graph.initializer)
    whole.opset_import.extend(o for o in model.opset_import if o.domain)
    return whole
