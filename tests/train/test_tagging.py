"""Tagging: padding has no effect, steps agree with the whole, bad data, the best epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.labelled import sentences
from tests.train.tagged import tagged_dataset, tagged_sentences, tiny_tagger
from treadle.data import Tagged
from treadle.errors import DataError, RecipeError
from treadle.tolerances import tolerance
from treadle_train.batching.bucketed import IGNORED
from treadle_train.evaluation import evaluate_run
from treadle_train.networks import Tagger
from treadle_train.networks.tagger import alphabet_size
from treadle_train.tasks import Tagging, open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

SAME = tolerance("torch step", "float32").absolute
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def network(*, bidirectional: bool, crf: bool = False, characters: int = 0) -> Tagger:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = Tagger(12, 4, 6, 10, 2, "gru", bidirectional, crf, characters, 3, 5, alphabet=8)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(2.0)  # gates that move
            if made.crf is not None:
                for parameter in made.crf.parameters():
                    parameter.normal_()
    return made.eval()


@pytest.mark.parametrize("characters", [0, 4])
@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_padding_has_no_effect(
    bidirectional: bool, crf: bool, characters: int, lengths: list[int], seed: int
) -> None:
    made = network(bidirectional=bidirectional, crf=crf, characters=characters)
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 12, (len(lengths), 11, *[7] * bool(characters)), generator=draw)
    with torch.no_grad():
        together = made.emissions(x, torch.tensor(lengths))
        tags = made.tag(x, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            alone = (x[row : row + 1, :length], torch.tensor([length]))
            assert torch.allclose(together[row, :length], made.emissions(*alone)[0], atol=SAME)
            assert not together[row, length:].any()
            assert torch.equal(tags[row, :length], made.tag(*alone)[0])


@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_steps_give_what_the_sequence_gives(lengths: list[int], seed: int) -> None:
    made, rows = network(bidirectional=False), len(lengths)
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 12, (rows, max(lengths)), generator=draw)
    with torch.no_grad():
        state = made.initial_state(rows)
        outputs, final = made.sequence(x, torch.tensor(lengths), state)
        for step in range(max(lengths)):
            logits, state = made.step(x[:, step], state)
            for row, length in enumerate(lengths):
                expected = logits[row] if step < length else torch.zeros(4)
                assert torch.allclose(outputs[row, step], expected, atol=SAME)
                if step == length - 1:
                    for name, value in final.items():
                        assert torch.allclose(value[row], state[name][row], atol=SAME), name


def test_both_directions_need_halves_and_carry_nothing() -> None:
    with pytest.raises(RecipeError, match=r"hidden_size is 9.*choose an even number"):
        Tagger(5, 2, 4, 9, bidirectional=True)
    made = network(bidirectional=True)
    assert (made.graphs, made.initial_state(2)) == (("sequence",), {})


def test_tokens_stay_as_they_are_and_rare_ones_are_unknown() -> None:
    odd = Tagged(("New York", "U.S.", "Rare"), ("B-place", "B-place", "O"))
    examples = [*tagged_sentences(60), odd, Tagged(odd.tokens[:2], odd.tags[:2])]
    task = open_task(tiny_tagger("batching.least_count=2"), tagged_dataset(examples))
    assert isinstance(task, Tagging)
    symbols = task.vocabularies["input"].symbols
    assert symbols[:2] == ("<padding>", "<unknown>")
    assert {"New York", "U.S.", "Ada"} <= set(symbols)
    assert "Rare" not in symbols
    assert task.training.rows[-2].tolist()[2] == 1
    assert task.vocabularies["tags"].symbols == (
        *("B-person", "B-place", "I-person", "I-place", "O"),
    )
    lower = open_task(tiny_tagger("batching.lowercase=true"), tagged_dataset(examples))
    assert {"new york", "u.s.", "ada"} <= set(lower.vocabularies["input"].symbols)
    assert "Ada" not in lower.vocabularies["input"].symbols


def test_characters_come_first_in_the_vocabulary() -> None:
    examples = [*tagged_sentences(60), Tagged(("I", "x"), ("O", "O"))]
    recipe = tiny_tagger(
        "network.characters=4", "batching.lowercase=true", "batching.least_count=2"
    )
    task = open_task(recipe, tagged_dataset(examples))
    symbols = task.vocabularies["input"].symbols
    alphabet = alphabet_size(symbols)
    assert all(len(symbol) == 1 for symbol in symbols[2:alphabet])
    assert all(len(symbol) > 1 for symbol in symbols[alphabet:])
    assert {"I", "i", "x", "A", "."} <= set(symbols[2:alphabet])
    assert "lovelace" in symbols
    network = task.new_module().network
    assert network.read.shape == ("batch", 7)
    assert network.characters.embedding.num_embeddings == alphabet


def test_training_hides_tokens_but_not_their_characters() -> None:
    recipe = tiny_tagger("network.characters=4", "batching.unknown_rate=0.5")
    plain = tiny_tagger("network.characters=4", "batching.unknown_rate=0")
    hidden, shown = (
        list(open_task(one, tagged_dataset(tagged_sentences(60))).train_batches(0, 0))
        for one in (recipe, plain)
    )
    for batch, whole in zip(hidden, shown, strict=True):
        assert torch.equal(batch.x[..., 1:], whole.x[..., 1:])
        assert (batch.x[..., 0] == 1).float().mean() > 0.3


def test_an_id_that_is_no_character_is_an_unknown_one() -> None:
    made = network(bidirectional=False, characters=4)
    assert made.characters is not None
    ids = torch.tensor([[0, 3, 11, 0, 0, 0]])
    expected = made.characters(torch.tensor([[0, 3, 1, 0, 0, 0]]))
    assert torch.equal(made.characters(ids), expected)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([Tagged(("a",), ("O",))] * 10, "at least two tags.*is 'O'"),
        (
            [Tagged(("a",), ("B-new",)), *tagged_sentences(10)],
            r"Example 0 of the validation split has the tag 'B-new'.*\(B-person, .*, O\)",
        ),
        ([*tagged_sentences(10), Tagged((), ())], "Example 6 of the train split has no tokens"),
        (sentences(10), "needs sentences with a tag for each token.*'names' has none"),
        ([Tagged(("a", "b"), ("NOUN", "VERB"))] * 10, "span_f1 counts spans, so .*'NOUN'"),
    ],
)
def test_data_that_do_not_fit_are_refused(examples: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_task(tiny_tagger(), tagged_dataset(examples))


def test_smoothing_does_not_go_with_a_random_field() -> None:
    with pytest.raises(RecipeError, match=r"network\.crf they are chosen together"):
        tiny_tagger("training.label_smoothing=0.1")


@pytest.mark.parametrize("metric", ["accuracy", "span_f1"])
def test_the_best_epoch_is_the_one_of_the_highest_figure(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tagged_dataset(tagged_sentences(300))
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    # With the seed 0 so few epochs stay where every second kind is wrong.
    run = train(tiny_tagger(f"metric={metric}", "training.epochs=6", "training.seed=1"), tmp_path)
    figures = [row[f"validation_{metric}"] for row in run.history]
    assert figures[0] < max(figures)
    assert max(figures) > 90
    evaluation = evaluate_run(tmp_path, split="validation")
    assert evaluation.value == pytest.approx(max(figures))
    assert (evaluation.metric, evaluation.unit, evaluation.higher_is_better) == (metric, "%", True)


def test_batches_depend_on_seed_epoch_and_place_alone() -> None:
    recipe = tiny_tagger("batching.unknown_rate=0.2")
    task = open_task(recipe, tagged_dataset(tagged_sentences(120)))
    whole = list(task.train_batches(1, 0))
    assert len(whole) == task.steps_per_epoch()
    for batch in whole:
        assert torch.equal((batch.labels != IGNORED).sum(1), batch.lengths)
    for ours, again in zip(whole[2:], task.train_batches(1, 2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
