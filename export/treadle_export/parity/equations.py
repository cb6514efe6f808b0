"""The equations of the cells in plain numpy, float64: the ladder's first rung.

Written from the papers and the ONNX operators' definitions, not from torch: B batch, I input,
H hidden size; gates in torch's order (LSTM i f g o; GRU r z n).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import UnsupportedGraph
from treadle_train.cells import GRU, LSTM, Cell, Elman, Layer, PeepholeLSTM

Array = NDArray[np.float64]


def _sigmoid(x: Array) -> Array:
    return 0.5 * (1.0 + np.tanh(0.5 * x))


def lstm(x: Array, r: Array, cell: Array) -> tuple[Array, Array]:
    """Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    x, r [B, 4H]: products of input and hidden state with their weights, biases added.
    """
    i, f, g, o = np.split(x + r, 4, axis=1)
    next_cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
    return _sigmoid(o) * np.tanh(next_cell), next_cell


def peephole_lstm(x: Array, r: Array, cell: Array, peepholes: Array) -> tuple[Array, Array]:
    """Gers & Schmidhuber 2000: p_i and p_f [H] see the cell, p_o the next one; see `lstm`."""
    (i, f, g, o), (pi, pf, po) = np.split(x + r, 4, axis=1), np.split(peepholes, 3)
    next_cell = _sigmoid(f + pf * cell) * cell + _sigmoid(i + pi * cell) * np.tanh(g)
    return _sigmoid(o + po * next_cell) * np.tanh(next_cell), next_cell


def gru_reset_after(x: Array, r: Array, hidden: Array) -> Array:
    """The reset gate after the recurrent product, as cuDNN and PyTorch have it."""
    (xr, xz, xn), (hr, hz, hn) = np.split(x, 3, axis=1), np.split(r, 3, axis=1)
    update = _sigmoid(xz + hz)
    return (1 - update) * np.tanh(xn + _sigmoid(xr + hr) * hn) + update * hidden


def gru_reset_before(x: Array, hidden: Array, weights: Array, bias: Array) -> Array:
    """Cho et al. 2014: the reset gate before the recurrent product, weights [3H, H]."""
    (xr, xz, xn), (wr, wz, wn) = np.split(x, 3, axis=1), np.split(weights, 3)
    br, bz, bn = np.split(bias, 3)
    reset = _sigmoid(xr + hidden @ wr.T + br)
    update = _sigmoid(xz + hidden @ wz.T + bz)
    return (1 - update) * np.tanh(xn + (reset * hidden) @ wn.T + bn) + update * hidden


def step(cell: Cell[Any], x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    """One step of a cell with its own weights: x [B, I], state parts [B, H] -> next state parts.

    Raises:
        UnsupportedGraph: no equation is known for the cell.
    """
    parameters = {name: p.detach().double().numpy() for name, p in cell.named_parameters()}
    weights, bias = parameters["recurrent_weights"], parameters["recurrent_bias"]
    projected = x @ parameters["input_weights"].T + parameters["input_bias"]
    recurrent = state[0] @ weights.T + bias
    if isinstance(cell, PeepholeLSTM):
        return peephole_lstm(projected, recurrent, state[1], parameters["peepholes"])
    if isinstance(cell, LSTM):
        return lstm(projected, recurrent, state[1])
    if isinstance(cell, GRU):
        if cell.reset == "after":
            return (gru_reset_after(projected, recurrent, state[0]),)
        return (gru_reset_before(projected, state[0], weights, bias),)
    if isinstance(cell, Elman):
        total = projected + recurrent
        return (np.tanh(total) if cell.nonlinearity == "tanh" else np.maximum(total, 0),)
    raise UnsupportedGraph(f"expected an Elman, LSTM or GRU cell, got {type(cell).__name__}")


def _unroll(cell: Cell[Any], x: Array, state: tuple[Array, ...]) -> Array:
    """X [T, I] -> outputs [T, H]."""
    outputs = []
    for row in x:
        state = step(cell, row[None], state)
        outputs.append(state[0][0])
    return np.stack(outputs)


def unroll(layer: Layer, x: Array, state: dict[str, Array]) -> Array:
    """One row through a layer, both directions: x [T, I] -> outputs [T, D*H]."""
    names = layer.forward_cell.state_names
    outputs = [_unroll(layer.forward_cell, x, tuple(state[n] for n in names))]
    if layer.reverse_cell is not None:
        start = tuple(state[f"reverse.{n}"] for n in names)
        outputs.append(_unroll(layer.reverse_cell, x[::-1], start)[::-1])
    return np.concatenate(outputs, axis=1)
