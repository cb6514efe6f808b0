"""A Keras model as a foreign model: rebuilt from its configuration and weights, then converted."""

import json
from pathlib import Path
from typing import Any

from treadle.errors import ExportError, InputError, UnsupportedGraph
from treadle_export.arrays.graph import build
from treadle_export.arrays.network import foreign_of
from treadle_export.foreign import Foreign
from treadle_export.keras_models.backend import keras
from treadle_export.keras_models.configuration import rewritten
from treadle_export.keras_models.convert import Converter
from treadle_export.keras_models.files import KerasFile, read_file
from treadle_export.keras_models.origin import Origin


def from_keras(
    source: str | Path | Any, *, weights: str | Path | None = None, name: str | None = None
) -> Foreign:
    """A Keras model, of a file or in memory.

    Known are Sequential models and Functional ones that are a chain, of SimpleRNN, LSTM, GRU,
    Bidirectional, Embedding, Masking, Dense, TimeDistributed, Activation, Softmax, ReLU,
    LayerNormalization, BatchNormalization and what only matters in training. Every layer becomes
    stateless; its states start from zeros.

    A mask (`mask_zero`, `Masking`) becomes true lengths: a row is its first `lengths` steps, alone
    and without padding, and none of these may be masked. That padding follows the data cannot be
    told from a file; `run` refuses rows that have a masked step within. Padding that a model reads,
    because it has no mask or a layer drops it, is not imitated.

    `hard_sigmoid` is x / 6 + 0.5 since Keras 3 and was 0.2 x + 0.5 before; the version that the
    file names decides, that of the weights' file before that of the model's.

    Nothing in a file is executed: its configuration is rewritten from known classes and plain
    values, weights are arrays, and Lambda, custom layers and pickled objects are refused.

    Args:
        source: a `.keras` or `.h5` file, or a `keras.Model`, which is left as it is.
        weights: a file of weights to put into the model, in place of those it has.
        name: of the model; else that of the Keras model.

    Returns:
        a model as `from_arrays` returns it; its origin is the Keras model itself.

    Raises:
        UnsupportedGraph: a layer or an option has no faithful export; names layer and class.
        ExportError: a file is missing or damaged, Keras is not installed, or weights do not fit.
    """
    package = keras()
    file = _described(source)
    if file.configuration is None:
        raise ExportError(
            f"expected a model in {source}, got weights alone; give its model too: "
            f"from_keras(model, weights=...)"
        )
    named = file if weights is None else read_file(Path(weights))
    major = named.major or file.major or 3
    model = _rebuilt(file.configuration, file.major or 3)
    if weights is not None or isinstance(source, str | Path):
        _load_weights(model, Path(source if weights is None else weights))
    else:
        model.set_weights(source.get_weights())
    converter = Converter(old_activations=major < 3)
    layers = converter.layers(model)
    try:
        graph = build(layers, name or model.name)
    except InputError as error:
        raise UnsupportedGraph(f"the Keras model {model.name!r}: {error}") from error
    provenance = {"origin": "keras", "keras": package.__version__}
    if named.version is not None:
        provenance["keras file"] = named.version
    origin = Origin(model, converter.padding, old_activations=major < 3)
    return foreign_of(graph, layers, origin, provenance)


def _described(source: str | Path | Any) -> KerasFile:
    """What the source says of itself; a model in memory as if it were read from a file."""
    if isinstance(source, str | Path):
        return read_file(Path(source))
    package = keras()
    if not isinstance(source, package.Model):
        raise ExportError(f"expected a Keras model or the path of one, got {type(source).__name__}")
    if not source.built:
        raise ExportError(
            f"expected a Keras model that is built, got {source.name!r} without weights; "
            f"call it once, or begin it with keras.Input"
        )
    configuration = package.saving.serialize_keras_object(source)
    try:
        return KerasFile(json.loads(json.dumps(configuration)), package.__version__)
    except (TypeError, ValueError) as error:
        raise UnsupportedGraph(
            f"expected a Keras model whose configuration is JSON, got: {error}; rebuild it of "
            f"Keras's own layers"
        ) from error


def _rebuilt(configuration: dict[str, Any], version: int) -> Any:
    """A model from a rewritten configuration, with weights at random."""
    try:
        known = rewritten(configuration, version)
    except (AttributeError, IndexError, KeyError, RecursionError, TypeError) as error:
        raise UnsupportedGraph(
            f"expected the configuration of a Keras model, got one that is malformed ({error!r}); "
            f"save the model again with Keras"
        ) from error
    try:
        return keras().saving.deserialize_keras_object(known, safe_mode=True)
    except (TypeError, ValueError) as error:
        raise UnsupportedGraph(
            f"expected a configuration that Keras {keras().__version__} understands, got: "
            f"{_one_line(error)}; save the model again with this version"
        ) from error


def _load_weights(model: Any, path: Path) -> None:
    try:
        model.load_weights(str(path))
    except (OSError, KeyError, ValueError) as error:
        raise ExportError(
            f"expected the weights of {model.name!r} in {path}, got: {_one_line(error)}; "
            f"give the file that was saved from this model"
        ) from error


def _one_line(error: Exception) -> str:
    """What Keras says, which it spreads over a page."""
    return " ".join(str(error).split())
