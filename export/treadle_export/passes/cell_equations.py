"""One step of each cell in primitive ONNX operators.

The product of the input is made outside (for a whole sequence at once, or for one step) and comes
as `projected` [B, G*H], biases included where the equation allows; the recurrent product is made
here. Input and state are multiplied apart in every lowering, so that all of them agree to the bit.

Equations: ONNX operators LSTM, GRU and RNN.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from treadle_export.canonical import BOUND
from treadle_export.passes.activations import apply, hidden_bound
from treadle_export.passes.bounds import bound_of
from treadle_export.passes.recurrent_weights import Direction, Recurrence
from treadle_export.passes.rewriting import Emitter

State = tuple[ir.Value, ...]


def projection_bias(recurrence: Recurrence, direction: Direction) -> NDArray[np.float32]:
    """The bias [G*H] that is added to the input's product.

    Both biases, but for a GRU's candidate: there the recurrent bias belongs under the reset gate
    (`linear_before_reset=1`) or beside the recurrent product.
    """
    recurrent = direction.recurrent_bias.copy()
    if recurrence.operator == "GRU":
        recurrent[2 * recurrence.hidden_size :] = 0
    return direction.input_bias + recurrent


def step(
    e: Emitter, recurrence: Recurrence, direction: Direction, projected: ir.Value, state: State
) -> State:
    """The next state, hidden first: (hidden, cell) of an LSTM, else (hidden,), each [B, H]."""
    name = f"{recurrence.name}{'.reverse' if direction.reverse else ''}.recurrent"
    if recurrence.operator == "LSTM":
        next_state = _lstm(e, recurrence, direction, projected, state, name)
    elif recurrence.operator == "GRU":
        next_state = _gru(e, recurrence, direction, projected, state, name)
    else:
        weights = e.constant(direction.recurrent, name)
        total = e.op("Add", projected, e.op("MatMul", state[0], weights))
        next_state = (apply(e, direction.activations[0], _rows(total, recurrence.hidden_size)),)
    bound = hidden_bound(recurrence.operator, direction.activations, bound_of(state[0]))
    next_state[0].meta[BOUND] = bound
    return next_state


def _rows(value: ir.Value, width: int) -> ir.Value:
    """Declares that `value` is [batch, width]: later passes ask for the width of a gate."""
    value.shape, value.type = ir.Shape(["batch", width]), ir.TensorType(ir.DataType.FLOAT)
    return value


def _lstm(
    e: Emitter, r: Recurrence, direction: Direction, projected: ir.Value, state: State, name: str
) -> State:
    size = r.hidden_size
    gate, squash, output = direction.activations
    hidden, cell = state
    gates = e.op("Add", projected, e.op("MatMul", hidden, e.constant(direction.recurrent, name)))
    if direction.peepholes is not None:
        return _peephole_lstm(e, size, direction, gates, cell, name)
    open_, candidate = e.ops("Split", gates, e.axes(3 * size, size), outputs=2, axis=-1)
    opened = apply(e, gate, _rows(open_, 3 * size))
    i, o, f = e.ops("Split", opened, e.axes(size, size, size), outputs=3, axis=-1)
    kept = e.op("Mul", f, cell)
    next_cell = e.op("Add", kept, e.op("Mul", i, apply(e, squash, _rows(candidate, size))))
    return e.op("Mul", o, apply(e, output, _rows(next_cell, size))), next_cell


def _peephole_lstm(
    e: Emitter, size: int, direction: Direction, gates: ir.Value, cell: ir.Value, name: str
) -> State:
    """Gates [B, 4*H] of an LSTM, as its products and biases make them, to (hidden, cell)."""
    if direction.peepholes is None:
        raise ValueError("expected peepholes")
    gate, squash, output = direction.activations
    to_input, to_output, to_forget = (
        e.constant(part, f"{name}.peephole_{which}")
        for which, part in zip("iof", np.split(direction.peepholes, 3), strict=True)
    )
    widths = e.axes(size, size, size, size)
    i, o, f, candidate = e.ops("Split", gates, widths, outputs=4, axis=-1)
    i = apply(e, gate, _rows(e.op("Add", i, e.op("Mul", cell, to_input)), size))
    f = apply(e, gate, _rows(e.op("Add", f, e.op("Mul", cell, to_forget)), size))
    kept = e.op("Mul", f, cell)
    next_cell = e.op("Add", kept, e.op("Mul", i, apply(e, squash, _rows(candidate, size))))
    o = apply(e, gate, _rows(e.op("Add", o, e.op("Mul", next_cell, to_output)), size))
    return e.op("Mul", o, apply(e, output, _rows(next_cell, size))), next_cell


def _gru(
    e: Emitter, r: Recurrence, direction: Direction, projected: ir.Value, state: State, name: str
) -> State:
    size = r.hidden_size
    gate, squash = direction.activations
    (hidden,) = state
    open_x, candidate_x = e.ops("Split", projected, e.axes(2 * size, size), outputs=2, axis=-1)
    bias = e.constant(direction.recurrent_bias[2 * size :], f"{name}.candidate_bias")
    if r.linear_before_reset:
        product = e.op("MatMul", hidden, e.constant(direction.recurrent, name))
        open_h, candidate_h = e.ops("Split", product, e.axes(2 * size, size), outputs=2, axis=-1)
    else:
        opening = np.ascontiguousarray(direction.recurrent[:, : 2 * size])
        open_h = e.op("MatMul", hidden, e.constant(opening, f"{name}.gates"))
    gates = apply(e, gate, _rows(e.op("Add", open_x, open_h), 2 * size))
    update, reset = e.ops("Split", gates, e.axes(size, size), outputs=2, axis=-1)
    if r.linear_before_reset:
        memory = e.op("Mul", reset, e.op("Add", candidate_h, bias))
    else:
        weights = np.ascontiguousarray(direction.recurrent[:, 2 * size :])
        reset_hidden = e.op("Mul", reset, hidden)
        product = e.op("MatMul", reset_hidden, e.constant(weights, f"{name}.candidate"))
        memory = e.op("Add", product, bias)
    candidate = apply(e, squash, _rows(e.op("Add", candidate_x, memory), size))
    # (1 - z) * candidate + z * h, with one product fewer
    return (e.op("Add", candidate, e.op("Mul", update, e.op("Sub", hidden, candidate))),)
