"""The sound bundles that are corrupted: one of every kind of file and of task, held in memory."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx.external_data_helper import convert_model_to_external_data

from tests.runtime.tiny_bundles import (
    FEATURES,
    HIDDEN,
    reseal,
    start_from_file,
    write_generator,
    write_language_model,
    write_transducer,
    write_whole_sequence,
)
from treadle.golden import GOLDEN_FILE, Golden
from treadle.loading import load
from treadle_export.targets.ort_format import in_order

if TYPE_CHECKING:
    from collections.abc import Callable

Files = dict[str, bytes]


def sound_bundles() -> dict[str, Files]:
    """Kind of bundle -> name of a file -> its content; the same on every run."""
    with tempfile.TemporaryDirectory() as scratch:
        return {
            kind: {path.name: path.read_bytes() for path in sorted(write(Path(scratch)).iterdir())}
            for kind, write in _WRITERS.items()
        }


def _with_rows_of_its_own(directory: Path) -> Path:
    bundle = write_language_model(directory, name="features", features=FEATURES)
    return start_from_file(bundle, {"recurrent.0.hidden": np.full(HIDDEN, 0.5, np.float32)})


def _with_a_weight_file(directory: Path) -> Path:
    bundle = write_language_model(directory, name="weights")
    for graph in ("step", "sequence"):
        model = onnx.load(bundle / f"{graph}.onnx")
        # Constants that a shape depends on stay inside: the engine demands it.
        convert_model_to_external_data(model, location=f"{graph}.bin", size_threshold=64)
        onnx.save(model, bundle / f"{graph}.onnx")
    return _resealed(bundle, [f"{graph}.bin" for graph in ("step", "sequence")])


def _for_a_phone(directory: Path) -> Path:
    import onnxruntime

    bundle = write_language_model(directory, name="phone")
    for graph in ("step", "sequence"):
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(bundle / f"{graph}.ort")
        options.add_session_config_entry("session.save_model_format", "ORT")
        onnxruntime.InferenceSession(bundle / f"{graph}.onnx", options)
        # The engine writes a part in the order of a hash table; a case must be the same again.
        written = (bundle / f"{graph}.ort").read_bytes()
        (bundle / f"{graph}.ort").write_bytes(in_order(written))
        (bundle / f"{graph}.onnx").unlink()
    return _resealed(bundle, ["step.ort", "sequence.ort"])


def with_a_golden_trace(directory: Path) -> Path:
    """A transducer with a trace of its own answers."""
    bundle = write_transducer(directory, name="golden")
    inputs, places = np.arange(30, dtype=np.int64) % 9, np.array([0, 7, 20])
    source = np.array([1, 2, 3], np.int64)
    with load(bundle) as model, model.stream([source.tolist()]) as stream:
        states, outputs = [], []
        for x in inputs[:, None]:
            states.append(stream.state())
            outputs.append(stream.step(x)[0])
        states.append(stream.state())
    state = {name: np.stack([states[p][name][0] for p in places]) for name in states[0]}
    after = {name: np.stack([states[p + 1][name][0] for p in places]) for name in states[0]}
    kept = np.stack(outputs)[places]
    choices = np.array([output.argmax() for output in outputs])
    golden = Golden(
        source=source,
        inputs=inputs,
        choices={"torch": choices, "bundle": choices},
        checkpoints=places,
        columns=np.arange(len(kept[0])),
        outputs={"torch": kept, "bundle": kept},
        state=state,
        next_state=after,
    )
    (bundle / GOLDEN_FILE).write_bytes(golden.to_bytes())
    return _resealed(bundle, [GOLDEN_FILE])


def _resealed(bundle: Path, files: list[str]) -> Path:
    """With more files; graphs are those in ORT format where there are any."""
    document: dict[str, Any] = json.loads((bundle / "manifest.json").read_text("utf-8"))
    listed = [name for name in document["files"] if (bundle / name).exists()]
    document["files"] = {name: {"sha256": "", "bytes": 0} for name in (*listed, *files)}
    for name, graph in document["graphs"].items():
        graph["file"] = f"{name}.ort" if f"{name}.ort" in files else graph["file"]
    reseal(bundle, document)
    return bundle


_WRITERS: dict[str, Callable[[Path], Path]] = {
    "characters": write_language_model,
    "rows": _with_rows_of_its_own,
    "weights": _with_a_weight_file,
    "transducer": write_transducer,
    "generator": write_generator,
    "golden": with_a_golden_trace,
    "whole": write_whole_sequence,
    "phone": _for_a_phone,
}
