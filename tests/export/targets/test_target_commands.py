"""`--target` as a user types it: what is built for it, and what it refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import treadle
from tests.export.foreign_graphs import FEATURES, of_model
from treadle.bundle import open_bundle
from treadle.cli import run
from treadle.errors import UnsupportedGraph
from treadle.selfcheck import verify
from treadle_export.commands.adopt import adopt
from treadle_export.commands.export import export
from treadle_export.exporting.adopting import export_foreign
from treadle_export.exporting.requantize import requantize
from treadle_export.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from treadle.selfcheck import Report

Exported = tuple[dict[str, "Path"], dict[str, "Report"]]


def small_lstm(*, activation: str = "Tanh", clip: bool = False) -> onnx.ModelProto:
    """An LSTM over x [time, batch, FEATURES]; with `clip`, times its outputs as whole numbers."""
    rng = np.random.default_rng(5)
    shapes = {"w": (1, 16, FEATURES), "r": (1, 16, 4), "b": (1, 32)}
    weights = {n: rng.normal(size=s).astype(np.float32) * 0.5 for n, s in shapes.items()}
    names = ["Sigmoid", "Tanh", activation]
    nodes = [
        helper.make_node("LSTM", ["x", *weights], ["y3"], hidden_size=4, activations=names),
        helper.make_node("Squeeze", ["y3", "one"], ["ys" if clip else "y"]),
    ]
    if clip:
        nodes += [
            helper.make_node("Cast", ["ys"], ["whole"], to=TensorProto.INT32),
            helper.make_node("Clip", ["whole", "zero"], ["clipped"], name="clip"),
            helper.make_node("Cast", ["clipped"], ["kept"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["ys", "kept"], ["y"]),
        ]
    held = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    held.append(numpy_helper.from_array(np.array([1], np.int64), "one"))
    held.append(numpy_helper.from_array(np.array(0, np.int32), "zero"))
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["time", "batch", FEATURES])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["time", "batch", 4])],
        held,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@pytest.mark.parametrize("target", TARGETS)
def test_an_adopted_model_is_built_for_each_target(target: str, tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    report = export_foreign(of_model(small_lstm()), {"float32": out}, target=target)["float32"]
    assert report.passed
    manifest = open_bundle(out).manifest
    assert manifest.target == target
    assert ("size" in manifest.evidence) == (target == "mobile")
    with treadle.load(out) as model:
        assert verify(model).passed


def test_an_activation_that_falls_back_is_lowered_for_cuda(tmp_path: Path) -> None:
    """The engine's kernel for GPUs has the default activations only."""
    lowerings = {}
    for target in ("cpu", "cuda"):
        out = tmp_path / f"{target}.treadle"
        export_foreign(of_model(small_lstm(activation="Softsign")), {"float32": out}, target=target)
        lowerings[target] = open_bundle(out).manifest.plan["step"][0]["lowering"]
    assert lowerings == {"cpu": "fused", "cuda": "cell"}


def test_an_operator_without_a_kernel_leaves_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    foreign = of_model(small_lstm(clip=True))
    with pytest.raises(UnsupportedGraph, match=r"target cuda runs, got ai\.onnx:Clip .*\(int32\)"):
        export_foreign(foreign, {"float32": out}, target="cuda")
    assert list(tmp_path.iterdir()) == []


def test_requantize_writes_for_a_target(exported: Exported, tmp_path: Path) -> None:
    out = tmp_path / "x.treadle"
    requantize(exported[0]["float32"], out, "int8-block", target="cuda", quality_limit=10)
    found = open_bundle(out).manifest
    assert (found.target, found.precision) == ("cuda", "int8-block")
    assert not found.evidence["invariance"]["promised"]
    model = onnx.load(out / "step.onnx", load_external_data=False)
    assert {(o.domain, o.version) for o in model.opset_import} == {("", 18), ("com.microsoft", 1)}
    products = [node for node in model.graph.node if node.op_type == "MatMulNBits"]
    assert products
    assert all(len(node.input) == 3 for node in products)


def test_the_same_graphs_are_the_same_model(exported: Exported, tmp_path: Path) -> None:
    """A snapshot taken on a server goes on in a browser or on Arm."""
    digests = set()
    for target in ("cpu", "arm64", "web"):
        out = tmp_path / f"{target}.treadle"
        requantize(exported[0]["float32"], out, "float16", target=target, quality_limit=10)
        digests.add(open_bundle(out).manifest.digest)
    assert len(digests) == 1


class Asked(Exception):  # noqa: N818 - not an error: what a command asked for
    """Raised in place of the export."""


@pytest.mark.parametrize(
    ("arguments", "precision", "target"),
    [
        ([], "float32", "cpu"),
        (["--target", "web"], "float32", "web"),
        (["--target", "cuda"], "float16", "cuda"),
        (["--target", "mobile"], "int8", "mobile"),
        (["--target", "cuda", "--precision", "int4-block"], "int4-block", "cuda"),
    ],
)
@pytest.mark.parametrize("command", [export, adopt])
def test_a_target_has_a_precision_of_its_own(
    command: click.Command,
    arguments: list[str],
    precision: str,
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def ask(_source: Any, outs: dict[str, Any], **options: Any) -> None:
        raise Asked(list(outs), options["target"])

    monkeypatch.setattr("treadle_export.exporting.exporter.export_run", ask)
    monkeypatch.setattr("treadle_export.exporting.adopting.export_foreign", ask)
    monkeypatch.setattr("treadle_train.run.load_run", lambda path: path)
    monkeypatch.setattr("treadle_export.sources.opening.open_source", lambda source, **_: source)
    words = ["somewhere", "--out", str(tmp_path / "x.treadle"), *arguments]
    with pytest.raises(Asked) as asked:
        command.main(words, standalone_mode=False)
    assert asked.value.args == ([precision], target)


def test_an_unknown_target_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "x.treadle")
    assert run(["export", "somewhere", "--out", out, "--target", "tpu", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["type"] == "ExportError"
    assert told["message"].startswith("expected a target of cpu, arm64, web, cuda, mobile")
