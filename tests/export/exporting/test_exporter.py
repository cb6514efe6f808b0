"""From a run to bundles: evidence, identity, errors that leave nothing behind."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

import treadle
from treadle.bundle import Bundle
from treadle.errors import BundleError, ExportError, ParityError, QualityError, UnsupportedGraph
from treadle.golden import GOLDEN_FILE, Golden
from treadle.selfcheck import Report, verify
from treadle_export.capturing.network import capture
from treadle_export.exporting import material
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.precision import PRECISIONS

if TYPE_CHECKING:
    from treadle_train.run import Run

LADDER = ["equations", "torch step", "onnx encode", "onnx sequence", "onnx step", "lowered"]

Exported = tuple[dict[str, Path], dict[str, Report]]


def test_every_rung_is_climbed_and_carried_over_1000_steps(exported: Exported) -> None:
    _, reports = exported
    float32 = [rung.name for rung in reports["float32"].rungs]
    int8 = [rung.name for rung in reports["int8"].rungs]
    assert float32 == [*LADDER, "stream", "batch", "chunk"]
    assert int8 == [*LADDER, "quantized", "stream", "batch", "chunk"]
    for report in reports.values():
        assert report.passed
        long = [r for r in report.rungs if r.name not in ("onnx encode", "batch", "chunk")]
        assert all(rung.steps == 1000 for rung in long)
        assert max(rung.max_abs for rung in report.rungs if rung.name in LADDER) <= 1e-5


def test_int8_is_promised_exact_and_is(exported: Exported) -> None:
    outs, reports = exported
    assert reports["int8"].invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
    assert reports["float32"].invariance["promised"] is False
    with treadle.load(outs["int8"]) as model:
        assert verify(model).invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}


def test_a_device_replays_the_stream_and_reports_the_rest(exported: Exported) -> None:
    for path in exported[0].values():
        with treadle.load(path) as model:
            report = verify(model)
        assert report.passed
        sources = {rung.name: rung.source for rung in report.rungs}
        assert {name for name, source in sources.items() if source == "replayed"} == {
            "stream",
            "batch",
            "chunk",
        }


def test_another_models_trace_fails_verification(exported: Exported, tmp_path: Path) -> None:
    with treadle.load(exported[0]["float32"]) as model:
        golden = Golden.from_bytes(model.bundle.read(GOLDEN_FILE))
        moved = {n: np.roll(array, 1, axis=1) for n, array in golden.state.items()}
        false = replace(golden, state=moved)
        object.__setattr__(model, "bundle", _Reads(model.bundle, {GOLDEN_FILE: false.to_bytes()}))
        report = verify(model)
    failed = [rung for rung in report.rungs if not rung.passed]
    assert [rung.name for rung in failed] == ["stream"]
    assert failed[0].first_step is not None


@pytest.mark.parametrize(
    "parity",
    [[], 7, {"rungs": [{"x": 1}]}, {"rungs": 3}, "passed"],
)
def test_evidence_that_is_none_is_an_error(exported: Exported, parity: Any) -> None:
    with treadle.load(exported[0]["float32"]) as model:
        evidence = {**model.manifest.evidence, "parity": parity}
        forged = model.manifest._replace(evidence=evidence)
        model.bundle = Bundle(model.bundle.path, forged)
        with pytest.raises(BundleError, match=r"the rungs of a parity ladder in evidence\.parity"):
            verify(model)


class _Reads:
    """A bundle, some of whose files read differently."""

    def __init__(self, bundle: Any, files: dict[str, bytes]) -> None:
        self._bundle, self._files = bundle, files

    def read(self, name: str) -> bytes:
        return self._files.get(name) or self._bundle.read(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bundle, name)


def test_the_same_export_twice_is_the_same_bundle(
    run: Run, exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(material, "capture", capture)  # and not what was captured before
    again = {name: tmp_path / path.name for name, path in exported[0].items()}
    export_run(run, again)
    for name, path in again.items():
        for file in path.iterdir():
            assert file.read_bytes() == (exported[0][name] / file.name).read_bytes(), file.name


def test_precisions_are_different_models(exported: Exported) -> None:
    digests = set()
    for path in exported[0].values():
        digests.add(json.loads((path / "manifest.json").read_text())["digest"])
    assert len(digests) == 2


def test_int8_stores_no_large_float_tensor(exported: Exported) -> None:
    sizes = {name: (path / "weights.bin").stat().st_size for name, path in exported[0].items()}
    assert (
        sizes["int8"] < 0.4 * sizes["float32"]
    )  # biases and scales weigh much in so small a model


def test_operators_are_listed_as_they_are(exported: Exported) -> None:
    manifest = json.loads((exported[0]["int8"] / "manifest.json").read_text())
    operators = manifest["requires"]["operators"]
    assert "ai.onnx:MatMulInteger:10" in operators
    assert not any(":LSTM:" in operator or ":MatMulNBits:" in operator for operator in operators)


def test_a_bundle_in_the_way_is_kept_without_force(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    out.mkdir()
    (out / "precious").write_text("mine")
    with pytest.raises(ExportError, match="exists already; choose another --out, or replace it"):
        export_run(run, {"float32": out})
    assert (out / "precious").read_text() == "mine"
    export_run(run, {"float32": out}, force=True)
    assert not (out / "precious").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["x.treadle"]


def test_a_wrong_name_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"end in \.treadle, got"):
        export_run(run, {"float32": tmp_path / "bundle"})


def test_an_unknown_precision_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"a precision of float32, float16, int8, .* got 'int3'"):
        export_run(run, {"int3": tmp_path / "x.treadle"})


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "read-only"), (errno.EACCES, "permission")],
)
@pytest.mark.parametrize("in_the_way", [False, True])
def test_a_failed_write_leaves_what_was_there(
    run: Run,
    exported: Exported,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    words: str,
    *,
    in_the_way: bool,
) -> None:
    from treadle_export.bundle import write_bundle

    out = tmp_path / "x.treadle"
    files = {file.name: file.read_bytes() for file in exported[0]["int8"].iterdir()}
    if in_the_way:
        write_bundle(out, files)
    calls = 0

    def fsync(_: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(number, "injected")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ExportError, match=words):
        write_bundle(out, {"manifest.json": b"", **files}, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.treadle"] * in_the_way
    if in_the_way:
        assert {file.name: file.read_bytes() for file in out.iterdir()} == files


def test_a_rung_over_its_tolerance_stops_the_export(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = capture

    def damaged(network: Any) -> Any:
        weights = network.decoder.layers[0].forward_cell.recurrent_weights
        before = weights.detach().clone()
        with torch.no_grad():
            weights.add_(0.01)
            captured = genuine(network)
            weights.copy_(before)
        return captured

    monkeypatch.setattr(material, "capture", damaged)
    with pytest.raises(ParityError, match="expected the rung 'onnx sequence' within 1e-05, got"):
        export_run(run, {"float32": tmp_path / "x.treadle"})
    assert not list(tmp_path.iterdir())


def test_a_loss_over_the_budget_stops_the_export(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    strict = replace(PRECISIONS["int8"], budget=-1.0)
    monkeypatch.setitem(PRECISIONS, "int8", strict)
    with pytest.raises(QualityError, match="expected int8 to raise the negative log-likelihood"):
        export_run(run, {"int8": tmp_path / "x.treadle"})
    assert not list(tmp_path.iterdir())


def test_a_network_that_cannot_be_traced_is_an_error(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = type(run.network)

    def peeks(self: Any, token: Any, state: Any, context: Any) -> Any:
        if token.sum().item() > 3:
            raise ValueError
        return token, state

    monkeypatch.setattr(network, "step", peeks)
    monkeypatch.setattr(material, "capture", capture)
    with pytest.raises(UnsupportedGraph, match=r"entry point 'step' that torch\.export can trace"):
        export_run(run, {"float32": tmp_path / "x.treadle"})
