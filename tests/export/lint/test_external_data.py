"""Weights kept beside the file: there, missing, outside or cut short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from onnx import TensorProto, helper

from tests.export.lint.graphs import streaming
from treadle_export.lint import lint

if TYPE_CHECKING:
    from pathlib import Path

    from treadle_export.lint import Finding


def with_external_weights(directory: Path, location: str) -> Path:
    """A model in `directory`, its weights at `location` seen from there; returns its path."""
    made = streaming()
    path = directory / "model.onnx"
    blob = bytearray()
    for initializer in made.graph.initializer:
        place = {"location": location, "offset": len(blob), "length": len(initializer.raw_data)}
        blob += initializer.raw_data
        initializer.ClearField("raw_data")
        initializer.data_location = TensorProto.EXTERNAL
        for key, value in place.items():
            initializer.external_data.add(key=key, value=str(value))
    (directory / location).write_bytes(blob)
    path.write_bytes(made.SerializeToString())
    return path


def external(path: Path) -> list[Finding]:
    report = lint(path)
    found = [finding for finding in report.findings if finding.check == "external-data"]
    assert report.passed == (not found)
    assert {finding.severity for finding in found} <= {"error"}
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def test_data_beside_the_file_are_fine(home: Path) -> None:
    assert external(with_external_weights(home, "weights.bin")) == []


def test_data_in_a_folder_below_are_fine(home: Path) -> None:
    (home / "data").mkdir()
    assert external(with_external_weights(home, "data/weights.bin")) == []


def test_a_name_relative_to_where_one_stands_is_looked_for_beside_the_file(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_external_weights(home, "weights.bin")
    monkeypatch.chdir(home)
    assert lint("model.onnx").passed


def test_missing_data_are_named_once_a_file(home: Path) -> None:
    path = with_external_weights(home, "weights.bin")
    (home / "weights.bin").unlink()
    (found,) = external(path)
    assert found.message == "'weights.bin' is missing; it should hold 'W', 'R'"


def test_data_that_are_cut_short_name_the_tensors_concerned(home: Path) -> None:
    path = with_external_weights(home, "weights.bin")
    blob = (home / "weights.bin").read_bytes()
    (home / "weights.bin").write_bytes(blob[:-1])
    (found,) = external(path)
    expected = f"has {len(blob) - 1} bytes where {len(blob)} are needed; it should hold 'R'"
    assert expected in found.message


@pytest.mark.parametrize("location", ["../weights.bin", "folder/../../weights.bin"])
def test_data_outside_the_directory_are_an_error(home: Path, location: str) -> None:
    (home / "folder").mkdir()
    (found,) = external(with_external_weights(home, location))
    assert "lies outside the model's directory" in found.message


def test_an_absolute_path_is_outside(home: Path, tmp_path: Path) -> None:
    (found,) = external(with_external_weights(home, str(tmp_path / "weights.bin")))
    assert "lies outside the model's directory" in found.message


def test_a_link_that_leads_out_is_outside(home: Path, tmp_path: Path) -> None:
    path = with_external_weights(home, "weights.bin")
    (home / "weights.bin").rename(tmp_path / "elsewhere.bin")
    (home / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    (found,) = external(path)
    assert "lies outside the model's directory" in found.message


def test_a_constant_of_a_node_may_be_external_too(home: Path) -> None:
    path = with_external_weights(home, "weights.bin")
    (home / "weights.bin").unlink()
    made = streaming()
    value = TensorProto(dims=[2], data_type=TensorProto.FLOAT, name="inside")
    value.data_location = TensorProto.EXTERNAL
    value.external_data.add(key="location", value="weights.bin")
    made.graph.node.append(helper.make_node("Constant", [], ["constant"], value=value))
    path.write_bytes(made.SerializeToString())
    (found,) = external(path)
    assert "'weights.bin' is missing" in found.message
