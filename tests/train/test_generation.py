"""Generation: padding has no effect, steps agree with the whole, bad data, the best epoch."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import treadle.data
from tests.train.conditioned import (
    conditioned_dataset,
    open_scales,
    open_vectors,
    scales,
    tiny_generator,
    vectored_scales,
)
from tests.train.resuming import timeless, weights
from treadle.data import Frames, Labelled, Tagged, given_of, written_of
from treadle.errors import DataError, RecipeError
from treadle.tolerances import tolerance
from treadle_train.batching.bucketed import IGNORED
from treadle_train.evaluation import evaluate_run
from treadle_train.gradient_flow.of_run import flow_of_run
from treadle_train.mistakes import EXAMPLES
from treadle_train.modules.base import TaskModule
from treadle_train.modules.generation import GeneratorModule
from treadle_train.networks import Generator
from treadle_train.recipe import GeneratorRecipe
from treadle_train.tasks import Generation, open_task
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

SAME = tolerance("torch step", "float32").absolute
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=5)


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"scales": open_scales, "vectored": open_vectors}
    yield
    del treadle.data.DATASETS["scales"], treadle.data.DATASETS["vectored"]


def network(*, at: str = "every-step", features: int = 0) -> Generator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        labels = None if features else 4
        made = Generator(labels, 12, 6, 10, 2, "lstm", 5, at, features)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.mul_(2.0)  # gates that move
    return made.eval()


@pytest.mark.parametrize("features", [0, 3])
@pytest.mark.parametrize("at", ["start", "every-step"])
@given(lengths=LENGTHS, seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_steps_give_what_the_sequence_gives_whatever_the_padding(
    at: str, features: int, lengths: list[int], seed: int
) -> None:
    made, rows = network(at=at, features=features), len(lengths)
    draw = torch.Generator().manual_seed(seed)
    x = torch.randint(0, 12, (rows, 11), generator=draw)
    shape = (rows, 1, features) if features else (rows, 1)
    source = torch.randint(0, 4, shape, generator=draw)
    source = source.float() if features else source
    with torch.no_grad():
        context, initial = made.encode(source, torch.ones(rows, dtype=torch.int64))
        assert (set(context) == {"condition"}) == (at == "every-step")
        state = start = made.initial_state(rows) | initial
        outputs, final = made.sequence(x, torch.tensor(lengths), start, context)
        for step in range(max(lengths)):
            logits, state = made.step(x[:, step], state, context)
            for row, length in enumerate(lengths):
                expected = logits[row] if step < length else torch.zeros(12)
                assert torch.allclose(outputs[row, step], expected, atol=SAME)
                if step == length - 1:
                    for name, value in final.items():
                        assert torch.allclose(value[row], state[name][row], atol=SAME), name


@pytest.mark.parametrize("at", ["start", "every-step"])
def test_the_condition_is_what_the_equations_say(at: str) -> None:
    made = network(at=at, features=3)
    assert made.normalization is not None
    made.normalization.measure(torch.tensor([[1.0, 2, 3], [3, 2, 7]]))
    vector = torch.tensor([[2.0, 5, 1]])
    context, initial = made.given(vector)
    parameters = {name: p.detach().double().numpy() for name, p in made.named_parameters()}
    x = (vector.double().numpy() - [2, 2, 5]) / [1, 1, 2]
    condition = np.tanh(x @ parameters["condition.weight"].T + parameters["condition.bias"])
    hidden = np.tanh(condition @ parameters["start.weight"].T + parameters["start.bias"])
    for layer in range(2):
        got = initial[f"recurrent.{layer}.hidden"].detach().numpy()
        assert np.abs(got - hidden[:, 10 * layer : 10 * layer + 10]).max() < SAME
    assert len(initial) == 2
    if at == "every-step":
        assert np.abs(context["condition"].detach().numpy() - condition).max() < SAME


def test_batches_have_a_start_an_end_and_nothing_where_padded() -> None:
    task = open_task(tiny_generator("batching.unknown_rate=0"), conditioned_dataset(scales(60)))
    assert isinstance(task, Generation)
    output, labels = task.vocabularies["output"], task.vocabularies["labels"]
    assert output.symbols == ("<padding>", "<start>", "<end>", "<unknown>", *"abcdefgh")
    assert labels.symbols == ("down", "up")
    seen = 0
    for batch in task.train_batches(0, 0):
        for label, inputs, targets in zip(batch.given, batch.inputs, batch.targets, strict=True):
            kept = targets[targets != IGNORED].tolist()
            assert (inputs[0], kept[-1]) == (1, 2)
            assert inputs[1 : len(kept)].tolist() == kept[:-1]
            assert not inputs[len(kept) :].any()
            assert (kept[0] < kept[1]) == (labels.symbols[int(label)] == "up")
            seen += 1
    assert seen == len(task.training) == 36
    first, again = (list(task.train_batches(1, k)) for k in (0, 1))
    assert all(
        torch.equal(a, b)
        for one, two in zip(first[1:], again, strict=True)
        for a, b in zip(one, two, strict=True)
    )


def test_rare_symbols_are_unknown_and_long_sequences_are_cut_for_training_only() -> None:
    rare = Labelled(("a", "z", *"bcdefgh"), "up")
    examples = [rare, *scales(60), rare]  # once in training, once in validation
    recipe = tiny_generator("batching.least_count=2", "batching.longest=4")
    task = open_task(recipe, conditioned_dataset(examples))
    assert isinstance(task, Generation)
    assert "z" not in task.vocabularies["output"].symbols
    assert task.training.written[-1].tolist() == [1, 4, 3, 5, 6]
    assert max(task.training.lengths) == 4
    assert task.validation.written[0].tolist() == [1, 4, 3, *range(5, 12), 2]
    hidden = tiny_generator("batching.unknown_rate=0.5", "batching.least_count=1")
    for batch in open_task(hidden, conditioned_dataset(scales(60))).train_batches(0, 0):
        assert (batch.inputs == 3).any()
        assert not (batch.targets == 3).any()


def test_the_loss_smooths_labels_in_training_and_leaves_padding_out() -> None:
    recipe = tiny_generator("training.label_smoothing=0.3")
    task = open_task(recipe, conditioned_dataset(scales(60)))
    module = task.new_module()
    assert isinstance(module, GeneratorModule)
    [batch, *_] = task.validation_batches()
    module.eval()
    with torch.no_grad():
        plain, count = module.loss(batch)
        nats, smooth = [], []
        for row in range(len(batch.inputs)):
            targets = batch.targets[row][batch.targets[row] != IGNORED]
            context, initial = module.network.given(batch.given[row : row + 1])
            state = module.network.initial_state(1) | initial
            inputs = batch.inputs[row : row + 1, : len(targets)]
            logits, _ = module.network.sequence(inputs, None, state, context)
            chances = functional.log_softmax(logits[0], dim=-1)
            nats += (-chances.gather(1, targets[:, None])).flatten().tolist()
            smooth += (-chances.mean(dim=-1)).tolist()
        assert count == len(nats)
        assert float(plain) == pytest.approx(np.mean(nats), abs=SAME)
        module.train()
        module.network.eval()  # dropout apart
        expected = 0.7 * np.mean(nats) + 0.3 * np.mean(smooth)
        assert float(module.loss(batch)[0]) == pytest.approx(expected, abs=SAME)


@pytest.mark.parametrize(
    ("changes", "examples", "message"),
    [
        ((), [Tagged(("a",), ("O",))] * 10, "needs labelled texts.*train split.*has none"),
        ((), vectored_scales(10), "needs labelled texts"),
        (
            (),
            [Labelled(("a",), "sideways"), *scales(30)],
            r"Example 0 of the validation split has the label 'sideways'.*\(down, up\)",
        ),
        (("network.features=3",), scales(10), "needs vectors of 3 numbers"),
        (("network.features=4",), vectored_scales(10), "4 numbers, but those .* have 3; set"),
        (
            ("network.features=3",),
            [Frames(np.ones((2, 3), np.float32), symbols=("a",))] * 10,
            "one frame with symbols, got 2 frames and some",
        ),
        (
            ("network.features=3",),
            [*vectored_scales(20), Frames(np.ones((1, 2), np.float32), symbols=("a",))],
            r"Example 12 of the train split should have a vector of 3 .* got 2",
        ),
    ],
)
def test_data_that_do_not_fit_are_refused(
    changes: tuple[str, ...], examples: list[Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        open_task(tiny_generator(*changes), conditioned_dataset(examples))


def test_what_is_given_and_written() -> None:
    assert (given_of(Labelled("a b", "x")), written_of(Labelled(("a", "b"), "x"))) == ("x", "a b")
    [example] = vectored_scales(1)
    assert np.array_equal(given_of(example), example.values[0])
    assert written_of(example) == " ".join(example.symbols or ())
    with pytest.raises(RecipeError, match=r"network\.condition_at.*start, every-step"):
        tiny_generator("network.condition_at=sometimes")


@pytest.mark.parametrize(
    "changes",
    [
        (),
        ("data.name=vectored", "network.features=3", "network.condition_at=start"),
        ("metric=perplexity", "network.cell=gru", "network.layers=2"),
    ],
)
def test_a_run_learns_what_is_given_and_keeps_its_best_epoch(
    changes: tuple[str, ...], tmp_path: Path
) -> None:
    run = train(tiny_generator(*changes), tmp_path / "run")
    metric = run.evaluation["metric"]
    best = min(row[f"validation_{metric}"] for row in run.history)
    figure = evaluate_run(run.path, split="validation")
    assert (figure.metric, figure.examples) == (metric, 240)
    assert figure.value == pytest.approx(best, rel=1e-4)
    # Where it starts and ends is open, which way it goes is not: without the label 0.2 more.
    assert (np.log(figure.value) if metric == "perplexity" else figure.value) < 1.1
    check_surprises(run)
    flows, rows = flow_of_run(run)
    assert isinstance(run.recipe, GeneratorRecipe)
    layers = run.recipe.network.layers
    assert [flow.layer for flow in flows] == [f"recurrent.{k}" for k in range(layers)]
    assert 0 < rows <= 64
    assert len({len(flow.norms) for flow in flows}) == 1  # sequences of one length
    assert all(min(flow.norms) > 0 for flow in flows)


def check_surprises(run: Run) -> None:
    """report.md has the worst symbols of the validation split, the very worst first."""
    lines = (run.path / "report.md").read_text(encoding="utf-8").splitlines()
    shown = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    bits = [float(row[-1]) for row in shown]
    assert len(bits) == EXAMPLES
    assert bits == sorted(bits, reverse=True)
    text_of = run.vocabularies["output"].text
    said = {
        (str(given_of(e)), text_of(run.vocabularies["output"].encode(written_of(e))))
        for e in run.dataset().split("validation")
    }
    for given_for, after, _, _, _ in shown:
        near = [text for given, text in said if given.startswith(given_for.strip("`…"))]
        assert any(after.strip("` ") in text for text in near)


def test_an_interrupted_training_ends_in_the_same_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny_generator("network.dropout=0.3", "training.epochs=1")
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
