"""The digest of predictions tells answers apart, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import treadle
from benchmarks.quality.predictions import PREDICTIONS, predictions_sha256
from tests.runtime.tiny_bundles import (
    write_language_model,
    write_transducer,
    write_whole_sequence,
)
from treadle.judged import JUDGED

if TYPE_CHECKING:
    from pathlib import Path


def test_what_has_predictions_is_judged() -> None:
    assert {*PREDICTIONS} <= {*JUDGED}


def test_text_that_differs_is_predicted_differently(tmp_path: Path) -> None:
    with treadle.load(write_language_model(tmp_path), unknown="symbol") as model:
        symbols = [s for s in model.vocabularies["symbols"].symbols if len(s) == 1]
        text = "".join(symbols) * 200  # more than one call
        whole, again = predictions_sha256(model, text), predictions_sha256(model, text)
        assert whole == again
        assert whole != predictions_sha256(model, text[:-1])


def test_another_model_answers_otherwise(tmp_path: Path) -> None:
    found: list[str | None] = []
    for seed in (0, 0, 3):
        folder = tmp_path / str(len(found))
        folder.mkdir()
        with treadle.load(write_transducer(folder, seed=seed)) as model:
            letters = [s for s in model.vocabularies["input"].symbols if len(s) == 1]
            words = [SimpleNamespace(inputs=letter * 3) for letter in letters]
            found.append(predictions_sha256(model, words))
    assert found[0] == found[1] != found[2]


def test_a_task_without_predictions_has_no_digest(tmp_path: Path) -> None:
    with treadle.load(write_whole_sequence(tmp_path)) as model:
        assert predictions_sha256(model, []) is None
