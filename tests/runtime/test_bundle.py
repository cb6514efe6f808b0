import json
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.runtime.tiny_bundles import reseal, write_language_model, write_transducer
from treadle.bundle import Bundle, open_bundle
from treadle.errors import BundleError


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_transducer(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def bundle(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / sound.name))


def _edit(bundle: Path, **changes: object) -> None:
    path = bundle / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_sound_bundle_opens(bundle: Path) -> None:
    opened = open_bundle(bundle)
    assert isinstance(opened, Bundle)
    assert opened.manifest.name == "tiny-pronounce"
    assert opened.file("step.onnx") == bundle / "step.onnx"
    assert opened.read("input.json") == (bundle / "input.json").read_bytes()
    assert open_bundle(str(bundle)).manifest == opened.manifest
    with pytest.raises(BundleError, match=r"no file '\.\./x'; it lists .*step\.onnx"):
        opened.file("../x")


def test_no_bundle_at_all(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"expected a bundle, .* got nothing; check the path"):
        open_bundle(tmp_path / "nowhere.treadle")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleError, match="got a file"):
        open_bundle(tmp_path / "file")
    with pytest.raises(BundleError, match=r"manifest\.json is missing, so this is no bundle"):
        open_bundle(tmp_path)


def test_a_missing_file(bundle: Path) -> None:
    (bundle / "step.onnx").unlink()
    with pytest.raises(BundleError, match=r"step\.onnx is missing; fetch or export"):
        open_bundle(bundle)
    (bundle / "step.onnx").mkdir()
    with pytest.raises(BundleError, match=r"step\.onnx is missing"):
        open_bundle(bundle)


def test_a_cut_file(bundle: Path) -> None:
    content = (bundle / "sequence.onnx").read_bytes()
    (bundle / "sequence.onnx").write_bytes(content[:-1])
    words = rf"sequence\.onnx has {len(content) - 1} bytes, expected {len(content)}"
    with pytest.raises(BundleError, match=words):
        open_bundle(bundle)


def test_a_corrupted_file(bundle: Path) -> None:
    content = bytearray((bundle / "encode.onnx").read_bytes())
    content[100] ^= 1
    (bundle / "encode.onnx").write_bytes(content)
    words = r"encode\.onnx has the digest sha256:\w{64}, expected sha256:\w{64}; it is damaged"
    with pytest.raises(BundleError, match=words):
        open_bundle(bundle)


def test_a_later_format(bundle: Path) -> None:
    _edit(bundle, format="treadle-bundle/2")
    words = r"in .*manifest\.json: .* 'treadle-bundle/2', later than .*; update treadle: pip"
    with pytest.raises(BundleError, match=words):
        open_bundle(bundle)


def test_an_edited_figure_breaks_the_seal(bundle: Path) -> None:
    _edit(bundle, evidence={"latency": {"p50_us": 0.1}})
    with pytest.raises(BundleError, match="was changed: its content has the seal sha256"):
        open_bundle(bundle)


def test_an_edited_plan_breaks_the_digest(bundle: Path) -> None:
    _edit(bundle, plan={"decoder.0": "scan"})
    with pytest.raises(BundleError, match="was changed: its content has the digest sha256"):
        open_bundle(bundle)


@pytest.mark.parametrize("name", ["..", "../x.onnx", "/etc/passwd", "a/b", "\ud800"])
def test_a_name_that_leads_outside_or_nowhere(bundle: Path, name: str) -> None:
    files = json.loads((bundle / "manifest.json").read_text())["files"]
    _edit(bundle, files={**files, name: {"sha256": "sha256:0", "bytes": 0}})
    with pytest.raises(BundleError, match="a file of a bundle has a plain name, without a path"):
        open_bundle(bundle)


def test_a_link_that_leads_outside(bundle: Path, tmp_path: Path) -> None:
    (bundle / "step.onnx").rename(tmp_path / "elsewhere.onnx")
    (bundle / "step.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    with pytest.raises(BundleError, match=r"step\.onnx lies outside the bundle, at .*; do not"):
        open_bundle(bundle)


def test_a_link_to_itself_and_a_pipe_do_not_hang(bundle: Path) -> None:
    (bundle / "step.onnx").unlink()
    (bundle / "step.onnx").symlink_to(bundle / "step.onnx")
    with pytest.raises(BundleError, match=r"step\.onnx"):
        open_bundle(bundle)
    if hasattr(os, "mkfifo"):
        (bundle / "step.onnx").unlink()
        os.mkfifo(bundle / "step.onnx")
        with pytest.raises(BundleError, match=r"step\.onnx is missing"):
            open_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}', b"[]"])
def test_a_manifest_that_is_no_json(bundle: Path, content: bytes) -> None:
    (bundle / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"in .*manifest\.json"):
        open_bundle(bundle)


def test_other_files_beside_are_no_concern(bundle: Path) -> None:
    (bundle / ".DS_Store").write_bytes(b"")
    assert open_bundle(bundle).manifest.name == "tiny-pronounce"


@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(sound: Path, data: st.DataObject) -> None:
    names = sorted(path.name for path in sound.iterdir())
    path = sound / data.draw(st.sampled_from(names))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    bit = data.draw(st.integers(0, 7))
    damaged = bytearray(content)
    damaged[place] ^= 1 << bit
    # White space of the manifest carries nothing.
    equal = path.name == "manifest.json" and _same_json(content, damaged)
    try:
        path.write_bytes(damaged)
        if equal:
            open_bundle(sound)
        else:
            with pytest.raises(BundleError):
                open_bundle(sound)
    finally:
        path.write_bytes(content)


@given(data=st.data())
def test_no_cut_goes_unnoticed(sound: Path, data: st.DataObject) -> None:
    path = sound / data.draw(st.sampled_from(sorted(path.name for path in sound.iterdir())))
    content = path.read_bytes()
    try:
        path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        with pytest.raises(BundleError):
            open_bundle(sound)
    finally:
        path.write_bytes(content)


def test_a_forger_who_seals_again_is_believed(tmp_path: Path) -> None:
    path = write_language_model(tmp_path)
    document = json.loads((path / "manifest.json").read_text())
    reseal(path, {**document, "decoding": {"start": 0}})
    opened = open_bundle(path)
    assert opened.manifest.decoding == {"start": 0}
    assert opened.manifest.digest != document["digest"]


def _same_json(first: bytes, second: bytes | bytearray) -> bool:
    try:
        return bool(json.loads(first) == json.loads(second))
    except ValueError:
        return False
