"""Keras models whose gates move, and files as older versions of Keras wrote them."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from treadle_export.keras_models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from treadle_export.engine import Arrays

VOCABULARY, FEATURES, UNITS = 13, 5, 6


def moved(model: Any, seed: int = 0) -> Any:
    """The model with weights from a generator, those of a variance positive."""
    random = np.random.default_rng(seed)
    weights = [random.normal(0, 0.5, array.shape) for array in model.get_weights()]
    names = [weight.path for weight in model.weights]
    positive = [
        np.abs(array) + 0.5 if name.endswith("moving_variance") else array
        for name, array in zip(names, weights, strict=True)
    ]
    model.set_weights(positive)
    return model


def of_features(*layers: Any, time: int | None = None) -> Any:
    """A Sequential model over features [batch, time, FEATURES]."""
    return moved(keras().Sequential([keras().Input((time, FEATURES)), *layers]))


def of_ids(*layers: Any, mask_zero: bool = True) -> Any:
    """A Sequential model over ids, 0 being padding where `mask_zero`."""
    embedding = keras().layers.Embedding(VOCABULARY, FEATURES, mask_zero=mask_zero)
    return moved(keras().Sequential([keras().Input((None,), dtype="int32"), embedding, *layers]))


def padded_ids(batch: int, time: int, seed: int = 0) -> Arrays:
    """Rows of ids from 1, zero behind their lengths."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, time + 1, batch)
    lengths[0] = time
    ids = random.integers(1, VOCABULARY, (batch, time))
    return {"token": np.where(np.arange(time) < lengths[:, None], ids, 0), "lengths": lengths}


def padded_features(batch: int, time: int, seed: int = 0) -> Arrays:
    """Rows of features, zero behind their lengths."""
    random = np.random.default_rng(seed)
    lengths = random.integers(1, time + 1, batch)
    lengths[0] = time
    x = random.normal(size=(batch, time, FEATURES)).astype(np.float32)
    valid = np.arange(time) < lengths[:, None]
    return {"x": np.where(valid[..., None], x, np.float32(0)), "lengths": lengths}


def edited_archive(source: Path, out: Path, **edits: Callable[[Any], Any]) -> Path:
    """A `.keras` file whose JSON parts, by their first names, went through `edits`."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            edit = edits.get(name.removesuffix(".json"))
            new.writestr(name, content if edit is None else json.dumps(edit(json.loads(content))))
    return out


def as_keras_2(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration of a Sequential model as Keras 2 wrote it."""
    layers = [_old_layer(layer) for layer in config["config"]["layers"]]
    return {
        "class_name": "Sequential",
        "config": {"name": config["config"]["name"], "layers": layers},
    }


def _old_layer(layer: dict[str, Any]) -> dict[str, Any]:
    options = {**layer["config"], "dtype": "float32"}
    for name in ("zero_output_for_mask", "quantization_config", "seed", "optional"):
        options.pop(name, None)
    if layer["class_name"] == "InputLayer":
        options["batch_input_shape"] = options.pop("batch_shape")
    if "return_sequences" in options:
        options |= {"time_major": False, "implementation": 2}
    if "layer" in options:
        options["layer"] = _old_layer(options["layer"])
        options.pop("backward_layer", None)
    for name, value in options.items():
        if name.endswith("_initializer"):
            options[name] = {"class_name": value["class_name"], "config": value["config"]}
    return {"class_name": layer["class_name"], "config": options}


def saved_by_keras_2(model: Any, path: Path, version: str = "2.4.0") -> Path:
    """The model in an `.h5` file of the layout that Keras 2 had."""
    import h5py

    model.save(path)
    with h5py.File(path, "r+") as file:
        old = as_keras_2(json.loads(file.attrs["model_config"]))
        file.attrs["model_config"] = json.dumps(old)
        file.attrs["keras_version"] = version
        file["model_weights"].attrs["keras_version"] = version
    return path
