"""Transducers of speech from a run to a bundle: CTC and RNN-T, streamed, saved and refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.train.spoken import FEATURES, open_tones, tiny_transducer
from treadle import selfcheck
from treadle.cli import run as run_command
from treadle.decoding import EndPoint
from treadle.errors import BundleError, InputError, StateError
from treadle.evaluation import evaluate, symbol_nats
from treadle.golden import GOLDEN_FILE, Golden
from treadle.selfcheck import verify
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.requantize import requantize
from treadle_export.quantization.quantizer import Quantization
from treadle_train.evaluation import evaluate_run
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle.speech_transducer import SpeechTransducer
    from treadle_train.run import Run

    Made = tuple[str, Run, dict[str, Path]]

PRECISIONS = ("float32", "int8", "int4")
KINDS = {
    "ctc": ("network.frames=2",),
    "rnnt": ("training.epochs=8", "network.frames=1", "network.cell=lstm"),
}
LOOSE = Quantization(max_quality_drop=0.5)  # 16 units, trained for a few seconds


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"tones": open_tones}
    yield
    del treadle.data.DATASETS["tones"]


@pytest.fixture(scope="module", params=KINDS)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A kind, its trained run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp("speech")
    run = train(tiny_transducer(request.param, *KINDS[request.param]), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=LOOSE)
    return request.param, run, outs


@pytest.fixture(scope="module")
def model(made: Made) -> Iterator[SpeechTransducer]:
    """The int8 bundle, whose rows and chunks are exact."""
    with treadle.load(made[2]["int8"]) as opened:
        yield opened


@pytest.fixture(scope="module")
def utterances(made: Made) -> list[np.ndarray]:
    return [one.values for one in made[1].dataset().split("test")]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_hears_what_its_run_hears(made: Made, precision: str) -> None:
    kind, run, outs = made
    with treadle.load(outs[precision]) as opened:
        assert isinstance(opened, treadle.SpeechTransducer)
        assert set(opened.manifest.graphs) - {"step", "sequence"} == (
            {"predictor", "joiner"} if kind == "rnnt" else set()
        )
        figure = evaluate(opened)
        assert (figure.metric, figure.unit, figure.beam) == ("symbol_error_rate", "%", 1)
        assert figure.value < 30
        assert abs(figure.value - evaluate_run(run.path).value) <= 2
        assert evaluate(opened, beam=3).value <= figure.value + 2
        nats = symbol_nats(opened)
        assert nats.shape == (160,)
        assert (nats > 0).all()
        report = verify(opened)
        assert report.passed
        sources = {rung.name: rung.source for rung in report.rungs}
        for graph in ("predictor", "joiner"):
            assert (graph in sources) == (kind == "rnnt")
            assert sources.get(f"stream {graph}") == ("replayed" if kind == "rnnt" else None)
        if precision == "int8":
            promised = ("promised", "batch", "chunk")
            assert [report.invariance[key] for key in promised] == [True, 0, 0]


def test_the_likelihood_is_that_of_training(made: Made, utterances: list[np.ndarray]) -> None:
    _, run, outs = made
    with treadle.load(outs["float32"]) as opened:
        nats = symbol_nats(opened, split="validation")
        symbols = sum(len(one.symbols or ()) for one in run.dataset().split("validation"))
    best = min(row["validation_loss"] for row in run.history)
    kept = {row["validation_loss"] for row in run.history}
    assert any(abs(nats.sum() / symbols - loss) < 1e-4 * max(loss, 1) for loss in kept), best


def test_a_requantized_bundle_proves_its_predictor_too(made: Made, tmp_path: Path) -> None:
    kind, _, outs = made
    recorded = requantize(outs["float32"], tmp_path / "blocks.treadle", "int8-block")
    with treadle.load(tmp_path / "blocks.treadle") as opened:
        report = verify(opened)
    assert recorded.passed
    assert report.passed
    replayed = {rung.name for rung in report.rungs if rung.source == "replayed"}
    assert ({"stream predictor", "stream joiner"} <= replayed) == (kind == "rnnt")


def test_a_predictor_that_says_something_else_fails(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind, _, outs = made
    with treadle.load(outs["int8"]) as opened:
        golden = Golden.from_bytes(opened.bundle.read(GOLDEN_FILE))
        for part in golden.parts.values():
            part.outputs["bundle"] += 1
        monkeypatch.setattr(selfcheck, "_golden", lambda _: golden)
        failed = {rung.name for rung in verify(opened).rungs if not rung.passed}
    assert failed == ({"stream predictor", "stream joiner"} if kind == "rnnt" else set())


@pytest.mark.slow
def test_the_same_export_gives_the_same_digest(made: Made, tmp_path: Path) -> None:
    _, run, outs = made
    export_run(run, {"int8": tmp_path / "again.treadle"}, quantization=LOOSE)
    digests = []
    for path in (outs["int8"], tmp_path / "again.treadle"):
        with treadle.load(path) as opened:
            digests.append(opened.manifest.digest)
    assert digests[0] == digests[1]


@given(seed=st.integers(0, 999), beam=st.sampled_from([None, 2]))
@settings(max_examples=8, deadline=None)
def test_rows_and_chunks_change_nothing(
    model: SpeechTransducer, utterances: list[np.ndarray], seed: int, beam: int | None
) -> None:
    draw = np.random.default_rng(seed)
    rows = [utterances[place] for place in draw.choice(160, draw.integers(1, 5), replace=False)]
    with model.transcriber(batch_size=len(rows), beam=beam) as reader:
        done = np.zeros(len(rows), np.int64)
        lengths = np.array([len(row) for row in rows])
        while (done < lengths).any():
            sizes = draw.integers(0, np.minimum(9, lengths - done) + 1)
            x = np.zeros((len(rows), sizes.max(), FEATURES), np.float32)
            for index, (at, size) in enumerate(zip(done, sizes, strict=True)):
                x[index, :size] = rows[index][at : at + size]
            assert reader.feed(x, sizes).tolist() == sizes.tolist()
            done += sizes
            for partial in reader.partial():
                assert partial.ended is None
                assert partial.settled <= len(partial.symbols)
        assert reader.final() == [model.transcribe(row, beam=beam)[0] for row in rows]
    assert model.transcribe(rows, beam=beam) == [model.transcribe(r, beam=beam)[0] for r in rows]


def test_a_saved_transcriber_goes_on_as_if_nothing_had_been(
    model: SpeechTransducer, utterances: list[np.ndarray], made: Made
) -> None:
    rows = utterances[:2]
    for beam in (None, 2):
        with model.transcriber(batch_size=2, beam=beam) as reader:
            reader.feed(np.stack([row[:5] for row in rows]))
            saved = treadle.SpeechSnapshot.from_bytes(reader.snapshot().to_bytes())
            assert saved == reader.snapshot()
            with model.transcriber(batch_size=2, beam=beam) as other:
                other.feed(np.zeros((2, 3, FEATURES), np.float32))
                other.restore(saved)
                for each in (reader, other):
                    each.feed(np.stack([row[5:8] for row in rows]))
                assert reader.snapshot() == other.snapshot()
                assert reader.final() == other.final()
    with model.transcriber() as alone:
        before = alone.snapshot()
        with pytest.raises(StateError, match=r"waiting frames|has 2 rows"):
            alone.restore(saved)
        with (
            treadle.load(made[2]["float32"]) as stranger,
            stranger.transcriber() as strange,
            pytest.raises(StateError, match="model with the digest"),
        ):
            alone.restore(strange.snapshot())
        assert alone.snapshot() == before
    with model.transcriber(beam=3) as wider:
        before = wider.snapshot()
        with model.transcriber() as greedy, pytest.raises(StateError, match="with beam none"):
            wider.restore(greedy.snapshot())
        assert wider.snapshot() == before
    model.manifest.decoding["beam"] = 3
    try:
        with model.transcriber() as told, model.transcriber(beam=1) as greedy:
            told.restore(before)
            with pytest.raises(StateError, match="with beam none"):
                told.restore(greedy.snapshot())
    finally:
        model.manifest.decoding["beam"] = 1
    for wrong in (b"", b"nonsense", saved.to_bytes()[:-100], saved.encoder.to_bytes()):
        with pytest.raises(StateError):
            treadle.SpeechSnapshot.from_bytes(wrong)


def test_an_end_point_ends_a_row_and_the_rest_is_fed_again(
    model: SpeechTransducer, utterances: list[np.ndarray]
) -> None:
    count = model.frames
    one, pause = utterances[0], np.full((30 * count, FEATURES), 50, np.float32)
    whole = np.concatenate([one, pause, one])
    with model.transcriber(end_point=EndPoint(trailing_blank=16)) as reader:
        [read] = reader.feed(whole[None])
        assert read < len(whole)
        assert reader.ended.tolist() == [True]
        [first] = reader.partial()
        assert (first.ended, first.settled) == ("trailing blank", len(first.symbols))
        assert reader.feed(whole[None, read:]).tolist() == [0]
        [[final]] = reader.final()
        assert final.symbols == first.symbols == model.transcribe(whole[:read])[0][0].symbols
        with pytest.raises(StateError, match="row 0 is final and reads no more"):
            reader.feed(whole[None, read:])
        reader.reset()
        assert reader.feed(one[None]).tolist() == [len(one)]
        assert reader.final() == model.transcribe(one)


def test_frames_that_do_not_fill_a_step_wait(
    model: SpeechTransducer, utterances: list[np.ndarray]
) -> None:
    one = utterances[1][:7]
    filled = np.concatenate([one, one[-1:]]) if model.frames == 2 else one
    assert model.transcribe(one) == model.transcribe(filled)
    with model.transcriber() as reader:
        for frame in one:
            reader.feed(frame[None])
        assert reader.final() == model.transcribe(one)
        [best] = reader.partial()
        assert all(frame % model.frames == 0 for frame in best.frames)


def test_what_cannot_be_heard_is_refused(
    model: SpeechTransducer, utterances: list[np.ndarray], made: Made
) -> None:
    one = utterances[0]
    broken = one.copy()
    broken[3, 1] = np.nan
    assert model.transcribe([]) == []
    for wrong, message in (
        ([one, one[:0]], "utterance 1 has no frames"),
        (one[:, :2], r"should be float32 \[time, 4\], got float32"),
        (one.astype(np.float64), r"astype\('float32'\)"),
        (broken, r"finite numbers, got nan at \[3, 1\]"),
    ):
        with pytest.raises(InputError, match=message):
            model.transcribe(wrong)
    with model.transcriber() as reader:
        reader.feed(one[None, :4])
        before = reader.snapshot()
        with pytest.raises(InputError, match="finite numbers"):
            reader.feed(broken[None])
        assert reader.snapshot() == before
    with pytest.raises(InputError, match="the symbol 'z'"):
        model.nats([one], [["z"]])
    with pytest.raises(InputError, match="a transcript for each of 1"):
        model.nats([one], [])
    if made[0] == "ctc":
        with pytest.raises(InputError, match="no alignment gives it"):
            model.nats([one[:2]], [["a", "b"]])
        with pytest.raises(InputError, match="leave max_symbols out"):
            model.transcriber(max_symbols=2)
    else:
        assert model.nats([one[:1]], [["a", "b"]])[0] > 0
        assert len(model.transcribe(one, max_symbols=1)[0][0].symbols) <= len(one)


def test_a_manifest_that_says_something_else_than_its_graphs_is_refused(made: Made) -> None:
    with treadle.load(made[2]["float32"]) as opened:
        decoding = opened.manifest.decoding
        for key, wrong, message in (
            ("kind", "ctc" if made[0] == "rnnt" else "rnn-t", "decoding.kind .* fit its graphs"),
            ("blank", 4, r"decoding.blank .* in 0\.\.3, got 4"),
            ("frames", 0, r"decoding.frames .* got 0"),
            ("frames", 3, r"decoding.frames .* should divide"),
        ):
            kept, decoding[key] = decoding[key], wrong
            with pytest.raises(BundleError, match=message):
                opened.transcribe(np.zeros((4, FEATURES), np.float32))
            decoding[key] = kept
        vocabulary = opened.vocabularies.pop("output")
        with pytest.raises(BundleError, match="a vocabulary 'output' of 4 symbols"):
            opened.transcriber()
        opened.vocabularies["output"] = vocabulary


def test_files_are_answered_with_what_was_said(
    made: Made,
    utterances: list[np.ndarray],
    model: SpeechTransducer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundle, file, empty = str(made[2]["int8"]), tmp_path / "one.npy", tmp_path / "empty.npy"
    np.save(file, utterances[0])
    np.save(empty, utterances[0][:0])
    [[best]] = model.transcribe(utterances[0])
    assert run_command(["run", bundle, str(file)]) == 0
    assert capsys.readouterr().out == f"{best.text}\n"
    assert run_command(["run", bundle, str(file), "--json", "--beam", "2", "--n-best", "2"]) == 0
    [answer] = json.loads(capsys.readouterr().out)["answers"]
    assert 1 <= len(answer["hypotheses"]) <= 2
    assert answer["partial"][-1]["frames"] <= len(utterances[0])
    (tmp_path / "blank.npy").write_bytes(b"")
    for wrong in (empty, tmp_path / "blank.npy", tmp_path / "none.npy"):
        assert run_command(["run", bundle, str(wrong)]) == 1
        assert "of frames" in (said := capsys.readouterr().err) or "one frame" in said
