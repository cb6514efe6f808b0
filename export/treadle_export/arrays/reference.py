"""A network of arrays in numpy, float64: the textbook's equations, step after step.

The origin against which the adopted graph is held; nothing here knows of ONNX.

Sources: Elman 1990; Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000;
Cho et al. 2014; Ba et al. 2016.
"""

import numpy as np
from numpy.typing import NDArray

from treadle_export.arrays.activations import Array, evaluated
from treadle_export.arrays.gates import Gate, gates_of
from treadle_export.arrays.layers import (
    ActivationArrays,
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)


def evaluate(layers: tuple[Layer, ...], x: NDArray[np.generic]) -> Array:
    """Whole sequences of one length through the network.

    Args:
        layers: what the network is made of, checked before.
        x: ids int64 [B, T] or features [B, T, I]; every row has T steps.

    Returns:
        float64 [B, T, O], or [B, O] where a layer keeps only its last state.
    """
    value = x if isinstance(layers[0], EmbeddingArrays) else x.astype(np.float64)
    for layer in layers:
        value = _layer(layer, value)
    return value.astype(np.float64)


def _layer(layer: Layer, x: NDArray[np.generic]) -> Array:
    if isinstance(layer, EmbeddingArrays):
        return np.asarray(layer.table, np.float64)[x.astype(np.int64)]
    value = x.astype(np.float64)
    if isinstance(layer, RecurrentArrays):
        return _directed(layer, value, backwards=layer.go_backwards)
    if isinstance(layer, BidirectionalArrays):
        return _bidirectional(layer, value)
    if isinstance(layer, DenseArrays):
        weights = np.asarray(layer.weights, np.float64)
        product = value @ (weights.T if layer.order == "torch" else weights)
        return evaluated(layer.activation, product if layer.bias is None else product + layer.bias)
    if isinstance(layer, ActivationArrays):
        return evaluated(layer.activation, value)
    if isinstance(layer, ScaleArrays):
        return value * layer.factors + layer.terms
    return _normalized(layer, value)


def _normalized(layer: NormalizationArrays, x: Array) -> Array:
    centred: Array = x - x.mean(axis=-1, keepdims=True)
    deviation: Array = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + layer.epsilon)
    return centred / deviation * layer.gain + layer.shift


def _bidirectional(layer: BidirectionalArrays, x: Array) -> Array:
    forward = _directed(layer.forward, x, backwards=False)
    backward = _directed(layer.backward, x, backwards=True)
    if layer.forward.sequences:
        backward = backward[:, ::-1]
    if layer.merge == "concat":
        return np.concatenate([forward, backward], axis=-1)
    if layer.merge == "mul":
        return forward * backward
    return (forward + backward) / (2.0 if layer.merge == "ave" else 1.0)


def _directed(layer: RecurrentArrays, x: Array, *, backwards: bool) -> Array:
    """Reads x [B, T, I] -> [B, T, H] in the order of reading, or the last state [B, H]."""
    gates = gates_of(layer, x.shape[2], layer.name or "")
    hidden = cell = np.zeros((len(x), gates["g"].recurrent.shape[0]))
    outputs = []
    for step in range(x.shape[1]):
        now = x[:, -1 - step if backwards else step]
        hidden, cell = _step(layer, gates, now, hidden, cell)
        outputs.append(hidden)
    return np.stack(outputs, axis=1) if layer.sequences else hidden


def _step(
    layer: RecurrentArrays, gates: dict[str, Gate], x: Array, hidden: Array, cell: Array
) -> tuple[Array, Array]:
    """The next hidden and cell state [B, H]; the latter is only an LSTM's."""

    def total(letter: str) -> Array:
        gate = gates[letter]
        bias = gate.input_bias + gate.recurrent_bias
        return x @ gate.input + hidden @ gate.recurrent + bias

    def opened(letter: str) -> Array:
        return evaluated(layer.recurrent_activation, total(letter))

    if layer.cell == "rnn":
        return evaluated(layer.activation, total("g")), cell
    if layer.cell == "lstm":
        candidate = evaluated(layer.activation, total("g"))
        cell = opened("f") * cell + opened("i") * candidate
        return opened("o") * evaluated(layer.activation, cell), cell
    g, reset, update = gates["g"], opened("r"), opened("z")
    if layer.reset == "after":
        memory = reset * (hidden @ g.recurrent + g.recurrent_bias)
    else:
        memory = (reset * hidden) @ g.recurrent + g.recurrent_bias
    candidate = evaluated(layer.activation, x @ g.input + g.input_bias + memory)
    return update * hidden + (1.0 - update) * candidate, cell
