"""A step graph in a loop over time: the sequence graph of whatever can only be stepped.

Every step of the loop is the step graph itself, so that a chunk gives what its steps give, to the
bit. Operator: ONNX Scan.
"""

import numpy as np
import onnx_ir as ir

from treadle.manifest import Graph
from treadle_export.passes.rewriting import Emitter


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
    _around(inner, body, interface, sequence)
    return looped


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
        name="step",
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


def _around(root: ir.Graph, body: ir.Graph, interface: Graph, sequence: Graph) -> None:
    """The main graph: inputs with time second, the loop over time first."""
    tensors = (*sequence.inputs, *((port.input, port) for port in sequence.state))
    values = {}
    for tensor in tensors:
        name, like = tensor if isinstance(tensor, tuple) else (tensor.name, tensor)
        values[name] = ir.Value(
            name=name,
            shape=ir.Shape(like.shape),
            type=ir.TensorType(ir.DataType.from_numpy(np.dtype(like.dtype))),
        )
        root.inputs.append(values[name])
    x, lengths = (values[tensor.name] for tensor in sequence.inputs)
    e = Emitter(root)
    rank = len(sequence.inputs[0].shape)
    first = e.op("Transpose", x, perm=[1, 0, *range(2, rank)])
    time = e.op("Gather", e.op("Shape", x), e.constant(np.int64(1)), axis=0)
    steps = e.op("Range", e.constant(np.int64(0)), time, e.constant(np.int64(1)))
    valid = e.op("Less", e.op("Unsqueeze", steps, e.axes(1)), lengths)
    states = [values[port.input] for port in sequence.state]
    count = len(states) + len(sequence.outputs)
    made = e.ops("Scan", *states, first, valid, outputs=count, body=body, num_scan_inputs=2)
    for value, port in zip(made, sequence.state, strict=False):
        value.name = port.output
        root.outputs.append(value)
    answers = []
    for value, tensor in zip(made[len(states) :], sequence.outputs, strict=True):
        out = e.op("Transpose", value, perm=[1, 0, *range(2, len(tensor.shape))])
        out.name = tensor.name
        answers.append(out)
    for place, out in enumerate(answers):
        root.outputs.insert(place, out)
    for value, like in (
        *zip(answers, sequence.outputs, strict=True),
        *zip(made, sequence.state, strict=False),
    ):
        value.shape = ir.Shape(like.shape)
        value.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(like.dtype)))
    e.name_after("loop.")
    root.extend(e.nodes)
    root.name = "sequence"
