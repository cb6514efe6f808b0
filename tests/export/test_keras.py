"""Keras models become graphs that say what Keras itself says, padded and masked as Keras has it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("keras", reason="Keras models need the packages of treadle[keras]")
pytest.importorskip("h5py", reason="Keras models need the packages of treadle[keras]")

from tests.export.keras_files import (
    FEATURES,
    UNITS,
    VOCABULARY,
    edited_archive,
    moved,
    of_features,
    of_ids,
    padded_features,
    padded_ids,
    saved_by_keras_2,
)
from treadle.errors import ExportError, InputError
from treadle.ladder import compare
from treadle_export.arrays import DenseArrays, RecurrentArrays, from_arrays
from treadle_export.engine import Engine
from treadle_export.keras_models import from_keras
from treadle_export.keras_models.backend import keras
from treadle_export.passes.recurrent_weights import recurrence_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle_export.arrays import Layer
    from treadle_export.engine import Arrays
    from treadle_export.foreign import Foreign

layers = keras().layers


def assert_adopted(model: Any, feeds: Arrays, foreign: Foreign | None = None) -> None:
    """Whether the graph and the origin say what Keras predicts for the padded rows."""
    foreign = foreign or from_keras(model)
    (x,) = (array for name, array in feeds.items() if name != "lengths")
    predicted = model.predict_on_batch(x)
    found = {"graph": Engine(foreign.model).run(feeds), "origin": foreign.run(feeds)}
    for outputs in found.values():
        actual = outputs["output"]
        assert actual.shape == predicted.shape
        assert actual.dtype == np.float32
        if actual.ndim == 3:
            valid = (np.arange(actual.shape[1]) < feeds["lengths"][:, None])[..., None]
            actual, predicted = np.where(valid, actual, 0), np.where(valid, predicted, 0)
        rung = compare("onnx sequence", "float32", states=[(predicted, actual)])
        assert rung.passed, rung


def recurrent(kind: str, **options: Any) -> Any:
    return getattr(layers, kind)(UNITS, **{"return_sequences": True, **options})


KINDS: dict[str, Callable[[], Any]] = {
    "rnn": lambda: recurrent("SimpleRNN"),
    "lstm": lambda: recurrent("LSTM"),
    "gru": lambda: recurrent("GRU"),
    "gru-before": lambda: recurrent("GRU", reset_after=False),
    "rnn-relu": lambda: recurrent("SimpleRNN", activation="relu"),
    "rnn-linear": lambda: recurrent("SimpleRNN", activation="linear"),
    "lstm-relu": lambda: recurrent("LSTM", activation="relu"),
    "lstm-linear": lambda: recurrent("LSTM", activation="linear"),
    "lstm-hard": lambda: recurrent("LSTM", recurrent_activation="hard_sigmoid"),
    "gru-hard": lambda: recurrent("GRU", recurrent_activation="hard_sigmoid"),
    "gru-sigmoid": lambda: recurrent("GRU", activation="sigmoid"),
    "lstm-softsign": lambda: recurrent("LSTM", activation="softsign"),
    "gru-elu": lambda: recurrent("GRU", activation="elu", recurrent_activation="hard_sigmoid"),
    "lstm-no-bias": lambda: recurrent("LSTM", use_bias=False),
    "gru-no-bias": lambda: recurrent("GRU", use_bias=False),
    "gru-before-no-bias": lambda: recurrent("GRU", use_bias=False, reset_after=False),
    "rnn-no-bias": lambda: recurrent("SimpleRNN", use_bias=False),
    "lstm-dropout": lambda: recurrent("LSTM", dropout=0.5, recurrent_dropout=0.5),
    "lstm-unrolled": lambda: recurrent("LSTM", unroll=False, unit_forget_bias=False),
    "gru-zeroed": lambda: recurrent("GRU", zero_output_for_mask=True),
    "lstm-last": lambda: recurrent("LSTM", return_sequences=False),
    "gru-last": lambda: recurrent("GRU", return_sequences=False),
    "rnn-backwards-last": lambda: recurrent("SimpleRNN", return_sequences=False, go_backwards=True),
    "gru-backwards-last": lambda: recurrent("GRU", return_sequences=False, go_backwards=True),
    "both-lstm": lambda: layers.Bidirectional(recurrent("LSTM")),
    "both-gru-sum": lambda: layers.Bidirectional(recurrent("GRU"), merge_mode="sum"),
    "both-rnn-mul": lambda: layers.Bidirectional(recurrent("SimpleRNN"), merge_mode="mul"),
    "both-lstm-ave": lambda: layers.Bidirectional(recurrent("LSTM"), merge_mode="ave"),
    "both-gru-before": lambda: layers.Bidirectional(recurrent("GRU", reset_after=False)),
    "both-last": lambda: layers.Bidirectional(recurrent("LSTM", return_sequences=False)),
    "both-last-sum": lambda: layers.Bidirectional(
        recurrent("GRU", return_sequences=False), merge_mode="sum"
    ),
    "both-unlike": lambda: layers.Bidirectional(
        recurrent("LSTM", activation="relu"),
        backward_layer=recurrent("LSTM", go_backwards=True, recurrent_activation="hard_sigmoid"),
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["mask_zero", "masking"])
def test_masked_rows_are_rows_of_their_length(kind: str, source: str) -> None:
    if source == "mask_zero":
        assert_adopted(of_ids(KINDS[kind]()), padded_ids(5, 9))
    else:
        assert_adopted(of_features(layers.Masking(), KINDS[kind]()), padded_features(5, 9))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_without_a_mask_are_whole(kind: str) -> None:
    feeds = padded_features(4, 8)
    feeds["lengths"][:] = 8
    assert_adopted(of_features(KINDS[kind]()), feeds)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn"])
def test_outputs_in_the_order_of_reading(kind: str) -> None:
    names = {"lstm": "LSTM", "gru": "GRU", "rnn": "SimpleRNN"}
    feeds = padded_features(4, 8)
    feeds["lengths"][:] = 8
    assert_adopted(of_features(recurrent(names[kind], go_backwards=True)), feeds)


ADDITIONS: dict[str, Callable[[], list[Any]]] = {
    "dense": lambda: [layers.Dense(4, activation="softmax")],
    "dense-no-bias": lambda: [layers.Dense(4, use_bias=False, activation="relu")],
    "distributed": lambda: [layers.TimeDistributed(layers.Dense(4, activation="tanh"))],
    "activation": lambda: [layers.Activation("hard_sigmoid"), layers.Activation("softmax")],
    "relu": lambda: [layers.ReLU(), layers.Activation("linear")],
    "dropout": lambda: [layers.Dropout(0.5), layers.SpatialDropout1D(0.5)],
    "noise": lambda: [layers.GaussianNoise(1.0), layers.GaussianDropout(0.5)],
    "normalization": lambda: [layers.LayerNormalization(epsilon=1e-2)],
    "normalization-plain": lambda: [layers.LayerNormalization(center=False)],
    "normalization-shift": lambda: [layers.LayerNormalization(scale=False)],
    "batch": lambda: [layers.BatchNormalization()],
    "batch-plain": lambda: [layers.BatchNormalization(center=False, scale=False)],
    "distributed-batch": lambda: [layers.TimeDistributed(layers.BatchNormalization())],
    "stack": lambda: [
        layers.Bidirectional(recurrent("GRU")),
        layers.Dense(5),
        recurrent("LSTM", return_sequences=False),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    ],
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_what_stands_behind_a_recurrent_layer(addition: str) -> None:
    assert_adopted(of_ids(recurrent("LSTM"), *ADDITIONS[addition]()), padded_ids(5, 7))


def functional(*, mask_zero: bool = True) -> Any:
    """A chain written with the functional interface."""
    ids = keras().Input((None,), dtype="int32")
    x = layers.Embedding(VOCABULARY, FEATURES, mask_zero=mask_zero)(ids)
    x = layers.Bidirectional(recurrent("LSTM"), merge_mode="sum")(x)
    x = layers.Dropout(0.3)(x)
    return moved(keras().Model(ids, recurrent("GRU", return_sequences=False)(x)))


def nested() -> Any:
    """A functional model, with a sequential one inside, inside a sequential one."""
    inner = keras().Sequential(
        [keras().Input((None, UNITS)), recurrent("GRU"), layers.Dense(4)], name="inner"
    )
    inputs = keras().Input((None, FEATURES))
    outer = keras().Model(inputs, inner(recurrent("LSTM")(inputs)), name="outer")
    return of_features(outer, recurrent("SimpleRNN"), layers.Softmax())


def test_models_inside_models_are_one_chain() -> None:
    model, feeds = nested(), padded_features(4, 6)
    feeds["lengths"][:] = 6
    foreign = from_keras(model)
    assert_adopted(model, feeds, foreign)
    nodes = [node for node in foreign.model.graph if node.op_type in ("LSTM", "GRU", "RNN")]
    names = [recurrence_of(node).name.rpartition(".")[0] for node in nodes]
    assert names == ["outer", "outer.inner", ""]


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_files_of_models_inside_models(suffix: str, tmp_path: Path) -> None:
    model, feeds = nested(), padded_features(4, 6)
    feeds["lengths"][:] = 6
    model.save(tmp_path / f"model{suffix}")
    assert_adopted(model, feeds, from_keras(tmp_path / f"model{suffix}"))


@pytest.mark.parametrize("make", [functional, lambda: of_ids(recurrent("LSTM"))])
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:.*HDF5 file")
def test_a_file_is_the_model_that_was_saved(
    make: Callable[[], Any], suffix: str, tmp_path: Path
) -> None:
    model, path = make(), tmp_path / f"model{suffix}"
    model.save(path)
    foreign = from_keras(path, name="mine")
    assert_adopted(model, padded_ids(4, 6), foreign)
    assert foreign.name == "mine"
    assert foreign.provenance["origin"] == "keras"
    assert foreign.provenance["keras file"] == keras().__version__


@pytest.mark.parametrize("name", ["only.weights.h5", "old.h5"])
def test_weights_of_another_file_replace_the_models(name: str, tmp_path: Path) -> None:
    trained, untrained = of_ids(recurrent("GRU")), moved(of_ids(recurrent("GRU")), seed=5)
    path = tmp_path / name
    trained.save_weights(path) if name.endswith(".weights.h5") else trained.save(path)
    before = untrained.get_weights()
    assert_adopted(trained, padded_ids(4, 6), from_keras(untrained, weights=path))
    for kept, given in zip(untrained.get_weights(), before, strict=True):
        np.testing.assert_array_equal(kept, given)
    with pytest.raises(ExportError, match=r"expected the weights of .* give the file"):
        from_keras(of_ids(recurrent("LSTM")), weights=path)


def test_a_stateful_model_starts_from_zeros_every_time(tmp_path: Path) -> None:
    inputs = keras().Input(batch_shape=(2, 4, FEATURES))
    model = moved(keras().Model(inputs, recurrent("LSTM", stateful=True)(inputs)))
    foreign = from_keras(model)
    feeds = padded_features(2, 4)
    feeds["lengths"][:] = 4
    model.predict_on_batch(feeds["x"])  # leaves a state behind
    np.testing.assert_array_equal(foreign.run(feeds)["output"], foreign.run(feeds)["output"])
    model.layers[1].reset_state()
    assert_adopted(model, feeds, foreign)
    other = padded_features(3, 7)  # neither batch nor time is fixed any more
    states = [(foreign.run(other)["output"], Engine(foreign.model).run(other)["output"])]
    assert compare("onnx sequence", "float32", states=states).passed


def test_the_example_suits_the_origin() -> None:
    for model in (of_ids(recurrent("LSTM")), of_features(layers.Masking(), recurrent("GRU"))):
        foreign = from_keras(model)
        x = next(array for name, array in foreign.example.items() if name != "lengths")
        assert x.shape[0] >= 2
        assert x.shape[1] >= 4
        outputs = Engine(foreign.model).run(foreign.example)["output"]
        valid = np.arange(x.shape[1]) < foreign.example["lengths"][:, None]
        states = [(foreign.run(foreign.example)["output"], np.where(valid[..., None], outputs, 0))]
        assert compare("onnx sequence", "float32", states=states).passed


def hard_model() -> Any:
    return of_features(
        recurrent("LSTM", recurrent_activation="hard_sigmoid"),
        layers.Bidirectional(recurrent("GRU", recurrent_activation="hard_sigmoid")),
        layers.TimeDistributed(layers.Dense(3, activation="hard_sigmoid")),
    )


def expected_of_keras_2(x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The equations of `hard_model` in numpy, with the hard sigmoid of Keras 2."""
    weights = iter(hard_model().get_weights())

    def hard(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.minimum(np.maximum(0.2 * value + 0.5, 0), 1)

    def lstm(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        kernel, recurrent_kernel, bias = (next(weights) for _ in range(3))
        h = c = np.zeros((len(steps), UNITS))
        outputs = []
        for t in range(steps.shape[1]):
            i, f, g, o = np.split(steps[:, t] @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
            c = hard(f) * c + hard(i) * np.tanh(g)
            h = hard(o) * np.tanh(c)
            outputs.append(h)
        return np.stack(outputs, 1)

    def gru(steps: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        kernel, recurrent_kernel, bias = (next(weights) for _ in range(3))
        h = np.zeros((len(steps), UNITS))
        outputs = []
        for t in range(steps.shape[1]):
            xz, xr, xh = np.split(steps[:, t] @ kernel + bias[0], 3, axis=1)
            hz, hr, hh = np.split(h @ recurrent_kernel + bias[1], 3, axis=1)
            z, r = hard(xz + hz), hard(xr + hr)
            h = z * h + (1 - z) * np.tanh(xh + r * hh)
            outputs.append(h)
        return np.stack(outputs, 1)

    first = lstm(x.astype(np.float64))
    forward = gru(first)
    both = np.concatenate([forward, gru(first[:, ::-1])[:, ::-1]], axis=2)
    kernel, bias = next(weights), next(weights)
    return hard(both @ kernel + bias)


@pytest.mark.parametrize("version", ["2.4.0", "2.2.4-tf", "2.15.0"])
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_hard_sigmoid_is_that_of_the_files_version(
    version: str, suffix: str, tmp_path: Path
) -> None:
    model, path = hard_model(), tmp_path / f"model{suffix}"
    if suffix == ".h5":
        saved_by_keras_2(model, path, version)
    else:
        model.save(tmp_path / "new.keras")
        old = {"keras_version": version}
        edited_archive(tmp_path / "new.keras", path, metadata=lambda document: document | old)
    feeds = padded_features(3, 6)
    feeds["lengths"][:] = 6
    expected = expected_of_keras_2(feeds["x"])
    today = model.predict_on_batch(feeds["x"])
    assert np.abs(expected - today).max() > 1e-2  # the two are not alike
    foreign = from_keras(path)
    for actual in (foreign.run(feeds), Engine(foreign.model).run(feeds)):
        states = [(expected, actual["output"])]
        assert compare("equations", "float32", states=states).passed
    new = from_keras(model)
    assert_adopted(model, feeds, new)


def test_a_file_of_keras_2_is_read_as_it_was_meant(tmp_path: Path) -> None:
    model = of_ids(
        layers.Bidirectional(recurrent("LSTM"), merge_mode="ave"),
        recurrent("GRU", return_sequences=False),
        layers.BatchNormalization(),
        layers.Dense(3, activation="softmax"),
    )
    path = saved_by_keras_2(model, tmp_path / "old.h5")
    assert_adopted(model, padded_ids(5, 6), from_keras(path))


def test_old_gru_files_without_a_choice_reset_before(tmp_path: Path) -> None:
    model = of_features(recurrent("GRU", reset_after=False))

    def without_choice(document: dict[str, Any]) -> dict[str, Any]:
        del document["config"]["layers"][1]["config"]["reset_after"]
        return document

    model.save(tmp_path / "new.keras")
    old = edited_archive(
        tmp_path / "new.keras",
        tmp_path / "old.keras",
        metadata=lambda _: {"keras_version": "2.0.9"},
        config=without_choice,
    )
    feeds = padded_features(3, 5)
    feeds["lengths"][:] = 5
    assert_adopted(model, feeds, from_keras(old))


def test_arrays_in_the_order_of_keras_are_those_of_keras() -> None:
    model = of_features(recurrent("GRU"), layers.Dense(4, activation="tanh"))
    kernel, recurrent_kernel, bias, weights, shift = model.get_weights()
    network: list[Layer] = [
        RecurrentArrays("gru", kernel, recurrent_kernel, bias),
        DenseArrays(weights, shift, "tanh"),
    ]
    feeds = padded_features(3, 6)
    feeds["lengths"][:] = 6
    assert_adopted(model, feeds, from_arrays(network))


def test_a_masked_step_within_a_row_is_refused() -> None:
    feeds = padded_ids(3, 6)
    feeds["token"][0, 2] = 0
    with pytest.raises(InputError, match="got one of 0 at row 0, step 2"):
        from_keras(of_ids(recurrent("LSTM"))).run(feeds)
    features = padded_features(3, 6)
    features["x"][0, 1] = 7
    model = of_features(layers.Masking(mask_value=7.0), recurrent("LSTM"))
    with pytest.raises(InputError, match="got one of 7 at row 0, step 1"):
        from_keras(model).run(features)
    features["x"][0, 1, 0] = 0  # one feature that differs is data
    from_keras(model).run(features)


KERAS_2 = Path(__file__).parent / "keras_2"


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("name", ["ids", "features", "stateful"])
def test_files_that_keras_2_wrote_itself(name: str, suffix: str) -> None:
    with np.load(KERAS_2 / "expected.npz") as arrays:
        feeds = {key: arrays[key] for key in ("token" if name == "ids" else "x", "lengths")}
        expected = arrays[name]
    if name == "stateful":  # without a mask Keras 2 reads the padding too
        feeds["lengths"] = np.full_like(feeds["lengths"], 6)
    foreign = from_keras(KERAS_2 / f"{name}{suffix}")
    assert foreign.provenance["keras file"] == "2.15.0"
    valid = (np.arange(6) < feeds["lengths"][:, None])[..., None]
    for outputs in (foreign.run(feeds), Engine(foreign.model).run(feeds)):
        actual = outputs["output"]
        pair = (expected, actual) if name == "ids" else (expected * valid, actual * valid)
        assert compare("onnx sequence", "float32", states=[pair]).passed
