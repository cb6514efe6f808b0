"""Language models over words and subwords: from a text to figures of a bundle."""

import math
from pathlib import Path

import pytest

import treadle
from treadle.data import open_dataset
from treadle.errors import DataError, RecipeError
from treadle.evaluation import evaluate, symbol_nats
from treadle.language_model import LanguageModel
from treadle_export.exporting.exporter import export_run
from treadle_train.catalogue import load_recipe
from treadle_train.evaluation import evaluate_run
from treadle_train.tasks import open_task
from treadle_train.training import train

pytest.importorskip("tokenizers", reason="tokenizers learns the pieces")

TEXT = "The quick brown fox jumps over the lazy dog; pack my box with five dozen jugs.\n" * 600


def settings(folder: Path, *changes: str) -> list[str]:
    path = folder / "text.txt"
    path.write_text(TEXT)
    sizes = ("network.hidden_size=16", "network.embedding_size=8", "training.epochs=1")
    shape = ("batching.batch_size=4", "batching.steps=8", "training.threads=1")
    return [f"data.options.path={path}", *sizes, *shape, *changes]


@pytest.mark.parametrize(
    ("of", "size", "metric"), [("subwords", 60, "bits_per_character"), ("words", 0, "perplexity")]
)
def test_symbols_longer_than_characters(of: str, size: int, metric: str, tmp_path: Path) -> None:
    changes = settings(tmp_path, f"symbols.of={of}", f"symbols.size={size}")
    run = train(load_recipe("characters", changes), tmp_path / "run", progress="none")
    vocabulary = run.vocabularies["symbols"]
    assert vocabulary.kind == of
    assert len(vocabulary) == size or not size
    out = tmp_path / "x.treadle"
    assert export_run(run, {"int8": out})["int8"].passed
    with treadle.load(out, unknown="symbol") as model:
        assert isinstance(model, LanguageModel)
        figure, nats = evaluate(model, split="test"), symbol_nats(model, split="test")
        text = run.dataset().split("test")
        if metric == "perplexity":
            expected = math.exp(nats.mean())
        else:
            expected = nats.sum() / len(text) / math.log(2)
        assert figure.metric == metric
        assert figure.value == pytest.approx(expected)
        assert evaluate_run(run.path).value == pytest.approx(figure.value, rel=0.02)
        [[made]] = model.complete("the quick", max_length=5)
        assert made.text == vocabulary.text(made.ids)
    assert "## Surprises" in (run.path / "report.md").read_text()


def test_the_most_frequent_words_are_kept(tmp_path: Path) -> None:
    """THE is twice as frequent as any other word; of those the first in order stay."""
    changes = settings(tmp_path, "symbols.of=words", "symbols.size=4")
    run = train(load_recipe("characters", changes), tmp_path / "run", progress="none")
    assert run.vocabularies["symbols"].symbols == ("<unknown>", ".", ";", "the")


def test_rare_words_are_unknown(tmp_path: Path) -> None:
    changes = settings(tmp_path, "symbols.of=words", "symbols.least_count=2")
    (tmp_path / "text.txt").write_text("that is is the question " + "to be or not to be " * 9)
    recipe = load_recipe("characters", changes)
    task = open_task(recipe, open_dataset("text", recipe.data.options))
    assert task.vocabularies["symbols"].symbols == ("<unknown>", "be", "is", "not", "or", "to")


def test_rare_characters_are_not(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="characters are never left out"):
        load_recipe("characters", settings(tmp_path, "symbols.least_count=2"))


def test_characters_are_not_left_out(tmp_path: Path) -> None:
    changes = settings(tmp_path, "symbols.size=10")
    with pytest.raises(DataError, match="different characters, which do not fit"):
        train(load_recipe("characters", changes), tmp_path / "run", progress="none")
