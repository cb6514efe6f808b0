"""Keras layers as layers of arrays, read through `get_weights`.

Sources: keras.layers, versions 2 and 3. Their gates are in the order i f c o and z r h.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from treadle_export.arrays import (
    ActivationArrays,
    BidirectionalArrays,
    DenseArrays,
    EmbeddingArrays,
    Layer,
    NormalizationArrays,
    RecurrentArrays,
    ScaleArrays,
)
from treadle_export.arrays.activations import NAMES, SOFTMAX
from treadle_export.arrays.layers import Cell
from treadle_export.keras_models.known_layers import IDENTITIES, MODELS, RECURRENT, refuse

_Convert = Callable[[Any, str, str], Layer]  # a Keras layer, its class, its name
_CELLS: dict[str, Cell] = {"SimpleRNN": "rnn", "LSTM": "lstm", "GRU": "gru"}
_OLD = {"hard_sigmoid": "hard_sigmoid_keras2"}  # 0.2 x + 0.5 up to Keras 2, x / 6 + 0.5 since


class Converter:
    """Walks through a model that is a chain and keeps what the next layer's meaning depends on."""

    def __init__(self, *, old_activations: bool) -> None:
        self.old_activations = old_activations
        self.padding: float | None = None  # what marks a step as masked, None without masks
        self.begun = False  # whether anything has been done to the input
        self.sequence = True  # whether there still is a time axis

    @property
    def _masked(self) -> bool:
        return self.padding is not None

    def layers(self, model: Any, prefix: str = "") -> dict[str, Layer]:
        """The model's layers by name; those of a model inside it behind that model's name.

        Raises:
            UnsupportedGraph: a layer has an option without a faithful export.
        """
        found: dict[str, Layer] = {}
        for layer in model.layers:
            kind, name = type(layer).__name__, f"{prefix}{layer.name}"
            if kind in MODELS:
                found |= self.layers(layer, f"{name}.")
                continue
            converted = self._layer(layer, kind, name)
            self.begun = self.begun or kind not in ("InputLayer", "Masking")
            if converted is not None:
                found[name] = converted
        return found

    def _layer(self, layer: Any, kind: str, name: str) -> Layer | None:
        if kind in RECURRENT:
            return self._recurrent(layer, kind, name)
        if kind == "Bidirectional":
            return self._bidirectional(layer, kind, name)
        if kind == "Embedding":
            self.padding = 0 if layer.mask_zero else self.padding
            return EmbeddingArrays(layer.get_weights()[0])
        if kind == "Masking":
            self._masking(layer, kind, name)
            return None
        if kind == "TimeDistributed":
            self.sequence, outer = False, self.sequence  # what is inside sees one step
            inner = self._pointwise(layer.layer, type(layer.layer).__name__, name)
            self.sequence = outer
            return inner
        return self._pointwise(layer, kind, name)

    def _masking(self, layer: Any, kind: str, name: str) -> None:
        """Masked steps lie behind a row's length, so there is nothing to compute."""
        if self.begun:
            refuse(name, kind, "it masks what other layers have made: put it first")
        self.padding = float(layer.mask_value)

    def _pointwise(self, layer: Any, kind: str, name: str) -> Layer | None:
        """A layer that treats every step by itself; None where it lets everything pass."""
        if kind == "InputLayer" or kind in IDENTITIES:
            return None
        convert: dict[str, _Convert] = {
            "Dense": self._dense,
            "Activation": self._activation,
            "Softmax": self._softmax,
            "ReLU": self._relu,
            "LayerNormalization": self._layer_normalization,
            "BatchNormalization": self._batch_normalization,
        }
        return convert[kind](layer, kind, name)

    def _recurrent(self, layer: Any, kind: str, name: str) -> RecurrentArrays:
        if layer.go_backwards and layer.return_sequences and self._masked:
            reason = "masked, it turns its outputs round but not their mask: use Bidirectional"
            refuse(name, kind, f"{reason}, or return_sequences=False")
        if layer.zero_output_for_mask and self._masked and not layer.return_sequences:
            refuse(name, kind, "zero_output_for_mask=True wipes the last state of padded rows")
        arrays = self._directed(layer, kind, name)
        self.sequence = layer.return_sequences
        return arrays

    def _directed(self, layer: Any, kind: str, name: str) -> RecurrentArrays:
        """The arrays of one direction."""
        if layer.return_state:
            refuse(name, kind, "return_state=True has more outputs: states are ports of their own")
        kernel, recurrent_kernel, *bias = layer.get_weights()
        gates = kind != "SimpleRNN"
        return RecurrentArrays(
            cell=_CELLS[kind],
            input_weights=kernel,
            recurrent_weights=recurrent_kernel,
            bias=bias[0] if bias else None,
            order="keras",
            reset="after" if getattr(layer, "reset_after", True) else "before",
            activation=self._named(layer.activation, kind, name),
            recurrent_activation=(
                self._named(layer.recurrent_activation, kind, name) if gates else "sigmoid"
            ),
            sequences=layer.return_sequences,
            go_backwards=layer.go_backwards,
        )

    def _bidirectional(self, layer: Any, kind: str, name: str) -> BidirectionalArrays:
        both = (layer.forward_layer, layer.backward_layer)
        if both[0].go_backwards:
            refuse(name, kind, "its forward layer reads backwards: exchange the two")
        if layer.merge_mode is None:
            refuse(name, kind, "merge_mode=None has two outputs: use concat, sum, mul or ave")
        forward, backward = (self._directed(part, type(part).__name__, name) for part in both)
        self.sequence = forward.sequences
        return BidirectionalArrays(forward, backward, layer.merge_mode)

    def _dense(self, layer: Any, kind: str, name: str) -> DenseArrays:
        weights, *bias = layer.get_weights()
        activation = self._named(layer.activation, kind, name, softmax=True)
        return DenseArrays(weights, bias[0] if bias else None, activation)

    def _activation(self, layer: Any, kind: str, name: str) -> ActivationArrays:
        return ActivationArrays(self._named(layer.activation, kind, name, softmax=True))

    def _softmax(self, layer: Any, kind: str, name: str) -> ActivationArrays:
        self._require_features(layer.axis, kind, name)
        if self._masked and self.sequence:
            refuse(name, kind, "it takes the mask of steps for one of features: use Activation")
        return ActivationArrays(SOFTMAX)

    def _relu(self, layer: Any, kind: str, name: str) -> ActivationArrays:
        if layer.max_value is not None or layer.negative_slope or layer.threshold:
            refuse(name, kind, "only the plain max(x, 0) is known, without slope and threshold")
        return ActivationArrays("relu")

    def _layer_normalization(self, layer: Any, kind: str, name: str) -> NormalizationArrays:
        self._require_features(layer.axis, kind, name)
        if getattr(layer, "rms_scaling", False):
            refuse(name, kind, "rms_scaling=True is another normalization")
        weights = list(layer.get_weights())
        width = weights[0].shape[0] if weights else None
        if width is None:
            refuse(name, kind, "it has neither scale nor center, so it does not say its width")
        gain = weights.pop(0) if layer.scale else np.ones(width, np.float32)
        shift = weights.pop(0) if layer.center else np.zeros(width, np.float32)
        return NormalizationArrays(gain, shift, float(layer.epsilon))

    def _batch_normalization(self, layer: Any, kind: str, name: str) -> ScaleArrays:
        self._require_features(layer.axis, kind, name)
        weights = list(layer.get_weights())
        gain = weights.pop(0) if layer.scale else 1.0
        shift = weights.pop(0) if layer.center else 0.0
        mean, variance = (array.astype(np.float64) for array in weights)
        factors = gain / np.sqrt(variance + layer.epsilon)
        return ScaleArrays(factors, shift - mean * factors)

    def _require_features(self, axis: Any, kind: str, name: str) -> None:
        """Refuses an axis other than the last."""
        axes = list(axis) if isinstance(axis, list | tuple) else [axis]
        last = 2 if self.sequence else 1
        if axes not in ([-1], [last]):
            refuse(name, kind, f"it works along axis {axis}: only the features' axis is streamed")

    def _named(self, function: Any, kind: str, name: str, *, softmax: bool = False) -> str:
        """An activation by name, as `arrays.activations` calls it."""
        from treadle_export.keras_models.backend import keras

        written = "linear" if function is None else keras().activations.serialize(function)
        known = (*NAMES, SOFTMAX) if softmax else NAMES
        if written not in known or written in _OLD.values():
            refuse(name, kind, f"its activation {written!r} is none of {', '.join(known)}")
        return _OLD.get(written, written) if self.old_activations else str(written)
