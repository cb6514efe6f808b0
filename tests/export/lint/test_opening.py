"""What is no ONNX model, or only a part of one, is an error in words and never a traceback."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from onnx import TensorProto, helper

from tests.export.lint.graphs import streaming, without_inputs
from tests.export.lint.nested_graphs import chosen, in_functions, looped
from treadle.errors import ExportError, UnsupportedGraph
from treadle_export.lint import lint

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from onnx import ModelProto

FLIPS = 400


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"got no file .*no-such\.onnx; check the path"):
        lint(tmp_path / "no-such.onnx")


def test_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"got the directory .*; name the file in it"):
        lint(tmp_path)


def test_an_impossible_path() -> None:
    with pytest.raises(ExportError, match="cannot read"):
        lint("model\0.onnx")


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.onnx"
    path.touch()
    with pytest.raises(ExportError, match="0 bytes; export or fetch it again"):
        lint(path)


@pytest.mark.parametrize(
    "content",
    [b"#!/bin/sh\nexit 0\n", b"PK\x03\x04" + bytes(60), bytes(100), b"{}", b"\x08\x0a"],
    ids=["text", "zip", "zeros", "json", "a version and nothing else"],
)
def test_files_of_other_kinds(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(content)
    with pytest.raises(ExportError, match="expected an ONNX"):
        lint(path)


def test_the_format_of_onnxruntime_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.ort"
    path.write_bytes(b"\x24\0\0\0ORTM" + bytes(100))
    with pytest.raises(ExportError, match="onnxruntime's own format"):
        lint(path)


def test_a_file_that_is_cut_short_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    whole = streaming("GRU").SerializeToString()
    for end in range(1, len(whole), 29):
        path.write_bytes(whole[:end])
        with pytest.raises(ExportError, match="cut short"):
            lint(path)


def test_a_graph_without_opsets_is_cut_short(tmp_path: Path) -> None:
    # Opsets are written behind the graph: a file may be cut exactly between them.
    path, made = tmp_path / "model.onnx", streaming()
    del made.opset_import[:]
    path.write_bytes(made.SerializeToString())
    with pytest.raises(ExportError, match="one without an opset"):
        lint(path)


def test_a_graph_that_contradicts_itself_is_unsupported(tmp_path: Path) -> None:
    path, made = tmp_path / "model.onnx", streaming()
    made.graph.initializer[0].data_type = 1000
    path.write_bytes(made.SerializeToString())
    expected = r"expected a valid ONNX graph in .*: 1000 is not a valid DataType; check it with"
    with pytest.raises(UnsupportedGraph, match=expected):
        lint(path)


def test_a_value_that_nothing_makes_is_named(tmp_path: Path) -> None:
    path, made = tmp_path / "model.onnx", without_inputs(streaming(), "x")
    made.graph.node[0].input[0] = "x"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(UnsupportedGraph, match="nothing makes the value 'x'"):
        lint(path)


def test_a_sparse_initializer_makes_its_value(tmp_path: Path) -> None:
    path, made = tmp_path / "model.onnx", streaming()
    (weights,) = [value for value in made.graph.initializer if value.name == "W"]
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("W", TensorProto.FLOAT, [1], [0.5]),
        helper.make_tensor("places", TensorProto.INT64, [1], [3]),
        weights.dims,
    )
    made.graph.sparse_initializer.append(sparse)
    made.graph.initializer.remove(weights)
    path.write_bytes(made.SerializeToString())
    assert lint(path).recurrent_layers == 1


def test_names_that_are_no_text_are_damage(tmp_path: Path) -> None:
    path, content = tmp_path / "model.onnx", streaming().SerializeToString()
    path.write_bytes(content.replace(b"LSTM", b"LST\xff"))
    with pytest.raises(ExportError, match="names are no text: it is damaged"):
        lint(path)


def test_nothing_is_logged_about_a_damaged_graph(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, made = tmp_path / "model.onnx", streaming()
    made.graph.output[0].name = "nowhere"
    path.write_bytes(made.SerializeToString())
    with pytest.raises(UnsupportedGraph, match="nothing makes the value 'nowhere'"):
        lint(path)
    assert capfd.readouterr() == ("", "")


def test_values_that_go_in_circles_are_not_followed_for_ever(tmp_path: Path) -> None:
    path, made = tmp_path / "model.onnx", streaming("GRU")
    made.graph.node[0].input[1] = "turned"  # W
    made.graph.node[0].input[5] = "h_out"  # its own final state
    made.graph.node.add(op_type="Transpose", input=["returned"], output=["turned"])
    made.graph.node.add(op_type="Transpose", input=["turned"], output=["returned"])
    path.write_bytes(made.SerializeToString())
    assert lint(path).recurrent_layers == 1


@pytest.mark.parametrize("seed", range(4))
def test_flipped_bits_are_an_error_or_a_report(seed: int, tmp_path: Path) -> None:
    # In a process of its own: what is feared is that it dies.
    made = subprocess.run(
        [sys.executable, "-m", "tests.export.lint.test_opening", str(tmp_path), str(seed)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stderr
    refused = int(made.stdout)
    assert 0 < refused < FLIPS


def lint_damaged(path: Path, make: Callable[[], ModelProto], seed: int) -> int:
    """Flips a bit, or cuts a piece out, again and again; how many were refused."""
    content = make().SerializeToString()
    chance, refused = random.Random(seed), 0
    for _ in range(FLIPS):
        damaged = bytearray(content)
        place = chance.randrange(len(damaged))
        if chance.random() < 0.8:
            damaged[place] ^= 1 << chance.randrange(8)
        else:
            del damaged[place : place + chance.randrange(1, 9)]
        path.write_bytes(damaged)
        try:
            lint(path)
        except ExportError:
            refused += 1
    return refused


if __name__ == "__main__":
    from pathlib import Path

    MAKERS = (streaming, looped, chosen, in_functions)
    NUMBER = int(sys.argv[2])
    print(lint_damaged(Path(sys.argv[1]) / "damaged.onnx", MAKERS[NUMBER], NUMBER))
