"""Denormal numbers count as zero where that was asked for, or the caller hears that they do not."""

import json
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.runtime.tiny_bundles import write_language_model
from treadle.denormals import check_flushing, flushes_denormals
from treadle.errors import DeviceError
from treadle.loading import load

# What is tried holds for a whole process, so each order of models has one of its own.
IN_A_PROCESS = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from treadle import load
from treadle.denormals import flushes_denormals
from treadle.errors import DeviceError
from treadle.session import Hardware, open_session

bundle, halving, order = sys.argv[1:]

def refusal(call):
    try:
        call()
    except DeviceError as error:
        return str(error)

# A thread that began before the first session; one that begins later starts as its maker is.
earlier = ThreadPoolExecutor(1)
earlier.submit(int).result()

def halved(hardware):
    session = open_session(halving, hardware)
    return float(session.run(None, {"x": np.full(8, 1e-39, np.float32)})[0].max())

for keep in order[:-1]:
    load(bundle, denormals=keep == "k").stream()
model = load(bundle, denormals=order[-1] == "k")
print(json.dumps({
    "refusal": refusal(model.stream),
    "elsewhere": earlier.submit(refusal, model.stream).result(),
    "later": ThreadPoolExecutor(1).submit(refusal, model.stream).result(),
    "numpy": flushes_denormals(),
    "engine": halved(Hardware(denormals=False)) == 0,
    "said": str(model.engine()) if refusal(model.stream) is None else "",
}))
"""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_language_model(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def halving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph that says half of each of 8 numbers."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [8]) for name in "xy")
    half = helper.make_tensor("half", TensorProto.FLOAT, [], [0.5])
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["y"])], "g", [x], [y], [half]
    )
    path = tmp_path_factory.mktemp("halving") / "halving.onnx"
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def _found(bundle: Path, halving: Path, order: str) -> dict[str, object]:
    command = [sys.executable, "-c", IN_A_PROCESS, str(bundle), str(halving), order]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_this_thread_keeps_them(bundle: Path) -> None:
    assert not flushes_denormals()
    assert np.float32(1e-39) * np.float32(0.5) != 0
    with pytest.raises(DeviceError, match=r"denormals=False was asked for, but this thread keeps"):
        check_flushing()


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64"), reason="the engine flushes on x86 alone"
)
def test_the_first_model_of_a_process_flushes_in_its_thread(bundle: Path, halving: Path) -> None:
    found = _found(bundle, halving, "f")
    assert found["refusal"] is None
    assert found["numpy"]
    assert found["engine"]
    assert str(found["said"]).endswith("an arena, no denormals")
    assert "this thread keeps denormal numbers" in str(found["elsewhere"])
    assert found["later"] is None or platform.system() != "Linux"


def test_after_a_model_that_keeps_them_it_is_refused(bundle: Path, halving: Path) -> None:
    found = _found(bundle, halving, "kf")
    assert "before all others" in str(found["refusal"])
    assert not found["numpy"]
    assert not found["engine"]


def test_a_pool_of_such_a_model_is_refused(bundle: Path) -> None:
    refused = pytest.raises(DeviceError, match="a pool computes in the threads of its callers")
    with load(bundle, denormals=False) as model, refused:
        model.pool(2)
