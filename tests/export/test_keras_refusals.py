"""What cannot be adopted faithfully, or would run code of a file, is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("keras", reason="Keras models need the packages of treadle[keras]")
pytest.importorskip("h5py", reason="Keras models need the packages of treadle[keras]")

from tests.export.keras_files import FEATURES, UNITS, edited_archive, of_features, of_ids
from treadle.errors import ExportError, UnsupportedGraph
from treadle_export.keras_models import from_keras
from treadle_export.keras_models.backend import keras

if TYPE_CHECKING:
    from collections.abc import Callable

layers = keras().layers


@keras().saving.register_keras_serializable("mine")
class Mine(layers.Layer):  # type: ignore[misc, name-defined]
    """A layer of the user's own."""

    def call(self, x: Any) -> Any:
        return 2 * x


@keras().saving.register_keras_serializable("mine")
class LSTM(layers.LSTM):  # type: ignore[misc, name-defined]
    """One that is called like Keras's own."""


def two_inputs() -> Any:
    one, two = keras().Input((None, FEATURES)), keras().Input((None, FEATURES))
    return keras().Model([one, two], layers.LSTM(UNITS)(layers.Add()([one, two])))


def two_outputs() -> Any:
    inputs = keras().Input((None, FEATURES))
    return keras().Model(inputs, [layers.LSTM(UNITS)(inputs), layers.GRU(UNITS)(inputs)])


def residual() -> Any:
    inputs = keras().Input((None, FEATURES))
    x = layers.LSTM(FEATURES, return_sequences=True)(inputs)
    return keras().Model(inputs, layers.Add()([inputs, x]))


def used_twice() -> Any:
    inputs, layer = keras().Input((None, UNITS)), layers.LSTM(UNITS, return_sequences=True)
    return keras().Model(inputs, layer(layer(inputs)))


def given_state() -> Any:
    inputs = keras().Input((None, FEATURES))
    first = layers.GRU(UNITS, return_sequences=True)
    last = layers.GRU(UNITS)(inputs)
    return keras().Model(inputs, first(inputs, initial_state=last))


def given_mask() -> Any:
    inputs, mask = keras().Input((None, FEATURES)), keras().Input((None,), dtype="bool")
    return keras().Model([inputs, mask], layers.LSTM(UNITS)(inputs, mask=mask))


def computed_mask() -> Any:
    inputs = keras().Input((None, FEATURES))
    mask = keras().ops.greater(inputs[:, :, 0], 0.0)
    return keras().Model(inputs, layers.LSTM(UNITS)(inputs, mask=mask))


def with_state() -> Any:
    inputs = keras().Input((None, FEATURES))
    return keras().Model(inputs, layers.LSTM(UNITS, return_state=True)(inputs)[0])


def half_precision() -> Any:
    return of_features(layers.LSTM(UNITS, dtype="mixed_float16"))


def sequences(kind: str, **options: Any) -> Any:
    return getattr(layers, kind)(UNITS, return_sequences=True, **options)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "custom": (lambda: of_features(layers.LSTM(UNITS), Mine()), r"\(Mine\).*never loaded"),
    "namesake": (lambda: of_features(LSTM(UNITS)), r"\(LSTM\).*holds Python code"),
    "lambda": (
        lambda: of_features(layers.LSTM(UNITS), layers.Lambda(lambda x: 2 * x)),
        r"\(Lambda\).*Python code.*Activation or Dense",
    ),
    "cell": (
        lambda: of_features(layers.RNN(layers.LSTMCell(UNITS))),
        r"\(RNN\).*replace it by SimpleRNN, LSTM or GRU",
    ),
    "convolution": (
        lambda: of_features(layers.Conv1D(3, 2), layers.LSTM(UNITS)),
        r"\(Conv1D\).*known layers: Activation",
    ),
    "pooling": (
        lambda: of_features(sequences("LSTM"), layers.GlobalAveragePooling1D()),
        r"\(GlobalAveragePooling1D\)",
    ),
    "flatten": (lambda: of_features(layers.LSTM(UNITS), layers.Flatten()), r"\(Flatten\)"),
    "two inputs": (two_inputs, r"\(Add\).*reads 2 layers; only one layer after the other"),
    "two outputs": (two_outputs, "2 outputs"),
    "residual": (residual, r"\(Add\).*reads 2 layers"),
    "used twice": (used_twice, r"\(LSTM\).*used 2 times"),
    "given state": (given_state, r"\(GRU\).*reads 1 layers and initial_state"),
    "given mask": (given_mask, r"\(InputLayer\).*second input"),
    "computed mask": (computed_mask, "mask made by mask_zero or Masking"),
    "two merges": (
        lambda: of_features(layers.Bidirectional(sequences("LSTM"), merge_mode=None)),
        r"\(Bidirectional\).*merge_mode=None has two outputs",
    ),
    "backwards first": (
        lambda: of_features(
            layers.Bidirectional(
                sequences("LSTM", go_backwards=True), backward_layer=sequences("LSTM")
            )
        ),
        "forward layer reads backwards",
    ),
    "unlike halves": (
        lambda: of_features(
            layers.Bidirectional(
                sequences("LSTM"),
                backward_layer=layers.LSTM(3, return_sequences=True, go_backwards=True),
            )
        ),
        "the same hidden size, got 6 and 3",
    ),
    "masked backwards": (
        lambda: of_ids(sequences("GRU", go_backwards=True)),
        r"\(GRU\).*turns its outputs round but not their mask",
    ),
    "wiped": (
        lambda: of_ids(layers.GRU(UNITS, zero_output_for_mask=True)),
        "zero_output_for_mask=True wipes",
    ),
    "late mask": (
        lambda: of_features(layers.Dense(4), layers.Masking(), layers.LSTM(UNITS)),
        r"\(Masking\).*put it first",
    ),
    "state": (with_state, "return_state=True has more outputs"),
    "activation": (
        lambda: of_features(layers.LSTM(UNITS, activation="gelu")),
        r"\(LSTM\).*'gelu' is none of linear, tanh",
    ),
    "time axis": (
        lambda: of_features(sequences("LSTM"), layers.Softmax(axis=1)),
        r"\(Softmax\).*along axis 1",
    ),
    "masked softmax": (
        lambda: of_ids(sequences("LSTM"), layers.Softmax()),
        r"\(Softmax\).*takes the mask of steps",
    ),
    "slope": (
        lambda: of_features(sequences("LSTM"), layers.ReLU(6.0)),
        r"\(ReLU\).*only the plain",
    ),
    "distributed": (
        lambda: of_features(sequences("LSTM"), layers.TimeDistributed(layers.Reshape((2, 3)))),
        r"\(Reshape\).*inside TimeDistributed",
    ),
    "half": (half_precision, r"\(LSTM\).*computes in mixed_float16"),
    "no recurrence": (lambda: of_features(layers.Dense(3)), "at least one recurrent layer"),
    "ids as features": (
        lambda: keras().Sequential(
            [keras().Input((4,)), layers.Reshape((4, 1)), layers.LSTM(UNITS)]
        ),
        r"\(Reshape\)",
    ),
    "no table": (
        lambda: keras().Sequential([keras().Input((4,)), layers.Dense(3)]),
        r"\(InputLayer\).*behind it stands Dense; give ids",
    ),
    "ids with features": (
        lambda: keras().Sequential(
            [keras().Input((4, 2)), layers.Embedding(9, 3), layers.TimeDistributed(layers.Dense(3))]
        ),
        r"\(InputLayer\).*behind it stands Embedding; give ids",
    ),
    "pictures": (
        lambda: keras().Sequential([keras().Input((None, 3, 3)), layers.Dense(3)]),
        r"\(InputLayer\).*expected \[batch, time\]",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_faithful_export_is_refused_by_name(case: str) -> None:
    make, message = REFUSED[case]
    with pytest.raises(UnsupportedGraph, match=message):
        from_keras(make())


TOUCHED = "import pathlib; pathlib.Path({path!r}).touch()"


def evil(**edits: Any) -> Callable[[Any], Any]:
    """Changes fields of the second layer."""

    def edit(document: Any) -> Any:
        document["config"]["layers"][1] |= edits
        return document

    return edit


def options(**edits: Any) -> Callable[[Any], Any]:
    """Changes options of the second layer."""

    def edit(document: Any) -> Any:
        document["config"]["layers"][1]["config"] |= edits
        return document

    return edit


def _run_of(path: Path) -> dict[str, Any]:
    """What Keras before 3.11 would have called."""
    return {
        "module": "builtins",
        "class_name": "function",
        "config": "exec",
        "registered_name": "function",
        "args": TOUCHED.format(path=str(path)),
    }


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (evil(module="os", class_name="system"), r"\(system\).*never loaded"),
        (evil(module="keras.utils", class_name="get_file"), r"\(get_file\)"),
        (evil(module="kerasy.layers"), r"\(LSTM\).*never loaded"),
        (evil(registered_name="mine>LSTM"), r"\(LSTM\).*never loaded"),
        (options(activation=_run_of(Path("x"))), "activation is no plain value but an object"),
        (options(units=[{"class_name": "x"}]), "units is no plain value"),
        (options(time_major=True), "time_major=True is not supported; put the batch first"),
        (options(lora_rank=4), "merge the LoRA weights"),
        (evil(config=None), "its configuration is no Keras object"),
        (evil(class_name=3), "names no class"),
        (options(units="many"), "expected a configuration that Keras"),
        (lambda document: document | {"class_name": "Custom"}, "save a Sequential or Functional"),
        (lambda document: document | {"module": "mine.models"}, "never loaded"),
        (lambda _: {"class_name": "Sequential", "config": {"layers": []}}, "has no layers"),
        (lambda _: {"class_name": "Functional", "config": {"layers": [3]}}, "malformed"),
        (lambda _: {"class_name": "Sequential", "config": {"layers": [3]}}, "no Keras object"),
    ],
)
def test_a_files_configuration_never_reaches_keras_as_it_is(
    edit: Callable[[Any], Any], message: str, tmp_path: Path
) -> None:
    of_features(layers.LSTM(UNITS)).save(tmp_path / "good.keras")
    bad = edited_archive(tmp_path / "good.keras", tmp_path / "bad.keras", config=edit)
    with pytest.raises(UnsupportedGraph, match=message):
        from_keras(bad)


def test_initializers_of_a_file_are_not_made(tmp_path: Path) -> None:
    """What a file names for them would be built only to be overwritten by its weights."""
    of_features(layers.LSTM(UNITS)).save(tmp_path / "good.keras")
    touched = tmp_path / "touched"
    edit = options(kernel_initializer=_run_of(touched), bias_regularizer=_run_of(touched))
    foreign = from_keras(
        edited_archive(tmp_path / "good.keras", tmp_path / "bad.keras", config=edit)
    )
    assert not touched.exists()
    assert foreign.model.graph.outputs[0].shape is not None


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.onnx", b"", r"expected a file of Keras \(.keras, .h5, .hdf5\), got 'model.onnx'"),
        ("model.keras", b"PK", "save the model again"),
        ("model.h5", b"\x89HDF", "save the model again"),
        ("model.keras", None, "No such file"),
        ("model.h5", None, "No such file"),
    ],
)
def test_what_is_no_keras_file_is_an_error(
    name: str, content: bytes | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ExportError, match=message):
        from_keras(path)


@pytest.mark.parametrize("part", ["metadata", "config"])
def test_an_archive_without_its_documents_is_an_error(part: str, tmp_path: Path) -> None:
    of_features(layers.LSTM(UNITS)).save(tmp_path / "good.keras")
    bad = edited_archive(tmp_path / "good.keras", tmp_path / "bad.keras", **{part: lambda _: []})
    with pytest.raises(ExportError, match="no JSON object"):
        from_keras(bad)


def test_weights_alone_need_their_model(tmp_path: Path) -> None:
    path = tmp_path / "only.weights.h5"
    of_features(layers.LSTM(UNITS)).save_weights(path)
    with pytest.raises(ExportError, match="got weights alone; give its model too"):
        from_keras(path)


def test_what_is_no_model_is_an_error() -> None:
    with pytest.raises(ExportError, match="got dict"):
        from_keras(json.loads("{}"))
    with pytest.raises(ExportError, match="that is built"):
        from_keras(keras().Sequential([layers.LSTM(UNITS)]))
