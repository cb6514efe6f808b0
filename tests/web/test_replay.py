"""The golden trace of an exported bundle, replayed by treadle.js."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import numpy_helper

from tests.runtime.fuzzing.sound import with_a_golden_trace
from tests.runtime.tiny_bundles import reseal
from treadle.golden import GOLDEN_FILE, Golden
from treadle.tolerances import tolerance

if TYPE_CHECKING:
    from tests.web.conftest import Ask


def test_every_precision_is_within_its_tolerance(exported: dict[str, str], ask: Ask) -> None:
    jobs = [{"do": "replay", "bundle": path} for path in exported.values()]
    for precision, found in zip(exported, ask(jobs), strict=True):
        allowed = tolerance("stream", precision)
        golden = Golden.from_bytes((Path(exported[precision]) / GOLDEN_FILE).read_bytes())
        outputs, states = scale(golden.outputs), scale(golden.next_state)
        assert found["steps"] == len(golden.inputs) >= 1000
        assert found["checkpoints"] == len(golden.checkpoints) >= 1
        assert found["flips"] <= allowed.flips * found["steps"], (precision, found)
        assert found["outputs"] <= allowed.outputs * outputs, (precision, found)
        assert found["states"] <= allowed.absolute * states, (precision, found)


def scale(arrays: dict[str, Any]) -> float:
    """What a tolerance is multiplied with: the largest value, at least 1 (`treadle.ladder`)."""
    return max(1.0, *(float(np.abs(array).max()) for array in arrays.values()))


def test_a_trace_that_is_another_models_shows(tmp_path: Path, ask: Ask) -> None:
    """The same trace, but the graph answers otherwise: differences and flips are counted."""
    sound = with_a_golden_trace(tmp_path)
    other = Path(shutil.copytree(sound, tmp_path / "other.treadle"))
    _answer_otherwise(other)
    of_sound, of_other = ask([{"do": "replay", "bundle": str(path)} for path in (sound, other)])
    assert of_sound["flips"] == 0
    assert of_sound["outputs"] < tolerance("stream", "float32").outputs
    assert of_other["flips"] > 0
    assert of_other["outputs"] > 0.01


def _answer_otherwise(bundle: Path) -> None:
    model = onnx.load(bundle / "step.onnx")
    for tensor in model.graph.initializer:
        if tensor.name == "output.bias":
            turned = numpy_helper.to_array(tensor)[::-1]
            tensor.CopyFrom(numpy_helper.from_array(turned, tensor.name))
    onnx.save(model, bundle / "step.onnx")
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))


def test_a_bundle_without_a_trace_says_so(bundles: dict[str, str], ask: Ask) -> None:
    [found] = ask([{"do": "replay", "bundle": bundles["characters"]}])
    assert found["error"] == "BundleError"
    assert "expected a golden trace golden.npz" in found["message"]
