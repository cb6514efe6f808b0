"""Streams: however a sequence is read, and in whatever company, a row gives the same answer."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import (
    CHARACTERS,
    FEATURES,
    GRAPHEMES,
    PHONEMES,
    reseal,
    write_language_model,
)
from treadle import sequence
from treadle.loading import load
from treadle.tolerances import tolerance

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from treadle.model import Model
    from treadle.stream import Stream

Array = Any
SOURCES = [[1, 2, 3], [4], list(range(1, 9)) * 2 + [1], [5, 5]]


@st.composite
def batches(draw: st.DrawFn, symbols: int = len(CHARACTERS), rows: int = 4) -> Any:
    """Ids [batch, time] and a length for each row; rows of length 0 are among them."""
    batch = draw(st.integers(1, rows))
    time = draw(st.integers(0, 9))
    ids = st.integers(0, symbols - 1)
    row = st.lists(ids, min_size=time, max_size=time)
    x = draw(st.lists(row, min_size=batch, max_size=batch))
    lengths = draw(st.lists(st.integers(0, time), min_size=batch, max_size=batch))
    return np.array(x, np.int64).reshape(batch, time), np.array(lengths, np.int64)


def assert_same(actual: Array, expected: Array) -> None:
    """The same bits, with the first step that differs in the message."""
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    if not np.array_equal(actual, expected):
        place = tuple(np.argwhere(actual != expected)[0].tolist())
        pytest.fail(f"first differs at {place}: {actual[place]} is not {expected[place]}")


def assert_same_state(actual: Stream, expected: Stream) -> None:
    assert actual.state().keys() == expected.state().keys()
    for name, array in actual.state().items():
        assert_same(array, expected.state()[name])
    assert_same(actual.steps, expected.steps)


def stepped(model: Model, row: Array) -> tuple[Array, Stream]:
    """The outputs of one row alone, one step at a time, and the stream after it."""
    stream = model.stream()
    outputs = [stream.step(row[t : t + 1])[0] for t in range(len(row))]
    return np.array(outputs, np.float32).reshape(len(row), len(CHARACTERS)), stream


@given(batch=batches())
def test_step_unroll_and_feed_are_one(characters: Model, batch: tuple[Array, Array]) -> None:
    x, lengths = batch
    with (
        characters.stream(batch_size=len(x)) as unrolled,
        characters.stream(batch_size=len(x)) as fed,
    ):
        outputs, last = unrolled.unroll(x, lengths), fed.feed(x, lengths)
        assert outputs.shape == (*x.shape, len(CHARACTERS))
        assert_same_state(unrolled, fed)
        assert_same(unrolled.steps, lengths)
        for row, length in enumerate(lengths):
            alone, stream = stepped(characters, x[row, :length])
            assert_same(outputs[row, :length], alone)
            assert not outputs[row, length:].any()
            assert_same(last[row], alone[-1] if length else np.zeros_like(last[row]))
            for name, array in stream.state().items():
                assert_same(unrolled.state()[name][row], array[0])


@given(batch=batches(), data=st.data())
def test_chunks_are_the_whole(characters: Model, batch: tuple[Array, Array], data: Any) -> None:
    x, lengths = batch
    cut = data.draw(st.integers(0, x.shape[1]))
    whole, parts = characters.stream(batch_size=len(x)), characters.stream(batch_size=len(x))
    outputs = whole.unroll(x, lengths)
    first = parts.unroll(x[:, :cut], np.minimum(lengths, cut))
    rest = parts.unroll(x[:, cut:], np.maximum(lengths - cut, 0))
    assert_same(np.concatenate([first, rest], axis=1), outputs)
    assert_same_state(parts, whole)


def test_a_long_sequence_is_read_in_spans(
    characters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = np.random.default_rng(1).integers(0, len(CHARACTERS), (2, 40))
    lengths = np.array([40, 11])
    whole = characters.stream(batch_size=2)
    outputs, state = whole.unroll(x, lengths), whole.state()
    monkeypatch.setattr(sequence, "SPAN", 7)
    spanned, fed = characters.stream(batch_size=2), characters.stream(batch_size=2)
    assert_same(spanned.unroll(x, lengths), outputs)
    assert_same(fed.feed(x, lengths), outputs[[0, 1], lengths - 1])
    for name, array in state.items():
        assert_same(spanned.state()[name], array)
        assert_same(fed.state()[name], array)


@given(columns=st.integers(0, 2000), singles=st.integers(0, 2000))
def test_spans_cover_every_column_once(columns: int, singles: int) -> None:
    found = list(sequence.spans(columns, singles))
    covered = [column for span in found for column in range(span.start, span.stop)]
    assert covered == list(range(columns))
    assert all(0 < span.stop - span.start <= sequence.SPAN for span in found)
    alone = found[len(found) - min(singles, columns) :]
    assert all(span.stop - span.start == 1 for span in alone)


def test_no_row_with_anything_to_read_calls_nothing(
    characters: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = characters.stream(batch_size=2)
    stream.step(np.array([3, 4]))
    before = stream.state()
    monkeypatch.setattr("treadle.sequence.run_sequence", pytest.fail)
    x, none = np.zeros((2, 5), np.int64), np.zeros(2, np.int64)
    assert not stream.feed(x, none).any()
    assert stream.feed(x, none).shape == (2, len(CHARACTERS))
    assert stream.unroll(x[:, :0]).shape == (2, 0, len(CHARACTERS))
    for name, array in before.items():
        assert_same(stream.state()[name], array)
    assert stream.steps.tolist() == [1, 1]


def test_what_lies_beyond_a_length_is_not_looked_at(characters: Model, features: Model) -> None:
    x = np.array([[1, 2, 99, -5], [3, 4, 5, 6]])
    clean = np.where(x > 50, 0, np.maximum(x, 0))
    lengths = np.array([2, 4])
    assert_same(
        characters.stream(batch_size=2).unroll(x, lengths),
        characters.stream(batch_size=2).unroll(clean, lengths),
    )
    assert x.tolist()[0] == [1, 2, 99, -5]
    vectors = np.ones((1, 4, FEATURES), np.float32)
    vectors[0, 3] = np.nan
    assert np.isfinite(features.stream().unroll(vectors, np.array([3]))).all()


@given(st.lists(st.lists(st.floats(-3, 3, width=32), min_size=5, max_size=5), max_size=6))
def test_vectors_step_as_they_unroll(features: Model, vectors: list[list[float]]) -> None:
    x = np.array(vectors, np.float32).reshape(1, len(vectors), FEATURES)
    one, whole = features.stream(), features.stream()
    steps = [one.step(x[:, t]) for t in range(len(vectors))]
    outputs = whole.unroll(x)
    for t, output in enumerate(steps):
        assert_same(output, outputs[:, t])
    assert_same_state(one, whole)


def test_numbers_so_large_that_their_squares_overflow_are_finite(features: Model) -> None:
    output = features.stream().step(np.full((1, FEATURES), 3e38, np.float32))
    assert np.isfinite(output).all()


@given(batch=batches(symbols=len(PHONEMES)), width=st.integers(0, 20))
def test_a_decoder_does_not_feel_its_company(
    pronounce: Model, batch: tuple[Array, Array], width: int
) -> None:
    x, lengths = batch
    sources = SOURCES[: len(x)]
    within = tolerance("batch", "float32").absolute
    padded = np.full((len(x), max(map(len, sources)) + width), -1)
    for row, source in enumerate(sources):
        padded[row, : len(source)] = source
    counts = np.array([len(source) for source in sources])
    with (
        pronounce.stream(sources) as listed,
        pronounce.stream(padded, source_lengths=counts) as stream,
    ):
        outputs = listed.unroll(x, lengths)
        assert_same(stream.unroll(x, lengths), outputs)
        for row, source in enumerate(sources):
            with closing(pronounce.stream([source])) as alone:
                for t in range(lengths[row]):
                    output = alone.step(x[row : row + 1, t])[0]
                    np.testing.assert_allclose(output, outputs[row, t], rtol=0, atol=within)


def test_equal_sources_are_encoded_once(pronounce: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    session, rows = pronounce.session("encode"), []

    class Spy:
        def run(self, names: list[str], feeds: dict[str, Array]) -> Any:
            rows.append(len(feeds["source"]))
            return session.run(names, feeds)

    expected = pronounce.stream([[1, 2], [3], [1, 2]]).step(np.array([1, 1, 1]))
    monkeypatch.setitem(pronounce._sessions, "encode", Spy())
    stream = pronounce.stream(np.array([[1, 2, 0], [3, 7, 0], [1, 2, 5]]), source_lengths=[2, 1, 2])
    assert rows == [2]
    assert_same(stream.step(np.array([1, 1, 1])), expected)
    assert_same(expected[0], expected[2])
    assert not np.array_equal(expected[0], expected[1])


def test_the_source_is_padded_to_a_multiple_of_16(pronounce: Model) -> None:
    for length, columns in ((1, 16), (16, 16), (17, 32)):
        context = pronounce.stream([[1] * length]).snapshot().context
        assert context["keys"].shape[1] == columns
        assert np.flatnonzero(context["memory_mask"][0] == 0).tolist() == list(range(length))


# What is handed out


def test_outputs_handed_out_are_never_overwritten(characters: Model) -> None:
    stream = characters.stream(batch_size=2)
    tokens = np.array([[1, 2], [3, 4], [5, 6]])
    outputs = [stream.step(t) for t in tokens]
    kept = [output.copy() for output in outputs]
    stream.unroll(tokens.T)
    stream.reset()
    for output, copy in zip(outputs, kept, strict=True):
        assert_same(output, copy)
        assert output.flags.writeable
    outputs[0][:] = 7
    assert_same(stream.step(tokens[0]), kept[0])


def test_without_a_copy_the_next_step_overwrites_a_view(characters: Model) -> None:
    stream, other = characters.stream(), characters.stream()
    view = stream.step(np.array([1]), copy=False)
    assert_same(view, other.step(np.array([1])))
    assert not view.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        view[0, 0] = 1
    assert stream.step(np.array([2]), copy=False) is view
    assert_same(view, other.step(np.array([2])))


def test_the_state_cannot_be_written_from_outside(characters: Model) -> None:
    stream, other = characters.stream(), characters.stream()
    for each in (stream, other):
        each.step(np.array([4]))
    stream.state()["recurrent.0.hidden"][:] = 9
    stream.steps[:] = 9
    snapshot = stream.snapshot()
    for array in (*snapshot.state.values(), snapshot.steps):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9
    assert_same_state(stream, other)
    assert_same(stream.step(np.array([5])), other.step(np.array([5])))


def test_what_came_in_may_be_changed_afterwards(characters: Model) -> None:
    token = np.array([3])
    stream, other = characters.stream(), characters.stream()
    stream.step(token)
    token[:] = 5
    other.step(np.array([3]))
    assert_same_state(stream, other)


@pytest.mark.parametrize("make", [list, np.asfortranarray, lambda x: x[::-1][::-1]])
def test_lists_and_any_layout_are_read(characters: Model, make: Any) -> None:
    x = np.random.default_rng(3).integers(0, len(CHARACTERS), (3, 6))
    expected = characters.stream(batch_size=3).unroll(x)
    assert_same(characters.stream(batch_size=3).unroll(make(x)), expected)
    stream = characters.stream(batch_size=3)
    for t in range(6):
        assert_same(stream.step(make(x[:, t])), expected[:, t])


def test_several_outputs_are_named(characters: Model, tmp_path: Path) -> None:
    with load(_with_probabilities(write_language_model(tmp_path))) as model:
        stream, other = model.stream(batch_size=2), characters.stream(batch_size=2)
        x = np.array([[1, 2, 3], [4, 5, 6]])
        view = stream.step(x[:, 0], copy=False)
        copied = stream.step(x[:, 1])
        assert copied._fields == ("logits", "output_probabilities")
        assert_same(copied.logits, np.stack([other.step(x[:, 0]), other.step(x[:, 1])])[1])
        assert_same(view.output_probabilities, copied.output_probabilities)
        stream.step(x[:, 2])
        assert not np.array_equal(view.logits, copied.logits)
        stream.reset()
        every = stream.unroll(x, np.array([3, 2]))
        assert every.output_probabilities.shape == (2, 3, len(CHARACTERS))
        stream.reset()
        assert_same(stream.feed(x, np.array([3, 2])).logits, every.logits[[0, 1], [2, 1]])


def _with_probabilities(bundle: Path) -> Path:
    """The bundle with a second output."""
    document = json.loads((bundle / "manifest.json").read_text())
    for graph in document["graphs"].values():
        [logits] = graph["outputs"]
        graph["outputs"].append({**logits, "name": "output.probabilities"})
        model = onnx.load(bundle / graph["file"])
        node = onnx.helper.make_node("Softmax", ["logits"], ["output.probabilities"])
        model.graph.node.append(node)
        output = onnx.ValueInfoProto()
        output.CopyFrom(model.graph.output[0])
        output.name = "output.probabilities"
        model.graph.output.append(output)
        onnx.save(model, bundle / graph["file"])
    reseal(bundle, document)
    return bundle


# Rows


@given(data=st.data(), batch=st.integers(1, 5))
def test_reset_takes_single_rows_back(characters: Model, data: Any, batch: int) -> None:
    rows = data.draw(st.none() | st.lists(st.integers(0, batch - 1), max_size=batch))
    ids = np.random.default_rng(batch).integers(0, len(CHARACTERS), (batch, 4))
    stream = characters.stream(batch_size=batch)
    stream.unroll(ids)
    before = stream.state()
    stream.reset(rows)
    chosen = set(range(batch) if rows is None else rows)
    for name, array in stream.state().items():
        for row in range(batch):
            assert_same(
                array[row], np.zeros(16, np.float32) if row in chosen else before[name][row]
            )
    assert stream.steps.tolist() == [0 if row in chosen else 4 for row in range(batch)]


def test_reset_takes_a_decoder_back_to_what_was_encoded(pronounce: Model) -> None:
    stream = pronounce.stream([[1, 2, 3], [4, 5]])
    start = stream.state()
    assert start["decoder.0.hidden"].any()
    first = stream.step(np.array([1, 1]))
    stream.step(np.array([3, 4]))
    stream.reset([1])
    assert_same(stream.state()["decoder.0.hidden"][1], start["decoder.0.hidden"][1])
    assert not np.array_equal(stream.state()["decoder.0.hidden"][0], start["decoder.0.hidden"][0])
    stream.reset()
    assert_same(stream.step(np.array([1, 1])), first)


@given(data=st.data())
def test_select_lets_a_row_go_on_as_another(pronounce: Model, data: Any) -> None:
    sources: list[list[int]] = data.draw(
        st.lists(st.sampled_from(SOURCES), min_size=1, max_size=4), label="sources"
    )
    batch = len(sources)
    stream = pronounce.stream(sources)
    steps: NDArray[np.int64] = np.random.default_rng(batch).integers(0, len(PHONEMES), (3, batch))
    for tokens in steps:
        before, counts = stream.snapshot(), stream.steps
        rows = np.array(
            data.draw(st.lists(st.integers(0, batch - 1), min_size=batch, max_size=batch))
        )
        stream.select(rows)
        after = stream.snapshot()
        for part in ("state", "context"):
            for name, array in getattr(after, part).items():
                assert_same(array, getattr(before, part)[name][rows])
        assert_same(stream.steps, counts[rows])
        with pronounce.resume(after) as other:
            assert_same(stream.step(tokens), other.step(tokens))
    # What the selected rows began from moves with them.
    context = stream.snapshot().context["initial.decoder.0.hidden"]
    stream.reset()
    assert_same(stream.state()["decoder.0.hidden"], context)


# Forks and history


def test_a_fork_goes_its_own_way(pronounce: Model) -> None:
    stream = pronounce.stream([[1, 2], [3]], history=2)
    stream.step(np.array([1, 1]))
    fork, twin = stream.fork(), stream.fork()
    expected = twin.step(np.array([5, 6]))
    stream.step(np.array([7, 7]))
    stream.select([1, 1])
    stream.close()
    assert_same(fork.step(np.array([5, 6])), expected)
    fork.rewind(2)
    assert fork.steps.tolist() == [0, 0]
    assert_same_state(fork, pronounce.stream([[1, 2], [3]]))


@given(batch=batches(rows=3), history=st.integers(1, 6), data=st.data())
def test_rewind_takes_steps_back(
    characters: Model, batch: tuple[Array, Array], history: int, data: Any
) -> None:
    x, lengths = batch
    columns = int(lengths.max())
    stream = characters.stream(batch_size=len(x), history=history)
    stream.step(np.full(len(x), 2))
    read = data.draw(st.sampled_from([stream.feed, stream.unroll]))
    read(x, lengths)
    count = data.draw(st.integers(0, min(history, columns + 1)))
    stream.rewind(count)
    expected = characters.stream(batch_size=len(x))
    if count <= columns:
        expected.step(np.full(len(x), 2))
        expected.unroll(x[:, : columns - count], np.minimum(lengths, columns - count))
    assert_same_state(stream, expected)
    token = np.full(len(x), 3)
    assert_same(stream.step(token), expected.step(token))


def test_rows_of_graphemes_are_those_of_the_input_vocabulary(pronounce: Model) -> None:
    assert pronounce.reading("encode").symbols == len(GRAPHEMES)
    assert pronounce.reading("step").symbols == len(PHONEMES)
