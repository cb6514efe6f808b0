"""Taggers whose delay is bounded, from a run to a bundle: streamed, whole, and what it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import treadle
import treadle.data
from tests.train.tagged import open_names, tiny_tagger
from treadle.delay import Delay
from treadle.errors import BundleError
from treadle.selfcheck import verify
from treadle.tokens import TokenReading
from treadle.tolerances import tolerance
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.requantize import requantize
from treadle_export.quantization.quantizer import Quantization
from treadle_train.training import train

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from treadle_train.run import Run

    Made = tuple[str, Run, dict[str, Path]]

SAME = tolerance("stream", "float32").outputs
PRECISIONS = ("float32", "int8")
PLAIN = ("network.crf=false", "training.epochs=1")
LETTERS = ("network.characters=5", "network.character_size=8", "network.character_features=8")
KINDS: dict[str, tuple[str, ...]] = {
    "ahead": ("network.bidirectional=false", "network.lookahead=2", *LETTERS),
    "chunked": ("network.chunk=3", "network.lookahead=2", "network.layers=2", *LETTERS),
    "one by one": ("network.chunk=1", "network.cell=gru"),
}
SLOW = ("one by one",)
DELAYS = {"ahead": Delay(2), "chunked": Delay(4, 3), "one by one": Delay(0, 1)}


@pytest.fixture(scope="module", autouse=True)
def data() -> Iterator[None]:
    treadle.data.DATASETS |= {"names": open_names}
    yield
    del treadle.data.DATASETS["names"]


@pytest.fixture(
    scope="module",
    params=[pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW)) for kind in KINDS],
)
def made(
    data: None, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Made:
    """A kind, its run, and the run's bundles by precision."""
    folder = tmp_path_factory.mktemp("delayed")
    run = train(tiny_tagger(*KINDS[request.param], *PLAIN), folder / "run")
    outs = {name: folder / f"{name}.treadle" for name in PRECISIONS}
    export_run(run, outs, quantization=Quantization(max_quality_drop=1))
    return request.param, run, outs


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_bundle_states_its_delay_and_proves_itself(made: Made, precision: str) -> None:
    kind, _, outs = made
    with treadle.load(outs[precision]) as model:
        assert Delay.of(model.manifest.decoding) == DELAYS[kind]
        assert model.delay == DELAYS[kind].steps
        report = verify(model)
        assert report.passed
        if precision == "int8":
            assert (report.invariance["promised"], report.invariance["batch"]) == (True, 0)
            assert report.invariance["chunk"] == 0


@given(places=st.lists(st.integers(0, 199), min_size=1, max_size=5, unique=True))
@settings(max_examples=6, deadline=None)
def test_streamed_is_whole_is_the_network(made: Made, places: list[int]) -> None:
    kind, run, outs = made
    network: Any = run.network
    delay, test = DELAYS[kind], [run.dataset().split("test")[place].tokens for place in places]
    for precision, same in (("float32", SAME), ("int8", 0.0)):
        with treadle.load(outs[precision]) as model:
            reading = TokenReading.of(model.vocabularies["input"], model.manifest.decoding)
            together = model.logits(test)
            for one, logits, tagging in zip(test, together, model.tag(test), strict=True):
                assert logits.shape == (len(one), len(model.tags))
                assert tuple(model.running(iter(one))) == tagging.tags
                ids = reading.ids(one)[None]
                with model.stream() as stream:
                    steps = [stream.step(row) for row in delay.read(ids).swapaxes(0, 1)]
                stepped = delay.aligned(np.stack(steps, axis=1), len(one))[0]
                assert np.abs(stepped - logits).max() <= same
                if precision == "float32":
                    with torch.no_grad():
                        x, lengths = torch.from_numpy(ids), torch.tensor([len(one)])
                        expected = network.emissions(x, lengths)[0].numpy()
                    assert np.abs(expected - logits).max() <= SAME


def test_a_tag_is_said_when_the_delay_is_over_and_none_is_lost(made: Made) -> None:
    kind, _, outs = made
    delay, heard = DELAYS[kind], list[str]()

    def spoken() -> Iterator[str]:
        for token in ("we", "saw", "Mr", "Ada", "in", "winter", "."):
            heard.append(token)
            yield token

    with treadle.load(outs["int8"]) as model:
        waited = [len(heard) - said for said, _ in enumerate(model.running(spoken()), start=1)]
        assert len(waited) == 7
        assert max(waited) == delay.steps
        assert list(model.running(iter([]))) == []
        assert len(list(model.running(iter(["Ada"])))) == 1


def test_a_manifest_whose_delay_does_not_fit_its_graphs_is_refused(made: Made) -> None:
    with treadle.load(made[2]["float32"]) as model:
        decoding = model.manifest.decoding
        for wrong in ({"delay": 6, "chunk": 4}, {"delay": 10**9}, {"delay": 0, "chunk": 7}):
            kept = dict(decoding)
            decoding.update(wrong)
            with pytest.raises(BundleError, match="export the bundle again"):
                model.tag("Ada")
            decoding.clear()
            decoding.update(kept)


@pytest.mark.slow
def test_a_float32_bundle_is_quantized_as_its_run(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "again.treadle"
    requantize(made[2]["float32"], out, "int8", quantization=Quantization(max_quality_drop=1))
    with treadle.load(out) as again, treadle.load(made[2]["int8"]) as model:
        assert again.manifest.digest == model.manifest.digest
