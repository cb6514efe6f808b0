"""Taggers from a run to a bundle: every precision, both directions, alone and in company."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.train.tagged import open_names, tiny_tagger
from treadle.cli import run as run_command
from treadle.errors import BundleError, InputError, StateError
from treadle.evaluation import evaluate, symbol_nats
from treadle.selfcheck import verify
from treadle.tokens import TokenReading
from treadle.tolerances import tolerance
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.quantizer import Quantization
from treadle_train.evaluation import evaluate_run
from treadle_train.fine_tuning import FineTuning
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

    Made = tuple[str, Run, dict[str, Path]]

PRECISIONS = ("float32", "int8", "int4")
SAME = tolerance("stream", "float32").outputs
FORWARD, PLAIN = "network.bidirectional=false", "network.crf=false"
NAMES = ("transitions", "first", "last")
LETTERS = ("network.characters=5", "network.character_size=8", "network.character_features=8")
KINDS: dict[str, tuple[str, ...]] = {
    "both crf": LETTERS,
    "both": (PLAIN, "network.cell=gru", "metric=accuracy"),
    "forward": (FORWARD, PLAIN, "batching.lowercase=true", *LETTERS),
}


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"names": open_names}
    yield
    del treadle.data.DATASETS["names"]


@pytest.fixture(scope="module", params=KINDS)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A kind, its trained run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp("tagger")
    run = train(tiny_tagger(*KINDS[request.param]), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=Quantization(max_quality_drop=0.5))
    return request.param, run, outs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_tags_as_its_run(made: Made, precision: str) -> None:
    kind, run, outs = made
    with treadle.load(outs[precision]) as model:
        assert isinstance(model, treadle.Tagger)
        assert ("step" in model.manifest.graphs) == ("forward" in kind)
        assert (model.scores is not None) == ("crf" in kind)
        figure = evaluate(model)
        assert (figure.metric, figure.examples) == (run.evaluation["metric"], 200)
        assert figure.value > 80
        loss = {"float32": 0, "int8": 2, "int4": 8}[precision]  # weights of 16 units, trained 3 s
        assert abs(figure.value - evaluate_run(run.path).value) <= loss
        test = run.dataset().split("test")
        tokens = sum(len(one.tokens) for one in test)
        nats = symbol_nats(model)
        assert nats.shape == (len(test) if "crf" in kind else tokens,)
        assert (nats >= 0).all()
        report = verify(model)
        assert report.passed
        if precision == "int8":
            assert (report.invariance["promised"], report.invariance["batch"]) == (True, 0)


@given(places=st.lists(st.integers(0, 199), min_size=1, max_size=8, unique=True))
@settings(max_examples=8, deadline=None)
def test_sentences_do_not_feel_their_neighbours(made: Made, places: list[int]) -> None:
    kind, run, outs = made
    test = [run.dataset().split("test")[place].tokens for place in places]
    for precision, same in (("float32", SAME), ("int8", 0.0)):
        with treadle.load(outs[precision]) as model:
            together = model.logits(test)
            for one, logits, tagging in zip(test, together, model.tag(test), strict=True):
                assert np.abs(model.logits([one])[0] - logits).max() <= same
                assert tagging.tokens == one
                assert len(tagging.spans) >= len({tag for tag in tagging.tags if tag[0] == "B"})
                if kind == "forward":
                    assert tuple(model.running(iter(one))) == tagging.tags


def test_sentences_of_every_form_and_refusals(made: Made) -> None:
    kind, run, outs = made
    one = run.dataset().split("test")[0]
    with treadle.load(outs["float32"]) as model:
        [tagging] = model.tag(" ".join(one.tokens))
        assert model.tag([one.tokens, list(one.tokens)]) == [tagging, tagging]
        assert model.tag([]) == []
        [unseen] = model.tag("Mr Nobody-At-All")
        assert unseen.tokens == ("Mr", "Nobody-At-All")
        [odd] = model.tag([["Mr", "Ada Lovelace"]])
        assert len(odd.tags) == 2
        with pytest.raises(InputError, match="sentence 1 has no tokens"):
            model.tag([one.tokens, ""])
        with pytest.raises(InputError, match=r"tags out of .*, got 'B-none'"):
            model.nats(["Ada"], [["B-none"]])
        with pytest.raises(InputError, match="a tag for each token"):
            model.nats(["Ada"], [["O", "O"]])
        assert model.nats([], []).shape == (0,)
        if kind == "both":
            with pytest.raises(StateError, match="reads whole sequences"):
                next(model.running(["Ada"]))
        elif "crf" in kind:
            with pytest.raises(InputError, match="chooses the tags of a sentence together"):
                next(model.running(["Ada"]))
        else:
            with model.pool(2) as pool, pool.join() as member:
                [ids] = TokenReading.of(model.vocabularies["input"], model.manifest.decoding).ids(
                    ["Ada"]
                )
                assert member.step(ids).shape[-1] == len(model.tags)


def test_a_manifest_that_says_something_else_than_its_graphs_is_refused(made: Made) -> None:
    with treadle.load(made[2]["float32"]) as model:
        decoding = model.manifest.decoding
        for wrong in (-1, 3, 10**12):
            kept, decoding["characters"] = decoding["characters"], wrong
            with pytest.raises(BundleError, match=r"decoding.characters .* should fit"):
                model.tag("Ada")
            decoding["characters"] = kept
        for wrong_scores in ({"first": [0.0]}, {name: [0.0] for name in NAMES}, 7):
            decoding["scores"] = wrong_scores
            with pytest.raises(BundleError, match=r"decoding.scores .* got something else"):
                model.tag("Ada")
        decoding["scores"] = {"transitions": [[0.0]], "first": [0.0], "last": [0.0]}
        with pytest.raises(BundleError, match=r"should be of 5 tags, got 1"):
            model.tag("Ada")
        del model.vocabularies["tags"]
        with pytest.raises(BundleError, match="one logit for each of the 0 tags"):
            model.tag("Ada")


def test_the_spans_of_a_tagging() -> None:
    tagging = treadle.Tagging(("to", "Ada", "Lovelace"), ("O", "B-place", "I-place"))
    [span] = tagging.spans
    assert (span.start, span.stop, span.kind) == (1, 3, "place")


def test_lines_are_answered_with_tokens_and_tags(
    made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(made[2]["int8"])
    assert run_command(["run", path, "we saw Mr Ada"]) == 0
    pairs = [pair.rpartition("/") for pair in capsys.readouterr().out.split()]
    with treadle.load(path) as model:
        [tagging] = model.tag("we saw Mr Ada")
    assert [token for token, _, _ in pairs] == list(tagging.tokens)
    assert [tag for _, _, tag in pairs] == list(tagging.tags)
    assert run_command(["run", path, "Mr Ada", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["answers"][0]["tokens"] == ["Mr", "Ada"]
    assert len(document["answers"][0]["tags"]) == 2


def test_fine_tuning_for_int4_ends_in_the_bundle(tmp_path: Path) -> None:
    run = train(tiny_tagger(FORWARD, *LETTERS), tmp_path / "run", fine_tuning=FineTuning("int4"))
    export_run(run, {"int4": tmp_path / "a.treadle"}, quantization=Quantization(max_quality_drop=1))
    with treadle.load(tmp_path / "a.treadle") as model:
        assert model.manifest.evidence["quantization"]["method"] == "fine-tuned"
        assert model.scores is not None
