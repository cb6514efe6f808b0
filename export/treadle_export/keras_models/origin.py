"""The Keras model itself, as the origin that the adopted graph is held against."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from treadle.errors import InputError
from treadle_export.keras_models.backend import keras

Array = NDArray[Any]


class Origin:
    """Runs rows of one length through a Keras model at inference: [B, T, …] -> [B, T, O] or [B, O].

    Args:
        model: a chain of stateless layers, of any batch and time.
        padding: the id, or the value of every feature, that marks a step as masked; None without.
        old_activations: whether `hard_sigmoid` is that of Keras up to 2.
    """

    def __init__(self, model: Any, padding: float | None, *, old_activations: bool) -> None:
        self.model = model
        self.padding = padding
        if old_activations:
            _exchange_hard_sigmoids(model)

    def __call__(self, x: Array) -> Array:
        """The model's output.

        Raises:
            InputError: a step of `x` is masked: Keras would skip it, the graph would not.
        """
        masked = np.zeros(x.shape[:2], bool) if self.padding is None else x == self.padding
        masked = masked.all(axis=-1) if masked.ndim == 3 else masked
        if masked.any():
            row, step = np.argwhere(masked)[0]
            raise InputError(
                f"expected rows without a masked step, got one of {self.padding:g} at row {row}, "
                f"step {step}; give lengths that end before the padding, which follows the data"
            )
        return np.asarray(self.model.predict_on_batch(x))


def _exchange_hard_sigmoids(model: Any) -> None:
    """Gives every layer the `hard_sigmoid` that Keras had up to 2."""
    package = keras()

    def hard_sigmoid(x: Any) -> Any:
        return package.ops.clip(0.2 * x + 0.5, 0.0, 1.0)

    for layer in _inside(model):
        holder = getattr(layer, "cell", layer)
        for name in ("activation", "recurrent_activation"):
            if getattr(holder, name, None) is package.activations.hard_sigmoid:
                setattr(holder, name, hard_sigmoid)


def _inside(model: Any) -> Iterator[Any]:
    """Every layer, those inside models and wrappers too."""
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from _inside(layer)
        for name in ("forward_layer", "backward_layer", "layer"):
            if hasattr(layer, name):
                yield getattr(layer, name)
