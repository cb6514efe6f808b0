"""Transducers over pairs of text from a run to a bundle: figures, text, the beam that it names."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import treadle
import treadle.data
from tests.train.pairs import dataset, tiny_recipe
from treadle.cli import run as run_command
from treadle.errors import BundleError, InputError
from treadle.evaluation import evaluate, symbol_nats
from treadle.selfcheck import verify
from treadle.tolerances import tolerance
from treadle_export.exporting.exporter import export_run
from treadle_train.evaluation import evaluate_run
from treadle_train.networks import Transducer
from treadle_train.ranking import rank_answers
from treadle_train.tasks import Transduction
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

SUMMED = 10 * tolerance("stream", "float32").outputs  # a likelihood adds that of every symbol


def open_sentences() -> Any:
    return dataset()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, dict[str, Path]]]:
    treadle.data.DATASETS |= {"sentences": open_sentences}
    folder = tmp_path_factory.mktemp("pairs")
    recipe = tiny_recipe(
        source={"lowercase": True}, decoding={"beam": 3, "length_penalty": 1.0, "max_length": 20}
    )
    run = train(recipe, folder / "run", progress="none")
    outs = {name: folder / f"{name}.treadle" for name in ("float32", "int8")}
    export_run(run, outs)
    yield run, outs
    del treadle.data.DATASETS["sentences"]


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_a_bundle_answers_as_its_run(made: tuple[Run, dict[str, Path]], precision: str) -> None:
    run, outs = made
    with treadle.load(outs[precision], unknown="symbol") as model:
        assert isinstance(model, treadle.Transducer)
        greedy, usual = evaluate(model, beam=1), evaluate(model)
        assert (greedy.beam, usual.beam) == (1, 3)
        if precision == "float32":
            assert greedy.value == evaluate_run(run.path).value
        assert usual.value < 60
        assert (symbol_nats(model) >= 0).all()
        assert verify(model).passed


def test_text_comes_in_and_goes_out(
    made: tuple[Run, dict[str, Path]], capsys: pytest.CaptureFixture[str]
) -> None:
    _, outs = made
    with treadle.load(outs["float32"]) as model:
        assert isinstance(model, treadle.Transducer)
        assert model.manifest.decoding | {"start": 1, "end": 2} == {
            "start": 1,
            "end": 2,
            "max_length": 20,
            "beam": 3,
            "length_penalty": 1.0,
            "lowercase": True,
            "lowercase_output": False,
        }
        said = "NEKO inu miru ."
        [[usual]] = model.transduce(said)
        assert usual == model.transduce("neko inu miru .", beam=3, length_normalization=1.0)[0][0]
        assert usual.symbols[-1] == "."
        assert usual.text.endswith(f"{usual.symbols[-2]}.")  # no space before it
        [drawn] = model.transduce(said, temperature=0.5, seed=1)
        assert len(drawn) == 1
        with pytest.raises(InputError, match=r"in 'zebra \.', the symbol 'zebra'"):
            model.transduce("zebra .")
    capsys.readouterr()
    assert run_command(["run", str(outs["float32"]), said]) == 0
    assert capsys.readouterr().out == f"{usual.text}\n"


def test_answers_rank_as_in_the_run(made: tuple[Run, dict[str, Path]]) -> None:
    run, outs = made
    assert isinstance(run.network, Transducer)
    task = Transduction(run.recipe, dataset())  # type: ignore[arg-type]
    texts = [pair.inputs for pair in dataset().split("test")[:4]]
    answers = [*(pair.answers[0] for pair in dataset().split("test")[:6]), "the zebra ."]
    sources = [task.source.ids(text) for text in texts]
    with torch.inference_mode():
        expected = rank_answers(run.network, sources, answers, task.target, 1.0)
    with treadle.load(outs["float32"]) as model:
        assert isinstance(model, treadle.Transducer)
        scores = model.rank(texts, answers)
    assert (scores[:, -1] == -np.inf).all()
    assert np.abs(scores[:, :-1] - expected[:, :-1]).max() <= SUMMED
    assert scores.argmax(axis=1).tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"beam": 0}, r"decoding\.beam of .* should be an integer in 1\.\.256, got 0"),
        ({"beam": 10**9}, r"in 1\.\.256, got 1000000000"),
        ({"length_penalty": -1}, r"decoding\.length_penalty of .* a number from 0 to 10, got -1"),
        ({"length_penalty": True}, r"a number from 0 to 10, got True"),
    ],
)
def test_a_bundle_that_asks_for_an_impossible_search(
    made: tuple[Run, dict[str, Path]], tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    from tests.runtime.tiny_bundles import reseal, write_transducer

    bundle = write_transducer(tmp_path)
    document = json.loads((bundle / "manifest.json").read_text())
    reseal(bundle, {**document, "decoding": document["decoding"] | change})
    with treadle.load(bundle) as model, pytest.raises(BundleError, match=message):
        model.transduce("ab")
