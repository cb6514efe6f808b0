"""`treadle export --graph generate`: one file answers as the searches in Python do, id for id."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.export.small_models import SOURCES, TARGETS, canonical, lowered
from tests.runtime.tiny_bundles import (
    HIDDEN,
    start_from_file,
    write_generator,
    write_language_model,
)
from treadle.cli import run
from treadle.errors import ExportError, UnsupportedGraph
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.one_call import writing
from treadle_export.one_call.assembling import FORMAT, assembled
from treadle_export.one_call.beam_search import BeamSearch
from treadle_export.one_call.beginning import declared
from treadle_export.one_call.drawing import Drawing
from treadle_export.one_call.opening import Opened, opened
from treadle_export.one_call.row_search import RowSearch
from treadle_export.one_call.text import ML, ML_VERSION, ids_of
from treadle_export.one_call.writing import (
    answered,
    random_inputs,
    searched,
    session_of,
    write_one_call,
)
from treadle_export.passes.rewriting import MICROSOFT, Emitter
from treadle_export.quantization.precision import plan_of, precision_named

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_export.one_call.assembling import Searching
    from treadle_train.run import Run

LETTERS = Vocabulary(("<pad>", *map(chr, range(0x61, 0x61 + SOURCES - 1))), "characters", padding=0)
SOUNDS = Vocabulary(
    ("<pad>", "<s>", "</s>", *(f"S{index}" for index in range(TARGETS - 3))),
    "symbols",
    padding=0,
    start=1,
    end=2,
)
SYMBOLS = Vocabulary(tuple(map(chr, range(0x4E00, 0x4E00 + TARGETS))), "characters")
PAIR: tuple[dict[str, Vocabulary], dict[str, Any]] = (
    {"input": LETTERS, "output": SOUNDS},
    {"start": 1, "end": 2, "max_length": 20},
)
ALONE: tuple[dict[str, Vocabulary], dict[str, Any]] = ({"symbols": SYMBOLS}, {"start": 0})
# An end is one symbol of many here: likely enough to be met, and no row is sure to meet it.
ENDING = ({"symbols": SYMBOLS}, {"start": 0, "end": 7})
KINDS = {
    "lstm-general": PAIR,
    "gru-additive": PAIR,
    "lstm-fixed": PAIR,
    "lstm-model": ALONE,
    "gru-model": ENDING,
}
SEARCHES: tuple[Searching, ...] = (
    RowSearch(),
    RowSearch(Drawing()),
    RowSearch(Drawing(top_k=5, top_p=0.9, min_p=0.02)),
    BeamSearch(1),
    BeamSearch(3),
    BeamSearch(4, 4, 0.0),
    BeamSearch(5, 2, 1.3),
)
PRECISIONS = ("float32", "int8")


@pytest.fixture(scope="module")
def made_up_run(request: pytest.FixtureRequest) -> Run:
    """The run that tests of the exporter share; `run` is the command line here."""
    found: Run = request.getfixturevalue("run")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("one-call")


def written(folder: Path, kind: str, precision: str) -> Path:
    path = folder / f"{kind}-{precision}.treadle"
    if not path.exists():
        vocabularies, decoding = KINDS[kind]
        description = Description(path.stem, vocabularies, decoding, {}, {}, {})
        plan = plan_of(canonical(kind), precision_named(precision))
        parts = assemble(lowered(kind, precision), description, precision, plan)
        write_bundle(path, finished(parts, {}))
    return path


@cache
def made(path: Path, search: int) -> tuple[Any, Opened, Any]:
    """A session of the one file, what it was made of, and the bundle's model."""
    content = ir.to_proto(assembled(opened(path), SEARCHES[search])).SerializeToString()
    return session_of(content), opened(path), treadle.load(path)


def rows_of(kind: str) -> st.SearchStrategy[list[list[int]]]:
    """Sources have a symbol at least; prompts may be empty."""
    pair = KINDS[kind] is PAIR
    symbols = st.integers(1, SOURCES - 1) if pair else st.integers(0, TARGETS - 1)
    return st.lists(st.lists(symbols, min_size=int(pair), max_size=20), min_size=1, max_size=4)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_it_answers_as_the_searches_in_python(
    folder: Path, kind: str, precision: str, data: st.DataObject
) -> None:
    number = data.draw(st.integers(0, len(SEARCHES) - 1))
    rows, steps = data.draw(rows_of(kind)), data.draw(st.integers(1, 14))
    session, source, model = made(written(folder, kind, precision), number)
    search = SEARCHES[number]
    expected = searched(model, source, search, rows, steps)
    given_numbers = random_inputs(search, len(rows), steps)
    found = answered(session, source, rows, steps, **given_numbers)
    assert [answer.ids for answer in found] == [answer.ids for answer in expected]
    scores = [answer.score for answer in found]
    np.testing.assert_allclose(scores, [answer.score for answer in expected], rtol=1e-4, atol=1e-4)


def test_behind_the_end_of_a_row_stands_the_end_symbol(folder: Path) -> None:
    session, source, _ = made(written(folder, "gru-model", "float32"), 1)
    steps, rows = 60, 16
    feeds = {
        "prompt": np.zeros((rows, 1), np.int64),
        "prompt_lengths": np.zeros(rows, np.int64),
        "max_length": np.array(steps),
        **random_inputs(SEARCHES[1], rows, steps),
    }
    ids, lengths = session.run(["ids", "lengths"], feeds)
    assert ids.shape[1] <= steps
    assert len(set(lengths.tolist())) > 1  # or nothing is seen of rows that end apart
    for row, length in zip(ids, lengths, strict=True):
        assert source.end not in row[:length]
        assert (row[length:] == source.end).all()


def test_a_text_is_read_and_written(folder: Path) -> None:
    path = written(folder, "lstm-general", "int8")
    session = session_of(
        ir.to_proto(assembled(opened(path), RowSearch(), text=True)).SerializeToString()
    )
    texts = ["abc", "z", "hello"]
    given = {"text": np.array(texts, object), "max_length": np.array(20)}
    (answers,) = session.run(["answer"], given)
    with treadle.load(path) as model:
        assert answers.tolist() == [found[0].text for found in model.transduce(texts)]


def test_a_text_goes_on(folder: Path) -> None:
    path = written(folder, "lstm-model", "float32")
    session = session_of(
        ir.to_proto(assembled(opened(path), BeamSearch(3), text=True)).SerializeToString()
    )
    texts = [SYMBOLS.text([5, 9, 9]), ""]
    given = {"text": np.array(texts, object), "max_length": np.array(6)}
    (answers,) = session.run(["answer"], given)
    with treadle.load(path) as model:
        expected = model.complete(texts, max_length=6, beam=3)
    assert answers.tolist() == [found[0].text for found in expected]


def test_a_symbol_that_is_not_known_stops_the_engine(folder: Path) -> None:
    path = written(folder, "lstm-general", "float32")
    session = session_of(
        ir.to_proto(assembled(opened(path), RowSearch(), text=True)).SerializeToString()
    )
    given = {"text": np.array(["ab?"], object), "max_length": np.array(5)}
    with pytest.raises(Exception, match="out of data bounds"):
        session.run(None, given)


CHARACTERS = "abC'_1,.!—-ßéλ日本\u0301 \t\n\u00a0\u3000\u2028\x1f\x85"
SYMBOLIC = ("<?>", "a", "b", "ab", "C", "a,", "é")
WORDY = ("<?>", "a", "b", "ab", "c", "abc", "é", "日本", ",", "!", "a'b")
SPLIT = {
    "characters": Vocabulary(CHARACTERS, "characters"),
    "symbols": Vocabulary(SYMBOLIC, "symbols", unknown=0),
    "words": Vocabulary(WORDY, "words", unknown=0),
}
# Signs that split, that do not, that Unicode calls spaces, letters of other scripts, a mark.
TEXTS = st.lists(st.text(st.sampled_from(CHARACTERS), max_size=12), min_size=1, max_size=4)


@cache
def reader(kind: str) -> Any:
    """A session that reads texts [batch] with a vocabulary."""
    root = ir.Graph([], [], nodes=[], opset_imports={"": 21, MICROSOFT: 1, ML: ML_VERSION})
    e, text = Emitter(root), declared("text", ir.DataType.STRING, "batch")
    found = ids_of(e, SPLIT[kind], text, lowercase=False)
    for value, name in zip(found, ("ids", "lengths"), strict=True):
        value.name, value.type = name, ir.TensorType(ir.DataType.INT64)
    e.name_after("read.")
    root.extend(e.nodes)
    root.inputs.append(text)
    root.outputs.extend(found)
    return session_of(ir.to_proto(ir.Model(root, ir_version=10)).SerializeToString())


@pytest.mark.parametrize("kind", SPLIT)
@given(texts=TEXTS)
def test_texts_are_split_as_the_vocabulary_splits_them(kind: str, texts: list[str]) -> None:
    vocabulary = SPLIT[kind]
    if kind == "words":  # in other mixtures of capitals a word is not known
        texts = [text.lower() for text in texts]
    ids, lengths = reader(kind).run(None, {"text": np.array(texts, object)})
    for text, row, length in zip(texts, ids, lengths, strict=True):
        known = {s for i, s in enumerate(vocabulary.symbols) if i not in vocabulary.special}
        symbols = vocabulary.split(text)
        assert length == len(symbols)
        outside = 0 if kind == "words" else len(vocabulary)
        expected = [vocabulary.symbols.index(s) if s in known else outside for s in symbols]
        assert row[:length].tolist() == expected
        assert not row[length:].any()


def test_words_are_known_in_capitals() -> None:
    ids, _ = reader("words").run(None, {"text": np.array(["ABC Abc abc!"], object)})
    assert ids.tolist() == [[5, 5, 5, 9]]


def test_the_file_says_what_it_is(folder: Path, tmp_path: Path) -> None:
    path, search = written(folder, "lstm-general", "int8"), BeamSearch(3, 2)
    one = write_one_call(path, tmp_path / "one.onnx", search)
    assert one.bytes == one.path.stat().st_size
    assert one.checked > 0
    model = onnx.load(one.path)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert said["treadle.format"] == FORMAT
    with treadle.load(path) as bundle:
        assert said["treadle.digest"] == bundle.manifest.digest
    assert json.loads(said["treadle.search"]) == asdict(search)
    assert Vocabulary.from_json(json.loads(said["treadle.vocabularies"])["written"]) == SOUNDS
    assert said["treadle.max_length"] == "20"
    assert [value.name for value in model.graph.input] == ["source", "source_lengths", "max_length"]
    assert not any(value.external_data for value in model.graph.initializer)


def test_the_same_bundle_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    path = written(folder, "gru-model", "int8")
    outs = [write_one_call(path, tmp_path / name, RowSearch()).path for name in ("a", "b")]
    assert outs[0].read_bytes() == outs[1].read_bytes()


def test_a_generator_writes_from_its_label(tmp_path: Path) -> None:
    made = write_one_call(write_generator(tmp_path), tmp_path / "one.onnx", BeamSearch(2))
    assert made.checked > 0


def test_a_file_in_the_way_is_kept_without_force(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "one.onnx"
    out.write_text("mine")
    path = written(folder, "lstm-general", "float32")
    with pytest.raises(ExportError, match="is there already; name another file"):
        write_one_call(path, out, RowSearch())
    assert out.read_text() == "mine"
    write_one_call(path, out, RowSearch(), force=True)
    onnx.load(out)


def test_a_file_that_answers_otherwise_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other(model: Any, source: Opened, _: Searching, rows: Any, steps: int) -> Any:
        return searched(model, source, BeamSearch(4), rows, steps)

    monkeypatch.setattr(writing, "searched", other)
    out = tmp_path / "one.onnx"
    with pytest.raises(ExportError, match="as the search in Python does"):
        write_one_call(written(folder, "lstm-general", "float32"), out, RowSearch())
    assert not out.exists()


def test_what_writes_no_symbols_is_refused(tmp_path: Path) -> None:
    features = write_language_model(tmp_path, name="own", features=3)
    start = {"recurrent.0.hidden": np.zeros(HIDDEN, np.float32)}
    with pytest.raises(UnsupportedGraph, match="starts from a file"):
        opened(start_from_file(write_language_model(tmp_path, name="start"), start))
    with pytest.raises(UnsupportedGraph, match="expected a vocabulary 'symbols' to write with"):
        opened(features)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BeamSearch(0), "1 <= n_best <= beam"),
        (lambda: BeamSearch(2, 3), "1 <= n_best <= beam"),
        (lambda: BeamSearch(2, 1, -1.0), "0 or more"),
        (lambda: Drawing(top_k=0), "top_k of at least 1"),
        (lambda: Drawing(top_p=0.0), "top_p above 0"),
        (lambda: Drawing(min_p=1.5), "min_p from 0 to 1"),
    ],
)
def test_impossible_searches_are_errors(make: Any, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        make()


def test_the_command_takes_a_bundle(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = written(folder, "lstm-general", "int8"), tmp_path / "one.onnx"
    asked = ["export", str(path), "--graph", "generate", "--out", str(out)]
    assert run([*asked, "--search", "beam", "--beam", "3", "--text", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["bytes"] == out.stat().st_size
    assert run([*asked, "--force", "--search", "greedy", "--beam", "3"]) == 1
    assert "expected --beam with --search beam" in capsys.readouterr().err
    for option in (
        ["--precision", "int8"],
        ["--calibration", "none"],
        ["--tune"],
        ["--target", "web"],
    ):
        assert run([*asked, "--force", *option]) == 1
        assert f"expected no {option[0]} with a bundle" in capsys.readouterr().err
    assert run([*asked, "--force", "--target", "triton"]) == 1
    assert "leave one out" in capsys.readouterr().err


def test_the_command_makes_a_bundle_of_a_run_as_it_is_told(
    made_up_run: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What a bundle is made with reaches it: here a plan by which the output keeps float32."""
    plan, out = tmp_path / "plan.json", tmp_path / "one.onnx"
    plan.write_text(json.dumps({"output": "float32"}))
    monkeypatch.setattr("treadle_train.run.load_run", lambda _: made_up_run)
    asked = ["export", str(tmp_path), "--graph", "generate", "--out", str(out)]
    assert run([*asked, "--precision", "int8", "--plan", str(plan), "--text"]) == 0
    capsys.readouterr()
    weights = {value.name: value.data_type for value in onnx.load(out).graph.initializer}
    assert weights["network.output.weight.transposed"] == onnx.TensorProto.FLOAT
    assert onnx.TensorProto.INT8 in weights.values()


def test_options_of_a_decode_need_the_graph(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(folder, "lstm-general", "int8")
    for option in (["--search", "beam"], ["--text"], ["--top-k", "3"]):
        assert run(["export", str(path), "--out", str(tmp_path / "x.treadle"), *option]) == 1
        assert f"expected {option[0]} with --graph generate" in capsys.readouterr().err
