"""What a graph file may not ask of an engine, whatever the engine itself would make of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.external_data_helper import convert_model_to_external_data

import treadle
from tests.runtime.tiny_bundles import reseal, write_language_model, write_whole_sequence
from treadle.bundle import open_bundle
from treadle.graph_file import check_graph_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """Its weights lie in files of their own, step.bin and sequence.bin."""
    bundle = write_language_model(tmp_path)
    for graph in ("step", "sequence"):
        model = onnx.load(bundle / f"{graph}.onnx")
        convert_model_to_external_data(model, location=f"{graph}.bin", size_threshold=64)
        onnx.save(model, bundle / f"{graph}.onnx")
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["files"] |= {name: {"sha256": "", "bytes": 0} for name in ("step.bin", "sequence.bin")}
    reseal(bundle, document)
    return bundle


def edit(bundle: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change the step graph and seal the bundle anew."""
    model = onnx.load(bundle / "step.onnx", load_external_data=False)
    change(model)
    (bundle / "step.onnx").write_bytes(model.SerializeToString())
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))


def refused(bundle: Path, words: str) -> None:
    with (
        treadle.load(bundle) as model,
        pytest.raises(treadle.BundleError, match=words) as caught,
    ):
        model.stream()
    assert "step.onnx is not a sound ONNX file" in str(caught.value)


def place(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    """Give the first array that lies in another file another place there."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.external_data)
        for entry in tensor.external_data:
            if entry.key == key:
                entry.value = value

    return change


def test_weights_in_listed_files_are_read(bundle: Path) -> None:
    with treadle.load(bundle) as model:
        assert model.stream().step(np.array([1])).shape == (1, 11)


@pytest.mark.parametrize(
    "location",
    [
        "../outside.bin",
        "/etc/passwd",
        "unlisted.bin",
        "link.bin",
        "manifest.json",
        "",
        "*/_ORT_MEM_ADDR_/*",
    ],
)
def test_weights_anywhere_else_are_not(bundle: Path, location: str) -> None:
    weights = (bundle / "step.bin").read_bytes()
    for path in (bundle.parent / "outside.bin", bundle / "unlisted.bin"):
        path.write_bytes(weights)
    if hasattr(os, "symlink"):
        (bundle / "link.bin").symlink_to(bundle.parent / "outside.bin")
    edit(bundle, place("location", location))
    refused(bundle, "which is not in files of the model")


def test_weights_in_a_file_of_evidence_would_not_be_in_the_digest(bundle: Path) -> None:
    (bundle / "golden.npz").write_bytes((bundle / "step.bin").read_bytes())
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["files"]["golden.npz"] = {"sha256": "", "bytes": 0}
    reseal(bundle, document)
    edit(bundle, place("location", "golden.npz"))
    refused(bundle, r"'golden.npz', which is not in files of the model")


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("offset", "-1", "has the offset '-1'"),
        ("offset", "1e3", "has the offset '1e3'"),
        ("offset", "9" * 30, "has the offset '999"),
        ("offset", "999999", r"from byte 999999 of step.bin, which has \d+;"),
        ("length", "0", "and takes 0 from"),
        ("length", str(2**62), f"and takes {2**62} from"),
    ],
)
def test_places_beyond_the_file(bundle: Path, key: str, value: str, words: str) -> None:
    edit(bundle, place(key, value))
    refused(bundle, words)


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ([-1], "has a negative size"),
        ([2**20, 2**12], "needs 17179869184 bytes, but has 352"),
        ([2**62, 2**62], r"needs \d+ bytes, but has 352"),
    ],
)
def test_sizes_that_the_file_does_not_have(tmp_path: Path, dims: list[int], words: str) -> None:
    bundle = write_language_model(tmp_path)

    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        del tensor.dims[:]
        tensor.dims.extend(dims)

    edit(bundle, change)
    refused(bundle, words)


@pytest.mark.parametrize(
    "fields",
    [{"raw_data": b"1"}, {"float_data": [1.0]}, {"data_location": TensorProto.DEFAULT}],
)
def test_an_array_lies_in_one_place(bundle: Path, fields: dict[str, Any]) -> None:
    """An engine would read the one that was not looked at."""

    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.external_data)
        tensor.MergeFrom(onnx.TensorProto(**fields))
        tensor.data_location = fields.get("data_location", TensorProto.EXTERNAL)

    edit(bundle, change)
    refused(bundle, "lies in this file and in another one")


def test_text_lies_in_no_other_file(bundle: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        tensor = next(t for t in model.graph.initializer if t.external_data)
        tensor.data_type = TensorProto.STRING

    edit(bundle, change)
    refused(bundle, "has the type 8, which cannot be")


def first_array(**fields: Any) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].CopyFrom(onnx.TensorProto(name="w", **fields))

    return change


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        # Engines before 1.23 read beyond what is there, and died of it.
        ({"dims": [1], "data_type": 7, "raw_data": b"1"}, "needs 8 bytes, but has 1"),
        ({"dims": [2], "data_type": 1, "float_data": [1.0]}, "needs 2 numbers, but has 1"),
        ({"dims": [3], "data_type": 22, "int32_data": [1]}, "needs 2 numbers, but has 1"),
        ({"dims": [2], "data_type": 14, "float_data": [1.0] * 3}, "needs 4 numbers, but has 3"),
        ({"dims": [2], "data_type": 7, "int64_data": [2**40]}, "needs 2 numbers, but has 1"),
        ({"dims": [2], "data_type": 7, "int32_data": [1, 2]}, "needs 2 numbers, but has 0"),
        ({"dims": [2], "data_type": 8, "string_data": [b"a"]}, "needs 2 numbers, but has 1"),
        ({"dims": [1], "data_type": 8, "raw_data": b"a"}, "has the type 8, which cannot be"),
        ({"dims": [0]}, "has the type 0, which cannot be"),
        ({"dims": [0], "data_type": -1}, "which cannot be"),
    ],
)
def test_an_array_has_just_what_it_needs(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    bundle = write_language_model(tmp_path)
    edit(bundle, first_array(**fields))
    refused(bundle, words)


@pytest.mark.parametrize("kind", [*range(1, 8), *range(9, 24)])
def test_arrays_of_every_type_are_sound(tmp_path: Path, kind: int) -> None:
    """As onnx writes them itself, as bytes and one by one."""
    bundle = write_language_model(tmp_path)
    for raw in (False, True):
        array = np.ones(3, helper.tensor_dtype_to_np_dtype(kind))
        if raw:
            tensor = onnx.numpy_helper.from_array(array, "w")
        else:
            tensor = helper.make_tensor("w", kind, [3], array)
        edit(bundle, lambda model: model.graph.initializer[0].CopyFrom(tensor))  # noqa: B023
        check_graph_file(open_bundle(bundle), "step.onnx")


def test_an_attribute_has_one_array(tmp_path: Path) -> None:
    """Two would be joined: here four bytes, of which the second part leaves one."""
    bundle = write_language_model(tmp_path)
    parts = [onnx.TensorProto(dims=[n], data_type=2, raw_data=bytes(n)) for n in (4, 1)]
    attribute = onnx.AttributeProto(name="value", type=onnx.AttributeProto.TENSOR)
    content = attribute.SerializeToString()
    for part in parts:
        made = part.SerializeToString()
        content += bytes([5 << 3 | 2, len(made)]) + made
    for number in (5, 1, 7):  # an attribute of a node of the graph
        content = bytes([number << 3 | 2, len(content)]) + content
    (bundle / "step.onnx").write_bytes(content)
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))
    refused(bundle, "an attribute with two arrays")


def add_functions(model: onnx.ModelProto) -> None:
    """Forty of them, each calling the next one twice: an engine that inlines them never ends."""
    for level in range(40):
        call = helper.make_node(f"f{level + 1}", ["a"], ["b"], domain="own")
        opsets = [helper.make_opsetid("own", 1), helper.make_opsetid("", 21)]
        model.functions.append(
            helper.make_function("own", f"f{level}", ["a"], ["b"], [call, call], opsets)
        )


def add_loop(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"]))


def add_hidden_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Loop", ["", ""], ["never"])], "body", [], [])
    model.graph.node.append(helper.make_node("If", ["active"], ["y"], then_branch=body))


def add_sparse(model: onnx.ModelProto) -> None:
    """A few numbers that stand for an array of any size."""
    values = onnx.TensorProto(name="sparse", data_type=1, dims=[1], float_data=[1.0])
    model.graph.sparse_initializer.append(onnx.SparseTensorProto(values=values, dims=[2**40]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add_functions, "functions of its own"),
        (lambda model: model.training_info.add(), "training"),
        (add_loop, "a Loop, which may never end"),
        (add_hidden_loop, "a Loop, which may never end"),
        (add_sparse, "a sparse array"),
    ],
)
def test_what_takes_any_time_or_memory(
    bundle: Path, change: Callable[[onnx.ModelProto], object], words: str
) -> None:
    edit(bundle, change)
    refused(bundle, words)


def test_a_graph_may_nest_as_deep_as_it_likes(bundle: Path) -> None:
    """Protobuf's own limit is the engine's business; ours must not be Python's."""
    content = b""
    for _ in range(3000):  # a graph's node's attribute's graph
        for number in (6, 5, 1):
            content = bytes([number << 3 | 2, *_varint(len(content))]) + content
    (bundle / "step.onnx").write_bytes(bytes([7 << 3 | 2, *_varint(len(content))]) + content)
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))
    with treadle.load(bundle) as model, pytest.raises(treadle.BundleError):
        model.stream()


def test_graphs_without_a_step_are_looked_at_too(tmp_path: Path) -> None:
    bundle = write_whole_sequence(tmp_path)
    (bundle / "sequence.onnx").write_bytes(b"\x0b")
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))
    with (
        treadle.load(bundle) as model,
        pytest.raises(treadle.BundleError, match="not a sound ONNX file"),
    ):
        model.read(np.zeros((1, 2, 5), np.float32))


def _varint(number: int) -> list[int]:
    made = []
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    return [*made, number]
