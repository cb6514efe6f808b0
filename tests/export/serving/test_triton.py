"""A model repository for Triton: its configuration, and that sequences are streams."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import treadle
from tests.export.serving.simulated_triton import Request, SimulatedTriton
from tests.export.small_models import TARGETS, canonical, lowered
from tests.runtime.tiny_bundles import (
    FEATURES,
    HIDDEN,
    start_from_file,
    write_language_model,
    write_transducer,
)
from treadle.cli import run
from treadle.errors import ExportError, UnsupportedGraph
from treadle.ladder import compare
from treadle.vocabulary import Vocabulary
from treadle_export.bundle import Description, assemble, finished, write_bundle
from treadle_export.quantization.precision import plan_of, precision_named
from treadle_export.serving.repository import write_repository
from treadle_export.serving.text_format import Name, text_format
from treadle_export.serving.triton import Serving

if TYPE_CHECKING:
    from pathlib import Path

SYMBOLS = Vocabulary(tuple(map(chr, range(0x4E00, 0x4E00 + TARGETS))), "characters")
ROWS = {"recurrent.0.hidden": np.linspace(-0.9, 0.9, HIDDEN, dtype=np.float32)}
# Name -> precision, which says whether answers are the same to the bit.
KINDS = {
    "lstm-model": "int8",
    "gru-model": "int8",
    "elman-model": "float32",
    "features": "float32",
    "own-start": "float32",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("triton")


@cache
def bundle_of(folder: Path, kind: str) -> Path:
    if kind == "features":
        return write_language_model(folder, name=kind, features=FEATURES)
    if kind == "own-start":
        return start_from_file(write_language_model(folder, name=kind), ROWS)
    precision = KINDS[kind]
    path = folder / f"{kind}.treadle"
    description = Description(kind, {"symbols": SYMBOLS}, {"start": 0}, {}, {}, {})
    plan = plan_of(canonical(kind), precision_named(precision))
    parts = assemble(lowered(kind, precision), description, precision, plan)
    write_bundle(path, finished(parts, {}))
    return path


@cache
def served(folder: Path, kind: str) -> tuple[SimulatedTriton, Any]:
    place = write_repository(bundle_of(folder, kind), folder / "models")
    return SimulatedTriton(place), treadle.load(bundle_of(folder, kind))


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
def test_a_sequence_of_requests_is_a_stream(folder: Path, kind: str, data: st.DataObject) -> None:
    """Whatever company its requests have, and whenever others start and end."""
    triton, model = served(folder, kind)
    triton.kept.clear()
    (port,) = model.manifest.graphs["step"].inputs
    pairs = []
    streams: dict[int, Any] = {}
    for _ in range(data.draw(st.integers(1, 8))):
        chosen = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True))
        requests = []
        for sequence in chosen:
            starts = sequence not in streams or data.draw(st.booleans())
            ends = data.draw(st.integers(0, 5)) == 0
            if starts:
                streams[sequence] = model.stream()
            seed = data.draw(st.integers(0, 99))
            x = inputs_of(model, port, seed)
            requests.append(Request(sequence, {port.name: x.reshape(x.shape or 1)}, starts, ends))
        answers = triton.infer(requests)
        for request, answer in zip(requests, answers, strict=True):
            x = request.inputs[port.name]
            own = streams[request.sequence].step(x if port.shape == ("batch",) else x[None])
            pairs.append((np.asarray(own), answer["logits"][None]))
            if request.end:
                del streams[request.sequence]
    rung = compare("batch", KINDS[kind], outputs=pairs)
    assert rung.passed, rung
    assert rung.max_abs == 0 or KINDS[kind] != "int8"


def inputs_of(model: Any, port: Any, seed: int) -> Any:
    random = np.random.default_rng(seed)
    if port.dtype == "int64":
        return np.array(random.integers(0, len(model.vocabularies["symbols"])), np.int64)
    return random.normal(size=port.shape[1:]).astype(np.float32)


def test_a_request_that_belongs_to_no_sequence_is_refused(folder: Path) -> None:
    triton, _ = served(folder, "lstm-model")
    with pytest.raises(LookupError, match="START"):
        triton.infer([Request(77, {"token": np.zeros(1, np.int64)})])


def test_there_is_no_warm_up_whose_requests_would_have_no_states(folder: Path) -> None:
    triton, _ = served(folder, "own-start")
    assert not triton.config.model_warmup


def test_the_configuration_says_how_it_is_served(folder: Path, tmp_path: Path) -> None:
    serving = Serving(rows=8, sequences=100, idle=2.5, delay=0, threads=2, instances=3)
    place = write_repository(bundle_of(folder, "gru-model"), tmp_path, serving, name="other")
    config = SimulatedTriton(place).config
    assert config.name == "other"
    assert config.max_batch_size == 8
    assert config.sequence_batching.max_sequence_idle_microseconds == 2_500_000
    assert config.sequence_batching.oldest.max_candidate_sequences == 100
    assert config.instance_group[0].count == 3
    assert config.parameters["intra_op_thread_count"].string_value == "2"
    assert {state.initial_state[0].zero_data for state in config.sequence_batching.state} == {True}


def test_vocabularies_lie_beside_the_model(folder: Path, tmp_path: Path) -> None:
    place = write_repository(bundle_of(folder, "lstm-model"), tmp_path)
    assert Vocabulary.read(place / "symbols.json") == SYMBOLS
    assert not list(tmp_path.glob(".*"))  # nothing half-made is left


def test_a_model_in_the_way_is_kept_without_force(folder: Path, tmp_path: Path) -> None:
    place = write_repository(bundle_of(folder, "lstm-model"), tmp_path)
    (place / "mine").write_text("kept")
    with pytest.raises(ExportError, match="is there already"):
        write_repository(bundle_of(folder, "lstm-model"), tmp_path)
    assert (place / "mine").exists()
    write_repository(bundle_of(folder, "lstm-model"), tmp_path, force=True)
    assert not (place / "mine").exists()


def test_what_reads_an_encoder_is_refused_and_told_how(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedGraph, match="treadle export --graph generate"):
        write_repository(write_transducer(tmp_path), tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    "given", [{"rows": 0}, {"sequences": 0}, {"threads": 0}, {"idle": 0.0}, {"delay": -1}]
)
def test_impossible_ways_of_serving_are_errors(given: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="expected"):
        Serving(**given)


def test_the_command_writes_a_model(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["export", str(bundle_of(folder, "lstm-model")), "--target", "triton"]
    assert run([*asked, "--out", str(tmp_path), "--json"]) == 0
    place = json.loads(capsys.readouterr().out)["path"]
    assert place == str(tmp_path / "lstm-model")
    assert run([*asked, "--out", str(tmp_path)]) == 1
    assert "--force" in capsys.readouterr().err


def test_text_is_written_as_protocol_buffers_read_it() -> None:
    message = {
        "name": 'a "quoted"\nname',
        "flag": True,
        "kind": Name("KIND_CPU"),
        "sizes": [1, -1],
        "none": [],
        "inner": [{"a": 1}, {"b": False}],
    }
    assert text_format(message) == (
        'name: "a \\"quoted\\"\\nname"\nflag: true\nkind: KIND_CPU\nsizes: [1, -1]\nnone: []\n'
        "inner {\n  a: 1\n}\ninner {\n  b: false\n}\n"
    )
