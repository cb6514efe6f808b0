"""What products read is measured where they read it, over real data, with the state carried."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.export.small_models import KINDS, SOURCES, TARGETS, canonical, encoded, network
from treadle.errors import DataError, ExportError
from treadle.tolerances import tolerance
from treadle_export.engine import Engine
from treadle_export.exporting.material import description_of
from treadle_export.passes.expose_inputs import expose_inputs
from treadle_export.quantization.calibration import calibrate
from treadle_export.quantization.calibration_data import Batch, CalibrationData, calibration_data
from treadle_export.quantization.precision import PRECISIONS, lower
from treadle_export.quantization.weight_plan import weight_sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from treadle_train.run import Run

SAME_FLOAT = tolerance("lowered", "float32").outputs


LENGTHS = ((5, 70), (9, 3))  # of sources and of targets, one of them longer than a call


def examples(kind: str) -> CalibrationData:
    """Batches of two rows."""
    random = np.random.default_rng(0)
    with_source = "encode" in canonical(kind).graphs
    batches = tuple(
        Batch(
            random.integers(0, TARGETS, (2, target)),
            random.integers(1, SOURCES, (2, source)) if with_source else None,
        )
        for source, target in LENGTHS
    )
    return CalibrationData(batches, 2 * len(LENGTHS), "words")


def gram_of(rows: list[torch.Tensor]) -> NDArray[np.float64]:
    x = torch.cat([part.flatten(0, -2) for part in rows]).double().numpy()
    gram: NDArray[np.float64] = x.T @ x
    return gram


def assert_same(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(actual, expected, rtol=0, atol=SAME_FLOAT * np.abs(expected).max())


# Every kind of product at least once; the others cost a minute.
AT_HAND = {"lstm-model", "folded-model", "elman-dot", "gru-before-fixed"}
EVERY_KIND = [k if k in AT_HAND else pytest.param(k, marks=pytest.mark.slow) for k in KINDS]


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_every_product_of_every_graph_is_met(kind: str) -> None:
    grams = calibrate(canonical(kind), examples(kind)).grams
    plain = lower(canonical(kind), PRECISIONS["int4"], exceptions={"*": "float32"})
    assert set(grams) == set(weight_sizes(plain, tables=False))
    for gram in grams.values():
        np.testing.assert_array_equal(gram, gram.T)
        assert np.isfinite(gram).all()
        assert gram.any()


@pytest.mark.parametrize("kind", ["lstm-model", "gru-model", "elman-model"])
@torch.no_grad()
def test_x_and_h_of_each_layer_are_measured_apart(kind: str) -> None:
    """Against PyTorch, one step at a time, the state carried over every call's end."""
    data, model = examples(kind), network(kind)
    grams = calibrate(canonical(kind), data).grams
    layers: Any = model.recurrent.layers  # type: ignore[union-attr]
    xs: list[list[torch.Tensor]] = [[] for _ in layers]
    hs: list[list[torch.Tensor]] = [[] for _ in layers]
    outputs = []
    for batch in data.batches:
        state = model.initial_state(len(batch.inputs))
        for token in torch.from_numpy(batch.inputs.T):
            x = model.embedding(token)  # type: ignore[operator]
            for index, layer in enumerate(layers):
                prefix = f"recurrent.{index}."
                own = {n[len(prefix) :]: v for n, v in state.items() if n.startswith(prefix)}
                xs[index].append(x)
                hs[index].append(own["hidden"])
                x, following = layer.step(x, own)
                state |= {f"{prefix}{name}": value for name, value in following.items()}
            outputs.append(x)
    for index in range(len(xs)):
        assert_same(grams[f"recurrent.layers.{index}.input"], gram_of(xs[index]))
        assert_same(grams[f"recurrent.layers.{index}.recurrent"], gram_of(hs[index]))
    assert_same(grams["output"], gram_of(outputs))


@torch.no_grad()
def test_an_encoder_is_measured_in_both_directions() -> None:
    kind = "lstm-general"
    data = examples(kind)
    model: Any = network(kind)
    grams = calibrate(canonical(kind), data).grams
    forward: list[torch.Tensor] = []
    backward: list[torch.Tensor] = []
    xs, memories = [], []
    for batch in data.batches:
        source = torch.from_numpy(batch.source)
        lengths = torch.full((len(source),), source.shape[1])
        x = model.source_embedding(source)
        xs.append(x)
        start = model.encoder.initial_state(len(source))
        first = {n[2:]: v for n, v in start.items() if n.startswith("0.")}
        y, _ = model.encoder.layers[0].unroll(x, first, lengths)
        half = y.shape[2] // 2
        # What a step reads of its own past: zeros first, the last output never.
        forward.append(y[:, :-1, :half])
        backward.append(y[:, 1:, half:])
        memory, _ = model.encoder.unroll(x, start, lengths)
        memories.append(memory)
    assert_same(grams["encoder.layers.0.input"], gram_of(xs))
    assert_same(grams["encoder.layers.0.reverse.input"], gram_of(xs))
    assert_same(grams["encoder.layers.0.recurrent"], gram_of(forward))
    assert_same(grams["encoder.layers.0.reverse.recurrent"], gram_of(backward))
    assert_same(grams["attention.keys"], gram_of(memories))
    assert_same(grams["attention.values"], gram_of(memories))


@pytest.mark.parametrize("kind", ["gru-before-fixed", "gru-before-model"])
def test_a_candidate_reads_the_reset_state(kind: str) -> None:
    """Where the reset gate comes before the product, gates and candidate read different things."""
    grams = calibrate(canonical(kind), examples(kind)).grams
    layer = "decoder.layers.0" if "decoder.layers.0.input" in grams else "recurrent.layers.0"
    gates = grams[f"{layer}.recurrent.gates"]
    candidate = grams[f"{layer}.recurrent.candidate"]
    # A gate lies between 0 and 1, so what it lets through is never larger.
    assert (np.diag(candidate) <= np.diag(gates)).all()
    assert (np.diag(candidate) > 0).all()


def test_watching_changes_no_answer() -> None:
    kind = "lstm-general"
    lowered = lower(canonical(kind), PRECISIONS["int4"], exceptions={"*": "float32"})
    context, _ = encoded(kind, "float32", [[3, 4, 5]])
    plain = lowered.graphs["encode"].model
    watched = plain.clone()
    exposed = expose_inputs(watched)
    feeds: dict[str, Any] = {"source": np.zeros((1, 16), np.int64)}
    feeds["source"][0, :3] = 3, 4, 5
    feeds["source_lengths"] = np.array([3])
    before, after = Engine(plain).run(feeds), Engine(watched).run(feeds)
    assert set(after) == set(before) | set(exposed)
    for name, array in before.items():
        np.testing.assert_array_equal(after[name], array)
    assert set(context) <= set(before)


def test_words_are_spread_over_the_training_split_and_never_padded(run: Run) -> None:
    data = calibration_data("transduction", description_of(run), 40)
    assert (data.examples, data.unit) == (40, "pairs")
    assert sum(len(batch.inputs) for batch in data.batches) == 40
    train = run.dataset().split("train")
    sources = run.vocabularies["input"]
    known = {tuple(sources.encode(example.source)) for example in train}
    for batch in data.batches:
        assert batch.source is not None
        assert {tuple(row) for row in batch.source.tolist()} <= known
        assert (batch.inputs[:, 0] == run.decoding["start"]).all()
        assert not (batch.inputs == 0).any()  # no padding
        assert len(batch.inputs) == len(batch.source)
    words = {tuple(row) for b in data.batches if b.source is not None for row in b.source.tolist()}
    assert tuple(sources.encode(train[0].source)) in words
    assert tuple(sources.encode(train[-1].source)) in words


def test_the_digest_follows_the_examples(run: Run) -> None:
    description = description_of(run)
    digests = [
        calibration_data("transduction", description, count).provenance["digest"]
        for count in (40, 40, 41)
    ]
    assert digests[0] == digests[1] != digests[2]


def test_fewer_examples_than_asked_are_all_of_them(run: Run) -> None:
    data = calibration_data("transduction", description_of(run), 10**6)
    assert data.examples == len(run.dataset().split("train"))


def test_text_is_read_in_lanes() -> None:
    description: Any = SimpleNamespace(
        evaluation={"dataset": "text", "options": {}},
        provenance={},
        decoding={"start": 0},
        vocabularies={"symbols": _Letters()},
    )
    data = calibration_data("language-modelling", description, 1000)
    (batch,) = data.batches
    assert batch.inputs.shape == (8, 125)
    assert batch.source is None
    assert (data.examples, data.unit) == (1000, "symbols")
    few = calibration_data("language-modelling", description, 3)
    assert few.batches[0].inputs.shape == (3, 1)


class _Letters:
    """Numbers letters by their code."""

    def encode(self, text: str, *, unknown: str) -> list[int]:
        assert unknown == "symbol"
        return [ord(letter) for letter in text]


def test_a_model_that_names_no_data_is_an_error(run: Run) -> None:
    description: Any = SimpleNamespace(evaluation={}, provenance={}, vocabularies={}, decoding={})
    with pytest.raises(ExportError, match=r"to name the data set .* --calibration none"):
        calibration_data("transduction", description, 5)
    with pytest.raises(ExportError, match="no calibration is known for the task walking"):
        calibration_data("walking", description, 5)


def test_other_data_than_those_of_the_training_are_an_error(run: Run) -> None:
    description = description_of(run)
    changed: Any = SimpleNamespace(
        evaluation=description.evaluation,
        provenance={"data": "sha256:another"},
        vocabularies=description.vocabularies,
        decoding=description.decoding,
    )
    with pytest.raises(DataError, match="sha256:another"):
        calibration_data("transduction", changed, 5)
