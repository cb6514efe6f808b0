"""treadle.js opens what Python opens, and refuses what is missing, changed, later or malformed."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import treadle
from tests.runtime.tiny_bundles import reseal
from treadle.bundle import open_bundle
from treadle.packing import pack

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.web.conftest import Ask


@pytest.fixture
def copy(bundles: dict[str, str], tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundles["pronounce"], tmp_path / "copy.treadle"))


def opened(ask: Ask, *paths: Path) -> list[Any]:
    return ask([{"do": "open", "bundle": str(path)} for path in paths])


def edited(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    change(document)
    (bundle / "manifest.json").write_text(json.dumps(document), "utf-8")


def test_digest_and_seal_are_computed_alike(copy: Path, ask: Ask) -> None:
    """Numbers, texts and keys that JSON libraries write in different ways."""
    document = json.loads((copy / "manifest.json").read_text("utf-8"))
    numbers = [0.0, -0.0, 1.0, 1e15, 1e16, 1.5e16, 1e21, 1e22, 1e-4, 1e-5, 1.25e-7, 5e-324]
    numbers += [1.7976931348623157e308, 0.1, 123456789.125, -2.5e-10]
    document["evidence"] = {
        "floats": numbers,
        "integers": [0, -1, 2**53, 2**53 + 1, 10**30],
        "texts": ['\x00\x1f\x7f"\\/\b\f\n\r\t', "é漢🦆", "\ud83d"],
        "keys": {"\uffff": 1, "🦆": 2, "": 3, "__proto__": {"a": None}, "constructor": True},
    }
    reseal(copy, document)
    packed = pack(copy)
    digest = open_bundle(copy).manifest.digest
    assert opened(ask, copy, packed) == [digest, digest]


def test_a_packed_bundle_answers_as_its_directory_does(copy: Path, ask: Ask) -> None:
    packed = pack(copy)
    jobs = [
        {"do": "transduce", "bundle": str(path), "texts": ["abc", "hg"], "options": {"beam": 3}}
        for path in (copy, packed)
    ]
    of_directory, of_zip = ask(jobs)
    assert of_directory == of_zip
    with treadle.load(packed) as model:
        assert [made[0].text for made in model.transduce(["abc", "hg"], beam=3)] == [
            made[0]["text"] for made in of_zip
        ]


FAULTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a missing manifest": (
        lambda b: (b / "manifest.json").unlink(),
        "manifest.json is missing, so this is no bundle",
    ),
    "a missing file": (lambda b: (b / "step.onnx").unlink(), "step.onnx is missing; fetch"),
    "a shorter file": (
        lambda b: (b / "step.onnx").write_bytes((b / "step.onnx").read_bytes()[:-1]),
        "bytes, expected",
    ),
    "a changed file": (
        lambda b: (b / "step.onnx").write_bytes(b"\xff" + (b / "step.onnx").read_bytes()[1:]),
        "has the digest sha256:",
    ),
    "a later format": (
        lambda b: edited(b, lambda d: d.update(format="treadle-bundle/2")),
        "later than 'treadle-bundle/1'; update treadle.js",
    ),
    "another format": (
        lambda b: edited(b, lambda d: d.update(format="onnx")),
        "format must be 'treadle-bundle/1'",
    ),
    "an edited figure": (
        lambda b: edited(b, lambda d: d["evidence"].update(parity=1)),
        "it was changed: its content has the seal",
    ),
    "another end symbol": (
        lambda b: edited(b, lambda d: d["decoding"].update(end=3)),
        "it was changed: its content has the digest",
    ),
    "a field too many": (
        lambda b: edited(b, lambda d: d.update(extra=1)),
        "extra is not a field of the format",
    ),
    "a field too few": (lambda b: edited(b, lambda d: d.pop("plan")), "plan is missing"),
    "another type": (
        lambda b: edited(b, lambda d: d.update(name=3)),
        "name must be a string, got 3",
    ),
    "a path": (
        lambda b: edited(b, lambda d: d["files"].update({"../x": d["files"]["step.onnx"]})),
        "a file of a bundle has a plain name",
    ),
    "a graph too few": (
        lambda b: edited(b, lambda d: d["graphs"].pop("encode")),
        "graphs.encode is missing: transduction needs it",
    ),
    "a sequence of its own": (
        lambda b: edited(b, lambda d: d["graphs"]["sequence"]["state"].pop()),
        "graphs.sequence and graphs.step must have the same state",
    ),
    "half a manifest": (
        lambda b: (b / "manifest.json").write_bytes(b'{"format": "treadle-bundle/1"'),
        "it is not a JSON document",
    ),
    "endless depth": (
        lambda b: (b / "manifest.json").write_bytes(b"[" * 100_000 + b"]" * 100_000),
        "a manifest must be an object",
    ),
}


def test_what_is_wrong_is_a_bundle_error_that_says_it(
    bundles: dict[str, str], tmp_path: Path, ask: Ask
) -> None:
    paths = []
    for name, (damage, _) in FAULTS.items():
        path = Path(shutil.copytree(bundles["pronounce"], tmp_path / f"{name}.treadle"))
        damage(path)
        paths.append(path)
        with pytest.raises(treadle.BundleError):
            open_bundle(path)
    for found, (name, (_, said)) in zip(opened(ask, *paths), FAULTS.items(), strict=True):
        assert isinstance(found, dict), name
        assert found["error"] == "BundleError", (name, found)
        assert said in found["message"], (name, found)


def test_a_zip_that_no_bundle_is(copy: Path, tmp_path: Path, ask: Ask) -> None:
    packed = pack(copy).read_bytes()
    strangers = {
        "cut": packed[: len(packed) // 2],
        "empty": b"",
        "no zip": b"x" * 1000,
        "compressed": _zipped(copy, tmp_path, zipfile.ZIP_DEFLATED),
        "more": _zipped(copy, tmp_path, zipfile.ZIP_STORED, beside="notes.txt"),
    }
    paths = []
    for name, content in strangers.items():
        paths.append(tmp_path / f"{name}.zip")
        paths[-1].write_bytes(content)
    found = opened(ask, *paths)
    assert [one["error"] for one in found] == ["BundleError"] * len(strangers)
    assert "compressed" in found[3]["message"]
    assert "holds 'notes.txt', which its manifest does not list" in found[4]["message"]


def _zipped(bundle: Path, folder: Path, method: int, beside: str | None = None) -> bytes:
    path = folder / "made.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for file in sorted(bundle.iterdir()):
            archive.write(file, file.name)
        if beside:
            archive.writestr(beside, "x")
    return path.read_bytes()
