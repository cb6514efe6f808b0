"""A bundle as one file: the same bytes twice, whole or not at all; commands take it."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import treadle
from tests.runtime.tiny_bundles import reseal
from treadle import cli
from treadle.errors import BundleError
from treadle.golden import Golden

pytest.importorskip("onnxruntime")


def test_the_same_bundle_gives_the_same_bytes(
    directory: Path, packed: Path, tmp_path: Path
) -> None:
    copy = tmp_path / directory.name
    copy.mkdir()
    for path in sorted(directory.iterdir(), reverse=True):
        (copy / path.name).write_bytes(path.read_bytes())
        os.utime(copy / path.name, (0, 2_000_000_000))
        (copy / path.name).chmod(0o600)
    again = treadle.pack(copy)
    assert again == tmp_path / f"{directory.name}.zip"
    assert again.read_bytes() == packed.read_bytes()
    with zipfile.ZipFile(again) as archive:
        names = archive.namelist()
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    assert names == ["manifest.json", *sorted(set(names) - {"manifest.json"})]


def test_pack_refuses(directory: Path, packed: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(directory, tmp_path / "copy.treadle"))
    out = tmp_path / "out.zip"
    out.write_bytes(b"mine")
    with pytest.raises(BundleError, match=r"out\.zip exists already"):
        treadle.pack(copy, out)
    assert out.read_bytes() == b"mine"
    with pytest.raises(BundleError, match="expected a bundle as a directory, got the file"):
        treadle.pack(packed, out, force=True)
    (copy / "step.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match=r"step\.onnx has 0 bytes"):
        treadle.pack(copy, out, force=True)
    with pytest.raises(BundleError, match=r"cannot write .*nowhere.*choose another place"):
        treadle.pack(directory, tmp_path / "nowhere" / "out.zip")
    assert out.read_bytes() == b"mine"
    treadle.pack(directory, out, force=True)
    assert out.read_bytes() == packed.read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"copy.treadle", "out.zip"}


def test_a_full_disk_leaves_what_was_there(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.zip"
    out.write_bytes(b"mine")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match=r"cannot write .*No space left on device"):
        treadle.pack(directory, out, force=True)
    assert out.read_bytes() == b"mine"
    assert list(tmp_path.iterdir()) == [out]


def full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_large_files_get_room_for_their_sizes(
    directory: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every file were larger than a plain zip can hold.
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 10)
    out = treadle.pack(directory, tmp_path / "large.zip")
    assert out.stat().st_size > packed.stat().st_size
    with treadle.open_bundle(out) as bundle:
        assert bundle.manifest == treadle.open_bundle(directory).manifest


def test_a_manifest_may_be_large_but_not_larger_than_is_read(
    directory: Path, tmp_path: Path
) -> None:
    bundle = Path(shutil.copytree(directory, tmp_path / "x.treadle"))
    path = bundle / "manifest.json"
    content = path.read_bytes()
    path.write_bytes(content + b" " * ((4 << 20) - len(content)))
    with treadle.open_bundle(treadle.pack(bundle)) as opened:
        assert opened.manifest.name == "tiny-characters"
    path.write_bytes(content + b" " * ((4 << 20) + 1 - len(content)))
    with pytest.raises(BundleError, match="manifest of at most 4194304 bytes, got 4194305"):
        treadle.pack(bundle, force=True)


def test_the_command_pack(
    directory: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = str(shutil.copytree(directory, tmp_path / "x.treadle"))
    assert cli.run(["pack", source]) == 0
    out = tmp_path / "x.treadle.zip"
    size = out.stat().st_size
    assert capsys.readouterr().out == f"{out}, {size:,} bytes\n"
    assert cli.run(["pack", source, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["type"] == "BundleError"
    assert cli.run(["pack", source, "--out", str(out), "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": str(out), "bytes": size}


@pytest.fixture(scope="module")
def proven(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle with a golden trace and a text to be judged by."""
    folder = tmp_path_factory.mktemp("proven")
    bundle = Path(shutil.copytree(directory, folder / "x.treadle"))
    (folder / "text.txt").write_text("abc defg had a fed cab\n" * 20)
    (bundle / "golden.npz").write_bytes(recorded(directory).to_bytes())
    document = json.loads((bundle / "manifest.json").read_text())
    document["files"]["golden.npz"] = {}
    document["evaluation"] = {
        "dataset": "text",
        "options": {"path": str(folder / "text.txt")},
        "metric": "bits_per_character",
    }
    reseal(bundle, document)
    return bundle


def recorded(bundle: Path) -> Golden:
    """A trace of 24 steps, each a checkpoint, as the bundle itself takes them."""
    inputs = np.arange(24) % 7 + 1
    states, after, rows = [], [], []
    with treadle.load(bundle) as model, model.stream() as stream:
        for token in inputs.reshape(-1, 1):
            states.append(stream.state())
            rows.append(stream.step(token)[0])
            after.append(stream.state())
    outputs, steps = np.stack(rows), np.arange(len(inputs))
    stages = ("torch", "bundle")
    return Golden(
        source=np.zeros(0, np.int64),
        inputs=inputs,
        choices=dict.fromkeys(stages, outputs.argmax(1)),
        checkpoints=steps,
        columns=np.arange(outputs.shape[1]),
        outputs=dict.fromkeys(stages, outputs),
        state={name: np.stack([state[name][0] for state in states]) for name in states[0]},
        next_state={name: np.stack([state[name][0] for state in after]) for name in after[0]},
    )


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("inspect", []),
        ("inspect", ["--json"]),
        ("verify", ["--json"]),
        ("evaluate", ["--limit", "20", "--json"]),
        ("run", ["--max-length", "9", "abc"]),
    ],
)
def test_commands_take_a_packed_bundle(
    proven: Path,
    tmp_path: Path,
    temporary: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    arguments: list[str],
) -> None:
    out = treadle.pack(proven, tmp_path / "proven.zip")
    shown = []
    for bundle in (proven, out):
        assert cli.run([name, str(bundle), *arguments]) == 0
        shown.append(without_time(capsys.readouterr().out))
    assert shown[0] == shown[1]
    assert len(shown[0]) > 10
    assert list(temporary.iterdir()) == []


def without_time(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if '"seconds"' not in line)
