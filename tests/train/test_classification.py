"""Classification: padding has no effect, running predictions end in the whole one, bad data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.labelled import frames, labelled_dataset, sentences, tiny_classifier
from treadle.data import Classified, Labelled
from treadle.errors import DataError, InputError, RecipeError
from treadle.tolerances import tolerance
from treadle_train.evaluation import evaluate_run
from treadle_train.networks import Classifier
from treadle_train.networks.frames import Normalization
from treadle_train.networks.pooling import make_pooling
from treadle_train.tasks import Classification, open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

POOLINGS = ("last", "max", "mean", "attention")
SAME = tolerance("torch step", "float32").absolute
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def network(pooling: str, *, bidirectional: bool, symbols: int | None = 12) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made = Classifier(
            symbols, 3, 6, 10, 2, "gru", bidirectional, pooling, features=0 if symbols else 4
        )
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(2.0)  # gates that move
    return made.eval()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_padding_has_no_effect(
    pooling: str, bidirectional: bool, lengths: list[int], seed: int
) -> None:
    made, draw = network(pooling, bidirectional=bidirectional), torch.Generator().manual_seed(seed)
    x = torch.randint(0, 12, (len(lengths), 11), generator=draw)
    with torch.no_grad():
        together = made.classify(x, torch.tensor(lengths))
        for row, length in enumerate(lengths):
            alone = made.classify(x[row : row + 1, :length], torch.tensor([length]))
            assert torch.allclose(together[row], alone[0], atol=SAME)


@pytest.mark.parametrize("symbols", [12, None])
@pytest.mark.parametrize("pooling", POOLINGS)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=12, deadline=None)
def test_a_running_prediction_is_that_of_the_sequence_so_far(
    pooling: str, symbols: int | None, lengths: list[int], seed: int
) -> None:
    made = network(pooling, bidirectional=False, symbols=symbols)
    draw, rows, time = torch.Generator().manual_seed(seed), len(lengths), max(lengths)
    x = (
        torch.randn(rows, time, 4, generator=draw)
        if symbols is None
        else torch.randint(0, symbols, (rows, time), generator=draw)
    )
    with torch.no_grad():
        state = made.initial_state(rows)
        outputs, final = made.sequence(x, torch.tensor(lengths), state)
        for step in range(time):
            logits, state = made.step(x[:, step], state)
            so_far = made.classify(x[:, : step + 1], torch.full((rows,), step + 1))
            assert torch.allclose(logits, so_far, atol=SAME)
            for row, length in enumerate(lengths):
                expected = logits[row] if step < length else torch.zeros(3)
                assert torch.allclose(outputs[row, step], expected, atol=SAME)
                if step == length - 1:
                    for name, value in final.items():
                        assert torch.allclose(value[row], state[name][row], atol=SAME), name


@pytest.mark.parametrize("scale", [1e-3, 1e4])
def test_attention_over_extreme_scores_stays_finite(scale: float) -> None:
    pooling = make_pooling("attention", 6)
    with torch.no_grad():
        pooling.get_parameter("query.weight").mul_(scale)
    x = torch.randn(1, 40, 6, generator=torch.Generator().manual_seed(1))
    state = pooling.initial_state(x, 1)
    with torch.no_grad():
        for step in range(40):
            pooled, state = pooling.step(x[:, step], state)
            whole = pooling.whole(x[:, : step + 1], torch.tensor([step + 1]))
            assert torch.allclose(pooled, whole, atol=SAME)
            assert all(torch.isfinite(value).all() for value in state.values())


def test_both_directions_need_halves_and_do_not_step() -> None:
    with pytest.raises(RecipeError, match=r"hidden_size is 9.*choose an even number"):
        Classifier(5, 2, 4, 9, bidirectional=True)
    made = network("max", bidirectional=True)
    assert (made.graphs, made.initial_state(2)) == (("sequence",), {})
    with pytest.raises(InputError, match="cannot step"):
        made.recurrent.step(torch.zeros(1, 6), made.recurrent.initial_state(1))


def test_frames_are_normalized_by_the_training_split() -> None:
    examples = frames(50)
    recipe = tiny_classifier("batching.of=frames", "network.features=3")
    task = open_task(recipe, labelled_dataset(examples))
    made = task.new_module().network
    assert isinstance(made.embedding, Normalization)
    together = np.concatenate([example.inputs for example in examples[20:]])
    normalized = made.embedding(torch.from_numpy(together)).numpy()
    assert normalized.mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-5)
    assert normalized.std(axis=0) == pytest.approx([1, 1, 0], abs=1e-5)  # the third never changes
    assert set(made.state_dict()) >= {"embedding.mean", "embedding.deviation"}


def test_the_vocabulary_leaves_rare_words_out() -> None:
    examples = [*sentences(60), *[Labelled("rare fine", "good")] * 1, *sentences(30, seed=1)]
    task = open_task(tiny_classifier("batching.least_count=2"), labelled_dataset(examples))
    assert isinstance(task, Classification)
    symbols = task.vocabularies["input"].symbols
    assert symbols[:2] == ("<padding>", "<unknown>")
    assert "rare" not in symbols
    assert {"it's", "!", "fine"} <= set(symbols)
    assert task.vocabularies["labels"].symbols == ("bad", "good")


@pytest.mark.parametrize(
    ("examples", "changes", "message"),
    [
        ([Labelled("a", "good")] * 10, (), "at least two labels.*is 'good'"),
        (
            [Labelled("a", "new"), *sentences(10)],
            (),
            r"Example 0 of the validation split has the label 'new'.*\(bad, good\)",
        ),
        ([*sentences(10), Labelled(" ", "good")], (), "Example 6 of the train split.*is empty"),
        (frames(10), (), "needs labelled sequences of words.*change batching.of"),
        (sentences(10), ("batching.of=frames", "network.features=3"), "sequences of frames"),
        (
            frames(10),
            ("batching.of=frames", "network.features=4"),
            r"frames of 4 numbers, \[time, 4\], got \[\d, 3\]; set network.features",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(
    examples: list[Classified], changes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_task(tiny_classifier(*changes), labelled_dataset(examples))


def test_a_text_is_no_labelled_data() -> None:
    text = labelled_dataset(sentences(10))
    object.__setattr__(text, "splits", {"train": "some text", "validation": "", "test": ""})
    with pytest.raises(DataError, match="needs labelled sequences of words"):
        open_task(tiny_classifier(), text)


def test_features_belong_to_frames() -> None:
    with pytest.raises(RecipeError, match=r"network.features says how many numbers a frame has"):
        tiny_classifier("network.features=3")
    with pytest.raises(RecipeError, match=r"got 0 with batching.of = 'frames'"):
        tiny_classifier("batching.of=frames")


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_the_best_epoch_is_the_one_of_the_highest_figure(
    metric: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled_dataset(sentences(300))
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    run = train(tiny_classifier(f"metric={metric}", "training.epochs=8"), tmp_path)
    figures = [row[f"validation_{metric}"] for row in run.history]
    assert figures[0] < max(figures)
    assert max(figures) > 90
    evaluation = evaluate_run(tmp_path, split="validation")
    assert evaluation.value == pytest.approx(max(figures))
    assert (evaluation.metric, evaluation.unit, evaluation.higher_is_better) == (metric, "%", True)


def test_batches_depend_on_seed_epoch_and_place_alone() -> None:
    recipe = tiny_classifier("batching.unknown_rate=0.2")
    task = open_task(recipe, labelled_dataset(sentences(120)))
    whole = list(task.train_batches(1, 0))
    assert len(whole) == task.steps_per_epoch()
    assert sum(len(batch.labels) for batch in whole) == 72
    for ours, again in zip(whole[2:], task.train_batches(1, 2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    other = next(iter(task.train_batches(2, 0)))
    assert other.x.shape != whole[0].x.shape or not torch.equal(other.x, whole[0].x)
