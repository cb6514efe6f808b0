"""`treadle score` over models of every task: each row's answer is what Python says of it alone."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
import treadle.data
from tests.project.page_models import DATASETS, MODELS
from tests.train.labelled import sentences
from tests.train.series import waves
from tests.train.spoken import utterances
from tests.train.tagged import tagged_sentences
from treadle.scoring import score_files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NUMBERS = 1e-5  # between rows in company and alone, in float32


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        for name, opened in DATASETS.items():
            patch.setitem(treadle.data.DATASETS, name, opened)
        yield


def answers(folder: Path, model: str, values: list[Any], **options: Any) -> list[Any]:
    """The answer or error of each value, scored from JSON lines in parts of two."""
    MODELS[model](folder, model)
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": value}) + "\n" for value in values))
    out = folder / "out"
    score_files(folder / f"{model}.treadle", [path], out, rows=2, options=options)
    parts = sorted(out.glob("part-*"))
    lines = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert [line["input"]["text"] for line in lines] == values
    return [line.get("answer", line.get("error")) for line in lines]


def test_a_classifier_gives_probabilities(tmp_path: Path) -> None:
    texts = [one.text for one in sentences(5)]
    *found, empty = answers(tmp_path, "sentiment", [*texts, ""])
    with treadle.load(tmp_path / "sentiment.treadle") as model:
        for text, answer in zip(texts, found, strict=True):
            [expected] = model.classify(text)
            assert answer["label"] == expected.label
            assert answer["probabilities"] == pytest.approx(expected.probabilities, abs=NUMBERS)
    assert "is empty" in empty


def test_a_tagger_takes_text_or_tokens(tmp_path: Path) -> None:
    tokens = [list(one.tokens) for one in tagged_sentences(4)]
    *found, wrong = answers(tmp_path, "tag-pos", [*tokens, " ".join(tokens[0]), [1, 2]])
    with treadle.load(tmp_path / "tag-pos.treadle") as model:
        expected = [list(made.tags) for made in model.tag(tokens)]
    assert [answer["tags"] for answer in found] == [*expected, expected[0]]
    assert found[0]["tokens"] == tokens[0]
    assert wrong == "expected a text or a list of tokens, got list [1, 2]"


def test_a_forecaster_takes_frames_as_lists_or_text(tmp_path: Path) -> None:
    frames = waves(80).values
    text = " ".join(",".join(map(repr, frame)) for frame in frames.tolist())
    values = [frames.tolist(), json.dumps(frames.tolist()), text, "1,a 2,3", frames[:1].tolist()]
    listed, in_json, in_text, wrong, short = answers(tmp_path, "transformer", values)
    with treadle.load(tmp_path / "transformer.treadle") as model:
        [expected] = model.forecast(frames)
        target = model.target
    for answer in (listed, in_json, in_text):
        assert answer["target"] == target
        np.testing.assert_allclose(answer["forecast"], expected.central, rtol=0, atol=NUMBERS * 30)
        assert len(answer["quantiles"]) == len(expected.quantiles)
    assert wrong.startswith("expected frames of numbers")
    assert "at least" in short


def test_a_model_of_speech_takes_frames_or_a_file_of_them(tmp_path: Path) -> None:
    frames = utterances(2)[1].values
    np.save(tmp_path / "spoken.npy", frames)
    values = [frames.tolist(), str(tmp_path / "spoken.npy"), "nowhere.npy", 3]
    listed, filed, missing, wrong = answers(tmp_path, "digits", values, beam=2, n_best=2)
    with treadle.load(tmp_path / "digits.treadle") as model:
        [expected] = model.transcribe(frames, beam=2, n_best=2)
    for answer in (listed, filed):
        found = answer["hypotheses"]
        assert [one["text"] for one in found] == [one.text for one in expected]
        assert found[0]["frames"] == list(expected[0].frames)
    assert missing.startswith("expected the path of an .npy file")
    assert isinstance(wrong, str)


def test_a_generator_takes_labels(tmp_path: Path) -> None:
    good, wrong = answers(tmp_path, "melody", ["a", "nobody"], beam=2, n_best=2, max_length=9)
    with treadle.load(tmp_path / "melody.treadle") as model:
        [expected] = model.generate("a", beam=2, n_best=2, max_length=9)
    assert [one["text"] for one in good["hypotheses"]] == [one.text for one in expected]
    assert "nobody" in wrong


def test_a_table_gives_what_lines_of_json_give(tmp_path: Path) -> None:
    texts = [one.text for one in sentences(5)]
    expected = answers(tmp_path, "sentiment", texts)
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["text"], *([text] for text in texts)])
    score_files(tmp_path / "sentiment.treadle", [tmp_path / "rows.csv"], tmp_path / "again", rows=2)
    lines = [
        line
        for part in sorted((tmp_path / "again").glob("part-*"))
        for line in part.read_text("utf-8").splitlines()
    ]
    assert [json.loads(line)["answer"] for line in lines] == expected
