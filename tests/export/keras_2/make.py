"""Makes the files beside it. Run by hand, with Keras 2: python make.py; tensorflow-cpu==2.15.1."""

import os
from pathlib import Path
from typing import Any

os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
from keras import layers

HERE = Path(__file__).parent
LENGTHS = np.array([6, 3, 1])
RANDOM = np.random.default_rng(4)


def moved(model: Any) -> Any:
    """The model with weights that move its gates."""
    weights = []
    for weight, value in zip(model.weights, model.get_weights(), strict=True):
        array = RANDOM.normal(0, 0.4, value.shape)
        weights.append(np.abs(array) + 0.5 if "variance" in weight.name else array)
    model.set_weights(weights)
    return model


def ids() -> Any:
    lstm = layers.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")
    model = keras.Sequential(
        [
            layers.Embedding(7, 3, mask_zero=True, input_length=6),
            layers.Bidirectional(lstm),
            layers.GRU(3, reset_after=False, recurrent_activation="hard_sigmoid"),
            layers.Dense(2, activation="softmax"),
        ]
    )
    model.build((None, 6))
    return moved(model)


def features() -> Any:
    x = inputs = keras.Input((None, 2))
    for layer in (
        layers.Masking(),
        layers.SimpleRNN(3, activation="relu", return_sequences=True),
        layers.LSTM(3, return_sequences=True),
        layers.BatchNormalization(),
        layers.Dropout(0.5),
        layers.TimeDistributed(layers.Dense(2, activation="hard_sigmoid")),
    ):
        x = layer(x)
    return moved(keras.Model(inputs, x))


def stateful() -> Any:
    gru = layers.GRU(3, stateful=True, return_sequences=True, batch_input_shape=(3, None, 2))
    return moved(keras.Sequential([gru, layers.LayerNormalization(), layers.Dense(2)]))


def main() -> None:
    valid = np.arange(6) < LENGTHS[:, None]
    token = np.where(valid, RANDOM.integers(1, 7, (3, 6)), 0)
    x = np.where(valid[..., None], RANDOM.normal(size=(3, 6, 2)), 0).astype(np.float32)
    arrays: dict[str, Any] = {"token": token, "x": x, "lengths": LENGTHS}
    for name, model in (("ids", ids()), ("features", features()), ("stateful", stateful())):
        for suffix in (".h5", ".keras"):
            model.save(HERE / f"{name}{suffix}")
        model.reset_states()
        arrays[name] = model.predict_on_batch(token if name == "ids" else x)
    np.savez(HERE / "expected.npz", **arrays)


if __name__ == "__main__":
    main()
