"""The layers of a Functional configuration in order, if they are a chain."""

from collections.abc import Iterator
from typing import Any

from treadle_export.keras_models.known_layers import refuse

Config = dict[str, Any]

_REMEDY = "only one layer after the other, from one input to one output, can be adopted"


def chain_of(config: Config, model: str) -> list[Config]:
    """The layers from the input to the output.

    Beside the chain of a model that masks, Keras 3 writes the operators that compute its mask.
    They are left out: Embedding or Masking make them anew.

    Args:
        config: of a Functional model, of Keras 2 or 3.
        model: its name, for messages.

    Raises:
        UnsupportedGraph: the graph has a branch, a layer is used twice, or a mask is computed by
            anything but Embedding and Masking.
    """
    layers = {layer.get("name", layer["config"].get("name")): layer for layer in config["layers"]}
    outputs = list(_references(config.get("output_layers")))
    if len(outputs) != 1:
        refuse(model, "Functional", f"it has {len(outputs)} outputs; {_REMEDY}")
    chain: list[Config] = []
    name: str | None = outputs[0]
    while name is not None:
        layer = layers.get(name)
        if layer is None or layer in chain:
            refuse(str(name), "?", "the configuration has no such layer before this one")
        chain.append(layer)
        name = _before(layer, name)
    chain.reverse()
    beside = [name for name, layer in layers.items() if layer not in chain]
    inputs = [name for name in beside if layers[name]["class_name"] == "InputLayer"]
    if inputs:
        refuse(inputs[0], "InputLayer", f"it is a second input; {_REMEDY}")
    if beside and not any(_masks(layer) for layer in chain):
        mask = beside[0]
        reason = f"it is beside the chain; {_REMEDY}, its mask made by mask_zero or Masking"
        refuse(mask, layers[mask]["class_name"], reason)
    return chain


def _masks(layer: Config) -> bool:
    return layer["class_name"] == "Masking" or bool(layer["config"].get("mask_zero"))


def _before(layer: Config, name: str) -> str | None:
    """The one layer that `layer` reads, None for an input."""
    nodes, class_name = layer.get("inbound_nodes", []), layer["class_name"]
    if class_name == "InputLayer":
        return None
    if len(nodes) != 1:
        refuse(name, class_name, f"it is used {len(nodes)} times; {_REMEDY}")
    node = nodes[0]
    if isinstance(node, dict):  # Keras 3
        read = list(_references(node.get("args")))
        options = node.get("kwargs")
    else:
        read = [reference[0] for reference in node]
        options = node[0][3] if node and len(node[0]) > 3 else {}
    options = options if isinstance(options, dict) else {}
    extra = [key for key, value in options.items() if key != "mask" and any(_references(value))]
    if len(read) != 1 or extra:
        others = f" and {', '.join(extra)}" if extra else ""
        refuse(name, class_name, f"it reads {len(read)} layers{others}; {_REMEDY}")
    return str(read[0])


def _references(value: object) -> Iterator[str]:
    """Names of the layers that a nested value refers to: ["name", 0, 0], or a tensor of Keras 3."""
    if isinstance(value, dict):
        history = value.get("config", {}).get("keras_history") if "config" in value else None
        for inner in value.values() if history is None else (history,):
            yield from _references(inner)
    elif isinstance(value, list):
        if len(value) >= 3 and isinstance(value[0], str) and isinstance(value[1], int):
            yield value[0]
        else:
            for inner in value:
                yield from _references(inner)
