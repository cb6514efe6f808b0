"""What is in the wheel, and what it asks for."""

import subprocess
import sys
import zipfile
from email.parser import HeaderParser

import pytest

from tests.project.repository import ROOT, project


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling")
    directory = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "--target",
        "wheel",
        "-d",
        str(directory),
    ]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return zipfile.ZipFile(next(directory.glob("treadle-*.whl")))


def test_the_wheel_has_every_room_and_its_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    recipes = {f"treadle_train/recipes/{p.name}" for p in ROOT.glob("train/*/recipes/*.toml")}
    typed = {f"{room}/py.typed" for room in ("treadle", "treadle_train", "treadle_export")}
    assert recipes
    web = {
        f"treadle/web/{path.relative_to(ROOT / 'runtime/web').as_posix()}"
        for part in ("treadle.js", "src/*.js", "page/*")
        for path in ROOT.glob(f"runtime/web/{part}")
    }
    assert len(web) > 30
    assert recipes | typed | web | {"treadle/schema/manifest.schema.json"} <= names
    assert not any(name.startswith(("tests/", "benchmarks/", "docs/")) for name in names)


def test_the_wheel_has_every_module(wheel: zipfile.ZipFile) -> None:
    modules = {
        path.relative_to(room).as_posix()
        for room in (ROOT / "runtime", ROOT / "train", ROOT / "export")
        for path in room.rglob("*.py")
    }
    assert modules <= set(wheel.namelist())


def test_the_device_needs_numpy_and_click_alone(wheel: zipfile.ZipFile) -> None:
    name = next(name for name in wheel.namelist() if name.endswith("METADATA"))
    metadata = HeaderParser().parsestr(wheel.read(name).decode())
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert sorted(line.partition(">")[0] for line in needed) == ["click", "numpy"]
    assert metadata["License-Expression"] == "Apache-2.0"


def test_constraints_pin_everything_that_is_required() -> None:
    pinned = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line
    }
    table = project()["project"]
    groups = [table["dependencies"], *table["optional-dependencies"].values()]
    groups += project()["dependency-groups"].values()
    required = {line.partition(">")[0].partition("[")[0] for group in groups for line in group}
    # The GPU engine excludes the one the tests run with.
    assert required - pinned == {"treadle", "onnxruntime-gpu"}
