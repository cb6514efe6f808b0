"""A Keras model's configuration, written anew from what is known.

Keras makes objects of whatever a file names: Python code, classes of other modules. So the file's
configuration never reaches it. What does is built here: known classes, plain values, no
initializers (the weights follow anyway), and nothing that does not concern inference. On the way
configurations of Keras 2 become those of Keras 3.
"""

from collections.abc import Iterator
from typing import Any

from treadle_export.keras_models.chain import chain_of
from treadle_export.keras_models.known_layers import (
    IDENTITIES,
    LAYERS,
    MODELS,
    WRAPPERS,
    refuse,
    refuse_class,
)

Config = dict[str, Any]

_FORGOTTEN = ("_initializer", "_regularizer", "_constraint")
_DROPPED = frozenset({"input_length", "batch_input_shape", "lora_alpha", "stateful", "optional"})
_REFUSED = {
    "time_major": "put the batch first",
    "ragged": "give padded rows and their lengths",
    "sparse": "give dense arrays",
    "lora_rank": "merge the LoRA weights and save the model again",
    "quantization_config": "save the model in float32: Treadle quantizes it itself",
}


def rewritten(document: Config, version: int) -> Config:
    """A model's configuration in Keras 3's form: any batch, any time, no state kept between calls.

    Args:
        document: the configuration of a model, as its file has it.
        version: the major version of the Keras that wrote it.

    Raises:
        UnsupportedGraph: a class or an option that has no faithful export, by name.
    """
    class_name, config = _parts(document, "model")
    if class_name not in MODELS:
        refuse(str(config.get("name", class_name)), class_name, "save a Sequential or Functional")
    model = _model(document, version)
    _require_table(model)
    return model


def _require_table(model: Config) -> None:
    """Refuses ids without an Embedding, and an Embedding of anything but ids [batch, time]."""
    layers = [layer for layer in _flat(model) if layer["class_name"] not in IDENTITIES]
    given = layers[0]["config"]
    kinds = [layer["class_name"] for layer in layers if layer["class_name"] != "InputLayer"]
    if (len(given["batch_shape"]) == 2) != (kinds[:1] == ["Embedding"]):
        refuse(
            given["name"],
            "InputLayer",
            f"behind it stands {', '.join(kinds[:1]) or 'nothing'}; give ids [batch, time] to an "
            f"Embedding, or features [batch, time, I] to any other layer",
        )


def _flat(model: Config) -> Iterator[Config]:
    """Every layer of a model and of the models inside it."""
    for layer in model["config"]["layers"]:
        if layer["class_name"] in MODELS:
            yield from _flat(layer)
        else:
            yield layer


def _parts(document: object, where: str) -> tuple[str, Config]:
    """Class and configuration of a serialized object, if it is one."""
    if not isinstance(document, dict) or not isinstance(document.get("config"), dict):
        refuse(where, "?", "its configuration is no Keras object; save the model again")
    class_name = document.get("class_name")
    if not isinstance(class_name, str):
        refuse(where, "?", "its configuration names no class; save the model again")
    return class_name, document["config"]


def _model(document: Config, version: int) -> Config:
    class_name, config = _parts(document, "model")
    name = str(config.get("name", class_name.lower()))
    _require_builtin(document, name, class_name)
    given = config.get("layers")
    if not isinstance(given, list) or not given:
        refuse(name, class_name, "it has no layers; save a model that is built")
    if class_name == "Sequential":
        layers = [_layer(layer, version) for layer in given]
        if layers[0]["class_name"] != "InputLayer" and layers[0]["class_name"] not in MODELS:
            layers.insert(0, _input_layer(given[0], config, name))
        return _object("keras", "Sequential", {"name": name, "layers": layers})
    layers = [_layer(layer, version) for layer in chain_of(config, name)]
    for position, layer in enumerate(layers):
        layer["name"] = layer["config"]["name"]
        before = [[[layers[position - 1]["name"], 0, 0, {}]]] if position else []
        layer["inbound_nodes"] = before
    functional = {
        "name": name,
        "layers": layers,
        "input_layers": [layers[0]["name"], 0, 0],
        "output_layers": [layers[-1]["name"], 0, 0],
    }
    return _object("keras.src.models.functional", "Functional", functional)


def _object(module: str, class_name: str, config: Config) -> Config:
    registered = class_name if class_name in MODELS else None
    return {
        "module": module,
        "class_name": class_name,
        "config": config,
        "registered_name": registered,
    }


def _require_builtin(document: Config, name: str, class_name: str) -> None:
    """Refuses what is not Keras's own, whatever it is called."""
    module, registered = document.get("module"), document.get("registered_name")
    if module is not None and str(module).partition(".")[0] != "keras":
        refuse_class(name, class_name, str(module))
    if registered not in (None, class_name):
        refuse_class(name, class_name, str(registered))


def _layer(document: Config, version: int) -> Config:
    """One layer, rewritten with everything inside it."""
    class_name, config = _parts(document, "layer")
    if class_name in MODELS:
        return _model(document, version)
    name = str(config.get("name", document.get("name", class_name.lower())))
    module = document.get("module")
    if class_name not in LAYERS:
        refuse_class(name, class_name, None if module is None else str(module))
    _require_builtin(document, name, class_name)
    for option, remedy in _REFUSED.items():
        if config.get(option):
            refuse(name, class_name, f"{option}={config[option]!r} is not supported; {remedy}")
    if class_name == "InputLayer":
        return _input(_input_shape(config, name), config, name)
    kept: Config = {"name": name, "dtype": _dtype(config.get("dtype"), name, class_name)}
    for option, value in config.items():
        ignored = option in _DROPPED or option in _REFUSED or option.endswith(_FORGOTTEN)
        if option in kept or ignored:
            continue
        if class_name in WRAPPERS and option in ("layer", "backward_layer"):
            kept[option] = _inner(value, class_name, name, version)
        elif option == "axis" and isinstance(value, list) and len(value) == 1:
            kept[option] = _plain(value[0], option, name, class_name)  # as Keras 2 wrote it
        else:
            kept[option] = _plain(value, option, name, class_name)
    if class_name == "GRU" and version < 3:
        kept.setdefault("reset_after", False)  # what it was before there was a choice
    return _object("keras.layers", class_name, kept)


def _inner(document: object, wrapper: str, name: str, version: int) -> Config | None:
    """The layer inside a wrapper; a Bidirectional may have no `backward_layer` of its own."""
    if document is None:
        return None
    class_name, config = _parts(document, name)
    if class_name not in WRAPPERS[wrapper]:
        known = ", ".join(sorted(WRAPPERS[wrapper]))
        inner = str(config.get("name", class_name))
        refuse(inner, class_name, f"inside {wrapper} {name!r} only {known} are known")
    return _layer(document, version) if isinstance(document, dict) else None


def _plain(value: object, option: str, name: str, class_name: str) -> object:
    """A value that is no object of any class."""
    if isinstance(value, list | tuple):
        return [_plain(item, option, name, class_name) for item in value]
    if value is not None and not isinstance(value, bool | int | float | str):
        reason = f"its {option} is no plain value but an object, which is not loaded from a file"
        refuse(name, class_name, f"{reason}: use one of Keras's own, given by name")
    return value


def _dtype(value: object, name: str, class_name: str) -> str:
    """The name of a policy. Anything but float32 would be another arithmetic than the graph's."""
    inner = value.get("config") if isinstance(value, dict) else None
    policy = inner.get("name") if isinstance(inner, dict) else value
    if policy not in (None, "float32"):
        refuse(name, class_name, f"it computes in {policy}; save the model with dtype float32")
    return "float32"


def _input_layer(first: Config, config: Config, name: str) -> Config:
    """The input that an older Sequential model notes on its first layer, or beside its layers."""
    inner = first.get("config", {})
    shape = inner.get("batch_input_shape") or config.get("build_input_shape")
    if shape is None:
        refuse(name, "Sequential", "it says no input shape; build it before it is saved")
    given = {"batch_shape": shape}
    return _input(_input_shape(given, name), {"dtype": None}, f"{name}.input")


def _input_shape(config: Config, name: str) -> list[int | None]:
    """[None, None] for ids, [None, None, I] for features."""
    shape = config.get("batch_shape") or config.get("batch_input_shape")
    if not isinstance(shape, list | tuple) or len(shape) not in (2, 3):
        refuse(
            name, "InputLayer", f"expected [batch, time] or [batch, time, features], got {shape}"
        )
    features = list(shape[2:])
    if not all(isinstance(size, int) and size > 0 for size in features):
        refuse(name, "InputLayer", f"its shape {shape} has no fixed number of features")
    return [None, None, *features]


def _input(shape: list[int | None], config: Config, name: str) -> Config:
    given = config.get("dtype")
    integers = len(shape) == 2
    ids = given if given in ("int32", "int64") else "int64"
    kept = {"name": name, "batch_shape": shape, "dtype": ids if integers else "float32"}
    return _object("keras.layers", "InputLayer", kept)
