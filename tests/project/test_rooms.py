"""The rooms of the architecture: who may import whom, and what the device loads."""

import json
import re
import subprocess
import sys

import pytest

from benchmarks.import_time import ImportTime, measure
from tests.project.repository import ROOMS, ROOT, imports

# What each room may import beside the standard library. `treadle` imports its engine and its
# data tools inside functions only, and `treadle_export` Keras, which tests below hold them to.
MAY_IMPORT = {
    "treadle": {
        *("treadle", "numpy", "click", "onnxruntime", "cryptography", "pooch"),
        *("conllu", "pyarrow", "yaml"),  # readers of data, each inside a function
        *(
            "sacrebleu",
            "mlperf_loadgen",
            "ray",
        ),  # inside functions
    },
    "treadle_train": {
        *("treadle", "treadle_train", "numpy", "click", "torch", "lightning", "torchmetrics"),
        *("safetensors", "matplotlib", "rich", "typing_extensions", "tokenizers"),
        "gensim",  # to read models of fastText, inside a function
    },
    "treadle_export": {
        *("treadle", "treadle_train", "treadle_export", "numpy", "click", "onnxruntime"),
        *("torch", "onnx", "onnx_ir", "onnxscript", "rich", "keras", "h5py", "safetensors"),
        "matplotlib",
        "google",  # google.protobuf, in which ONNX files are written
        "flatbuffers",  # in which files of ORT format are written
    },
}

NEWLY_LOADED = (
    "import json, sys; before = set(sys.modules); {statement}; "
    "print(json.dumps(sorted({{name.partition('.')[0] for name in set(sys.modules) - before}})))"
)


def loaded_by(statement: str) -> set[str]:
    """Top-level modules beyond the standard library that a new interpreter loads for it."""
    code = NEWLY_LOADED.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1])) - set(sys.stdlib_module_names)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_what_it_may(room: str) -> None:
    allowed = MAY_IMPORT[room] | set(sys.stdlib_module_names)
    strangers = [
        f"{place} {name}"
        for place, name in imports(ROOMS[room])
        if name.partition(".")[0] not in allowed
    ]
    assert strangers == []


def test_the_rooms_of_the_export_use_only_what_stands_above_them() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    table = text.partition("### `export/treadle_export`")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    order = [name for row in rows for name in re.findall(r"`(\w+)(?:\.py|/)`", row)]
    assert set(order) == {
        path.stem
        for path in ROOMS["treadle_export"].iterdir()
        if (path.suffix == ".py" or any(path.glob("*.py"))) and path.stem != "__init__"
    }
    strangers = []
    for place, module in imports(ROOMS["treadle_export"]):
        user = place.removeprefix("export/treadle_export/").partition(":")[0].split("/")[0]
        user, used = user.removesuffix(".py"), (*module.split("."), "")[1]
        # The package itself offers what its rooms make.
        if not module.startswith("treadle_export") or user in ("__init__", used):
            continue
        if used not in order[: order.index(user)]:
            strangers.append(f"{place} {module}")
    assert strangers == []


@pytest.mark.parametrize("statement", ["import treadle", "import treadle.errors"])
def test_importing_treadle_loads_no_engine_and_no_framework(statement: str) -> None:
    assert loaded_by(statement) <= {"treadle", "numpy"}


def test_the_command_line_starts_with_click_alone() -> None:
    assert loaded_by("import treadle.cli") <= {"treadle", "numpy", "click"}


def test_readers_of_data_are_loaded_when_their_files_are() -> None:
    assert loaded_by("import treadle.data, treadle.data.catalogue") <= {"treadle", "numpy"}
    assert "gensim" not in loaded_by("import treadle_train.embeddings")


def test_keras_is_loaded_when_a_keras_model_is() -> None:
    assert not {"keras", "h5py", "torch"} & loaded_by("import treadle_export.keras_models")


def test_the_import_benchmark_holds_to_its_budget() -> None:
    assert ImportTime(numpy_ms=50, treadle_ms=109, budget_ms=60, rounds=1).passed
    assert not ImportTime(numpy_ms=50, treadle_ms=111, budget_ms=60, rounds=1).passed


@pytest.mark.slow
def test_importing_treadle_stays_within_its_budget() -> None:
    result = measure(rounds=7)
    assert result.passed, result
