"""A packed bundle opens as its directory does, from anywhere, and leaves nothing behind."""

from __future__ import annotations

import gc
import importlib
import importlib.resources
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.runtime.tiny_bundles import reseal
from treadle.errors import BundleError, InputError, StateError
from treadle.unpacked import unpack_directory

if TYPE_CHECKING:
    from treadle.bundle import Source

pytest.importorskip("onnxruntime")


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def answers(source: Source) -> tuple[str, np.ndarray[Any, Any]]:
    with treadle.load(source) as model:
        return model.manifest.digest, model.stream().unroll(np.array([[1, 2, 3, 4]]))


def check_same(source: Source, directory: Path) -> None:
    (digest, logits), (expected_digest, expected) = answers(source), answers(directory)
    assert digest == expected_digest
    np.testing.assert_array_equal(logits, expected)


def test_a_packed_bundle_is_its_directory(directory: Path, packed: Path) -> None:
    check_same(packed, directory)
    check_same(str(packed), directory)
    check_same(packed.read_bytes(), directory)
    check_same(memoryview(packed.read_bytes()), directory)


def test_what_was_unpacked_goes_when_the_model_closes(packed: Path, temporary: Path) -> None:
    model = treadle.load(packed)
    (unpacked,) = temporary.iterdir()
    assert stat.S_IMODE(unpacked.stat().st_mode) == 0o700
    assert model.bundle.path == unpacked
    model.stream().step(np.array([1]))
    model.close()
    model.close()
    assert list(temporary.iterdir()) == []
    with pytest.raises(StateError, match="the bundle tiny-characters is closed; open it again"):
        model.bundle.read("step.onnx")


def test_what_was_unpacked_goes_with_the_last_who_needs_it(packed: Path, temporary: Path) -> None:
    model = treadle.load(packed)
    stream = model.stream()
    del model
    gc.collect()
    assert list(temporary.iterdir()) != []
    stream.step(np.array([1]))
    stream.unroll(np.array([[1, 2]]))  # opens the other graph
    del stream
    gc.collect()
    assert list(temporary.iterdir()) == []
    treadle.open_bundle(packed)
    gc.collect()
    assert list(temporary.iterdir()) == []
    with treadle.open_bundle(packed) as bundle:
        assert bundle.read("symbols.json")
        assert list(temporary.iterdir()) == [bundle.path]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("options", [{"device": "abacus"}, {"threads": 0}, {"unknown": "guess"}])
def test_what_was_unpacked_goes_when_opening_fails(
    packed: Path, temporary: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(InputError) as caught:
        treadle.load(packed, **options)
    # Also while the error is kept, and with it everything on its way.
    assert list(temporary.iterdir()) == []
    assert caught.tb is not None


def test_what_was_unpacked_goes_when_the_content_is_no_model(
    directory: Path, temporary: Path, tmp_path: Path
) -> None:
    forged = Path(shutil.copytree(directory, tmp_path / "forged.treadle"))
    (forged / "symbols.json").write_text("[]")
    reseal(forged, json.loads((forged / "manifest.json").read_text()))
    out = treadle.pack(forged)
    with pytest.raises(BundleError, match="a vocabulary of the format"):
        treadle.load(out)
    assert list(temporary.iterdir()) == []


def test_what_was_unpacked_goes_when_python_exits(packed: Path, temporary: Path) -> None:
    code = "import sys, treadle; model = treadle.load(sys.argv[1]); print(model.bundle.path)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(packed)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(str(temporary))
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_leaves_its_parent_the_files(packed: Path, temporary: Path) -> None:
    # In a process of its own: forking one with an engine's threads is asking for trouble.
    code = (
        "import os, sys, treadle\n"
        "bundle = treadle.open_bundle(sys.argv[1])\n"
        "if child := os.fork():\n"
        "    os.waitpid(child, 0)\n"
        "    print(bundle.path.is_dir())\n"
        "else:\n"
        "    sys.exit()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(packed)],
        env={**os.environ, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "True\n"


def test_a_full_temporary_disk_is_an_error_that_says_so(
    packed: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        words = r"cannot unpack .*x\.treadle\.zip, \d+ bytes.*No space left on device.*TMPDIR"
        with pytest.raises(BundleError, match=words):
            treadle.load(packed)
        assert list(temporary.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    with pytest.raises(BundleError, match=r"cannot unpack .*No such file.*TMPDIR"):
        treadle.load(packed)


@pytest.mark.parametrize("source", [5, None, ["x.treadle"]])
def test_what_is_no_source_is_refused(source: Any) -> None:
    with pytest.raises(InputError, match=r"expected the path .* got \w+"):
        treadle.load(source)


@pytest.mark.parametrize("zipped", [False, True], ids=["directory", "zipped"])
def test_a_bundle_in_a_package(
    directory: Path,
    packed: Path,
    temporary: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    zipped: bool,
) -> None:
    name = f"bundled_{'zipped' if zipped else 'plain'}"
    package = tmp_path / "site" / name
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    shutil.copytree(directory, package / "x.treadle")
    shutil.copy(packed, package / "x.treadle.zip")
    place = package.parent
    if zipped:
        made = shutil.make_archive(str(tmp_path / "site"), "zip", package.parent)
        place = Path(made)
    monkeypatch.syspath_prepend(str(place))
    resources = importlib.resources.files(importlib.import_module(name))
    assert isinstance(resources, Path) is not zipped
    check_same(resources / "x.treadle", directory)
    check_same(resources / "x.treadle.zip", directory)
    with pytest.raises(BundleError, match=r"nowhere\.treadle, got nothing; check the path"):
        treadle.load(resources / "nowhere.treadle")
    with pytest.raises(BundleError, match=r"__init__\.py, got a file that is no zip"):
        treadle.load(resources / "__init__.py")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        treadle.load(resources)
    assert list(temporary.iterdir()) == []


def test_a_resource_is_copied_no_further_than_its_manifest_says(
    directory: Path, temporary: Path, tmp_path: Path
) -> None:
    swollen = Path(shutil.copytree(directory, tmp_path / "x.treadle"))
    with (swollen / "sequence.onnx").open("ab") as file:
        file.write(b"x")
    # As a zipped package hands it out; a path of the file system is opened where it is.
    with zipfile.ZipFile(shutil.make_archive(str(tmp_path / "x"), "zip", swollen)) as archive:
        with pytest.raises(BundleError, match=r"sequence\.onnx has more bytes than its manifest"):
            unpack_directory(zipfile.Path(archive), "here")
        with pytest.raises(BundleError, match=r"sequence\.onnx has more bytes than its manifest"):
            treadle.load(zipfile.Path(archive))
    assert list(temporary.iterdir()) == []
