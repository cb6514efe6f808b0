"""A bundle for a phone: graphs in ORT format, the operators that they need, and their sizes."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnxruntime.tools.ort_format_model import create_config_from_models
from onnxruntime.tools.reduced_build_config_parser import parse_config

import treadle
from tests.runtime.tiny_bundles import reseal
from treadle.bundle import open_bundle
from treadle.errors import ExportError
from treadle.manifest import EVIDENCE_FILES
from treadle.selfcheck import verify
from treadle_export.bundle import Parts
from treadle_export.exporting.exporter import export_run
from treadle_export.exporting.requantize import requantize
from treadle_export.targets.mobile import CONFIG_FILE, packaged
from treadle_export.targets.ort_format import contents, converted, in_order

if TYPE_CHECKING:
    from treadle.selfcheck import Report
    from treadle_train.run import Run

Exported = tuple[dict[str, Path], dict[str, "Report"]]
FLIPS = 40


def parts_of(bundle: Path) -> Parts:
    """What a writer had before the evidence came to it."""
    opened = open_bundle(bundle)
    names = [name for name in opened.manifest.files if name not in EVIDENCE_FILES]
    return Parts({name: opened.read(name) for name in names}, opened.manifest)


@pytest.fixture(scope="module")
def mobile(exported: Exported, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The float32 bundle of the made-up language, requantized for phones."""
    out = tmp_path_factory.mktemp("mobile") / "x.treadle"
    told: list[str] = []
    requantize(
        exported[0]["float32"], out, "int8", target="mobile", quality_limit=20, progress=told.append
    )
    assert any("a reduced build needs" in line for line in told)
    return out


def test_it_verifies_through_the_runtime_and_answers_as_the_other(
    mobile: Path, exported: Exported
) -> None:
    with treadle.load(mobile) as phone, treadle.load(exported[0]["int8"]) as desktop:
        report = verify(phone)
        assert report.passed
        assert report.invariance == {"batch": 0.0, "chunk": 0.0, "promised": True}
        words = ["abcde", "ebb", "decade", "cab"]
        assert phone.transduce(words) == desktop.transduce(words)


def test_its_graphs_are_in_ort_format_with_their_weights(mobile: Path) -> None:
    manifest = open_bundle(mobile).manifest
    assert manifest.target == "mobile"
    assert {graph.file for graph in manifest.graphs.values()} == {
        "step.ort",
        "sequence.ort",
        "encode.ort",
    }
    assert not [name for name in manifest.files if name.endswith(".onnx") or name == "weights.bin"]
    for graph in manifest.graphs.values():
        assert (mobile / graph.file).read_bytes()[4:8] == b"ORTM"


def optimized_operators(source: Path, scratch: Path) -> set[str]:
    """What the engine makes of a bundle's ONNX graphs, read from optimized ONNX files instead."""
    found: set[str] = set()
    for graph in open_bundle(source).manifest.graphs.values():
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        options.optimized_model_filepath = str(scratch / graph.file)
        onnxruntime.InferenceSession(
            str(source / graph.file),
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["NchwcTransformer"],
        )
        model = onnx.load(scratch / graph.file, load_external_data=False)
        graphs = [model.graph]
        while graphs:
            inner = graphs.pop()
            for node in inner.node:
                found.add(f"{node.domain or 'ai.onnx'}:{node.op_type}")
                graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    return found


def test_the_config_lists_exactly_the_operators_of_the_optimized_graphs(
    mobile: Path, exported: Exported, tmp_path: Path
) -> None:
    required, _ = parse_config(str(mobile / CONFIG_FILE))
    listed = {
        f"{domain}:{name}"
        for domain, by_version in required.items()
        for names in by_version.values()
        for name in names
    }
    assert listed == optimized_operators(exported[0]["int8"], tmp_path)
    assert open_bundle(mobile).manifest.requires["operators"] == sorted(
        f"{domain}:{name}:{version}"
        for domain, by_version in required.items()
        for version, names in by_version.items()
        for name in names
    )


# Their tool leaves the graphs open.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_config_is_what_the_engines_own_tool_makes_of_the_graphs(
    mobile: Path, tmp_path: Path
) -> None:
    graphs = [mobile / graph.file for graph in open_bundle(mobile).manifest.graphs.values()]
    create_config_from_models(graphs, tmp_path / "theirs.config", False)
    theirs, _ = parse_config(str(tmp_path / "theirs.config"))
    ours, _ = parse_config(str(mobile / CONFIG_FILE))
    assert ours == theirs


def test_a_fused_operator_that_the_onnx_file_lacks_is_listed(exported: Exported) -> None:
    """The float32 graphs multiply by transposed keys; the engine makes one operator of both."""
    parts = parts_of(exported[0]["float32"])
    before = set(parts.manifest.requires["operators"])
    after = set(packaged(parts).manifest.requires["operators"])
    fused = {name for name in after - before if name.startswith("com.microsoft:")}
    assert fused
    config = packaged(parts).files[CONFIG_FILE].decode()
    assert all(name.split(":")[1] in config for name in fused)


def test_packaged_twice_is_the_same_bundle(exported: Exported) -> None:
    parts = parts_of(exported[0]["int8"])
    first, second = packaged(parts), packaged(parts)
    assert first.files == second.files
    assert first.manifest == second.manifest


def test_a_graph_in_order_is_left_alone_and_one_out_of_order_is_not(exported: Exported) -> None:
    files = parts_of(exported[0]["int8"]).files
    made = converted(files, "step.onnx")
    assert in_order(made) == made
    assert contents(made).weights > 0


def test_a_graph_that_the_engine_refuses_is_an_error() -> None:
    with pytest.raises(ExportError, match=r"cannot write step\.onnx in ORT format"):
        converted({"step.onnx": b"no graph"}, "step.onnx")


def test_the_size_report_adds_up(mobile: Path) -> None:
    manifest = open_bundle(mobile).manifest
    size = manifest.evidence["size"]
    for name, graph in manifest.graphs.items():
        held = size["graphs"][name]
        assert held["file"] == graph.file
        assert held["bytes"] == (mobile / graph.file).stat().st_size
        assert 0 < held["weights"] < held["bytes"]
        session = contents((mobile / graph.file).read_bytes())
        assert held["nodes"] == sum(session.operators.values()) >= held["operators"]
    assert size["bytes"] == sum(file.bytes for file in manifest.files.values())
    build = size["reduced_build"]
    assert build["operators"] == len(manifest.requires["operators"]) < build["of"]
    assert "--disable_contrib_ops" not in build["flags"]  # int8 multiplies by an operator of theirs


def test_it_cannot_be_requantized(mobile: Path, run: Run, tmp_path: Path) -> None:
    """What is optimized already is no source; the float32 bundle of another target is."""
    opened = open_bundle(mobile)
    document = json.loads((mobile / "manifest.json").read_text())
    forged = tmp_path / "float32.treadle"
    forged.mkdir()
    for name in opened.manifest.files:
        (forged / name).write_bytes(opened.read(name))
    reseal(forged, {**document, "precision": "float32"})
    with pytest.raises(ExportError, match=r"built for mobile, whose graphs are optimized already"):
        requantize(forged, tmp_path / "again.treadle", "int8")


def load_damaged(bundle: Path, seed: int) -> int:
    """Flip bits of the graphs, one after the other; how many were refused."""
    document: dict[str, Any] = json.loads((bundle / "manifest.json").read_text())
    chance = random.Random(seed)
    refused = 0
    for _ in range(FLIPS):
        path = bundle / chance.choice(["step.ort", "sequence.ort", "encode.ort"])
        content = path.read_bytes()
        damaged = bytearray(content)
        damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        reseal(bundle, document)
        try:
            with treadle.load(bundle) as model, model.stream([[1, 2]]) as stream:
                stream.step(np.array([1]))
                stream.unroll(np.array([[1, 2, 3]]))
        except treadle.TreadleError:
            refused += 1
        path.write_bytes(content)
    return refused


@pytest.mark.slow
def test_a_forged_graph_is_an_error_or_an_answer(mobile: Path, tmp_path: Path) -> None:
    # In a process of its own: what is feared is that it dies.
    copy = tmp_path / "copy.treadle"
    copy.mkdir()
    for file in mobile.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    made = subprocess.run(
        [sys.executable, "-m", "tests.export.targets.test_mobile", str(copy)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    assert 0 <= int(made.stdout) < FLIPS


@pytest.mark.slow
def test_exported_twice_for_mobile_is_the_same_bundle(run: Run, tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "x.treadle", tmp_path / "b" / "x.treadle"
    for out in (first, second):
        export_run(run, {"float32": out}, target="mobile")
    for file in first.iterdir():
        assert file.read_bytes() == (second / file.name).read_bytes(), file.name


if __name__ == "__main__":
    print(load_damaged(Path(sys.argv[1]), seed=1))
