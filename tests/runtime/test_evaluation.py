"""Evaluation of tiny bundles: the figure, its unit, and data that is not the model's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.runtime.tiny_bundles import reseal, write_language_model, write_transducer
from treadle.data import DATASETS, Dataset, Pair, open_dataset
from treadle.errors import BundleError, DataError, InputError
from treadle.evaluation import Evaluation, check_digest, evaluate, symbol_nats

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime")

TEXT = "abc defg had a fed cab\n" * 20


def change(bundle: Path, **fields: Any) -> Path:
    document = json.loads((bundle / "manifest.json").read_text())
    reseal(bundle, {**document, **fields})
    return bundle


@pytest.fixture
def text_options(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "text.txt").write_text(TEXT)
    return {"path": str(tmp_path / "text.txt")}


def test_a_language_model_is_measured_in_bits(tmp_path: Path, text_options: dict[str, str]) -> None:
    evaluation = {"dataset": "text", "options": text_options, "metric": "bits_per_character"}
    data = {"data": open_dataset("text", text_options).digest}
    bundle = change(write_language_model(tmp_path), evaluation=evaluation, provenance=data)
    with treadle.load(bundle) as model:
        whole = evaluate(model)
        limited = evaluate(model, split="validation", limit=7)
        likelihood = symbol_nats(model).mean()
        expected = model.score(TEXT[len(TEXT) * 9 // 10 :])
    assert whole.value == expected.bits_per_symbol
    assert likelihood == expected.nats_per_symbol
    assert (whole.metric, whole.unit) == ("bits_per_character", "bits/character")
    assert (whole.examples, limited.examples) == (46, 7)
    assert not whole.higher_is_better
    assert set(whole.to_json()) == {
        "metric", "unit", "value", "higher_is_better", "examples", "seconds", "beam",
    }  # fmt: skip
    assert whole.beam is None
    with (
        treadle.load(bundle) as model,
        pytest.raises(InputError, match="got 4 for the bits_per_character"),
    ):
        evaluate(model, beam=4)


def test_a_word_counts_when_any_listed_answer_matches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluation = {"dataset": "tiny", "options": {}, "metric": "word_error_rate"}
    bundle = change(write_transducer(tmp_path), evaluation=evaluation)
    with treadle.load(bundle) as model:
        words = ["ab", "cafe", "g", "head"]
        said = [best.symbols for [best] in model.transduce(words)]
        listed = [(("B",), said[0]), (said[1],), (("X",),), (said[3], ("X",))]
        examples = [Pair(w, p) for w, p in zip(words, listed, strict=True)]
        dataset = Dataset("tiny", {}, "none", "here", "sha256:0", {"test": examples})
        monkeypatch.setitem(DATASETS, "tiny", lambda: dataset)
        result = evaluate(model)
        assert (result.value, result.unit, result.examples) == (25.0, "%", 4)
        assert evaluate(model, limit=2).value == 0.0
        assert result.beam == 1
        best = [b.symbols for [b] in model.transduce(words, beam=3)]
        wide = evaluate(model, beam=3)
        right = [any(b == p for p in ps) for b, ps in zip(best, listed, strict=True)]
        assert (wide.value, wide.beam) == (100 * (1 - sum(right) / 4), 3)
        likelihood = symbol_nats(model, limit=2)
        nats = [s.nats for s in model.score(words[:2], ["B", " ".join(said[1])])]
        assert np.array_equal(likelihood, np.concatenate(nats))
        strange = [Pair("ab", ("Z",)), *examples[1:2]]
        monkeypatch.setitem(dataset.splits, "odd", strange)
        assert len(symbol_nats(model, split="odd")) == len(said[1]) + 1
        with pytest.raises(DataError, match="no first target of 1 pairs can be written"):
            symbol_nats(model, split="odd", limit=1)
        with pytest.raises(InputError, match="limit should be at least 1, got 0"):
            evaluate(model, limit=0)
        with pytest.raises(InputError, match="a beam of 1 or more"):
            evaluate(model, beam=0)
        with pytest.raises(DataError, match="not 'train'"):
            evaluate(model, split="train")


def test_other_data_than_the_models_is_refused(
    tmp_path: Path, text_options: dict[str, str]
) -> None:
    evaluation = {"dataset": "text", "options": text_options, "metric": "bits_per_character"}
    bundle = change(
        write_language_model(tmp_path), evaluation=evaluation, provenance={"data": "sha256:other"}
    )
    with (
        treadle.load(bundle) as model,
        pytest.raises(DataError, match=r"has the digest sha256:.* judged on sha256:other"),
    ):
        evaluate(model)


def test_the_language_reference_of_another_python_is_named() -> None:
    with pytest.raises(DataError, match="differs between Python releases"):
        check_digest(open_dataset("text"), "sha256:another")


@pytest.mark.parametrize(
    "evaluation", [{}, {"dataset": "text"}, {"dataset": "text", "metric": "beauty"}]
)
def test_a_bundle_that_does_not_say_what_to_measure(
    tmp_path: Path, evaluation: dict[str, Any]
) -> None:
    bundle = change(write_language_model(tmp_path), evaluation=evaluation)
    with (
        treadle.load(bundle) as model,
        pytest.raises(BundleError, match="to name a dataset and a metric out of accuracy"),
    ):
        evaluate(model)


def test_a_metric_of_another_task_is_refused(tmp_path: Path, text_options: dict[str, str]) -> None:
    evaluation = {"dataset": "text", "options": text_options, "metric": "word_error_rate"}
    bundle = change(write_language_model(tmp_path), evaluation=evaluation)
    with (
        treadle.load(bundle) as model,
        pytest.raises(BundleError, match="word_error_rate does not fit the task"),
    ):
        evaluate(model)


def test_an_evaluation_takes_unit_and_direction_from_the_table() -> None:
    made = Evaluation.of("word_error_rate", 34.1, examples=6302, seconds=2.0)
    assert made == Evaluation("word_error_rate", "%", 34.1, False, 6302, 2.0)
