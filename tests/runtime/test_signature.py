"""A signature says who a bundle is from; without the package cryptography it says how to get it."""

from __future__ import annotations

import base64
import json
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import treadle
from tests.runtime.fuzzing.sound import with_a_golden_trace
from tests.runtime.tiny_bundles import reseal, write_language_model
from treadle import cli
from treadle.bundle import open_bundle
from treadle.errors import BundleError
from treadle.signature import check_signature, read_signature, sign_bundle

if TYPE_CHECKING:
    from pathlib import Path

    Output = pytest.CaptureFixture[str]


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write_language_model(tmp_path)


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key in files."""
    return new_keys(tmp_path, "own")


def new_keys(directory: Path, name: str, password: bytes | None = None) -> tuple[Path, Path]:
    pytest.importorskip("cryptography", reason="signatures need the extra sign")
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private, public = directory / f"{name}.pem", directory / f"{name}-public.pem"
    locked = s.BestAvailableEncryption(password) if password else s.NoEncryption()
    private.write_bytes(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, locked))
    subject = s.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(s.Encoding.PEM, subject))
    return private, public


def edit_signature(bundle: Path, **changes: Any) -> None:
    path = bundle / "signature.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), **changes}), "utf-8")


def test_a_signed_bundle_opens_and_is_the_same_model(bundle: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    before = open_bundle(bundle).manifest
    manifest = (bundle / "manifest.json").read_bytes()
    sign_bundle(open_bundle(bundle), private)
    assert (bundle / "manifest.json").read_bytes() == manifest
    for key in (public, str(public), public.read_bytes()):
        with treadle.load(bundle, public_key=key) as model:
            assert model.manifest == before
            model.stream().step(np.array([1]))
    with treadle.load(bundle) as model:  # nobody has to ask
        assert model.manifest.digest == before.digest


def test_a_signature_is_packed_with_its_bundle(bundle: Path, keys: tuple[Path, Path]) -> None:
    private, public = keys
    unsigned = treadle.pack(bundle)
    with pytest.raises(BundleError, match="is not signed"):
        treadle.load(unsigned, public_key=public)
    sign_bundle(open_bundle(bundle), private)
    packed = treadle.pack(bundle, force=True)
    with treadle.load(packed, public_key=public) as model:
        model.stream().step(np.array([1]))
    (bundle / "signature.json").write_bytes(b" " * 5000)
    with pytest.raises(BundleError, match="cannot read the signature"):
        treadle.pack(bundle, force=True)


def test_signing_again_replaces(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    other, public = new_keys(tmp_path, "other")
    for key in (keys[0], other):
        sign_bundle(open_bundle(bundle), key)
    check_signature(open_bundle(bundle), public)
    assert len(list(bundle.glob("*signature*"))) == 1


def test_an_unsigned_bundle(bundle: Path, keys: tuple[Path, Path]) -> None:
    with pytest.raises(treadle.BundleError, match=r"is not signed: signature.json is missing"):
        treadle.load(bundle, public_key=keys[1])


def test_another_key(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    sign_bundle(open_bundle(bundle), keys[0])
    _, public = new_keys(tmp_path, "other")
    with pytest.raises(treadle.BundleError, match=r"is signed with the key sha256:.* expected sha"):
        treadle.load(bundle, public_key=public)
    # Who writes the expected key's name over it has not signed with it.
    other = new_keys(tmp_path, "third")[0]
    expected = read_signature(open_bundle(bundle))
    assert expected is not None
    sign_bundle(open_bundle(bundle), other)
    edit_signature(bundle, key=expected.key)
    with pytest.raises(treadle.BundleError, match="is no signature of this bundle by the key"):
        treadle.load(bundle, public_key=keys[1])


def test_a_changed_byte_of_a_file(bundle: Path, keys: tuple[Path, Path]) -> None:
    sign_bundle(open_bundle(bundle), keys[0])
    content = bytearray((bundle / "step.onnx").read_bytes())
    content[-1] ^= 1
    (bundle / "step.onnx").write_bytes(content)
    with pytest.raises(treadle.BundleError, match=r"step.onnx has the digest"):
        treadle.load(bundle, public_key=keys[1])
    # Sealed anew, it opens, but not with the key.
    reseal(bundle, json.loads((bundle / "manifest.json").read_text("utf-8")))
    treadle.load(bundle)
    with pytest.raises(treadle.BundleError, match="the bundle or the signature was changed"):
        treadle.load(bundle, public_key=keys[1])


def test_an_edited_figure_is_signed_too(bundle: Path, keys: tuple[Path, Path]) -> None:
    sign_bundle(open_bundle(bundle), keys[0])
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    reseal(bundle, {**document, "evidence": {"quality": "best"}})
    with pytest.raises(treadle.BundleError, match="the bundle or the signature was changed"):
        treadle.load(bundle, public_key=keys[1])


@pytest.mark.parametrize("place", [0, 31, 63])
def test_a_changed_byte_of_the_signature(bundle: Path, keys: tuple[Path, Path], place: int) -> None:
    signature = sign_bundle(open_bundle(bundle), keys[0])
    content = bytearray(base64.b64decode(signature.signature))
    content[place] ^= 1
    edit_signature(bundle, signature=base64.b64encode(content).decode())
    with pytest.raises(treadle.BundleError, match="is no signature of this bundle"):
        treadle.load(bundle, public_key=keys[1])


@pytest.mark.parametrize("signature", ["", "é", "a", "!!!!", "AAAA"])
def test_a_signature_that_is_none(bundle: Path, keys: tuple[Path, Path], signature: str) -> None:
    sign_bundle(open_bundle(bundle), keys[0])
    edit_signature(bundle, signature=signature)
    with pytest.raises(treadle.BundleError, match="is no signature of this bundle"):
        treadle.load(bundle, public_key=keys[1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a JSON document"),
        (b"[]", "must be an object"),
        (b"{}", "format is missing"),
        (b'{"format": "treadle-signature/2", "more": 1}', "update treadle"),
        (b'{"format": 1, "key": "", "signature": ""}', "format must be a string"),
        (b" " * 5000, "a file of at most 4096 bytes"),
    ],
)
def test_a_file_that_is_no_signature(bundle: Path, content: bytes, words: str) -> None:
    (bundle / "signature.json").write_bytes(content)
    with pytest.raises(treadle.BundleError, match=words):
        read_signature(open_bundle(bundle))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
def test_links_and_pipes_are_no_signature(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.json").write_text("{}")
    (bundle / "signature.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(treadle.BundleError, match="a file of at most"):
        read_signature(open_bundle(bundle))
    (bundle / "signature.json").unlink()
    os.mkfifo(bundle / "signature.json")
    with pytest.raises(treadle.BundleError, match="a file of at most"):
        read_signature(open_bundle(bundle))


def test_a_bundle_cannot_list_its_signature(bundle: Path) -> None:
    """It would then be in the digest, and could not be of the seal."""
    (bundle / "signature.json").write_text("{}")
    document = json.loads((bundle / "manifest.json").read_text("utf-8"))
    document["files"]["signature.json"] = {"sha256": "", "bytes": 0}
    with pytest.raises(treadle.BundleError, match=r"files names 'signature.json'"):
        reseal(bundle, document)


def test_keys_that_are_none(bundle: Path, keys: tuple[Path, Path], tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import ec

    private, public = keys
    curve = ec.generate_private_key(ec.SECP256R1())
    other = curve.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    locked = new_keys(tmp_path, "locked", b"secret")[0]
    for key in (public, b"", b"nonsense", other, locked):
        with pytest.raises(treadle.BundleError, match="expected a private key of ed25519 in PEM"):
            sign_bundle(open_bundle(bundle), key)
    for key in (private, b"nonsense"):
        with pytest.raises(treadle.BundleError, match="expected a public key of ed25519 in PEM"):
            treadle.load(bundle, public_key=key)
    with pytest.raises(treadle.BundleError, match=r"cannot read the key .*missing.pem"):
        treadle.load(bundle, public_key=tmp_path / "missing.pem")
    assert not (bundle / "signature.json").exists()


def test_without_the_package(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    with pytest.raises(treadle.DeviceError, match=r"pip install 'treadle\[sign\]'"):
        treadle.load(bundle, public_key=b"")
    with pytest.raises(treadle.DeviceError, match=r"pip install 'treadle\[sign\]'"):
        sign_bundle(open_bundle(bundle), b"")


def test_the_command(bundle: Path, keys: tuple[Path, Path], capsys: Output) -> None:
    arguments = ["sign", str(bundle), "--key", str(keys[0])]
    assert cli.run(arguments) == 0
    assert "is signed with the key sha256:" in capsys.readouterr().out
    assert cli.run([*arguments, "--json"]) == 0
    key = json.loads(capsys.readouterr().out)["key"]
    check_signature(open_bundle(bundle), keys[1])
    signature = read_signature(open_bundle(bundle))
    assert signature is not None
    assert signature.key == key
    assert cli.run(["sign", str(bundle), "--key", "missing.pem"]) == 1
    assert "cannot read the key missing.pem" in capsys.readouterr().err


def test_verify_says_whether_a_bundle_is_signed(
    keys: tuple[Path, Path], tmp_path: Path, capsys: Output
) -> None:
    bundle = with_a_golden_trace(tmp_path)
    arguments = ["verify", str(bundle)]
    assert cli.run(arguments) == 0
    assert capsys.readouterr().out.endswith("not signed\npassed\n")
    assert cli.run([*arguments, "--public-key", str(keys[1])]) == 1
    assert "is not signed" in capsys.readouterr().err
    key = sign_bundle(open_bundle(bundle), keys[0]).key
    assert cli.run(arguments) == 0
    assert f"signed with the key {key} (not checked: --public-key)" in capsys.readouterr().out
    assert cli.run([*arguments, "--public-key", str(keys[1]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signature"] == {"key": key, "checked": True}
