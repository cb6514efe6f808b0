"""report.md: figures of every epoch, and errors that are errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.train.labelled import open_moods, tiny_classifier
from tests.train.resuming import characters
from tests.train.tiny import TEXT, tiny_transducer, tiny_words
from treadle.data import DATASETS
from treadle_train.catalogue import load_recipe
from treadle_train.evaluation import answer_pairs, predict_labels
from treadle_train.mistakes import EXAMPLES
from treadle_train.networks import Classifier, Transducer
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path


def cells(line: str) -> list[str]:
    return [cell.strip().strip("`") for cell in line.strip("| ").split(" | ")]


@pytest.mark.usefixtures("tiny_data")
def test_a_transducer_shows_its_errors_and_no_others(tmp_path: Path) -> None:
    run = train(tiny_transducer(), tmp_path / "run", progress="none")
    assert isinstance(run.network, Transducer)
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    assert text.startswith("# pronounce-en\n")
    assert "Bucketing: " in text
    assert len(re.findall(r"^\| [123] \| ", text, re.MULTILINE)) == 3  # a row an epoch
    shown = [cells(line) for line in text.splitlines() if line.startswith("| `")]
    words = tiny_words().split("validation")
    answers = answer_pairs(run, run.network, words)
    wrong = [
        (entry.source, answer)
        for entry, answer in zip(words, answers, strict=True)
        if tuple(answer.split()) not in entry.targets
    ]
    assert wrong
    assert [(word, answer) for word, answer, *_ in shown] == wrong[:EXAMPLES]
    assert f"{len(wrong)} of the first {len(words)} pairs" in text


def test_a_language_model_shows_what_surprised_it(tmp_path: Path) -> None:
    recipe = load_recipe("characters", characters(tmp_path, "training.epochs=1"))
    train(recipe, tmp_path / "run", progress="none")
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    shown = [cells(line) for line in text.splitlines() if line.startswith("| `")]
    assert len(shown) == EXAMPLES
    bits = [float(row[3]) for row in shown]
    assert bits == sorted(bits, reverse=True)
    for after, came, _, _ in shown:
        assert (after + came).replace("⏎", "\n").strip() in TEXT


def test_a_classifier_shows_what_it_takes_for_what(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best epoch is the one of the highest accuracy; the matrix counts every example."""
    monkeypatch.setitem(DATASETS, "moods", open_moods)
    run = train(tiny_classifier("training.epochs=2"), tmp_path / "run", progress="none")
    assert isinstance(run.network, Classifier)
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    best = max(row["validation_accuracy"] for row in run.history)
    assert f"validation split was {best:.4g}." in text
    examples = run.dataset().split("validation")
    said = predict_labels(run, run.network, examples)
    pairs = [(str(e.label), answer) for e, answer in zip(examples, said, strict=True)]
    for right in ("bad", "good"):
        counts = " | ".join(str(pairs.count((right, said))) for said in ("bad", "good"))
        assert f"| `{right}` | {counts} |" in text
    assert f"{sum(right != answer for right, answer in pairs)} of them" in text
