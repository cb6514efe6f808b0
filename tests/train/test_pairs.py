"""Transducers over any pairs: how each side is read, what is too long, and what training says."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.train.pairs import dataset, tiny_recipe, translated
from treadle.data import Pair
from treadle.decoding.beam import length_penalty
from treadle.errors import DataError, RecipeError
from treadle.text_metrics import bleu, rouge_l
from treadle.texts import TextReading
from treadle.tolerances import tolerance
from treadle_train.batching.bucketed import IGNORED
from treadle_train.evaluation import answer_pairs, evaluate_run
from treadle_train.networks import Transducer
from treadle_train.ranking import rank_answers
from treadle_train.tasks import Transduction
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

SAME = tolerance("torch step", "float32").absolute


@pytest.fixture
def sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: dataset())


def test_each_side_has_the_symbols_that_the_recipe_says() -> None:
    plain = Transduction(tiny_recipe(), dataset())
    source, target = plain.vocabularies["input"], plain.vocabularies["output"]
    assert (source.kind, source.symbols[:2], source.unknown) == (
        "symbols",
        ("<padding>", "<unknown>"),
        1,
    )
    assert (target.start, target.end, target.unknown) == (1, 2, None)
    assert {"Neko", "."} < set(source.symbols)
    assert {"looks", ",", "then"} < set(target.symbols)
    lower = Transduction(
        tiny_recipe(source={"lowercase": True}, target={"size": 8, "of": "words"}), dataset()
    )
    assert "neko" in lower.vocabularies["input"].symbols
    assert len(lower.vocabularies["output"]) == 8
    assert lower.vocabularies["output"].unknown == 3
    rare = Transduction(tiny_recipe(target={"least_count": 115}), dataset())
    assert "!" in rare.vocabularies["output"].symbols
    assert "dog" not in rare.vocabularies["output"].symbols


def test_subwords_have_their_special_symbols_first() -> None:
    pytest.importorskip("tokenizers", reason="tokenizers learns the pieces")
    side = {"of": "subwords", "size": 40}
    task = Transduction(tiny_recipe(source=side, target=side), dataset())
    source, target = task.vocabularies["input"], task.vocabularies["output"]
    assert source.symbols[:2] == ("<padding>", "<unknown>")
    assert target.symbols[:4] == ("<padding>", "<start>", "<end>", "<unknown>")
    assert [target.padding, target.start, target.end, target.unknown] == [0, 1, 2, 3]
    assert len(source) == len(target) == 40
    assert target.text(task.target.ids("one bird eats")) == "one bird eats"
    with pytest.raises(DataError, match=r"choose a larger source\.size"):
        Transduction(tiny_recipe(source={"of": "subwords", "size": 9}), dataset())
    with pytest.raises(RecipeError, match="least_count is of whole symbols"):
        tiny_recipe(source={"of": "subwords", "least_count": 2})


def test_what_is_too_long_is_an_error_or_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    long = Pair("Neko inu tori uma taberu neru miru .", ("the cat .",))
    data = dataset([*translated(), long, long], [long])
    with pytest.raises(DataError, match=r"a source of 8 symbols, and source\.longest is 7"):
        Transduction(tiny_recipe(source={"longest": 7}), data)
    with pytest.raises(DataError, match=r"a target of \d+ symbols, and target\.longest is 4"):
        Transduction(tiny_recipe(target={"longest": 4}), data)
    recipe = tiny_recipe(
        source={"longest": 7}, batching={"too_long": "leave-out"}, training={"epochs": 1}
    )
    task = Transduction(recipe, data)
    assert task.left_out == 2
    assert task.pairs.source.shape[1] == 4
    assert len(task.validation) == 1  # figures are over all
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    train(recipe, tmp_path / "run", progress="lines")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["left_out"] == 2
    assert "left out: 2 training examples" in capsys.readouterr().err
    with pytest.raises(DataError, match=r"No pair of the training split .* is short enough"):
        Transduction(tiny_recipe(source={"longest": 2}, batching={"too_long": "leave-out"}), data)


def test_what_is_no_pair_or_has_no_source_is_an_error() -> None:
    with pytest.raises(DataError, match="Example 0 of the train split has an empty source"):
        Transduction(tiny_recipe(), dataset([Pair(" ", ("a",)), *translated()]))
    with pytest.raises(DataError, match="Transduction needs pairs"):
        Transduction(tiny_recipe(), dataset(["text"]))  # type: ignore[list-item]


def test_a_target_that_cannot_be_written_is_in_no_loss_and_counts_as_wrong() -> None:
    strange = Pair("Neko .", ("the zebra .",))
    task = Transduction(tiny_recipe(), dataset(translated(), [strange, translated()[6]]))
    [(pairs, asked)] = task.validation_batches()
    assert pairs is not None
    assert len(pairs.source) == 1
    assert len(asked.source) == 2
    assert ["the zebra ."] in asked.answers
    module = task.new_module().eval()
    module.on_validation_epoch_start()
    module.validation_step((None, asked), 0)
    assert module.figures()["word_error_rate"] == 100.0
    assert len(task.validation_pairs()) == 1
    only = Transduction(tiny_recipe(), dataset(translated(), [strange]))
    with pytest.raises(DataError, match="No target of the validation split can be written"):
        only.validation_pairs()


@pytest.mark.usefixtures("sentences")
@pytest.mark.parametrize("metric", ["word_error_rate", "bleu", "rouge_l", "hits_at_10"])
def test_a_run_is_chosen_and_judged_by_its_metric(metric: str, tmp_path: Path) -> None:
    if metric == "bleu":
        pytest.importorskip("sacrebleu")
    changes: dict[str, Any] = {"training": {"epochs": 3}} if metric == "bleu" else {}
    run = train(tiny_recipe(metric=metric, **changes), tmp_path / "run", progress="none")
    assert isinstance(run.network, Transducer)
    test = run.dataset().split("test")
    figure = evaluate_run(run.path)
    assert (figure.metric, figure.beam) == (metric, None if metric == "hits_at_10" else 1)
    best = min if metric == "word_error_rate" else max
    assert figure.value == pytest.approx(
        best(epoch[f"validation_{metric}"] for epoch in run.history)
    )
    with torch.inference_mode():
        said = answer_pairs(run, run.network, test)
    right = [list(pair.answers) for pair in test]
    written = TextReading.of(run.vocabularies, run.decoding, "output").written
    right = [list(map(written, answers)) for answers in right]
    assert any("looks , then" in answer for listed in right for answer in listed)
    if metric == "word_error_rate":
        wrong = [one not in listed for one, listed in zip(said, right, strict=True)]
        assert figure.value == 100 * np.mean(wrong)
        assert figure.value < 60
    elif metric in ("bleu", "rouge_l"):
        assert figure.value == {"bleu": bleu, "rouge_l": rouge_l}[metric](said, right)
        assert figure.value > 40
    else:
        assert figure.value > 70
    assert f"`{' '.join(test[0].source)}`" in (run.path / "report.md").read_text() or not any(
        one not in listed for one, listed in zip(said[:1], right, strict=False)
    )


def test_answers_are_ranked_by_the_score_of_a_search() -> None:
    task = Transduction(tiny_recipe(), dataset())
    torch.manual_seed(3)
    network = task.new_module().network.eval()
    pairs = task.validation_pairs()
    sources = [task.source.ids(pair.inputs) for pair in task.validation[:3]]
    answers = ["the cat eats", "the zebra", "!"]
    with torch.inference_mode():
        scores = rank_answers(network, sources, answers, task.target, 0.7)
    assert scores.shape == (3, 3)
    assert (scores[:, 1] == -np.inf).all()
    for row, source in enumerate(sources):
        for column in (0, 2):
            ids = [*task.target.ids(answers[column]), task.end]
            context, initial = network.encode(torch.tensor([source]), torch.tensor([len(source)]))
            state, token, total = network.initial_state(1) | initial, task.start, 0.0
            for symbol in ids:
                with torch.no_grad():
                    logits, state = network.step(torch.tensor([token]), state, context)
                total += float(logits.log_softmax(-1)[0, symbol])
                token = symbol
            expected = total / length_penalty(len(ids), 0.7)
            assert scores[row, column] == pytest.approx(expected, abs=len(ids) * SAME)
    assert (pairs.targets == IGNORED).any()
