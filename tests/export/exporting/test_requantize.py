"""A float32 bundle becomes one of another precision, as the run would have been exported."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.export.foreign_graphs import foreign
from tests.export.small_models import untrained_run
from treadle.bundle import open_bundle
from treadle.errors import BundleError, DataError, ExportError, QualityError
from treadle.golden import GOLDEN_FILE, Golden
from treadle.manifest import Manifest
from treadle.selfcheck import verify
from treadle_export.bundle import Parts, finished, write_bundle
from treadle_export.exporting.adopting import export_foreign
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.requantize import requantize
from treadle_export.quantization.quantizer import Quantization

if TYPE_CHECKING:
    from pathlib import Path

    from treadle.selfcheck import Report
    from treadle_train.run import Run

Exported = tuple[dict[str, "Path"], dict[str, "Report"]]

FEW = Quantization(calibration=60)


def rewritten(source: Path, out: Path, **changes: Any) -> Path:
    """A bundle with other fields in its manifest, its digest and seal made anew."""
    bundle = open_bundle(source)
    files = {name: bundle.read(name) for name in bundle.manifest.files}
    manifest: Manifest = bundle.manifest._replace(**changes)
    listed = {name: entry for name, entry in manifest.files.items() if name in files}
    kept = manifest._replace(files=listed, digest="", seal="")
    write_bundle(out, finished(Parts(files, kept), kept.evidence))
    return out


@pytest.mark.parametrize("precision", ["int8", "int8-block", "int4"])
def test_it_is_the_model_that_the_run_would_give(
    run: Run, exported: Exported, tmp_path: Path, precision: str
) -> None:
    again, direct = tmp_path / "again.treadle", tmp_path / "direct.treadle"
    report = requantize(
        exported[0]["float32"], again, precision, quality_limit=40, quantization=FEW
    )
    export_run(run, {precision: direct}, quality_limit=40, quantization=FEW)
    assert report.passed
    assert (again / "weights.bin").read_bytes() == (direct / "weights.bin").read_bytes()
    found, expected = open_bundle(again).manifest, open_bundle(direct).manifest
    assert found.plan == expected.plan
    assert found.graphs == expected.graphs
    assert found.vocabularies == expected.vocabularies
    assert found.decoding == expected.decoding
    assert found.evaluation == expected.evaluation
    with treadle.load(again) as ours, treadle.load(direct) as theirs:
        words = ["abcde", "ebb", "decade"]
        assert ours.transduce(words) == theirs.transduce(words)


@pytest.mark.parametrize(
    "cell",
    [
        "elman-relu",
        pytest.param("elman", marks=pytest.mark.slow),
        pytest.param("gru-reset-before", marks=pytest.mark.slow),
    ],
)
def test_every_cell_gives_the_same_weights(made_up: None, tmp_path: Path, cell: str) -> None:
    """An Elman layer stands in primitive operators in the float32 bundle already."""
    run = untrained_run(tmp_path / "run", f"network.cell={cell}", "network.hidden_size=22")
    outs = {name: tmp_path / f"{name}.treadle" for name in ("float32", "int8", "int4")}
    export_run(run, outs, quality_limit=20, quantization=FEW)
    for precision in ("int8", "int4"):
        again = tmp_path / f"again-{precision}.treadle"
        report = requantize(outs["float32"], again, precision, quality_limit=20, quantization=FEW)
        assert report.passed
        assert (again / "weights.bin").read_bytes() == (
            outs[precision] / "weights.bin"
        ).read_bytes()
        assert open_bundle(again).manifest.plan == open_bundle(outs[precision]).manifest.plan
        if precision == "int8":
            assert report.invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}


@pytest.mark.parametrize(
    ("cell", "past"), [("LSTM", "plain"), ("RNN", "plain"), ("GRU", "running-mean")]
)
@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_an_adopted_model_gives_the_same_weights(
    tmp_path: Path, cell: str, past: str, precision: str
) -> None:
    outs = {name: tmp_path / f"{name}.treadle" for name in ("float32", precision)}
    export_foreign(foreign(cell, past), outs)
    again = tmp_path / "again.treadle"
    uncalibrated = Quantization(calibration=0)
    report = requantize(outs["float32"], again, precision, quantization=uncalibrated)
    assert report.passed
    assert (again / "weights.bin").read_bytes() == (outs[precision] / "weights.bin").read_bytes()
    found, expected = (open_bundle(path).manifest for path in (again, outs[precision]))
    assert found.plan == expected.plan
    assert found.graphs == expected.graphs
    assert found.evidence["quality"] == expected.evidence["quality"]


def test_an_adopted_model_has_nothing_to_calibrate_with(tmp_path: Path) -> None:
    plain = tmp_path / "plain.treadle"
    export_foreign(foreign("LSTM"), {"float32": plain})
    with pytest.raises(ExportError, match=r"the task stateful; export with --calibration none"):
        requantize(plain, tmp_path / "x.treadle", "int4")


def test_the_ladder_goes_on_where_float32_ended(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    report = requantize(exported[0]["float32"], out, "int8", quality_limit=20)
    direct = [rung.name for rung in exported[1]["int8"].rungs]
    assert [rung.name for rung in report.rungs] == direct
    carried = [rung for rung in exported[1]["float32"].rungs if rung.name == "equations"]
    assert report.rungs[0] == carried[0]
    evidence = open_bundle(out).manifest.evidence
    assert evidence["quantization"]["from"] == open_bundle(exported[0]["float32"]).manifest.digest
    assert evidence["quality"]["split"] == "test"
    with treadle.load(out) as model:
        assert verify(model).passed


def test_the_trace_keeps_what_pytorch_gave(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    requantize(exported[0]["float32"], out, "int4", quality_limit=20, quantization=FEW)
    old = Golden.from_bytes(open_bundle(exported[0]["float32"]).read(GOLDEN_FILE))
    new = Golden.from_bytes(open_bundle(out).read(GOLDEN_FILE))
    np.testing.assert_array_equal(new.choices["torch"], old.choices["torch"])
    np.testing.assert_array_equal(new.inputs, old.inputs)
    kept = np.searchsorted(old.checkpoints, new.checkpoints)
    np.testing.assert_array_equal(old.checkpoints[kept], new.checkpoints)
    for name, array in new.state.items():
        np.testing.assert_array_equal(array, old.state[name][kept])
        assert (new.next_state[name] != old.next_state[name][kept]).any()


def test_the_same_twice_is_the_same_bundle(exported: Exported, tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("a.treadle", "b.treadle")]
    for out in outs:
        requantize(exported[0]["float32"], out, "int4", quality_limit=20, quantization=FEW)
    for file in outs[0].iterdir():
        assert file.read_bytes() == (outs[1] / file.name).read_bytes(), file.name


def test_a_quantized_bundle_has_lost_what_is_needed(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"expected a float32 bundle, got .* in int8"):
        requantize(exported[0]["int8"], tmp_path / "x.treadle", "int4")
    with pytest.raises(ExportError, match=r"a precision to quantize to .* got float32"):
        requantize(exported[0]["float32"], tmp_path / "x.treadle", "float32")
    with pytest.raises(ExportError, match=r"end in \.treadle"):
        requantize(exported[0]["float32"], tmp_path / "x", "int8")
    assert not list(tmp_path.iterdir())


def test_a_bundle_without_a_trace_is_an_error(exported: Exported, tmp_path: Path) -> None:
    source = tmp_path / "bare.treadle"
    shutil.copytree(exported[0]["float32"], source)
    document = json.loads((source / "manifest.json").read_text())
    (source / GOLDEN_FILE).unlink()
    del document["files"][GOLDEN_FILE]
    document |= {"seal": ""}
    sealed = Manifest.from_json(document)._replace(seal="").sealed()
    (source / "manifest.json").write_text(json.dumps(sealed.to_json()))
    with pytest.raises(BundleError, match=r"expected a golden trace golden\.npz in .* got none"):
        requantize(source, tmp_path / "x.treadle", "int8")


def test_missing_data_is_an_error_and_none_named_a_warning(
    exported: Exported, tmp_path: Path
) -> None:
    plain = exported[0]["float32"]
    elsewhere = {"dataset": "made-elsewhere", "options": {}, "metric": "word_error_rate"}
    source = rewritten(plain, tmp_path / "elsewhere.treadle", evaluation=elsewhere)
    with pytest.raises(DataError, match="made-elsewhere"):
        requantize(source, tmp_path / "x.treadle", "int8")
    source = rewritten(plain, tmp_path / "nowhere.treadle", evaluation={})
    with pytest.raises(ExportError, match="to name the data set it was trained on"):
        requantize(source, tmp_path / "x.treadle", "int4")
    said: list[str] = []
    out = tmp_path / "x.treadle"
    uncalibrated = Quantization(calibration=0)
    requantize(source, out, "int4", quantization=uncalibrated, progress=said.append)
    assert any("its quality was not measured" in line for line in said)
    assert "quality" not in open_bundle(out).manifest.evidence


def test_a_loss_over_the_budget_writes_nothing(exported: Exported, tmp_path: Path) -> None:
    strict = Quantization(calibration=0, max_quality_drop=-0.5)
    with pytest.raises(QualityError, match="expected int8 to raise"):
        requantize(
            exported[0]["float32"],
            tmp_path / "x.treadle",
            "int8",
            quality_limit=10,
            quantization=strict,
        )
    assert not list(tmp_path.iterdir())
