"""A step graph in a loop over time: the sequence graph of whatever can only be stepped.

Every step of the loop is the step graph itself, so that a chunk gives what its steps give, to the
bit. Operator: ONNX Scan.
"""

import numpy as np
import onnx_ir as ir

from treadle.manifest import Graph, StatePort, Tensor
from treadle_export.passes.rewriting import Emitter

_BODY = "step"
_CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})


def loop_over_time(step: ir.Model, interface: Graph, sequence: Graph) -> ir.Model:
    """The sequence graph of a step graph; `step` is left as it was.

    Args:
        step: [batch, …] in and out, states as `interface` says; no `active` input.
        interface: the step's contract.
        sequence: the contract of the result. A row keeps its state behind its length, and its
            outputs there are zero.
    """
    looped = step.clone()
    inner = looped.graph
    nodes, given, made = list(inner), list(inner.inputs), list(inner.outputs)
    inner.remove(nodes)
    inner.inputs.clear()
    inner.outputs.clear()
    ports = {value.name: value for value in (*given, *made)}
    states = [(ports[port.input], ports[port.output]) for port in interface.state]
    outputs = [ports[tensor.name] for tensor in interface.outputs]
    (read,) = (value for value in given if value.name == interface.inputs[0].name)
    body = _body(inner, nodes, states, read, outputs)
    _around(inner, body, sequence)
    return looped


def is_looped(sequence: ir.Model) -> bool:
    """Whether `loop_over_time` made this graph."""
    bodies = [n.attributes["body"].as_graph() for n in sequence.graph if n.op_type == "Scan"]
    return any(body.name == _BODY for body in bodies)


def rounds_by_length(sequence: ir.Model) -> bool:
    """Whether the graph has kernels that round a step alone otherwise than the same among many.

    onnxruntime's convolution multiplies matrices as wide as the sequence is long, and the width
    decides how its sums are ordered.
    """
    return any(node.op_type in _CONVOLUTIONS for node in sequence.graph)


def _body(
    root: ir.Graph,
    nodes: list[ir.Node],
    states: list[tuple[ir.Value, ir.Value]],
    read: ir.Value,
    outputs: list[ir.Value],
) -> ir.Graph:
    """(states, x, valid) -> (next states, outputs) of one step."""
    for value in (*(v for pair in states for v in pair), read, *outputs):
        value.name = f"step.{value.name}"
    valid = ir.Value(
        name="step.valid", shape=ir.Shape(["batch"]), type=ir.TensorType(ir.DataType.BOOL)
    )
    e = Emitter(root)
    kept = [_where(e, valid, after, before, before) for before, after in states]
    answers = [_where(e, valid, value, None, value) for value in outputs]
    e.name_after("step.kept.")
    return ir.Graph(
        [*(before for before, _ in states), read, valid],
        [*kept, *answers],
        nodes=[*nodes, *e.nodes],
        name=_BODY,
    )


def _where(
    e: Emitter, valid: ir.Value, new: ir.Value, old: ir.Value | None, like: ir.Value
) -> ir.Value:
    """`new` in valid rows, else `old`, or zeros."""
    rank = len(like.shape) if like.shape is not None else 1
    mask = e.op("Unsqueeze", valid, e.axes(*range(1, rank))) if rank > 1 else valid
    dtype = (like.dtype or ir.DataType.FLOAT).numpy()
    value = e.op("Where", mask, new, e.constant(np.zeros((), dtype)) if old is None else old)
    value.shape, value.type = like.shape, like.type
    return value


def _around(root: ir.Graph, body: ir.Graph, sequence: Graph) -> None:
    """The main graph: time second outside, first inside the loop."""
    x, lengths = (_declared(tensor.name, tensor) for tensor in sequence.inputs)
    states = [_declared(port.input, port) for port in sequence.state]
    root.inputs.extend([x, lengths, *states])
    e = Emitter(root)
    first = e.op("Transpose", x, perm=_swapped(len(sequence.inputs[0].shape)))
    time = e.op("Gather", e.op("Shape", x), e.constant(np.int64(1)), axis=0)
    steps = e.op("Range", e.constant(np.int64(0)), time, e.constant(np.int64(1)))
    valid = e.op("Less", e.op("Unsqueeze", steps, e.axes(1)), lengths)
    count = len(states) + len(sequence.outputs)
    made = e.ops("Scan", *states, first, valid, outputs=count, body=body, num_scan_inputs=2)
    answers = [
        e.op("Transpose", value, perm=_swapped(len(tensor.shape)))
        for value, tensor in zip(made[len(states) :], sequence.outputs, strict=True)
    ]
    for value, tensor in zip(answers, sequence.outputs, strict=True):
        _declare(value, tensor.name, tensor)
    for value, port in zip(made, sequence.state, strict=False):
        _declare(value, port.output, port)
    root.outputs.extend([*answers, *made[: len(states)]])
    e.name_after("loop.")
    root.extend(e.nodes)
    root.name = "sequence"


def _swapped(rank: int) -> list[int]:
    return [1, 0, *range(2, rank)]


def _declared(name: str, like: Tensor | StatePort) -> ir.Value:
    value = ir.Value(name=name)
    _declare(value, name, like)
    return value


def _declare(value: ir.Value, name: str, like: Tensor | StatePort) -> None:
    value.name, value.shape = name, ir.Shape(like.shape)
    value.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(like.dtype)))
