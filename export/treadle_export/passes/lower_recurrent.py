"""Lowering of recurrent nodes into primitive operators: `cell` for one step, `scan` over time.

onnxruntime's fused kernels are float32 only and its RNN kernel lets a row feel its neighbours;
primitive operators can be quantized and stay exact in company. A `cell` is one step (time is 1 and
its axis folds away); a `scan` hoists the input's product out of the loop. A graph of one step may
hold layers that read a window within it: they have lengths, and are scans.

A scan runs on behind a row's length, and its outputs there are masked for all steps at once: an
operator in the loop costs as much as one outside it, at every step. A final hidden state is the
output of a row's last step; only a cell state, which is no output, is held in the loop, where it
is asked for.
"""

from collections import Counter
from collections.abc import Collection
from typing import Literal

import numpy as np
import onnx_ir as ir

from treadle.errors import ExportError
from treadle_export.canonical import BOUND
from treadle_export.passes import cell_equations
from treadle_export.passes.activations import hidden_bound
from treadle_export.passes.bounds import bound_of
from treadle_export.passes.recurrent_weights import GATES, Direction, Recurrence, recurrence_of
from treadle_export.passes.rewriting import Emitter, given

Form = Literal["cell", "scan"]


class LowerRecurrent(ir.passes.InPlacePass):
    """Rewrites every node of `operators` in the given form, or as `form_of` has it.

    Requires, for `cell`: a graph of one step, each such node forward or with lengths.
    Ensures: none of `operators` is left.
    """

    def __init__(self, form: Form, operators: Collection[str] = tuple(GATES)) -> None:
        super().__init__()
        self.form = form
        self.operators = frozenset(operators)

    def _nodes(self, model: ir.Model) -> list[ir.Node]:
        return [node for node in model.graph if node.op_type in self.operators]

    def requires(self, model: ir.Model) -> None:
        for node in self._nodes(model) if self.form == "cell" else ():
            bidirectional = node.attributes.get_string("direction", "forward") != "forward"
            if bidirectional and form_of(node, self.form) == "cell":
                raise ir.passes.PreconditionError(
                    f"{node.op_type} node {node.name!r} is bidirectional: it cannot run one step "
                    f"at a time; lower it as scan"
                )

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        nodes = self._nodes(model)
        seen: Counter[str] = Counter()
        for node in nodes:
            if form_of(node, self.form) == "cell":
                _as_cell(node, model.graph)
                continue
            recurrence = recurrence_of(node)
            seen[recurrence.name] += 1  # a layer may read twice, and names are there once
            again = f"again{seen[recurrence.name]}." if seen[recurrence.name] > 1 else ""
            _as_scan(node, model.graph, recurrence, again)
        return ir.passes.PassResult(model, modified=bool(nodes))

    def ensures(self, model: ir.Model) -> None:
        if left := self._nodes(model):
            raise ir.passes.PostconditionError(f"{len(left)} recurrent nodes are left")


def form_of(node: ir.Node, form: Form) -> Form:
    """How a recurrent node is lowered where its graph asks for `form`."""
    lengths = node.inputs[4] if len(node.inputs) > 4 else None
    return form if lengths is None else "scan"


def _initial(node: ir.Node, recurrence: Recurrence) -> list[ir.Value]:
    """The initial states that the node is given, each [D, B, H].

    Raises:
        ExportError: the node leaves them out.
    """
    count = 2 if recurrence.operator == "LSTM" else 1
    states = [value for value in node.inputs[5 : 5 + count] if value is not None]
    if len(states) < count:
        raise ExportError(
            f"expected {count} initial states at {node.op_type} node {node.name!r}, got "
            f"{len(states)}; give every recurrent layer its state as an input"
        )
    return states


def _project(e: Emitter, r: Recurrence, direction: Direction, x: ir.Value) -> ir.Value:
    """The input's product for all steps at once: x [..., I] -> [..., G*H], biases added."""
    name = f"{r.name}{'.reverse' if direction.reverse else ''}.input"
    product = e.op("MatMul", x, e.constant(direction.input, name))
    bias = cell_equations.projection_bias(r, direction)
    return e.op("Add", product, e.constant(bias, f"{name}_bias"))


def _as_cell(node: ir.Node, graph: ir.Graph) -> None:
    e, r = Emitter(graph), recurrence_of(node)
    first, direction = e.axes(0), r.directions[0]
    state = tuple(e.op("Squeeze", value, first) for value in _initial(node, r))
    projected = _project(e, r, direction, e.op("Squeeze", given(node, 0), first))
    following = cell_equations.step(e, r, direction, projected, state)
    finals = [e.op("Unsqueeze", value, first) for value in following]
    output = e.op("Unsqueeze", following[0], e.axes(0, 1))
    e.name_after(f"{r.name}.")  # not after the node, whose name depends on what was folded before
    e.replace(node, output, *finals)


def _as_scan(node: ir.Node, graph: ir.Graph, r: Recurrence, again: str) -> None:
    e = Emitter(graph)
    x, lengths = given(node, 0), node.inputs[4]
    initial = _initial(node, r)
    lengths64 = None if lengths is None else e.op("Cast", lengths, to=ir.DataType.INT64)
    projections = [
        _project(e, r, direction, _reversed(e, x, lengths64, direction))
        for direction in r.directions
    ]
    valid = None if lengths64 is None else _valid_steps(e, projections[0], lengths64)
    outputs: list[ir.Value] = []
    finals: list[list[ir.Value]] = []
    for index, direction in enumerate(r.directions):
        state = [e.op("Gather", value, e.constant(np.int64(index)), axis=0) for value in initial]
        held = valid if r.operator == "LSTM" and _asked(node, 2) else None
        *last, y = _scan(e, r, direction, projections[index], state, held, again)
        if lengths64 is not None:
            last[0] = _at_last_step(e, y, lengths64, state[0])
            y = e.op("Where", valid, y, e.constant(np.float32(0)))
        y.meta[BOUND] = hidden_bound(r.operator, direction.activations, bound_of(initial[0]))
        outputs.append(e.op("Unsqueeze", _reversed(e, y, lengths64, direction), e.axes(1)))
        finals.append([e.op("Unsqueeze", value, e.axes(0)) for value in last])
    joined = [_joined(e, [parts[k] for parts in finals], 0) for k in range(len(initial))]
    output = _joined(e, outputs, 1)
    e.name_after(f"{r.name}.{again}")
    e.replace(node, output, *joined)


def _asked(node: ir.Node, index: int) -> bool:
    """Whether anything reads an output of a node, which may leave it out."""
    value = node.outputs[index] if index < len(node.outputs) else None
    return value is not None and (bool(value.uses()) or value.is_graph_output())


def _joined(e: Emitter, parts: list[ir.Value], axis: int) -> ir.Value:
    return parts[0] if len(parts) == 1 else e.op("Concat", *parts, axis=axis)


def _valid_steps(e: Emitter, x: ir.Value, lengths: ir.Value) -> ir.Value:
    """[T, B, 1] bool: whether a step lies within its row's length."""
    time = e.op("Gather", e.op("Shape", x), e.constant(np.int64(0)), axis=0)
    steps = e.op("Range", e.constant(np.int64(0)), time, e.constant(np.int64(1)))
    return e.op(
        "Less", e.op("Unsqueeze", steps, e.axes(1, 2)), e.op("Unsqueeze", lengths, e.axes(1))
    )


def _at_last_step(e: Emitter, y: ir.Value, lengths: ir.Value, initial: ir.Value) -> ir.Value:
    """[B, H]: the output [T, B, H] of each row's last step; the initial state of a row without."""
    one, none = e.constant(np.int64(1)), e.constant(np.int64(0))
    step = e.op("Max", e.op("Sub", lengths, one), none)
    rows = e.op("Range", none, e.op("Squeeze", e.op("Shape", lengths)), one)
    places = [e.op("Unsqueeze", value, e.axes(1)) for value in (step, rows)]
    last = e.op("GatherND", y, e.op("Concat", *places, axis=1))
    stepped = e.op("Greater", e.op("Unsqueeze", lengths, e.axes(1)), none)
    return e.op("Where", stepped, last, initial)


def _reversed(e: Emitter, x: ir.Value, lengths: ir.Value | None, direction: Direction) -> ir.Value:
    """`x` [T, B, …], each row turned round within its length, for the reverse direction."""
    if not direction.reverse:
        return x
    if lengths is None:
        raise ExportError("expected lengths at a reverse recurrent layer, got none")
    return e.op("ReverseSequence", x, lengths, time_axis=0, batch_axis=1)


def _scan(
    e: Emitter,
    r: Recurrence,
    direction: Direction,
    projected: ir.Value,
    state: list[ir.Value],
    held: ir.Value | None,
    again: str,
) -> list[ir.Value]:
    """A Scan over `projected` [T, B, G*H]: the last states [B, H] and the outputs [T, B, H].

    held: [T, B, 1] bool, the steps that change the cell state.
    """
    scanned = [projected] if held is None else [projected, held]
    holds = held is not None
    body = _body(e.root, r, direction, bound_of(state[0]), holds=holds, again=again)
    return list(
        e.ops(
            "Scan",
            *state,
            *scanned,
            outputs=len(state) + 1,
            body=body,
            num_scan_inputs=len(scanned),
        )
    )


def _body(
    root: ir.Graph,
    r: Recurrence,
    direction: Direction,
    initial: float | None,
    *,
    holds: bool,
    again: str,
) -> ir.Graph:
    """One step: (state, projected[, valid]) -> (next state, output); `initial` bounds the first.

    holds: whether the cell state stays as it is where a step is not valid.
    """
    e = Emitter(root)
    prefix = f"{r.name}{'.reverse' if direction.reverse else ''}.{again}scan"
    floats = ir.TensorType(ir.DataType.FLOAT)
    rows = ir.Shape(["batch", r.hidden_size])
    names = ("hidden", "cell")[: 2 if r.operator == "LSTM" else 1]
    state = tuple(ir.Value(name=f"{prefix}.{n}", shape=rows, type=floats) for n in names)
    width = GATES[r.operator] * r.hidden_size
    projected = ir.Value(name=f"{prefix}.projected", shape=ir.Shape(["batch", width]), type=floats)
    inputs = [*state, projected]
    later = hidden_bound(r.operator, direction.activations, initial)
    if initial is not None and later is not None:
        state[0].meta[BOUND] = max(initial, later)
    following = cell_equations.step(e, r, direction, projected, state)
    output = e.op("Identity", following[0])
    if holds:
        valid = ir.Value(
            name=f"{prefix}.valid",
            shape=ir.Shape(["batch", 1]),
            type=ir.TensorType(ir.DataType.BOOL),
        )
        inputs.append(valid)
        following = (following[0], e.op("Where", valid, following[1], state[1]))
    e.name_after(f"{prefix}.")
    outputs = [*following, output]
    for value, name in zip(outputs, [*(f"next_{n}" for n in names), "output"], strict=True):
        value.name, value.shape, value.type = f"{prefix}.{name}", rows, floats
    return ir.Graph(inputs, outputs, nodes=e.nodes, name=prefix)
