"""Speech transduction: padding has no effect, steps agree with the whole, bad data, figures."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.train.labelled import sentences
from tests.train.resuming import timeless, weights
from tests.train.spoken import FEATURES, spoken_dataset, tiny_transducer, utterances
from treadle.data import Frames
from treadle.errors import DataError, RecipeError
from treadle.tolerances import tolerance
from treadle.vocabulary import Vocabulary
from treadle_train.batching.bucketed import IGNORED
from treadle_train.evaluation import evaluate_run
from treadle_train.modules.base import TaskModule
from treadle_train.networks.build import build_network
from treadle_train.tasks import open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_train.networks import SpeechTransducer

KINDS = ("ctc", "rnnt")
SAME = tolerance("torch step", "float32")
LENGTHS = st.lists(st.integers(4, 9), min_size=1, max_size=4)


def network(kind: str, frames: int = 1) -> SpeechTransducer:
    vocabulary = Vocabulary(["<blank>", "a", "b", "c"], "symbols", padding=0)
    recipe = tiny_transducer(kind, f"network.frames={frames}", "network.layers=2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        made: Any = build_network(recipe, {"output": vocabulary})
    return made.eval()  # type: ignore[no-any-return]


def drawn(rows: int, features: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames [rows, 11, features] and symbols [rows, 3]."""
    draw = torch.Generator().manual_seed(seed)
    symbols = torch.randint(1, 4, (rows, 3), generator=draw)
    return torch.randn(rows, 11, features, generator=draw), symbols


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=8, deadline=None)
def test_padding_has_no_effect(kind: str, lengths: list[int], seed: int) -> None:
    made, rows = network(kind), len(lengths)
    x, symbols = drawn(rows, FEATURES, seed)
    counts = torch.arange(rows) % 3
    with torch.no_grad():
        together = made.nats(x, torch.tensor(lengths), symbols, counts)
        outputs = made.encode(x, torch.tensor(lengths))
        for row, (length, count) in enumerate(zip(lengths, counts.tolist(), strict=True)):
            own = (x[row : row + 1, :length], torch.tensor([length]))
            alone = made.nats(*own, symbols[row : row + 1, :count], counts[row : row + 1])
            assert torch.allclose(together[row], alone[0], atol=SAME.outputs)
            assert torch.allclose(outputs[row, :length], made.encode(*own)[0], atol=SAME.outputs)
            assert not outputs[row, length:].any()


@pytest.mark.parametrize("kind", KINDS)
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_steps_give_what_the_sequence_gives(kind: str, lengths: list[int], seed: int) -> None:
    made, rows = network(kind, frames=2), len(lengths)
    x, _ = drawn(rows, 2 * FEATURES, seed)
    with torch.no_grad():
        state = made.initial_state(rows)
        outputs, final = made.sequence(x, torch.tensor(lengths), state)
        for step in range(max(lengths)):
            output, state = made.step(x[:, step], state)
            for row, length in enumerate(lengths):
                expected = output[row] if step < length else torch.zeros_like(output[row])
                assert torch.allclose(outputs[row, step], expected, atol=SAME.outputs)
                if step == length - 1:
                    for name, value in final.items():
                        assert torch.allclose(value[row], state[name][row], atol=SAME.absolute)


def test_frames_are_read_several_at_a_time_and_normalized() -> None:
    data = spoken_dataset(utterances(40))
    task = open_task(tiny_transducer("ctc", "network.frames=2"), data)
    assert task.vocabularies["output"].symbols == ("<blank>", "a", "b", "c")
    first = data.split("train")[0].values
    row = task.training.rows[0]  # type: ignore[attr-defined]
    assert row.shape == (-(-len(first) // 2), 2 * FEATURES)
    assert np.array_equal(row.reshape(-1, FEATURES)[: len(first)], first)
    assert np.array_equal(row[-1, FEATURES:], first[-1])  # also where it stands in for one
    normalization = task.new_module().network.normalization
    assert normalization.mean.shape == (2 * FEATURES,)
    assert (normalization.mean > 40).all()


def test_batches_depend_on_seed_epoch_and_place_alone() -> None:
    task = open_task(tiny_transducer("ctc"), spoken_dataset(utterances(120)))
    whole = list(task.train_batches(1, 0))
    assert len(whole) == task.steps_per_epoch()
    for ours, again in zip(whole[2:], task.train_batches(1, 2), strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, again, strict=True))
    assert any((batch.labels == IGNORED).any() for batch in whole)


def frames_of(count: int, *symbols: str, features: int = FEATURES) -> Frames:
    return Frames(np.zeros((count, features), np.float32), symbols=symbols)


@pytest.mark.parametrize(
    ("kind", "examples", "message"),
    [
        ("ctc", sentences(10), "needs frames with symbols, but the train split .*'tones' has none"),
        ("ctc", [frames_of(5)] * 10, "or some without"),
        ("rnnt", [frames_of(5, "a", features=3)] * 10, r"\[time, 4\], got \[5, 3\].*features"),
        (
            "rnnt",
            [frames_of(5, "z"), *utterances(9)],
            r"Example 0 of the validation split has the symbol 'z'.*\(<blank>, a, b, c\)",
        ),
        (
            "ctc",
            [*utterances(9), frames_of(3, "a", "a", "b")],
            r"Example 5 of the train split has 3 symbols, .* CTC needs 4 steps, .* make 3; lower",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(kind: str, examples: list[Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        open_task(tiny_transducer(kind), spoken_dataset(examples))


def test_rnnt_may_say_more_than_there_are_frames() -> None:
    examples = [*utterances(9), frames_of(1, "a", "a", "b")]
    [batch] = open_task(tiny_transducer("rnnt"), spoken_dataset(examples)).train_batches(0, 0)
    assert (batch.lengths == 1).any()


def test_labels_of_all_steps_are_not_smoothed() -> None:
    with pytest.raises(RecipeError, match="chosen together; set it to 0"):
        tiny_transducer("ctc", "training.label_smoothing=0.1")


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns_and_the_best_epoch_is_kept(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = spoken_dataset(utterances(300))
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    run = train(tiny_transducer(kind), tmp_path)
    figures = [row["validation_symbol_error_rate"] for row in run.history]
    assert min(figures) < 60 < figures[0]
    evaluation = evaluate_run(tmp_path, split="validation")
    assert evaluation.value == pytest.approx(min(figures))
    assert (evaluation.metric, evaluation.unit) == ("symbol_error_rate", "%")
    assert "utterances of the validation split" in (tmp_path / "report.md").read_text()


def test_a_training_that_was_interrupted_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, recipe = spoken_dataset(utterances(200)), tiny_transducer("rnnt", "training.epochs=2")
    for module in ("treadle_train.training", "treadle_train.run"):
        monkeypatch.setattr(f"{module}.open_dataset", lambda _name, _options: data)
    whole = train(recipe, tmp_path / "whole")
    step = TaskModule.training_step

    def interrupted(self: TaskModule[Any], batch: Any, index: int) -> Any:
        if self.position.step == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(TaskModule, "training_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            train(recipe, tmp_path / "broken")
    resumed = train(recipe, tmp_path / "broken", resume=True)
    assert weights(resumed.path) == weights(whole.path)
    assert timeless(resumed.history) == timeless(whole.history)
