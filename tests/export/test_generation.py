"""Generators from a run to a bundle: every precision, labels and vectors, alone and in company."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.project.repository import ROOT
from tests.project.test_documents import blocks
from tests.train.conditioned import open_scales, open_vectors, tiny_generator
from treadle.cli import run as run_command
from treadle.data import written_of
from treadle.errors import BundleError, InputError
from treadle.evaluation import evaluate, symbol_nats
from treadle.selfcheck import verify
from treadle.tolerances import tolerance
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.quantizer import Quantization
from treadle_train.evaluation import evaluate_run
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

    Made = tuple[str, Run, dict[str, Path]]

PRECISIONS = ("float32", "int8", "int4")
SAME = tolerance("stream", "float32").outputs
KINDS: dict[str, tuple[str, ...]] = {
    "labels": (),
    "vectors": (
        *("data.name=vectored", "network.features=3", "network.condition_at=start"),
        *("network.cell=gru", "metric=perplexity"),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"scales": open_scales, "vectored": open_vectors}
    yield
    del treadle.data.DATASETS["scales"], treadle.data.DATASETS["vectored"]


@pytest.fixture(scope="module", params=KINDS)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A kind, its trained run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp("generator")
    run = train(tiny_generator(*KINDS[request.param]), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=Quantization(max_quality_drop=0.5))
    return request.param, run, outs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_holds_what_its_run_holds(made: Made, precision: str) -> None:
    kind, run, outs = made
    with treadle.load(outs[precision]) as model:
        assert isinstance(model, treadle.Generator)
        assert [t.name for t in model.manifest.graphs["step"].context] == (
            ["condition"] if kind == "labels" else []
        )
        figure = evaluate(model)
        assert (figure.metric, figure.examples) == (run.evaluation["metric"], 240)
        loss = {"float32": 1e-5, "int8": 0.02, "int4": 0.1}[precision]  # 16 units, trained 3 s
        assert figure.value == pytest.approx(evaluate_run(run.path).value, rel=loss)
        nats = symbol_nats(model)
        assert len(nats) == sum(
            len(written_of(one).split()) + 1 for one in run.dataset().split("test")
        )
        report = verify(model)
        assert report.passed
        if precision == "int8":
            assert (report.invariance["promised"], report.invariance["batch"]) == (True, 0)


def ways(made: Made) -> Any:
    """What is given for a scale up, and for one down."""
    kind = made[0]
    return ["up", "down"] if kind == "labels" else np.array([[0, 9, 7], [0, 1, 7]], np.float32)


@given(rows=st.lists(st.integers(0, 1), min_size=1, max_size=6), seed=st.integers(0, 9))
@settings(max_examples=6, deadline=None)
def test_rows_end_on_their_own_and_do_not_feel_their_neighbours(
    made: Made, rows: list[int], seed: int
) -> None:
    several = [ways(made)[row] for row in rows]
    for precision in ("float32", "int8"):
        with treadle.load(made[2][precision]) as model:
            drawn = model.generate(several, temperature=0.9, top_k=6, seed=seed)
            again = model.generate([*several, several[0]], temperature=0.9, top_k=6, seed=seed)
            assert [one[0].ids for one in drawn] == [one[0].ids for one in again[:-1]]
            first = model.running(several[0], temperature=0.9, top_k=6, seed=seed)
            assert tuple(first) == drawn[0][0].symbols
            greedy = model.generate(several)
            for one, row in zip(greedy, rows, strict=True):
                [alone] = model.generate(ways(made)[row])
                assert one[0].ids == alone[0].ids
                assert one[0].score == pytest.approx(alone[0].score, abs=SAME)
                assert one[0].finished
                assert list(one[0].symbols) == sorted(one[0].symbols, reverse=bool(row))
            scores = model.score(several, [one[0].text for one in greedy])
            for score, one in zip(scores, greedy, strict=True):
                assert -score.nats.sum() == pytest.approx(one[0].score, abs=10 * SAME)


def test_beams_prompts_and_limits(made: Made) -> None:
    up = ways(made)[0]
    with treadle.load(made[2]["float32"]) as model:
        [wide] = model.generate([up], beam=4, n_best=3, length_normalization=0)
        [narrow] = model.generate([up])
        assert [one.score for one in wide] == sorted((one.score for one in wide), reverse=True)
        assert wide[0].score >= narrow[0].score - SAME
        [[after]] = model.generate(up, prompt="c d")
        assert after.symbols == tuple(sorted(after.symbols))
        assert min(after.symbols) > "d"
        assert tuple(model.running(up, prompt="c d", temperature=0)) == after.symbols
        [[cut]] = model.generate(up, max_length=1)
        assert (len(cut.symbols), cut.finished) == (1, False)
        assert [len(answers) for answers in model.generate([up] * 5, max_length=2)] == [1] * 5
        assert model.generate([] if made[0] == "labels" else np.zeros((0, 3), np.float32)) == []


def test_what_cannot_be_given_is_refused(made: Made) -> None:
    kind = made[0]
    with treadle.load(made[2]["float32"]) as model:
        if kind == "labels":
            assert (model.labels, model.features) == (("down", "up"), None)
            with pytest.raises(InputError, match=r"no label 'dwon'; the nearest is 'down'"):
                model.generate(["up", "dwon"])
            with pytest.raises(InputError, match="should have 1 step, got 2"):
                model.stream([[0, 1]])
            del model.vocabularies["labels"]
            with pytest.raises(BundleError, match="no vocabulary 'labels'"):
                model.generate("up")
        else:
            assert (model.labels, model.features) == ((), 3)
            for wrong in (np.zeros(2, np.float32), "up", np.zeros((1, 1, 3))):
                with pytest.raises(InputError, match=r"expected vectors float32 \[rows, 3\]"):
                    model.generate(wrong)
            with pytest.raises(InputError, match="should hold finite numbers, got nan"):
                model.generate(np.full(3, np.nan))
    with treadle.load(made[2]["float32"]) as model:
        one = ways(made)[0]
        with pytest.raises(InputError, match="one text for each label or vector, got 2 texts"):
            model.score([one], ["a b", "c"])
        with pytest.raises(InputError, match="the symbol 'q' at position 1"):
            model.score([one], ["a q"])
        with pytest.raises(InputError, match="the symbol 'q' at position 0"):
            model.generate(one, prompt="q")
        with pytest.raises(InputError, match="running writes one sequence, got 2"):
            model.running(ways(made))
        with pytest.raises(InputError, match="max_length should be 0 or more"):
            model.running(one, max_length=-1)


def test_a_stream_is_opened_for_what_is_given(made: Made) -> None:
    with treadle.load(made[2]["int8"]) as model:
        sources = model.sources(ways(made))
        start = np.full(2, model.manifest.decoding["start"])
        with model.stream(sources) as stream, model.pool(2) as pool:
            logits = stream.step(start)
            for row in range(2):
                with pool.join(source=sources[row]) as member:
                    assert np.array_equal(member.step(start[row]), logits[row])
        assert np.abs(logits[0] - logits[1]).max() > 0.1


def test_lines_are_labels_or_vectors(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    kind, _, outs = made
    path, lines = str(outs["int8"]), ["up", "up"] if kind == "labels" else ["0,9,7", "0 9 7"]
    given = ways(made)[0]
    assert run_command(["run", path, *lines, "--seed", "3"]) == 0
    shown = capsys.readouterr().out.splitlines()
    with treadle.load(path) as model:
        drawn = [" ".join(model.running(given, seed=seed)) for seed in (3, 4)]
        [wide] = model.generate([given], beam=3, n_best=2)
    assert shown == drawn
    assert run_command(["run", path, lines[0], "--beam", "3", "--n-best", "2"]) == 0
    assert capsys.readouterr().out == "\t".join(one.text for one in wide) + "\n"
    assert run_command(["run", path, lines[0], "--json", "--temperature", "0"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert (answer["input"], len(answer["hypotheses"])) == (lines[0], 1)
    assert run_command(["run", path, "sideways"]) == 1
    expected = "the nearest is" if kind == "labels" else "expected 3 numbers, got 'sideways'"
    assert expected in capsys.readouterr().err


def test_the_same_export_gives_the_same_digest(made: Made, tmp_path: Path) -> None:
    kind, run, outs = made
    if kind != "labels":
        return  # once is enough: it takes seconds
    again = {"int8": tmp_path / "again.treadle"}
    export_run(run, again, quantization=Quantization(max_quality_drop=0.5))
    digests = [treadle.open_bundle(path).manifest.digest for path in (outs["int8"], again["int8"])]
    assert digests[0] == digests[1]


def test_names_of_a_table_as_the_page_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    [recipe] = blocks(ROOT / "docs/generation.md", "toml")
    (tmp_path / "names.toml").write_text(recipe)
    draw, rows = random.Random(0), ["name\tlanguage"]
    for _ in range(800):  # made up: one language ends in vowels, the other in consonants
        rows.append("".join(draw.choice("klmt") + draw.choice("aeio") for _ in range(3)) + "\tVola")
        rows.append("".join(draw.choice("aeio") + draw.choice("klmt") for _ in range(3)) + "\tKons")
    (tmp_path / "names.tsv").write_text("\n".join(rows))
    small = ["--set", "network.hidden_size=16", "--set", "training.epochs=3"]
    small += ["--set", "training.threads=1", "--set", "training.learning_rate=0.03"]
    assert run_command(["train", "names.toml", "--out", "run", *small]) == 0
    assert run_command(["export", "run", "--out", "names.treadle"]) == 0
    assert run_command(["evaluate", "names.treadle"]) == 0
    assert "nats_per_symbol" in capsys.readouterr().out
    assert run_command(["run", "names.treadle", *["Vola"] * 8, *["Kons"] * 8]) == 0
    names = capsys.readouterr().out.splitlines()
    assert len(set(names)) > 6
    assert sum(name[-1] in "aeio" for name in names[:8]) > 5
    assert sum(name[-1] in "klmt" for name in names[8:]) > 5
