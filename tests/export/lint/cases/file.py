"""Versions of the file, and whether anything recurs in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper

from tests.export.lint.cases.case import Case
from tests.export.lint.graphs import HIDDEN, model, operation, port, streaming, tensor
from treadle_export.canonical import IR_VERSION, OPSET

if TYPE_CHECKING:
    from onnx import ModelProto


def versions(ir_version: int, opset: int) -> ModelProto:
    made = streaming()
    made.ir_version = ir_version
    made.opset_import[0].version = opset
    return made


def dense() -> ModelProto:
    weights = [tensor("W", np.ones((4, 3), np.float32))]
    node = operation("MatMul", "x W", "y")
    return model([node], [port("x", ["batch", 4])], [port("y", None)], weights)


def unrelated() -> ModelProto:
    """An input and an output that look like a state, but neither comes from the other."""
    made = dense()
    made.graph.input.append(port("state", ["batch", 3]))
    made.graph.node.append(operation("Relu", "state", "unused"))
    return made


def of_another_domain(operator: str) -> ModelProto:
    made = streaming()
    made.graph.node[0].op_type = operator
    made.graph.node[0].domain = "elsewhere"
    made.opset_import.append(helper.make_opsetid("elsewhere", 1))
    return made


def one_step() -> ModelProto:
    """A cell whose state is carried outside, behind an operator that no shape gets through."""
    nodes = [
        operation("MatMul", "state.hidden R", "product"),
        helper.make_node("Any", ["product"], ["mixed"], domain="elsewhere"),
        operation("Tanh", "mixed", "next_state.hidden"),
    ]
    made = model(
        nodes,
        [port("state.hidden", ["batch", HIDDEN])],
        [port("next_state.hidden", None)],
        [tensor("R", np.ones((HIDDEN, HIDDEN), np.float32))],
    )
    made.opset_import.append(helper.make_opsetid("elsewhere", 1))
    return made


def scan() -> ModelProto:
    body = helper.make_graph(
        [operation("Add", "before x_t", "sum"), operation("Tanh", "sum", "after")],
        "body",
        [port("before", None), port("x_t", None)],
        [port("after", None)],
    )
    node = operation("Scan", "start x", "end", name="loop", body=body, num_scan_inputs=1)
    shapes = [port("start", ["batch", HIDDEN]), port("x", ["time", "batch", HIDDEN])]
    return model([node], shapes, [port("end", None)])


NEW, NONE = "too-new", "no-recurrence"

CASES = [
    Case(NEW, "what Treadle writes", streaming),
    Case(NEW, "older", lambda: versions(8, 17)),
    Case(
        NEW,
        "both versions newer",
        lambda: versions(IR_VERSION + 1, OPSET + 1),
        "warning",
        ("IR version 11 (devices are sure to know 10) and opset 22 (devices are sure to know 21)",),
    ),
    Case(
        NEW, "the opset alone", lambda: versions(IR_VERSION, OPSET + 2), "warning", ("in opset 23",)
    ),
    Case(NONE, "a recurrent node", streaming),
    Case(NONE, "nothing recurs", dense, "note", ("no LSTM, GRU or RNN", "nothing in it carries")),
    Case(NONE, "inputs and outputs alike", unrelated, "note", ("nothing in it carries",)),
    Case(NONE, "a name of ONNX's elsewhere", lambda: of_another_domain("LSTM"), "note"),
    Case(
        NONE,
        "a name of onnxruntime's elsewhere",
        lambda: of_another_domain("DynamicQuantizeLSTM"),
        "note",
    ),
    Case(
        NONE,
        "a step with its state outside",
        one_step,
        "note",
        ("with its state outside ('state.hidden -> next_state.hidden')",),
    ),
    Case(NONE, "a Scan", scan, "note", ("'loop' may be one written as Loop or Scan",)),
]
