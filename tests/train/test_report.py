"""report.md: figures of every epoch, and errors that are errors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from tests.train.labelled import open_moods, tiny_classifier
from tests.train.resuming import characters
from tests.train.series import open_waves, tiny_forecaster
from tests.train.tagged import open_names, tiny_tagger
from tests.train.tiny import TEXT, tiny_transducer, tiny_words
from treadle.data import DATASETS
from treadle_train.catalogue import load_recipe
from treadle_train.evaluation import answer_pairs, predict_labels, predict_tags
from treadle_train.mistakes import EXAMPLES
from treadle_train.modules.forecasting import forecasts_of
from treadle_train.networks import Classifier, Forecaster, Tagger, Transducer
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


@pytest.mark.parametrize("shown", [2, EXAMPLES])
def test_a_tagger_shows_its_wrong_tags_and_what_it_takes_for_what(
    shown: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "names", open_names)
    monkeypatch.setattr("treadle_train.mistakes.LARGEST", shown)
    run = train(tiny_tagger("training.epochs=2"), tmp_path / "run", progress="none")
    assert isinstance(run.network, Tagger)
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    examples = run.dataset().split("validation")
    said = predict_tags(run, run.network, examples)
    pairs = [
        (right, tag)
        for one, tags in zip(examples, said, strict=True)
        for right, tag in zip(one.tags, tags, strict=True)
    ]
    lines = text[text.index("## Confusion") : text.index("## Errors")].splitlines()
    header, *rows = [cells(line) for line in lines if line.startswith(("| `", "|  |"))]
    header = [name for name in header if name]
    assert len(header) == len(rows) == min(shown, 5)
    for right, *counts in rows:
        assert [int(count) for count in counts] == [pairs.count((right, tag)) for tag in header]
    wrong = [one for one, tags in zip(examples, said, strict=True) if tuple(tags) != one.tags]
    assert wrong
    assert f"{len(wrong)} of {len(examples)} validation sentences" in text
    errors = text[text.index("## Errors") :].splitlines()
    named = [cells(line)[0] for line in errors if line.startswith("| `")]
    assert len(named) == min(EXAMPLES, len(wrong))
    for sentence, one in zip(named, wrong, strict=False):
        assert " ".join(one.tokens).startswith(sentence.removesuffix("…"))


def test_a_forecaster_shows_where_it_was_the_furthest_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(DATASETS, "waves", open_waves)
    run = train(tiny_forecaster("training.epochs=1"), tmp_path / "run", progress="none")
    network = run.network
    assert isinstance(network, Forecaster)
    text = (tmp_path / "run" / "report.md").read_text(encoding="utf-8")
    section = text[text.index("## Worst windows") :].splitlines()
    shown = [cells(line) for line in section if re.match(r"\| \d", line)]
    series = run.dataset().split("validation").of(["noise", "level"])
    quantiles = run.decoding["quantiles"]
    middle = quantiles.index(0.5) if quantiles else 0
    with torch.no_grad():
        ahead = forecasts_of(network, torch.from_numpy(series.copy()))[..., middle].numpy()
    errors = {
        frame: float(np.mean((ahead[frame] - series[frame + 1 : frame + 9, 1]) ** 2))
        / network.deviation**2
        for frame in range(network.season - 1, len(series) - 8)
    }
    frames = [int(row[0]) for row in shown]
    assert len(frames) == EXAMPLES
    assert frames[0] == max(errors, key=lambda frame: errors[frame])
    gaps = [abs(a - b) for index, a in enumerate(frames) for b in frames[:index]]
    assert min(gaps) >= 8
    for frame, (_, mse, *_) in zip(frames, shown, strict=True):
        assert float(mse) == pytest.approx(errors[frame], rel=1e-3)
    assert [errors[frame] for frame in frames] == sorted(
        (errors[frame] for frame in frames), reverse=True
    )
