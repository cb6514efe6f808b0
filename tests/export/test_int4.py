"""Export in 4 bits: calibrated on real data, said in the evidence, the same every time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from treadle.errors import ExportError, QualityError
from treadle.selfcheck import verify
from treadle_export.exporting.exporter import export_run
from treadle_export.quantization.quantizer import Quantization

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_train.run import Run

CALIBRATED = Quantization(calibration=60)


def manifest_of(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((path / "manifest.json").read_text())
    return document


@pytest.fixture(scope="module")
def bundles(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("int4")
    outs = {name: folder / f"{name}.treadle" for name in ("int4", "int8-block")}
    export_run(run, outs, quality_limit=60, quantization=CALIBRATED)
    return outs


def test_the_ladder_is_climbed_to_the_end(bundles: dict[str, Path]) -> None:
    for path in bundles.values():
        with treadle.load(path) as model:
            report = verify(model)
        assert report.passed, report
        assert [rung.name for rung in report.rungs][-4:] == [
            "quantized",
            "stream",
            "batch",
            "chunk",
        ]
        assert report.invariance["promised"] is True


def test_the_evidence_says_what_was_calibrated_with(bundles: dict[str, Path]) -> None:
    found = manifest_of(bundles["int4"])["evidence"]["quantization"]
    digest = found["calibration"].pop("digest")
    assert digest.startswith("sha256:")
    assert found == {
        "method": "gptq",
        "bits": 4,
        "block_size": 16,
        "calibration": {"split": "train", "examples": 60, "unit": "pairs"},
    }
    blocks = manifest_of(bundles["int8-block"])["evidence"]["quantization"]
    assert blocks == {"method": "nearest", "bits": 8, "block_size": 32}


@pytest.mark.slow
def test_the_same_export_twice_is_the_same_bundle(
    run: Run, bundles: dict[str, Path], tmp_path: Path
) -> None:
    again = tmp_path / "int4.treadle"
    export_run(run, {"int4": again}, quality_limit=60, quantization=CALIBRATED)
    for file in again.iterdir():
        assert file.read_bytes() == (bundles["int4"] / file.name).read_bytes(), file.name


def test_without_calibration_it_warns_and_exceptions_stand_in_the_plan(
    run: Run, bundles: dict[str, Path], tmp_path: Path
) -> None:
    said: list[str] = []
    out = tmp_path / "x.treadle"
    asked = Quantization(calibration=0, exceptions={"attention.*": "int8"})
    export_run(run, {"int4": out}, quality_limit=20, quantization=asked, progress=said.append)
    assert any(line.startswith("warning: weights of 4 bits are rounded without") for line in said)
    rounded, calibrated = manifest_of(out), manifest_of(bundles["int4"])
    attention = {f"attention.{part}": "int8" for part in ("keys", "mix", "values")}
    assert rounded["evidence"]["quantization"] == {
        "method": "nearest",
        "bits": 4,
        "block_size": 16,
        "calibration": None,
        "exceptions": attention,
    }
    assert rounded["plan"]["weights"] == attention
    assert rounded["digest"] != calibrated["digest"]
    assert "weights" not in calibrated["plan"]


def test_an_engine_that_knows_the_operators_is_required(bundles: dict[str, Path]) -> None:
    required = {name: manifest_of(path)["requires"] for name, path in bundles.items()}
    assert {found["onnxruntime"] for found in required.values()} == {"1.23"}
    assert "ai.onnx:MatMulInteger:10" in required["int4"]["operators"]
    assert "com.microsoft:MatMulNBits:1" in required["int8-block"]["operators"]


def test_4_bits_take_less_room_than_8(bundles: dict[str, Path]) -> None:
    sizes = {name: (path / "weights.bin").stat().st_size for name, path in bundles.items()}
    assert sizes["int4"] < 0.7 * sizes["int8-block"]


@pytest.mark.slow
def test_nothing_is_written_when_no_plan_holds(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    strict = Quantization(calibration=20, max_quality_drop=-0.5)
    with pytest.raises(QualityError, match="with every weight that it could spare in a"):
        export_run(
            run,
            {"int4": tmp_path / "x.treadle"},
            quality_limit=10,
            quantization=strict,
            progress=said.append,
        )
    assert not list(tmp_path.iterdir())
    (shown,) = [line for line in said if line.startswith("weights alone")]
    assert "all in int4" in shown
    assert any(line.startswith("int4: output in int8: ") for line in said)


def test_a_calibration_of_less_than_nothing_is_an_error() -> None:
    with pytest.raises(ExportError, match="a number of examples to calibrate with, or 0 for none"):
        Quantization(calibration=-1)


def test_float16_says_what_it_is_for(run: Run, tmp_path: Path) -> None:
    said: list[str] = []
    outs = {"float16": tmp_path / "half.treadle", "int8-tensorwise": tmp_path / "stock.treadle"}
    reports = export_run(run, outs, quality_limit=20, progress=said.append)
    assert any("on a CPU onnxruntime casts" in line for line in said)
    assert any("int8-tensorwise does not promise invariance" in line for line in said)
    for report in reports.values():
        assert report.passed
        assert report.invariance["promised"] is False
    for path in outs.values():
        for graph in manifest_of(path)["graphs"].values():
            ports = (*graph["inputs"], *graph["outputs"], *graph["state"], *graph["context"])
            assert all(port["dtype"] in ("float32", "int64") for port in ports)
